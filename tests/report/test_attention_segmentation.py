"""Figure of attention and segments, and the numbers beside it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ganformer.errors import DataError
from ganformer.exhibits import attention_segmentation
from ganformer.report import drawing
from tests.report import layout

MakeFile = Callable[..., Path]


def experiment(**changes: object) -> attention_segmentation.Config:
    fields = {
        "kind": "attention-segmentation",
        "title": "Overlap",
        "datasets": ["scenes"],
        "models": ["simplex", "duplex"],
    }
    return attention_segmentation.Config.model_validate({**fields, **changes})


@pytest.fixture
def overlaps(metrics: MakeFile) -> MakeFile:
    """Write a record of attention segmentation: overlaps by class, each with 0.01 as error and half as chance."""

    def write(model: str = "duplex", classes: dict[str, float] | None = None, **changes: Any) -> Path:
        found = classes or {"background": 0.8, "sphere": 0.2, "object": 0.4}
        values = {f"iou_{name}": value for name, value in found.items()}
        values |= {f"{name}_std": 0.01 for name in list(values)}
        content = {
            "values": {name: {"name": name, "value": value} for name, value in values.items()},
            "chance": {f"iou_{name}": value / 2 for name, value in found.items()},
            "shown": {f"iou_{name}": 100 - i for i, name in enumerate(found)},
            "best": {},
        }
        return metrics(model=model, **{**content, **changes})

    return write


def labels(figure: Figure, panel: int = 0) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].get_xticklabels()]


def test_a_bar_for_each_model_in_a_group_for_each_class(
    tmp_path: Path, overlaps: MakeFile, drawn: list[Figure]
) -> None:
    simplex = overlaps("simplex", {"background": 0.7, "sphere": 0.1, "object": 0.3})
    attention_segmentation.draw(experiment(), [overlaps(), simplex], tmp_path / "overlap")
    (axes,) = drawn[0].axes
    assert labels(drawn[0]) == ["background", "sphere", "single\nobjects"]
    assert [bar.get_height() for bar in axes.patches] == [0.7, 0.1, 0.3, 0.8, 0.2, 0.4]
    colours = drawing.colours(["simplex", "duplex"])
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        *[colours["simplex"]] * 3,
        *[colours["duplex"]] * 3,
    ]
    # Bars of a group lie side by side, around its label.
    lefts = [bar.get_x() for bar in axes.patches]
    assert sorted(lefts) == [lefts[i] for i in (0, 3, 1, 4, 2, 5)]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert (middles[1] + middles[4]) / 2 == pytest.approx(axes.get_xticks()[1])
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["GANformer (simplex)", "GANformer (duplex)", "chance"]
    assert axes.get_ylim()[0] == 0
    layout.check("attention_segmentation", drawn[0])


def test_chance_is_a_line_on_its_bar_and_errors_are_bars(
    tmp_path: Path, overlaps: MakeFile, drawn: list[Figure]
) -> None:
    attention_segmentation.draw(experiment(models=["duplex"]), [overlaps()], tmp_path / "overlap")
    (axes,) = drawn[0].axes
    errors, chance = axes.collections
    spans = [path.vertices[:, 1].tolist() for path in errors.get_paths()]
    assert spans == [pytest.approx([value - 0.01, value + 0.01]) for value in (0.8, 0.2, 0.4)]
    lines = [path.vertices for path in chance.get_paths()]
    assert [line[0, 1] for line in lines] == [0.4, 0.1, 0.2]
    (outline,) = chance.get_path_effects()
    assert (outline._gc["linewidth"], outline._gc["foreground"]) == (3, "white")  # to be seen on its bar
    for line, bar in zip(lines, axes.patches, strict=True):
        assert line[:, 0].tolist() == pytest.approx([bar.get_x(), bar.get_x() + bar.get_width()])


def test_seeds_are_a_mean_with_their_deviation(tmp_path: Path, overlaps: MakeFile, drawn: list[Figure]) -> None:
    files = [overlaps(classes={"background": value, "object": 0.5}, seed=i) for i, value in enumerate((0.6, 0.8))]
    attention_segmentation.draw(experiment(models=["duplex"], seeds=[0, 1]), files, tmp_path / "overlap")
    (axes,) = drawn[0].axes
    assert axes.patches[0].get_height() == pytest.approx(0.7)
    span = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert span.tolist() == pytest.approx([0.7 - 0.02**0.5, 0.7 + 0.02**0.5])
    assert "mean over 2 seeds, error bars over them, of one" in about(tmp_path / "overlap")["caption"]


def about(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(out.with_name(f"{out.name}.json").read_text())
    return content


def test_numbers_are_written_unrounded(tmp_path: Path, overlaps: MakeFile) -> None:
    file = overlaps(classes={"background": 1 / 3, "object": 0.4})
    attention_segmentation.draw(experiment(models=["duplex"]), [file], tmp_path / "overlap")
    numbers = pd.read_csv(tmp_path / "overlap.csv")
    assert list(numbers) == ["dataset", "model", "metric", "mean", "std", "seeds", "error", "chance", "shown"]
    assert numbers["metric"].tolist() == ["iou_background", "iou_object"]
    first = numbers.iloc[0]
    assert (first["mean"], first["error"], first["chance"], first["shown"]) == (1 / 3, 0.01, 1 / 6, 100)
    assert pd.isna(first["std"])


def test_the_page_says_what_is_seen(tmp_path: Path, overlaps: MakeFile) -> None:
    attention_segmentation.draw(experiment(models=["duplex"]), [overlaps()], tmp_path / "overlap")
    page = about(tmp_path / "overlap")
    assert page["title"] == "Overlap"
    assert page["alt"] == (
        "Bars of the overlap of attention with segments, a group for each class. GANformer (duplex) on scenes, "
        "background: 0.800, by chance 0.400; GANformer (duplex) on scenes, single objects: 0.400, by chance 0.200."
    )
    assert "(one seed per model, error bars of the bootstrap over images, of one standard deviation)" in page["caption"]
    assert "csv" not in page["caption"]


def test_of_many_classes_those_that_most_images_show(tmp_path: Path, overlaps: MakeFile, drawn: list[Figure]) -> None:
    classes = {"background": 0.9, **{f"class{i}": 0.1 for i in range(30)}, "object": 0.2}
    attention_segmentation.draw(experiment(models=["duplex"]), [overlaps(classes=classes)], tmp_path / "overlap")
    assert labels(drawn[0]) == ["background", *(f"class{i}" for i in range(15)), "single\nobjects"]
    assert len(pd.read_csv(tmp_path / "overlap.csv")) == 32
    assert about(tmp_path / "overlap")["caption"].endswith("the 16 that most images show; the csv has all.")


def test_bars_begin_at_zero_also_where_errors_do_not(tmp_path: Path, overlaps: MakeFile, drawn: list[Figure]) -> None:
    file = overlaps(classes={"background": 0.004, "object": 0.006})
    attention_segmentation.draw(experiment(models=["duplex"]), [file], tmp_path / "overlap")
    assert drawn[0].axes[0].get_ylim()[0] == 0


def test_classes_that_one_model_shows_often_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_segmentation, "GROUPS", 1)
    names, shown = ["iou_a", "iou_b", "iou_object", "iou_a", "iou_b", "iou_object"], [100, 50, 9, 1, 50, 9]
    assert attention_segmentation._drawn(pd.DataFrame({"metric": names, "shown": shown})) == ["iou_a", "iou_object"]


def test_a_class_that_a_model_does_not_show_has_no_bar(tmp_path: Path, overlaps: MakeFile, drawn: list[Figure]) -> None:
    simplex = overlaps("simplex", {"background": 0.7, "cube": 0.1, "object": 0.3})
    duplex = overlaps(classes={"background": 0.7, "sphere": 0.2, "cube": 0.1, "object": 0.3})
    attention_segmentation.draw(experiment(), [simplex, duplex], tmp_path / "overlap")
    assert labels(drawn[0]) == ["background", "sphere", "cube", "single\nobjects"]
    assert len(drawn[0].axes[0].patches) == 7


def test_a_panel_for_each_data_set(tmp_path: Path, overlaps: MakeFile, drawn: list[Figure]) -> None:
    files = [overlaps(dataset="b"), overlaps(dataset="a", classes={"background": 0.5, "object": 0.1})]
    attention_segmentation.draw(experiment(models=["duplex"], datasets=["a", "b"]), files, tmp_path / "overlap")
    assert [labels(drawn[0], i)[1] for i in range(2)] == ["single\nobjects", "sphere"]
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == [f"{x} 32, parser, 1k images" for x in "ab"]


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path, overlaps: MakeFile) -> None:
    for name in "ab":
        attention_segmentation.draw(experiment(models=["duplex"]), [overlaps()], tmp_path / name)
    for kind in ("png", "pdf", "csv"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_run_without_overlaps(tmp_path: Path, overlaps: MakeFile) -> None:
    message = "'Overlap' needs overlaps of attention with segments of scenes/simplex seed 0"
    with pytest.raises(DataError, match=message):
        attention_segmentation.draw(experiment(), [overlaps()], tmp_path / "overlap")


def test_file_of_other_numbers(tmp_path: Path, metrics: MakeFile) -> None:
    with pytest.raises(
        DataError,
        match=r"step-1000\.json: has no overlaps of attention; make it with `ganformer step "
        "analyse attention-segmentation`",
    ):
        attention_segmentation.draw(experiment(models=["duplex"]), [metrics()], tmp_path / "overlap")
    assert not list(tmp_path.glob("overlap*"))


def test_runs_measured_in_different_ways(tmp_path: Path, overlaps: MakeFile) -> None:
    recipe = json.loads(overlaps().read_text())["recipe"]
    simplex = overlaps("simplex", recipe={**recipe, "images": 7})
    with pytest.raises(DataError, match=re.escape("were measured in different ways")):
        attention_segmentation.draw(experiment(), [overlaps(), simplex], tmp_path / "overlap")
    assert not list(tmp_path.glob("overlap*"))
