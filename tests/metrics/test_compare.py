"""Any two sets are measured as they are: the same images give the same numbers, whatever holds them."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ganformer import artifacts, cli
from ganformer.config import Dataset, Evaluation, Spec
from ganformer.data.dataset import Images
from ganformer.data.packing.pack import pack
from ganformer.errors import ConfigError, DataError
from ganformer.metrics import compare as sets
from ganformer.metrics import evaluate as metrics
from ganformer.metrics.measures import frechet
from ganformer.records.metrics import ComparedSet, Comparison
from ganformer.training.loop import train

REALS, FAKES = 40, 36
VALUES = ("fd", "is", "is_std", "precision", "recall")


def settings(**changes):
    return Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, "images": FAKES, **changes})


def write(images, folder):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:03}.png")
    return folder


def statistics(images, path):
    """Return what pytorch-fid writes of what the extractor sees in these images."""
    np.savez(path, mu=images.arrays["mean"], sigma=images.arrays["covariance"])
    return path


@pytest.fixture(autouse=True)
def loaded(monkeypatch, network):
    """Load the network once for all tests: its weights take longer to draw than these images to be seen."""
    for module in (metrics, sets):
        monkeypatch.setattr(module, "load_network", lambda extractor, device: network)


@pytest.fixture(scope="module")
def reals(draw_shapes):
    return draw_shapes(REALS, seed=1, size=16)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="module")
def folder(reals, place):
    return write(reals, place / "real")


@pytest.fixture(scope="module")
def others(draw_shapes, place):
    return write(draw_shapes(FAKES, seed=2, size=16), place / "other")


@pytest.fixture(scope="module")
def data(folder, place):
    source = {"kind": "folder", "path": str(folder)}
    pack(Dataset.model_validate({"source": source, "resolution": 16}), place / "pack")
    return place / "pack"


@pytest.fixture(scope="module")
def run(data, place):
    """Provide folder of a run of two steps."""
    model = {"kind": "gan", "channel_base": 64, "channel_max": 8, "latent_size": 16}
    training = {"kimg": 0.004, "batch": 2, "snapshots": 1}
    image = Images(data).image
    spec = Spec.model_validate({"image": image, "mirror": False, "model": model, "training": training, "seed": 3})
    train(spec, data, place / "run", names={"dataset": "shapes", "model": "gan"}, threads=1, gpus=0)
    return place / "run"


@pytest.fixture
def compare():
    def run(real, fake, step=None, **changes):
        chosen = Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, **changes})
        return sets.compare(chosen, real, fake, step=step, threads=1, gpus=0).content()

    return run


def summary(content):
    return sets.summary(Comparison.parse(content, Path("compared.json")))


# ------------------------------------------------------------------------------------------------- same numbers


@pytest.mark.slow
def test_folder_zip_and_pack_give_identical_numbers(compare, folder, others, data, place):
    shutil.make_archive(str(place / "real"), "zip", folder)
    shutil.make_archive(str(place / "other"), "zip", others)
    found = [
        compare(real, fake)["values"]
        for real, fake in [(folder, others), (place / "real.zip", others), (data, place / "other.zip")]
    ]
    assert found[0].keys() >= set(VALUES)
    assert found[0] == found[1] == found[2]
    assert found[0]["fd"]["value"] > 1


def test_a_set_and_itself_are_the_same(compare, folder):
    found = {key: value["value"] for key, value in compare(folder, folder)["values"].items()}
    assert found["fd"] == pytest.approx(0, abs=1e-6)
    assert found["precision"] == found["recall"] == 1


@pytest.mark.slow
def test_a_run_gets_the_numbers_that_evaluate_gives_it(compare, run, data, tmp_path):
    wanted = settings(seed=1)
    metrics.reference(wanted, data / "manifest.json", tmp_path / "known", threads=1, gpus=0)
    (reference,) = (tmp_path / "known").iterdir()
    job = metrics.Job(wanted, run / "run.json", None, data / "manifest.json", tmp_path / "known")
    metrics.evaluate(job, tmp_path / "metrics.json", threads=1, gpus=0)
    expected = json.loads((tmp_path / "metrics.json").read_text())["values"]
    assert compare(data, run, images=FAKES, seed=1)["values"] == expected
    assert compare(reference, run / "run.json", images=FAKES, seed=1)["values"] == expected
    assert compare(data, run, images=FAKES, seed=1, step=2)["values"] == expected
    assert compare(data, run, images=FAKES, seed=0)["values"] != expected


@pytest.mark.slow
def test_statistics_give_the_distance_that_the_images_give(compare, folder, others, reals, seen, tmp_path):
    expected = compare(folder, others)["values"]
    found = compare(statistics(seen(reals), tmp_path / "real.npz"), others)
    assert not found["values"].keys() & {"precision", "recall"}
    assert found["values"]["fd"]["value"] == pytest.approx(expected["fd"]["value"], rel=1e-4)
    assert found["values"]["is"] == expected["is"]
    assert found["recipe"]["metrics"] == ["frechet", "frechet-error", "inception-score"]
    assert found["recipe"]["left_out"] == {"precision-recall": f"needs features of {tmp_path}/real.npz"}


@pytest.mark.slow
def test_features_of_stylegan2_ada_serve_every_measure(compare, folder, others, reals, seen, tmp_path):
    features = seen(reals).arrays["features"]
    state = {"capture_all": True, "num_items": REALS, "all_features": [features], "raw_mean": None, "raw_cov": None}
    (tmp_path / "stats.pkl").write_bytes(pickle.dumps(state))
    found, expected = compare(tmp_path / "stats.pkl", others), compare(folder, others)
    assert found["recipe"]["left_out"] == {}
    for key in VALUES:
        assert found["values"][key]["value"] == pytest.approx(expected["values"][key]["value"], rel=1e-4)


# ------------------------------------------------------------------------------------------ names and the recipe


def test_recipe_says_all_that_the_numbers_depend_on(compare, run, data):
    found = compare(data, run, images=FAKES, seed=2, metrics=["frechet", "kid"])
    extractor = {"kind": "random-vgg16", "seed": 0}
    assert found["recipe"]["real"] == {
        "kind": "pack",
        "path": str(data),
        "images": REALS,
        "data_sha256": Images(data).digest,
        "extractor": extractor,
    }
    fake = found["recipe"]["fake"]
    assert (fake["kind"], fake["images"], fake["step"], fake["seeds"], fake["truncation"]) == (
        "run",
        36,
        2,
        [72, 107],
        None,
    )
    assert fake["extractor"] == found["recipe"]["extractor"] == extractor
    assert found["recipe"]["metrics"] == ["frechet", "kid"]
    assert found["recipe"]["measures"] == {"kid": {"subsets": 100, "size": FAKES // 2}}
    assert found["recipe"]["picture"] == [16, 16]
    assert found["values"]["fd"]["name"] == "fd_random_vgg16"
    assert found["hardware"]["threads"] == 1
    assert 0 < found["seconds"] < 60
    assert list(found) == ["format", "values", "recipe", "seconds", "code", "hardware"]


def test_names_tell_no_more_than_is_known(compare, others, seen, reals, folder, tmp_path):
    real = statistics(seen(reals), tmp_path / "real.npz")
    inception = {"extractor": {"kind": "inception-2015"}, "metrics": ["frechet"]}
    assert compare(folder, others, **inception)["values"]["fd"]["name"] == "fid36"
    found = compare(real, real, **inception)
    assert found["values"]["fd"]["name"] == "fd"
    assert found["recipe"]["extractor"] is None
    assert found["recipe"]["picture"] is None


@pytest.mark.slow
def test_statistics_of_others_pass_for_ours_only_where_they_are(compare, folder, others, seen, reals, tmp_path):
    """pytorch-fid brings images to 299×299 otherwise than FID's own code does, StyleGAN2-ADA as this does."""
    npz = statistics(seen(reals), tmp_path / "pytorch-fid.npz")
    features = seen(reals).arrays["features"]
    state = {"capture_all": True, "num_items": REALS, "all_features": [features], "raw_mean": None, "raw_cov": None}
    (tmp_path / "ada.pkl").write_bytes(pickle.dumps(state))

    def named(real, fake, kind="inception-2015", **extractor):
        found = compare(real, fake, extractor={"kind": kind, **extractor}, metrics=["frechet"])
        return found["values"]["fd"]["name"], "compare; statistics made by" in summary(found)

    as_there = {"resize": "pytorch-fid"}
    assert named(npz, others) == named(others, npz) == named(npz, others, "random-vgg16") == ("fd", True)
    assert named(npz, others, resize="clean") == ("fd", True)
    assert named(npz, others, **as_there) == ("fid36_pytorch", False)
    assert named(others, npz, **as_there) == ("fd_inception_2015_pytorch", False)
    assert named(tmp_path / "ada.pkl", others) == ("fid36", False)
    assert named(tmp_path / "ada.pkl", others, **as_there) == ("fd", True)
    assert named(tmp_path / "ada.pkl", npz, **as_there) == ("fd", False)
    # What does not look at them keeps its name, and the recipe tells what each side was seen with.
    found = compare(npz, others, extractor={"kind": "inception-2015"}, metrics=["is", "fid"])
    assert found["values"]["is"]["name"] == "is36"
    assert found["recipe"]["real"]["extractor"] is None
    assert found["recipe"]["real"]["layout"] == "pytorch-fid"
    assert found["recipe"]["fake"]["extractor"]["resize"] == "tensorflow"


def test_two_statistics_need_no_extractor(monkeypatch, compare, seen, reals, draw_shapes, tmp_path):
    def refuse(extractor, device):
        raise AssertionError("no images, so no network")

    monkeypatch.setattr(sets, "load_network", refuse)
    one, other = seen(reals), seen(draw_shapes(FAKES, seed=2, size=16))
    found = compare(statistics(one, tmp_path / "one.npz"), statistics(other, tmp_path / "other.npz"))
    assert found["values"] == {"fd": {"name": "fd", "value": frechet.compute(one, other)["fd"]}}
    assert found["recipe"]["left_out"].keys() == {"frechet-error", "inception-score", "precision-recall"}


def test_summary_names_every_value_and_how_it_was_measured(compare, run, seen, reals, tmp_path):
    real = statistics(seen(reals), tmp_path / "real.npz")
    found = compare(real, run, images=FAKES)
    fd, error, score, spread = (found["values"][key]["value"] for key in ("fd", "fd_std", "is", "is_std"))
    assert summary(found).splitlines() == [
        f"fd               {fd:.6g} ± {error:.2g}",
        f"is_random_vgg16  {score:.6g} ± {spread:.2g}",
        f"real             {real}: statistics as pytorch-fid writes them, an unknown number of images",
        f"fake             {run}/run.json: run, 36 images of step 2, seeds 0 to 35, truncation none",
        'extractor        {"kind":"random-vgg16","seed":0}',
        "frechet-error    groups 10",
        "inception-score  parts 10",
        "images           16×16 pixels, neither cropped nor resized before",
        f"left out         precision-recall: needs features of {real}",
        f"note             {real} does not name its extractor, so distances from it are no random-vgg16 distances that "
        "compare; statistics made by pytorch-fid compare with --extractor "
        '\'{"features":"pool","kind":"inception-2015","resize":"pytorch-fid"}\'',
    ]
    assert "extractor  not known" in summary(compare(real, real))


def test_pictures_and_what_was_left_out_are_said_in_words():
    about = ComparedSet(kind="folder", path="mine", images=1200, left_out={".txt": 3, "hidden": 1})
    words = "mine: folder, 1,200 images; left out: 4 others (3 .txt, 1 hidden)"
    assert sets._images(about) == words
    recipe = {"extractor": {"kind": "vgg16"}, "metrics": ["frechet"], "measures": {}, "left_out": {}}
    content = {"recipe": {**recipe, "picture": [11, 16], "real": about.content(), "fake": about.content()}}
    text = summary({"format": 1, "values": {}, "seconds": 1, "code": {}, "hardware": {}, **content})
    assert "images     16×11 pixels, neither cropped nor resized before" in text.splitlines()
    assert f"real       {words}" in text.splitlines()


def test_names_have_the_mirror_images_of_the_reals_and_the_number_of_fakes():
    def known(images, mirrored):
        return sets.Known("set", ComparedSet(kind="reference", images=images, mirrored=mirrored), None)

    inception = {"kind": "inception-2015"}
    for mirrored, name in ((True, "mirrored_fid36"), (False, "fid36")):
        both = {"real": known(80, mirrored), "fake": known(36, not mirrored)}
        assert sets._name("fd", frechet, inception, both) == name


def of_features(features, path):
    """Return what StyleGAN2-ADA keeps of all features."""
    state = {"capture_all": True, "num_items": len(features), "all_features": [features.astype(np.float32)]}
    path.write_bytes(pickle.dumps({"raw_mean": None, "raw_cov": None, **state}))
    return path


def test_statistics_are_compared_without_a_gpu_and_recipes_are_of_reals_and_fakes(tmp_path):
    """A device that is asked for is not taken where nothing is computed on it."""
    random = np.random.default_rng(0)
    real, fake = (of_features(random.normal(size=(n, 2)), tmp_path / f"{n}.pkl") for n in (30, 24))
    chosen = Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, "metrics": ["frechet-infinity"]})
    found = sets.compare(chosen, real, fake, threads=2, gpus=1).content()
    assert (found["hardware"]["threads"], found["hardware"]["device"]) == (2, "cpu")
    counts = found["recipe"]["measures"]["frechet-infinity"]["counts"]
    assert (counts[0], counts[-1]) == (4, 24)
    assert found["values"].keys() == {"fd_infinity", "fd_bias"}


def test_only_sets_that_a_measure_needs_are_looked_at(monkeypatch, compare, folder, others):
    looked, observe = [], sets.observe
    monkeypatch.setattr(sets, "observe", lambda images, *more: looked.append(images.title) or observe(images, *more))
    found = compare(folder, others, metrics=["inception-score"])
    assert looked == [str(others)]
    assert found["values"].keys() == {"is", "is_std"}


@pytest.mark.parametrize("side", ["real", "fake"])
def test_a_set_that_is_not_there_is_named_by_its_option(compare, folder, side):
    both = {"real": folder, "fake": folder, side: "nowhere/at/all"}
    with pytest.raises(ConfigError, match=f"^--{side}: 'nowhere/at/all': there is no such file or folder"):
        compare(**both)


# --------------------------------------------------------------------------------------------- what is refused


def test_measures_that_were_asked_for_are_not_left_out(compare, seen, reals, others, tmp_path):
    real = statistics(seen(reals), tmp_path / "real.npz")
    message = (
        "metrics: 2 of 3 cannot be measured; name images instead of their statistics, or more images, or choose other "
        "metrics"
        f"\n  inception-score: needs logits of {real}\n"
        f"  precision-recall: needs features of {others}.npz; needs features of {real}"
    )
    statistics(seen(reals), Path(f"{others}.npz"))
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        compare(Path(f"{others}.npz"), real, metrics=["frechet", "inception-score", "precision-recall"])
    with pytest.raises(ConfigError, match="metrics: 1 of 1 cannot be measured"):
        compare(real, others, metrics=["precision-recall"])


def test_statistics_of_another_extractor_are_refused(compare, others, tmp_path):
    real = tmp_path / "real.npz"
    np.savez(real, mu=np.zeros(2048), sigma=np.eye(2048))
    message = (
        rf"^{real}: is of 2048 features, but random-vgg16 of 512: they are of different extractors; 2048 are usual for "
        "Inception networks, such as inception-2015; choose the --extractor that the statistics were made with, or "
        "make them again$"
    )
    with pytest.raises(DataError, match=message):
        compare(real, others)


def test_statistics_of_two_extractors_are_refused(compare, tmp_path):
    for name, features in {"one": 5, "other": 6}.items():
        np.savez(tmp_path / f"{name}.npz", mu=np.zeros(features), sigma=np.eye(features))
    message = (
        rf"^{tmp_path}/one\.npz: is of 5 features, but {tmp_path}/other\.npz of 6: they are of different extractors; c"
    )
    with pytest.raises(DataError, match=message):
        compare(tmp_path / "one.npz", tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("metric", "count"), [("frechet", 1), ("inception-score", 9), ("precision-recall", 3), ("frechet-infinity", 20)]
)
def test_too_few_images_give_no_number(monkeypatch, compare, folder, draw_shapes, tmp_path, metric, count):
    def refuse(*arguments):
        raise AssertionError("this is told before images are looked at")

    few = write(draw_shapes(count, seed=3, size=16), tmp_path / "few")
    monkeypatch.setattr(sets, "observe", refuse)
    message = rf"^metrics: 1 of 1 cannot be measured.*\n  {metric}: {few}: {count} images are too few"
    with pytest.raises(ConfigError, match=message):
        compare(folder, few, metrics=[metric])


@pytest.mark.parametrize(("count", "left_out"), [(12, ["frechet-error"]), (5, ["frechet-error", "inception-score"])])
def test_usual_measures_leave_out_what_few_images_do_not_give(compare, folder, draw_shapes, tmp_path, count, left_out):
    few = write(draw_shapes(count, seed=3, size=16), tmp_path / "few")
    found = compare(folder, few)
    assert list(found["recipe"]["left_out"]) == left_out
    reason = (
        f"{few}: {count} images are too few for the error of the Fréchet distance, from 10 groups of them; take at "
        "least 20"
    )
    assert found["recipe"]["left_out"]["frechet-error"] == reason
    assert found["values"].keys() >= {"fd", "precision", "recall"}
    assert f"  frechet-error: {reason}\n" in f"{summary(found)}\n"


def test_where_nothing_can_be_measured_that_is_an_error(compare, folder, draw_shapes, tmp_path):
    one = write(draw_shapes(1, seed=3, size=16), tmp_path / "one")
    with pytest.raises(ConfigError, match=r"^metrics: 4 of 4 cannot be measured.*\n  frechet: .*take at least 2\n"):
        compare(folder, one)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"images": 10}, "images 10"),
        ({"seed": 1}, "seed 1"),
        ({"images": 9, "seed": 0, "step": 2}, "images 9 and seed 0 and step 2"),
    ],
)
def test_options_of_runs_are_refused_where_there_is_none(compare, folder, others, changes, asked):
    message = (
        f"^{asked}: chooses images of a run, but neither {folder} nor {others} is one; leave it out "
        r"\(of all else every image is measured\)$"
    )
    with pytest.raises(ConfigError, match=message):
        compare(folder, others, **changes)


# -------------------------------------------------------------------------------------------------- the command


def test_names_that_people_type_are_those_of_the_field(monkeypatch, folder, others):
    asked = []
    monkeypatch.setattr(sets, "compare", lambda evaluation, *_, **more: asked.append(evaluation) or {})
    monkeypatch.setattr(sets, "summary", lambda measured: "")
    sides = ["--real", str(folder), "--fake", str(others)]
    command = [
        "evaluate",
        *sides,
        "--metrics",
        "fid, is,pr,kid,dc,fid-infinity,frechet,",
        "--extractor",
        "inception-2015",
    ]
    assert CliRunner().invoke(cli.app, command, catch_exceptions=False).exit_code == 0
    names = ("frechet", "inception-score", "precision-recall", "kid", "density-coverage", "frechet-infinity")
    assert asked[0].metrics == names
    assert asked[0].extractor.model_dump()["kind"] == "inception-2015"
    spatial = {"kind": "inception-2015", "features": "spatial"}
    chosen = Evaluation.model_validate(
        {"extractor": {"kind": "inception-2015"}, "metrics": ["fid", "sfid"], "extractors": {"sfid": spatial}}
    )
    assert list(chosen.extractors) == ["spatial-frechet"]


def test_command_prints_and_writes(folder, others, tmp_path):
    out = tmp_path / "made" / "metrics.json"
    words = ["evaluate", "--real", str(folder), "--fake", str(others), "--metrics", "frechet, inception-score"]
    said = CliRunner().invoke(cli.app, [*words, "--out", str(out)], catch_exceptions=False)
    assert said.exit_code == 0
    written = json.loads(out.read_text())
    assert summary(written) in said.stdout
    assert written["recipe"]["metrics"] == ["frechet", "inception-score"]
    assert written["recipe"]["extractor"] == {"kind": "random-vgg16", "seed": 0}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--metrics", "frechte"], ConfigError, "evaluate: 1 problem\n  metrics: 'frechte' is unknown; did you mean"),
        (["--extractor", '{"kind": "vgg"}'], ConfigError, "evaluate: 1 problem\n  extractor"),
        (["--fake", "absent"], ConfigError, "--fake: 'absent': there is no such file or folder"),
        (["--step", "2"], ConfigError, "step 2: chooses images of a run, but neither .* nor .* is one; leave it out"),
        (
            ["--metrics", " ,"],
            ConfigError,
            "--metrics: names no metric; leave it out to have the usual ones, or say fid,is,pr,kid",
        ),
        (["--images", "10"], ConfigError, "images 10: chooses images of a run, but neither"),
        (["--extractor", "inception"], ConfigError, "--extractor: 'inception' is unknown; did you mean 'inception-"),
        (["--extractor", "no/file"], ConfigError, "--extractor: 'no/file' is neither JSON nor a readable"),
        (["--extractor", "file.json"], ConfigError, "--extractor: 'file.json' is neither JSON nor a readable"),
        (["--extractor", ' {"kind": '], ConfigError, "--extractor: is not valid JSON or YAML"),
    ],
)
def test_wrong_calls_write_nothing(folder, tmp_path, words, error, message):
    out = tmp_path / "metrics.json"
    command = ["evaluate", "--real", str(folder), "--fake", str(folder), "--out", str(out), *words]
    with pytest.raises(error, match=message):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert not out.exists()


def test_the_place_for_the_numbers_is_checked_before_they_are_measured(monkeypatch, folder, tmp_path):
    def refuse(*arguments, **more):
        raise AssertionError("nothing is measured")

    monkeypatch.setattr(sets, "compare", refuse)
    command = ["evaluate", "--real", str(folder), "--fake", str(folder), "--out", str(tmp_path)]
    with pytest.raises(
        DataError, match=f"^{tmp_path}: is a folder, but a file is to be written; name one, in this folder for example"
    ):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_printed_even_where_they_cannot_be_written(monkeypatch, folder, others, tmp_path):
    def fail(path, value):
        raise DataError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr(artifacts, "write_json", fail)
    command = [
        "evaluate",
        "--real",
        str(folder),
        "--fake",
        str(others),
        "--metrics",
        "fid",
        "--out",
        str(tmp_path / "m"),
    ]
    said = CliRunner().invoke(cli.app, command)
    assert isinstance(said.exception, DataError)
    assert "fd_random_vgg16" in said.stdout
