"""The figure of memorisation shows the stored pairs, curves of the stored distances and the stored numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ganformer.config import parse_experiment
from ganformer.errors import ConfigError, DataError
from ganformer.exhibits import memorisation
from ganformer.report import drawing
from tests.pictures import on_white
from tests.report import layout

VALUES = {
    "nearer": 0.733,
    "nearer_std": 0.022,
    "much_nearer": 0.02,
    "much_nearer_std": 0.005,
    "copying": 0.646,
    "copying_std": 0.013,
    "copying_z": -11.31,
    "preference": 0.564,
    "preference_std": 0.072,
    "fd_training": 2.1964,
    "fd_training_std": 0.0492,
    "fd_held_out": 2.1323,
    "fd_held_out_std": 0.0474,
}
EXPECTED = {"nearer": 0.5, "much_nearer": 0.0099, "copying": 0.5, "copying_z": 0.0, "preference": 0.5}
MakeFile = Callable[..., Path]


@pytest.fixture
def found(tmp_path: Path) -> MakeFile:
    """Write a file of nearest training images; keywords replace what it says, `without` names arrays to leave out."""

    def write(
        dataset: str = "scenes",
        model: str = "duplex",
        seed: int = 0,
        pairs: int = 4,
        size: int = 16,
        channels: int = 3,
        scale: float = 1.0,
        without: tuple[str, ...] = (),
        **changes: Any,
    ) -> Path:
        random = np.random.default_rng(seed)
        names = [f"{name}_{kind}" for name in ("nearest", "first") for kind in ("samples", "training")]
        arrays = {name: random.integers(0, 256, (pairs, size, size, channels), np.uint8) for name in names}
        arrays["samples_to_training"] = scale * random.gamma(9, size=50)
        arrays["held_out_to_training"] = random.gamma(9, size=40)
        values = {key: {"name": f"{key}_random_vgg16", "value": value} for key, value in VALUES.items()}
        recipe = {"extractor": {"kind": "random-vgg16", "seed": 0}, "images": 1000, "mirrored": True}
        provenance = {
            "format": 1,
            "run": {"dataset": dataset, "model": model, "seed": seed},
            "kimg": 12.0,
            "data_sha256": "d" * 64,
            "values": values,
            "expected": EXPECTED,
            "recipe": recipe,
            **changes,
        }
        path = tmp_path / f"{dataset}-{model}-{seed}.npz"
        kept = {name: array for name, array in arrays.items() if name not in without}
        np.savez(path, provenance=np.array(json.dumps(provenance)), **kept)
        return path

    return write


def experiment(**changes: object) -> memorisation.Config:
    fields = {"title": "Copies", "datasets": ["scenes"], "models": ["gan", "duplex"]}
    return memorisation.Config.model_validate({"kind": "memorisation", **fields, **changes})


def about(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(out.with_name(f"{out.name}.json").read_text())
    return content


def test_pairs_and_curves_of_each_model(tmp_path: Path, found: MakeFile, drawn: list[Figure]) -> None:
    files = [found(model="duplex"), found(model="gan", seed=0, scale=2.0), found(model="vqgan")]
    memorisation.draw(experiment(), files, tmp_path / "copies")
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"copies.{suffix}").stat().st_size > 1000
    axes = drawn[0].axes
    assert len(axes) == 2 * 3
    stored = np.load(files[0])
    for place, name in ((3, "nearest"), (4, "first")):
        shown = np.asarray(axes[place].images[0].get_array())
        assert shown.shape == (2 * 132 - 4, 4 * 132 - 4, 3)
        assert np.array_equal(shown[:128:8, :128:8], stored[f"{name}_samples"][0])
        assert np.array_equal(shown[132:260:8, 132:260:8], stored[f"{name}_training"][1])
    samples, held_out, median = axes[5].lines
    assert np.array_equal(np.sort(stored["samples_to_training"]), samples.get_xdata()[1:])
    assert np.array_equal(np.sort(stored["held_out_to_training"]), held_out.get_xdata()[1:])
    assert samples.get_color() == drawing.COLOURS["duplex"]
    assert median.get_xdata()[0] == np.median(stored["held_out_to_training"])
    assert axes[2].get_xlim() == axes[5].get_xlim()  # of one data set
    assert axes[2].get_xlim()[1] == pytest.approx(np.quantile(np.load(files[1])["samples_to_training"], 0.995))
    assert axes[5].get_xlabel() == "distance to the nearest training image (random-vgg16 features)"
    layout.check("memorisation", drawn[0])


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_images_and_opacity_on_white_are_shown_in_colours(
    tmp_path: Path, found: MakeFile, drawn: list[Figure], channels: int
) -> None:
    file = found(channels=channels)
    memorisation.draw(experiment(models=["duplex"]), [file], tmp_path / "copies")
    shown = np.asarray(drawn[0].axes[0].images[0].get_array())
    stored = np.load(file)
    assert np.array_equal(shown[:128:8, :128:8], on_white(stored["nearest_samples"][0], axis=-1))
    assert np.array_equal(shown[132:260:8, :128:8], on_white(stored["nearest_training"][0], axis=-1))


def test_numbers_stand_beside_the_expected_ones(tmp_path: Path, found: MakeFile, drawn: list[Figure]) -> None:
    memorisation.draw(experiment(models=["duplex"]), [found()], tmp_path / "copies")
    texts = [text.get_text() for text in drawn[0].texts]
    assert texts[0] == "GANformer (duplex)"
    assert texts[1:7] == [
        *("the nearest of 1,000 samples", "sample", "training\nimage"),
        *("the first samples", "sample", "training\nimage"),
    ]
    assert texts[7:] == [
        *("samples", "measured", "expected"),
        *("nearer than the median held-out image", "73.3 ± 2.2 %", "50.0 %"),
        *("nearer than the nearest 1 % of them", "2.0 ± 0.5 %", "1.0 %"),
        *("nearest of both kinds: a training image", "56.4 ± 7.2 %", "50.0 %"),
        *("Z of Mann and Whitney", "−11.3", "0"),
        *("FD from training images", "2.20 ± 0.049", "–"),
        *("FD from held-out images", "2.13 ± 0.047", "–"),
    ]


def test_text_does_not_run_into_other_text(tmp_path: Path, found: MakeFile, drawn: list[Figure]) -> None:
    values = {key: {"name": key, "value": value} for key, value in {**VALUES, "fd_training": 1234.5}.items()}
    memorisation.draw(experiment(models=["duplex"]), [found(values=values)], tmp_path / "copies")
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn[0].texts]
    for i, (text, box) in enumerate(boxes):
        assert drawn[0].bbox.containsx(box.x0), text
        assert drawn[0].bbox.containsx(box.x1), text
        assert drawn[0].bbox.y0 <= box.y0 < box.y1 <= drawn[0].bbox.y1, text
        assert not [other for other, there in boxes[:i] if box.overlaps(there)], text


def test_the_csv_has_every_number(tmp_path: Path, found: MakeFile) -> None:
    memorisation.draw(experiment(), [found(model="duplex"), found(model="gan")], tmp_path / "copies")
    numbers = pd.read_csv(tmp_path / "copies.csv")
    assert list(numbers["model"].unique()) == ["gan", "duplex"]
    duplex = numbers[numbers["model"] == "duplex"].set_index("metric")
    assert duplex["value"].to_dict() == VALUES
    assert duplex["expected"].dropna().to_dict() == EXPECTED
    assert duplex.loc["copying", "name"] == "copying_random_vgg16"
    assert set(numbers["kimg"]) == {12.0}


def test_what_the_page_says(tmp_path: Path, found: MakeFile) -> None:
    memorisation.draw(experiment(models=["duplex"]), [found()], tmp_path / "copies")
    said = about(tmp_path / "copies")
    assert said["exhibit"] == "figure"
    assert "nearest to its own, or its mirror image, which was trained on as well: for the samples" in said["caption"]
    assert "A model that repeats training images is nearer to them than held-out images are" in said["caption"]
    assert said["alt"].endswith("Samples nearer than the median held-out image: GANformer (duplex) on scenes 73 %.")


def test_without_held_out_images(tmp_path: Path, found: MakeFile, drawn: list[Figure]) -> None:
    recipe = {"extractor": {"kind": "vgg16"}, "images": 50, "mirrored": False}
    file = found(without=("held_out_to_training",), values={}, expected={}, recipe=recipe)
    memorisation.draw(experiment(models=["duplex"]), [file], tmp_path / "copies")
    assert len(drawn[0].axes[2].lines) == 1
    assert drawn[0].texts[-3].get_text() == "no held-out images to compare with"
    said = about(tmp_path / "copies")
    assert "mirror" not in said["caption"]
    assert "held-out" not in said["caption"]
    assert said["alt"] == "Pairs of samples and nearest training images beside curves of their distances."
    assert pd.read_csv(tmp_path / "copies.csv").empty


def test_more_pairs_than_fit_side_by_side(tmp_path: Path, found: MakeFile, drawn: list[Figure]) -> None:
    file = found(pairs=11, size=256)
    memorisation.draw(experiment(models=["duplex"]), [file], tmp_path / "copies")
    shown = np.asarray(drawn[0].axes[0].images[0].get_array())
    assert shown.shape == (4 * 132 - 4, 8 * 132 - 4, 3)
    ninth = drawing.resized(np.load(file)["nearest_samples"][8], 128)
    assert np.array_equal(shown[264:392, :128], ninth)
    assert [text.get_text() for text in drawn[0].texts[2:6]] == ["sample", "training\nimage"] * 2


def test_seeds_and_data_sets_are_named(tmp_path: Path, found: MakeFile, drawn: list[Figure]) -> None:
    files = [found(dataset, "duplex", seed) for dataset in ("faces", "scenes") for seed in (1, 0)]
    chosen = experiment(models=["duplex"], datasets=["scenes", "faces"], seeds=[0, 1])
    memorisation.draw(chosen, files, tmp_path / "copies")
    labels = [text.get_text() for text in drawn[0].texts if text.get_text().startswith("GANformer")]
    assert labels == [f"GANformer (duplex), {name}, seed {seed}" for name in ("scenes", "faces") for seed in (0, 1)]


def test_distances_are_drawn_as_far_as_those_of_their_data_set(
    tmp_path: Path, found: MakeFile, drawn: list[Figure]
) -> None:
    files = [found(scale=5.0), found("faces")]
    memorisation.draw(experiment(models=["duplex"], datasets=["scenes", "faces"]), files, tmp_path / "copies")
    far, near = (drawn[0].axes[place].get_xlim()[1] for place in (2, 5))
    assert far > 3 * near


def test_words_about_all_runs_are_true_of_all(tmp_path: Path, found: MakeFile) -> None:
    recipe = {"extractor": {"kind": "random-vgg16", "seed": 0}, "images": 1000, "mirrored": False}
    alone = found("faces", without=("held_out_to_training",), values={}, expected={}, recipe=recipe)
    memorisation.draw(
        experiment(models=["duplex"], datasets=["scenes", "faces"]), [found(), alone], tmp_path / "copies"
    )
    said = about(tmp_path / "copies")
    assert "or its mirror image, which was trained on as well" in said["caption"]
    assert "held-out" not in said["caption"]
    assert said["alt"].endswith("Samples nearer than the median held-out image: GANformer (duplex) on scenes 73 %.")


# ---------------------------------------------------------------------------------------------- refused


def test_run_that_is_missing(tmp_path: Path, found: MakeFile) -> None:
    with pytest.raises(DataError, match="'Copies' needs nearest training images of scenes/gan seed 0"):
        memorisation.draw(experiment(), [found()], tmp_path / "copies")


def test_run_that_was_given_twice(tmp_path: Path, found: MakeFile) -> None:
    with pytest.raises(DataError, match=r"\.npz and \S+\.npz both hold scenes/duplex seed 0; pass only one of them"):
        memorisation.draw(experiment(models=["duplex"]), [found(), found()], tmp_path / "copies")


def test_runs_that_were_measured_in_different_ways(tmp_path: Path, found: MakeFile) -> None:
    other = {"extractor": {"kind": "vgg16"}, "images": 1000, "mirrored": True}
    with pytest.raises(DataError, match=r"were measured in different ways .*; evaluate all runs of 'scenes' alike"):
        memorisation.draw(experiment(), [found(), found(model="gan", recipe=other)], tmp_path / "copies")


def test_file_of_something_else(tmp_path: Path, found: MakeFile) -> None:
    message = (
        r"\.npz: is no readable file of nearest training images \({}.*\); make it with `ganformer step analyse copies`"
    )
    with pytest.raises(DataError, match=message.format("has no first_training")):
        memorisation.draw(experiment(models=["duplex"]), [found(without=("first_training",))], tmp_path / "copies")
    with pytest.raises(DataError, match=message.format("")):
        memorisation.draw(experiment(models=["duplex"]), [tmp_path / "absent.npz"], tmp_path / "copies")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(DataError, match=message.format("")):
        memorisation.draw(experiment(models=["duplex"]), [tmp_path / "text.npz"], tmp_path / "copies")
    assert not list(tmp_path.glob("copies.*"))


def test_no_more_pairs_are_shown_than_there_are_images() -> None:
    entry = {"kind": "memorisation", "title": "T", "datasets": ["a"], "models": ["b"], "seeds": [0], "images": 5}
    chosen = parse_experiment({**entry, "count": 5}, "experiments.copies")
    assert isinstance(chosen, memorisation.Config)
    assert (chosen.count, chosen.images) == (5, 5)
    with pytest.raises(ConfigError, match="count 6 is more than images 5; ask for fewer pairs or more images"):
        parse_experiment({**entry, "count": 6}, "experiments.copies")
