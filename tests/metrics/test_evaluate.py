"""Evaluation of a run against a pack: the same run gives the same numbers, and nothing foreign is compared."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.config import Dataset, Evaluation
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.data.packing.pack import pack
from ganformer.errors import DataError
from ganformer.metrics import evaluate as metrics
from ganformer.metrics.measures import frechet
from ganformer.metrics.reference import Reference
from ganformer.training import checkpoint, distribution
from ganformer.training.learner import Reconstructor
from tests.pictures import on_white
from tests.run_records import run_record

pytestmark = pytest.mark.slow

REALS, FAKES = 40, 36
IMAGE = {"height": 16, "width": 16, "channels": 3}


class Learner:
    """Draws from given images, as one that has learnt them by heart."""

    network = torch.nn.Identity()

    def __init__(self, images):
        self.images = images

    def sample(self, labels, seeds, truncation=1.0):
        return torch.from_numpy(self.images)[chosen(seeds, len(self.images))].float() / 127.5 - 1


def chosen(seeds, images):
    return np.array([np.random.RandomState(seed).randint(images) for seed in seeds])


def settings(**changes):
    return Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, "images": FAKES, **changes})


@pytest.fixture(scope="module")
def reals(draw_shapes):
    return draw_shapes(REALS, seed=1, size=16)


@pytest.fixture(scope="module")
def data(reals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i, image in enumerate(reals):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:03}.png")
    out = tmp_path_factory.mktemp("pack")
    pack(Dataset.model_validate({"source": {"kind": "folder", "path": str(folder)}, "resolution": 16}), out)
    return out / "manifest.json"


def refer(evaluation, data, out, **options):
    """Return the one file that `reference` writes into the folder `out`."""
    metrics.reference(evaluation, data, out, threads=1, gpus=0, **options)
    (path,) = out.glob("*.npz")
    return path


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory):
    return refer(settings(), data, tmp_path_factory.mktemp("reference"))


@pytest.fixture
def record(data):
    return {
        "run": {"dataset": "scenes", "model": "duplex", "seed": 3},
        "spec": {"image": IMAGE},
        "data": {"data_sha256": Images(data).digest, "label_counts": []},
        "steps": 8,
        "snapshots": [
            {"step": 4, "kimg": 0.5, "file": "four", "sha256": "4" * 64},
            {"step": 8, "kimg": 1.0, "file": "eight", "sha256": "8" * 64},
        ],
    }


@pytest.fixture
def measure(monkeypatch, record, data, reference, tmp_path):
    """Evaluate a learner of these images; returns what was written."""

    def run(learnt, step=None, reference=reference.parent, data=data, other_data=None, **changes):
        learner = Learner(learnt)
        monkeypatch.setattr(checkpoint, "restore", lambda run, step: (learner, run_record(record)))
        out = tmp_path / "metrics.json"
        if out.is_file():
            out.unlink()  # these learners have one sha256
        other = {} if other_data is None else {"other_data": other_data}
        job = metrics.Job(settings(**changes), tmp_path / "run.json", step, data, reference, **other)
        metrics.evaluate(job, out, threads=1, gpus=0)
        return json.loads(out.read_text())

    return run


@pytest.fixture
def written(tmp_path):
    return tmp_path / "metrics.json"


# --------------------------------------------------------------------------------------------------- reference


def test_reference_holds_what_the_network_sees_of_all_reals(reference, reals, data, seen):
    found = Reference.read(reference)
    expected = seen(reals)
    assert found.observed.count == REALS
    assert found.data_sha256 == Images(data).digest
    assert found.extractor == {"kind": "random-vgg16", "seed": 0}
    assert found.observed.arrays.keys() == {"mean", "covariance", "features"}
    for name, array in found.observed.arrays.items():
        np.testing.assert_allclose(array, expected.arrays[name], rtol=1e-4, atol=1e-5)


def test_reference_keeps_no_features_that_no_metric_needs(data, tmp_path):
    found = Reference.read(refer(settings(metrics=["frechet"]), data, tmp_path))
    assert found.observed.arrays.keys() == {"mean", "covariance"}


def test_reference_is_read_as_statistics_of_pytorch_fid(reference, reals, seen, tmp_path):
    """pytorch-fid reads the arrays `mu` and `sigma` of an npz, without pickles."""
    expected = seen(reals).arrays
    with np.load(reference) as file:
        assert set(file.files) == {"about", "mu", "sigma", "features"}
        np.testing.assert_allclose(file["mu"], expected["mean"], rtol=1e-4)
        np.testing.assert_allclose(file["sigma"], expected["covariance"], rtol=1e-4, atol=1e-5)
    with reference.open("rb") as opened, np.load(opened) as file:
        older = {{"mu": "mean", "sigma": "covariance"}.get(name, name): file[name] for name in file.files}
    np.savez(tmp_path / "older.npz", **older)
    assert Reference.read(tmp_path / "older.npz").observed.arrays.keys() == {"mean", "covariance", "features"}


def test_reference_is_the_same_bytes_each_time(data, reference, tmp_path):
    again = refer(settings(), data, tmp_path)
    assert again.name == reference.name
    assert again.read_bytes() == reference.read_bytes()


def test_flipped_byte_is_noticed_where_that_is_asked_for(data, tmp_path):
    for path in data.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shard = tmp_path / "images-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    refer(settings(), tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match=r"images-00000\.npy: not the bytes that were packed"):
        refer(settings(), tmp_path, tmp_path / "checked", check_data=True)
    assert not (tmp_path / "checked").exists()


def test_places_are_checked_before_images_are_seen(monkeypatch, measure, reals, data, tmp_path):
    def refuse(*arguments):
        raise AssertionError("no image is seen")

    monkeypatch.setattr(metrics, "observe_with", refuse)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"random-vgg16-\w+\.npz: cannot be written \(Not a directory\)"):
        refer(settings(), data, tmp_path / "file")
    (tmp_path / "metrics.json").mkdir()
    with pytest.raises(DataError, match=r"metrics\.json: is a folder, but a file is to be written"):
        measure(reals)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut"])
def test_something_else_than_a_reference_is_refused(tmp_path, content):
    path = tmp_path / "scenes.npz"
    path.write_bytes(content)
    with pytest.raises(
        DataError,
        match=rf"^{path}: is no readable file of reference statistics \(.+\); delete it and run again$",
    ):
        Reference.read(path)


def test_npz_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "images.npz", images=np.zeros(3))
    with pytest.raises(
        DataError,
        match=r"images\.npz: is no readable file of reference statistics \(has no about\); delete it and run again$",
    ):
        Reference.read(tmp_path / "images.npz")


def test_missing_reference_is_named(tmp_path):
    with pytest.raises(DataError, match=rf"^{tmp_path}/scenes\.npz: there are no reference statistics here; make them"):
        Reference.read(tmp_path / "scenes.npz")


def test_reference_of_another_format_is_refused(tmp_path):
    np.savez(tmp_path / "scenes.npz", about=np.array(json.dumps({"format": 1})))
    with pytest.raises(DataError, match=r"scenes\.npz: format 1 is not 2; delete it and run again with this version$"):
        Reference.read(tmp_path / "scenes.npz")


# ---------------------------------------------------------------------------------------------------- evaluate


def test_writes_what_was_measured_and_how(measure, reals, data, record):
    found = measure(reals)
    assert list(found) == [
        *("format", "run", "step", "kimg", "weights_sha256", "recipe", "reference"),
        *("values", "seconds", "code", "hardware"),
    ]
    assert found["run"] == record["run"]
    assert (found["step"], found["kimg"], found["weights_sha256"]) == (8, 1.0, "8" * 64)
    assert {key: value["name"] for key, value in found["values"].items()} == {
        key: f"{key}_random_vgg16"
        for key in ("fd", "fd_std", "is", "is_std", "precision", "precision_std", "recall", "recall_std")
    }
    assert found["recipe"] == {
        "extractor": {"kind": "random-vgg16", "seed": 0},
        "extractors": {},
        "images": FAKES,
        "mirrored": False,
        "metrics": ["frechet", "frechet-error", "inception-score", "precision-recall"],
        "seed": 0,
        "repeats": 1,
        "path_length": None,
        "second": None,
        "real_images": REALS,
        "image": IMAGE,
        "picture": [16, 16],
        "truncation": None,
        "weights_sha256": {},
        "measures": {
            "frechet-error": {"groups": 10},
            "inception-score": {"parts": 10},
            "precision-recall": {"neighbours": 3},
        },
    }
    assert found["reference"] == {"data_sha256": Images(data).digest}
    assert found["hardware"]["device"] == "cpu"
    assert found["hardware"]["threads"] == 1
    assert 0 < found["seconds"] < 60


def test_measures_the_snapshot_asked_for(measure, reals):
    found = measure(reals, step=4)
    assert (found["step"], found["kimg"], found["weights_sha256"]) == (4, 0.5, "4" * 64)


def test_same_run_gives_the_same_numbers_and_another_seed_others(measure, reals):
    values = measure(reals)["values"]
    assert measure(reals)["values"] == values
    assert measure(reals, seed=1)["values"] != values


def test_numbers_are_those_of_the_generated_images(measure, reals, reference, seen):
    found = measure(reals, metrics=["frechet"])["values"]
    # A real image of value v comes back as v: that is what the rounding is chosen for.
    expected = frechet.compute(Reference.read(reference).observed, seen(reals[chosen(range(FAKES), REALS)]))
    assert found["fd"]["value"] == pytest.approx(expected["fd"], rel=1e-3)


def test_generator_that_learnt_the_data_is_better_than_one_of_noise(measure, reals):
    good = measure(reals)["values"]
    bad = measure(np.random.default_rng(0).integers(0, 256, reals.shape, np.uint8))["values"]
    assert 10 * good["fd"]["value"] < bad["fd"]["value"]
    assert good["precision"]["value"] == 1 > bad["precision"]["value"]


def test_quantise_rounds_as_the_official_code():
    values = torch.tensor([-2.0, -1.0, -0.999, 0.0, 0.5, 1.0, 3.0])
    assert metrics.quantise(values).tolist() == [0, 0, 0, 128, 191, 255, 255]
    every = torch.arange(256)
    assert torch.equal(metrics.quantise(every.float() / 127.5 - 1).long(), every)


def test_images_that_are_not_finite_are_an_error_and_leave_no_file(measure, reals, written, tmp_path):
    broken = reals.astype(np.float32)
    broken[:, 1, 2, 3] = np.nan
    message = (
        rf"^{tmp_path}/run\.json at step 8: generated images hold NaN or infinity, so the training diverged; "
        "a smaller learning rate or a larger r1_gamma often helps$"
    )
    with pytest.raises(DataError, match=message):
        measure(broken)
    assert not written.exists()


def test_another_pack_than_the_runs_is_refused(measure, reals, record, data, written):
    record["data"]["data_sha256"] = "f" * 64
    message = (
        rf"^{data.parent}: holds the data [0-9a-f]{{12}}…, but .*run\.json was trained on the data "
        "f{12}…; name the pack of the run, or say with --other-data that it is another one on purpose$"
    )
    with pytest.raises(DataError, match=message):
        measure(reals)
    assert not written.exists()


def test_another_pack_is_measured_against_where_that_is_meant(measure, reals, record):
    record["data"]["data_sha256"] = "f" * 64
    assert measure(reals, other_data=True)["values"]["fd"]["value"] > 0


def test_a_pack_of_another_shape_than_an_imported_runs_is_refused(measure, reals, record):
    record["data"]["data_sha256"] = None
    assert measure(reals)["values"]["fd"]["value"] > 0
    record["spec"]["image"] = {**IMAGE, "height": 8}
    with pytest.raises(
        DataError, match=r"holds images of 16×16 pixels, but .*run\.json makes 16×8 pixels; name a pack of that"
    ):
        measure(reals)


def test_reference_of_another_pack_is_refused(measure, reals, reference, tmp_path):
    found = Reference.read(reference)
    path = tmp_path / reference.name
    Reference(found.observed, found.extractor, False, "e" * 64).write(path)
    message = rf"^{path}: is of the data eeeeeeeeeeee…, not of the pack named, [0-9a-f]{{12}}…; make"
    with pytest.raises(DataError, match=message):
        measure(reals, reference=tmp_path)


def test_reconstructions_are_measured_where_there_is_an_autoencoder(measure, reals, monkeypatch):
    class Blurred(Learner, Reconstructor):
        def reconstruct(self, images):
            return images * 0.5

    assert "rfd" not in measure(reals)["values"]
    monkeypatch.setattr(sys.modules[__name__], "Learner", Blurred)
    found = measure(reals)["values"]["rfd"]
    assert found["name"] == "rfd_random_vgg16"
    assert found["value"] > 0
    assert "rfd" not in measure(reals, metrics=["inception-score"])["values"]
    assert measure(reals, repeats=2)["values"]["rfd"] == found  # nothing is drawn for it
    monkeypatch.setattr(Blurred, "reconstruct", lambda self, images: images)
    assert measure(reals)["values"]["rfd"]["value"] < found["value"] / 50


@pytest.mark.parametrize(("count", "numbers"), [(4, [0, 10, 20, 30]), (99, range(40))])
def test_reconstructions_are_of_the_whole_pack_each_image_once(data, count, numbers):
    """The first ones would be of the first class, where a pack is of folders of classes."""

    class Same(Learner, Reconstructor):
        def reconstruct(self, images):
            return images

    images = Images(data)
    found = metrics.Reconstructed(Same(None), images, count, "copies")
    assert len(found) == found.about.images == len(numbers)
    made = torch.cat(list(found.batches((16, 16), torch.device("cpu")))).numpy()
    assert np.array_equal(made, images.read(np.array(numbers)))


def test_reconstructions_with_opacity_are_laid_on_white(tmp_path):
    class Same(Learner, Reconstructor):
        def reconstruct(self, images):
            return images

    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 4), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    source = {"kind": "arrays", "path": str(tmp_path / "images.npy")}
    pack(Dataset.model_validate({"source": source, "resolution": 16}), tmp_path / "pack")
    found = metrics.Reconstructed(Same(None), Images(tmp_path / "pack"), 3, "copies")
    (made,) = found.batches((16, 16), torch.device("cpu"))
    assert np.array_equal(made.numpy(), on_white(pixels, axis=-1).transpose(0, 3, 1, 2))


def test_reference_of_another_extractor_is_refused(measure, reals, reference, tmp_path):
    (name,) = settings(extractor={"kind": "random-vgg16", "seed": 1}).parts()
    other = tmp_path / f"{name}.npz"
    other.write_bytes(reference.read_bytes())
    message = re.escape(
        f'{other}: was measured with the extractor {{"kind":"random-vgg16","seed":0}}, not with '
        '{"kind":"random-vgg16","seed":1}; make it again with the present settings'
    )
    with pytest.raises(DataError, match=f"^{message}$"):
        measure(reals, reference=tmp_path, extractor={"kind": "random-vgg16", "seed": 1})


def test_reference_without_what_a_metric_needs_is_refused(measure, reals, data, tmp_path):
    path = refer(settings(metrics=["inception-score"]), data, tmp_path)
    message = rf"^{path}: has no covariance, features, mean, which the metrics need; make it again with the present"
    with pytest.raises(DataError, match=message):
        measure(reals, reference=tmp_path)


# ---------------------------------------------------------------- several networks, rounds, processes; mirror images


def test_each_metric_may_have_a_network_of_its_own(measure, reals, data, tmp_path):
    other = {"kind": "random-vgg16", "seed": 1}
    both = {"extractors": {"precision-recall": other}}
    metrics.reference(settings(**both), data, tmp_path / "known", threads=1, gpus=0)
    assert sorted(path.stem for path in (tmp_path / "known").iterdir()) == sorted(settings(**both).parts())
    found = measure(reals, reference=tmp_path / "known", **both)
    alone = measure(reals, reference=tmp_path / "known", metrics=["frechet"])["values"]
    assert found["values"]["fd"] == alone["fd"] == {"name": "fd_random_vgg16", "value": alone["fd"]["value"]}
    assert found["values"]["precision"]["by"] == "random-vgg16"
    refer(settings(extractor=other, metrics=["precision-recall"]), data, tmp_path / "other")
    expected = measure(reals, reference=tmp_path / "other", extractor=other, metrics=["precision-recall"])["values"]
    assert found["values"]["recall"]["value"] == expected["recall"]["value"]


def test_network_of_a_metric_that_is_not_measured_is_refused():
    with pytest.raises(ValueError, match=r"extractors: 'kid' is not in metrics; allowed: frechet"):
        settings(metrics=["frechet"], extractors={"kid": {"kind": "random-vgg16"}})


def test_rounds_are_measured_on_other_images_and_averaged(measure, reals):
    found = measure(reals, repeats=3)["values"]
    each = [measure(reals, seed=seed)["values"] for seed in range(3)]
    for key in ("fd", "is", "recall"):
        values = [one[key]["value"] for one in each]
        assert found[key]["value"] == pytest.approx(np.mean(values))
        assert found[f"{key}_std"]["value"] == pytest.approx(np.std(values, ddof=1))
    assert found.keys() == each[0].keys()


def test_several_processes_find_what_one_finds(reals, data, reference, tmp_path):
    """On the CPU, as GPUs would: what comes out of them is in the order of the images."""
    two = [torch.device("cpu")] * 2
    mirrored = settings(mirrored=True)
    distribution.launch(metrics.refer, (mirrored, data, tmp_path / "two", 1, False), two)
    one, several = refer(mirrored, data, tmp_path / "one"), next((tmp_path / "two").iterdir())
    assert one.name == several.name
    one, several = Reference.read(one).observed, Reference.read(several).observed
    assert one.count == several.count == 2 * REALS
    for name, array in one.arrays.items():
        np.testing.assert_allclose(several.arrays[name], array, rtol=1e-9, atol=1e-12)


def test_mirror_images_of_real_ones_are_asked_for_by_name(measure, reals, data, tmp_path):
    metrics.reference(settings(mirrored=True), data, tmp_path / "known", threads=1, gpus=0)
    found = measure(reals, reference=tmp_path / "known", mirrored=True)
    assert found["values"]["fd"]["name"] == "mirrored_fd_random_vgg16"
    assert found["recipe"]["real_images"] == 2 * REALS
    wanted = "is of all images and their mirror images, not of the images as they are; make it again with the present"
    with pytest.raises(DataError, match=wanted):
        measure(reals, reference=tmp_path / "known")


def test_the_recipe_tells_the_size_of_subsets(measure, reals, data, tmp_path):
    few = {"metrics": ["kid"], "images": 8}
    refer(settings(**few), data, tmp_path / "known")
    found = measure(reals, reference=tmp_path / "known", **few)
    assert found["recipe"]["measures"] == {"kid": {"subsets": 100, "size": 4}}


def test_too_few_images_are_told_before_any_is_made(monkeypatch, measure, reals, written):
    def refuse(*arguments):
        raise AssertionError("no image is made")

    monkeypatch.setattr(Learner, "sample", refuse)
    message = (
        r"run\.json: evaluation\.images: 12 images are too few for the error of the Fréchet distance, from 10 groups "
        r"of them; take at least 20$"
    )
    with pytest.raises(DataError, match=message):
        measure(reals, images=12)
    assert not written.exists()


def test_numbers_are_printed_with_how_they_were_measured(measure, reals, capsys):
    values = measure(reals, metrics=["frechet", "frechet-error"])["values"]
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    fd, error = values["fd"]["value"], values["fd_std"]["value"]
    assert lines["fd_random_vgg16"].strip() == f"{fd:.6g} ± {error:.2g}"
    assert lines["real"].strip().startswith(f"{REALS} images, data ")
    assert lines["fake"].strip() == f"{FAKES} images of step 8, seeds 0 to {FAKES - 1}, truncation none"
    assert lines["extractor"].strip() == '{"kind":"random-vgg16","seed":0}'
    assert lines["images"].strip() == "16×16 pixels"


# -------------------------------------------------------------------------------------------- bars and margins


@pytest.mark.parametrize(
    ("changes", "height"),
    [
        ({"ratio": 0.7}, 12),  # 11 rows, filled up for the networks
        ({"ratio": 0.7, "letterbox": True}, 16),
        ({"ratio": 0.7, "crop_margin": 0.25}, 12),
        ({"ratio": 0.7}, 16),  # an imported snapshot that makes squares
    ],
)
def test_only_the_picture_in_the_middle_is_measured(monkeypatch, tmp_path, data, record, changes, height):
    """Images that equal the real ones but for what is around them are as good as those."""
    dataset = Dataset.model_validate(
        {"source": {"kind": "folder", "path": Images(data).manifest.source["path"]}, "resolution": 16, **changes}
    )
    written = pack(dataset, tmp_path / "pack")
    images = Images(tmp_path / "pack")
    pictures = central(images.read(np.arange(REALS)), 11, 16)
    made = np.random.default_rng(0).integers(0, 256, (REALS, 3, height, 16), np.uint8)
    central(made, 11, 16)[:] = pictures
    record["spec"]["image"] = {**IMAGE, "height": height}
    record["data"]["data_sha256"] = None if height == 16 else images.digest
    wanted = settings(metrics=["frechet"], images=REALS)
    metrics.reference(wanted, tmp_path / "pack", tmp_path / "known", threads=1, gpus=0)
    learner = Learner(made)
    learner.sample = lambda labels, seeds, psi: torch.from_numpy(made[list(seeds)]).float() / 127.5 - 1
    monkeypatch.setattr(checkpoint, "restore", lambda run, step: (learner, run_record(record)))
    out = tmp_path / "metrics.json"
    job = metrics.Job(wanted, tmp_path / "run.json", None, tmp_path / "pack", tmp_path / "known")
    metrics.evaluate(job, out, threads=1, gpus=0)
    found = json.loads(out.read_text())
    assert found["values"]["fd"]["value"] == pytest.approx(0, abs=1e-3)
    assert found["recipe"]["picture"] == list(written.image.picture) == [11, 16]
