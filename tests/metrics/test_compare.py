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

from ganformer import cli
from ganformer.config import Dataset, Evaluation, Spec
from ganformer.data.dataset import Images
from ganformer.data.pack import pack
from ganformer.errors import ConfigError, DataError
from ganformer.learning.loop import train
from ganformer.metrics import compare as sets
from ganformer.metrics import evaluate as metrics
from ganformer.metrics.measures import frechet

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
    """What pytorch-fid writes of what the extractor sees in these images."""
    np.savez(path, mu=images.arrays["mean"], sigma=images.arrays["covariance"])
    return path


@pytest.fixture(autouse=True)
def loaded(monkeypatch, network):
    """The network, whose weights take longer to draw than these images to be seen, is loaded once for all tests."""
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
    """Folder of a run of two steps."""
    model = {"kind": "gan", "channel_base": 64, "channel_max": 8, "latent_size": 16}
    training = {"kimg": 0.004, "batch": 2, "snapshots": 1}
    image = Images(data).image
    spec = Spec.model_validate({"image": image, "mirror": False, "model": model, "training": training, "seed": 3})
    train(spec, data, place / "run", names={"dataset": "shapes", "model": "gan"}, threads=1, gpus=0)
    return place / "run"


@pytest.fixture
def compare():
    def run(real, fake, step=None, **changes):
        return sets.compare(settings(**changes), real, fake, step=step, threads=1, gpus=0)

    return run


# ------------------------------------------------------------------------------------------------- same numbers


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


def test_a_run_gets_the_numbers_that_evaluate_gives_it(compare, run, data, tmp_path):
    wanted = settings(seed=1)
    metrics.reference(wanted, data / "manifest.json", tmp_path / "known", threads=1, gpus=0)
    (reference,) = (tmp_path / "known").iterdir()
    job = metrics.Job(wanted, run / "run.json", None, data / "manifest.json", tmp_path / "known")
    metrics.evaluate(job, tmp_path / "metrics.json", threads=1, gpus=0)
    expected = json.loads((tmp_path / "metrics.json").read_text())["values"]
    assert compare(data, run, seed=1)["values"] == expected
    assert compare(reference, run / "run.json", seed=1)["values"] == expected
    assert compare(data, run, seed=1, step=2)["values"] == expected
    assert compare(data, run, seed=0)["values"] != expected


def test_statistics_give_the_distance_that_the_images_give(compare, folder, others, reals, seen, tmp_path):
    expected = compare(folder, others)["values"]
    found = compare(statistics(seen(reals), tmp_path / "real.npz"), others)
    assert not found["values"].keys() & {"precision", "recall"}
    assert found["values"]["fd"]["value"] == pytest.approx(expected["fd"]["value"], rel=1e-4)
    assert found["values"]["is"] == expected["is"]
    assert found["recipe"]["metrics"] == ["frechet", "frechet-error", "inception-score"]
    assert found["recipe"]["left_out"] == {"precision-recall": f"needs features of {tmp_path}/real.npz"}


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
    found = compare(data, run, seed=2, metrics=["frechet"])
    assert found["recipe"]["real"] == {
        "kind": "pack",
        "path": str(data),
        "images": REALS,
        "data_sha256": Images(data).digest,
    }
    fake = found["recipe"]["fake"]
    assert (fake["kind"], fake["images"], fake["step"], fake["seeds"], fake["truncation"]) == (
        "run",
        36,
        2,
        [72, 107],
        None,
    )
    assert found["recipe"]["extractor"] == {"kind": "random-vgg16", "seed": 0}
    assert found["recipe"]["metrics"] == ["frechet"]
    assert found["recipe"]["picture"] == [16, 16]
    assert found["values"]["fd"]["name"] == "fd_random_vgg16"
    assert found["hardware"]["threads"] == 1
    assert list(found) == ["format", "values", "recipe", "seconds", "code", "hardware"]


def test_names_tell_no_more_than_is_known(compare, others, seen, reals, folder, tmp_path):
    real = statistics(seen(reals), tmp_path / "real.npz")
    inception = {"extractor": {"kind": "inception-2015"}, "metrics": ["frechet"]}
    assert compare(real, others, **inception)["values"]["fd"]["name"] == "fid36"
    assert compare(others, real, **inception)["values"]["fd"]["name"] == "fd_inception_2015"
    found = compare(real, real, **inception)
    assert found["values"]["fd"]["name"] == "fd"
    assert found["recipe"]["extractor"] is None
    assert found["recipe"]["picture"] is None


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
    found = compare(real, run)
    fd, error, score, spread = (found["values"][key]["value"] for key in ("fd", "fd_std", "is", "is_std"))
    assert sets.summary(found).splitlines() == [
        f"fd_random_vgg16  {fd:.6g} ± {error:.2g}",
        f"is_random_vgg16  {score:.6g} ± {spread:.2g}",
        f"real             {real}: statistics, an unknown number of images",
        f"fake             {run}/run.json: run, 36 images of step 2, seeds 0 to 35, truncation none",
        'extractor        {"kind":"random-vgg16","seed":0}',
        "images           16×16 pixels, neither cropped nor resized before",
        f"left out         precision-recall needs features of {real}",
    ]
    assert "extractor  not known" in sets.summary(compare(real, real))


# --------------------------------------------------------------------------------------------- what is refused


def test_measures_that_were_asked_for_are_not_left_out(compare, seen, reals, others, tmp_path):
    real = statistics(seen(reals), tmp_path / "real.npz")
    message = (
        "metrics: 2 of 3 cannot be measured; name the images themselves instead of statistics, or choose other metrics"
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


@pytest.mark.parametrize(("metric", "count"), [("frechet", 1), ("inception-score", 9), ("precision-recall", 3)])
def test_too_few_images_give_no_number(compare, folder, draw_shapes, tmp_path, metric, count):
    few = write(draw_shapes(count, seed=3, size=16), tmp_path / "few")
    with pytest.raises(DataError, match=rf"^{few}: .*{count}"):
        compare(folder, few, metrics=[metric])


# -------------------------------------------------------------------------------------------------- the command


def test_command_prints_and_writes(folder, others, tmp_path):
    out = tmp_path / "made" / "metrics.json"
    words = ["evaluate", "--real", str(folder), "--fake", str(others), "--metrics", "frechet, inception-score"]
    said = CliRunner().invoke(cli.app, [*words, "--out", str(out)], catch_exceptions=False)
    assert said.exit_code == 0
    written = json.loads(out.read_text())
    assert sets.summary(written) in said.stdout
    assert written["recipe"]["metrics"] == ["frechet", "inception-score"]
    assert written["recipe"]["extractor"] == {"kind": "random-vgg16", "seed": 0}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--metrics", "frechte"], ConfigError, "evaluate: 1 problem\n  metrics: 'frechte' is unknown; did you mean"),
        (["--extractor", '{"kind": "vgg"}'], ConfigError, "evaluate: 1 problem\n  extractor"),
        (["--fake", "absent"], ConfigError, "--fake: 'absent': there is no such file or folder"),
        (["--step", "2"], ConfigError, "step 2 was asked for, but neither .* nor .* is a run; leave it out"),
    ],
)
def test_wrong_calls_write_nothing(folder, tmp_path, words, error, message):
    out = tmp_path / "metrics.json"
    command = ["evaluate", "--real", str(folder), "--fake", str(folder), "--out", str(out), *words]
    with pytest.raises(error, match=message):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert not out.exists()
