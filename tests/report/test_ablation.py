"""Figure of ablations: contents and inputs."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ganformer.errors import DataError
from ganformer.exhibits import ablation
from ganformer.report import drawing
from tests.report import layout

MakeFile = Callable[..., Path]
VALUES = {"duplex": 10.0, "four": 12.0, "sixteen": 9.0, "add": 15.0}


def variants(changed: str, *models: str) -> dict[str, object]:
    return {"changed": changed, "models": models}


def changed(**changes: object) -> ablation.Config:
    fields = {
        "kind": "ablation",
        "title": "Ablations",
        "datasets": ["scenes"],
        "base": "duplex",
        "groups": [variants("Components", "four", "duplex", "sixteen"), variants("Integration", "add")],
    }
    return ablation.Config.model_validate({**fields, **changes})


@pytest.fixture
def files(fd: MakeFile) -> list[Path]:
    return [fd(value, model=model) for model, value in VALUES.items()]


def dots(axes: Axes) -> list[tuple[float, float]]:
    """Return value and place of every dot from top to bottom."""
    found = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]
    return sorted(((x, y) for x, y in found), key=lambda dot: dot[1])


def test_a_dot_for_each_model_in_blocks(tmp_path: Path, files: list[Path], drawn: list[Figure]) -> None:
    ablation.draw(changed(), files, tmp_path / "ablations")
    (axes,) = drawn[0].axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    base = "GANformer (duplex)"
    assert labels == [base, "Components", "four", base, "sixteen", "Integration", "add"]
    assert [text.get_fontweight() for text in axes.get_yticklabels()] == [
        "bold" if label[0] in "CI" else "normal" for label in labels
    ]
    places = [place for place, label in zip(axes.get_yticks(), labels, strict=True) if label[0] not in "CI"]
    assert dots(axes) == list(zip([10.0, 12.0, 10.0, 9.0, 15.0], places, strict=True))
    assert [text.get_text() for text in axes.texts] == ["10.00", "12.00", "10.00", "9.00", "15.00"]
    assert places == sorted(places)
    assert axes.yaxis_inverted()
    assert axes.get_xlabel() == "FD ↓\nscenes 32, random-vgg16, 1k"
    layout.check("ablation", drawn[0])


def test_the_base_is_a_line_through_the_panel(tmp_path: Path, files: list[Path], drawn: list[Figure]) -> None:
    ablation.draw(changed(), files, tmp_path / "ablations")
    (axes,), (legend,) = drawn[0].axes, drawn[0].legends
    line = axes.lines[0]
    assert np.array_equal(line.get_xdata(), [10.0, 10.0])
    assert np.array_equal(line.get_ydata(), [0, 1])
    assert line.get_transform() == axes.get_xaxis_transform()
    assert to_hex(str(line.get_color())) == drawing.COLOURS["duplex"]
    assert legend.get_texts()[0].get_text() == "GANformer (duplex), which the others differ from in one thing each"
    assert not axes.collections
    assert not axes.patches


def test_what_is_said_about_it(tmp_path: Path, files: list[Path]) -> None:
    ablation.draw(changed(), files, tmp_path / "ablations")
    assert json.loads((tmp_path / "ablations.json").read_text()) == {
        "format": 1,
        "exhibit": "figure",
        "target": "ablations",
        "title": "Ablations",
        "caption": "FD after 16 kimg of training of models that differ from GANformer (duplex), the dashed line, in "
        "one thing each: one seed per model; lower is better.",
        "alt": "Dots of FD beside a line for GANformer (duplex). scenes: GANformer (duplex) 10.0. scenes, "
        "Components: four 12.0, GANformer (duplex) 10.0 and sixteen 9.00. scenes, Integration: add 15.0.",
    }


def test_groups_keep_their_order_in_words(tmp_path: Path, files: list[Path]) -> None:
    ablation.draw(
        changed(groups=[variants("Integration", "add"), variants("Components", "four")]), files, tmp_path / "ablations"
    )
    said = json.loads((tmp_path / "ablations.json").read_text())["alt"]
    assert said.index("Integration: add") < said.index("Components: four")


def test_csv_has_the_difference_from_the_base(tmp_path: Path, files: list[Path]) -> None:
    ablation.draw(changed(), files, tmp_path / "ablations")
    table = pd.read_csv(tmp_path / "ablations.csv", keep_default_na=False)
    columns = ["dataset", "group", "model", "kimg", "metric", "mean", "std", "seeds", "error", "difference"]
    assert list(table.columns) == columns
    assert list(zip(table["group"], table["model"], table["mean"], table["difference"], strict=True)) == [
        ("", "duplex", 10.0, 0.0),
        ("Components", "four", 12.0, 2.0),
        ("Components", "duplex", 10.0, 0.0),
        ("Components", "sixteen", 9.0, -1.0),
        ("Integration", "add", 15.0, 5.0),
    ]
    assert set(table["metric"]) == {"fd_random_vgg16"}
    assert set(zip(table["seeds"], table["std"], strict=True)) == {(1, "")}


def test_seeds_are_means_with_error_bars(tmp_path: Path, fd: MakeFile, drawn: list[Figure]) -> None:
    experiment = changed(seeds=[0, 1], groups=[variants("Integration", "add")])
    files = [fd(VALUES[model] + 2 * seed, model=model, seed=seed) for model in ("duplex", "add") for seed in (0, 1)]
    ablation.draw(experiment, files, tmp_path / "ablations")
    (axes,) = drawn[0].axes
    assert [value for value, _ in dots(axes)] == [11.0, 16.0]
    bars = [bar.get_segments()[0][:, 0].tolist() for bar in axes.collections if isinstance(bar, LineCollection)]
    assert bars == [pytest.approx([11 - 2**0.5, 11 + 2**0.5]), pytest.approx([16 - 2**0.5, 16 + 2**0.5])]
    (band,) = axes.patches
    assert band.get_extents().width > 0
    assert (band.get_alpha(), band.get_linewidth()) == (0.13, 0)
    assert [text.get_text() for text in axes.texts] == ["11.0 ± 1.4", "16.0 ± 1.4"]
    caption = json.loads((tmp_path / "ablations.json").read_text())["caption"]
    assert caption.endswith("mean over 2 seeds, error bars of one standard deviation; lower is better.")


def test_one_seed_has_error_bars_of_measuring(tmp_path: Path, metrics: MakeFile, drawn: list[Figure]) -> None:
    values = {"recall": {"name": "recall_x", "value": 0.25}, "recall_std": {"name": "recall_std_x", "value": 0.125}}
    files = [metrics(model=model, values=values) for model in ("duplex", "add")]
    experiment = changed(groups=[variants("Integration", "add")], metric="recall")
    ablation.draw(experiment, files, tmp_path / "ablations")
    (axes,) = drawn[0].axes
    assert [bar.get_segments()[0][:, 0].tolist() for bar in axes.collections] == [[12.5, 37.5], [12.5, 37.5]]
    assert axes.texts[0].get_text() == "25.0 ± 12.5"
    table = pd.read_csv(tmp_path / "ablations.csv")
    assert table[["mean", "error"]].to_numpy().tolist() == [[0.25, 0.125]] * 2
    assert (
        "error bars of the uncertainty of measuring" in json.loads((tmp_path / "ablations.json").read_text())["caption"]
    )


def test_a_panel_for_each_data_set(tmp_path: Path, fd: MakeFile, drawn: list[Figure]) -> None:
    names = ["scenes", "faces", "large-pictures"]
    files = [fd(VALUES[model], dataset=name, model=model) for name in sorted(names) for model in VALUES]
    ablation.draw(changed(datasets=names), files, tmp_path / "ablations")
    one, other, third = drawn[0].axes
    assert one.get_xlabel() == "FD ↓\nscenes 32, random-vgg16, 1k"
    assert other.get_xlabel() == "FD ↓\nfaces 32, random-vgg16, 1k"
    assert third.get_xlabel() == "FD ↓\nlarge-pictures 32,\nrandom-vgg16, 1k"
    assert one.get_ylim() == other.get_ylim() == third.get_ylim()
    table = pd.read_csv(tmp_path / "ablations.csv", keep_default_na=False)
    assert list(table["dataset"]) == [name for name in names for _ in range(5)]


def test_nothing_written_over_something_else(tmp_path: Path, files: list[Path], drawn: list[Figure]) -> None:
    long = "First and last resolution of attention in the generator and in the discriminator"
    ablation.draw(
        changed(groups=[variants(long, "four", "sixteen"), variants("Two", "add")]), files, tmp_path / "ablations"
    )
    (axes,) = drawn[0].axes
    heading = axes.get_yticklabels()[1]
    assert heading.get_text().replace("\n", " ") == long
    lines = ["First and last resolution of", "attention in the generator", "and in the discriminator"]
    assert heading.get_text().split("\n") == lines  # of at most 28 characters
    drawn[0].canvas.draw()
    boxes = sorted((text.get_window_extent() for text in axes.get_yticklabels()), key=lambda box: -box.y0)
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_only_the_last_step_counts(tmp_path: Path, files: list[Path], fd: MakeFile, drawn: list[Figure]) -> None:
    ablation.draw(changed(), [fd(99.0, step=500), *files], tmp_path / "ablations")
    assert dots(drawn[0].axes[0])[0][0] == 10.0


def test_run_without_metrics(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(DataError, match="'Ablations' needs metrics of scenes/add seed 0"):
        ablation.draw(changed(), files[:-1], tmp_path / "ablations")


def test_metric_that_was_not_measured(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"step-1000\.json: has no 'recall', which 'Ablations' draws"):
        ablation.draw(changed(metric="recall"), files, tmp_path / "ablations")


def test_runs_measured_in_different_ways(tmp_path: Path, files: list[Path], fd: MakeFile) -> None:
    other = fd(15.0, model="add", recipe={"images": 5, "extractor": {"kind": "x"}})
    with pytest.raises(DataError, match=r"were measured in different ways .*; evaluate all runs of 'scenes' alike"):
        ablation.draw(changed(), [*files[:-1], other], tmp_path / "ablations")
    assert not list(tmp_path.glob("ablations.*"))


def test_runs_of_different_lengths(tmp_path: Path, files: list[Path], fd: MakeFile) -> None:
    shorter = [*files[:-1], fd(15.0, model="add", step=500)]
    with pytest.raises(
        DataError,
        match=r"after 16 kimg of training, .* after 8, so 'Ablations' cannot compare them"
        "; pass metrics of both at the end of equally long training",
    ):
        ablation.draw(changed(), shorter, tmp_path / "ablations")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, files: list[Path]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ablation.draw(changed(), files, tmp_path / name / "ablations")
    for suffix in ("png", "pdf", "csv", "json"):
        one, other = ((tmp_path / name / f"ablations.{suffix}").read_bytes() for name in ("a", "b"))
        assert one == other
        assert len(one) > 100
