"""What the figures of numbers show, and what they are made of."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from ganformer.config import LearningCurves
from ganformer.errors import DataError
from ganformer.report import curves, drawing

MakeFile = Callable[..., Path]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    found: list[Figure] = []
    write = drawing.write

    def watched(figure: Figure, out: Path, **words: Any) -> None:
        found.append(figure)
        write(figure, out, **words)

    monkeypatch.setattr(drawing, "write", watched)
    return found


def lines(**changes: object) -> LearningCurves:
    fields = {"kind": "learning-curves", "title": "Curves", "datasets": ["scenes"], "models": ["simplex", "duplex"]}
    return LearningCurves.model_validate({**fields, **changes})


def about(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(out.with_name(f"{out.name}.json").read_text())
    return content


# ---------------------------------------------------------------------------------------- learning curves


def test_a_curve_for_each_model_over_the_steps(tmp_path: Path, fd: MakeFile, drawn: list[Figure]) -> None:
    files = [fd(v, model=m, step=s) for m, s, v in [("duplex", 1000, 3.0), ("duplex", 500, 7.0), ("simplex", 500, 9.0)]]
    curves.learning_curves(lines(), files, tmp_path / "curves")
    (axes,) = drawn[0].axes
    assert [line.get_label() for line in axes.lines] == ["GANformer (simplex)", "GANformer (duplex)"]
    assert axes.lines[1].get_xydata().tolist() == [[8.0, 7.0], [16.0, 3.0]]
    assert not axes.collections
    assert axes.get_title(loc="left") == "scenes 32, random-vgg16, 1k"
    assert drawn[0].get_supylabel() == "FD ↓"
    assert about(tmp_path / "curves") == {
        "format": 1,
        "exhibit": "figure",
        "target": "curves",
        "title": "Curves",
        "caption": "FD at the snapshots of training: one seed per model; lower is better.",
        "alt": "Lines of FD against thousands of images seen, ending with GANformer (simplex) on scenes at 9.00 and "
        "GANformer (duplex) on scenes at 3.00.",
    }


def test_seeds_are_a_mean_and_a_band(tmp_path: Path, fd: MakeFile, drawn: list[Figure]) -> None:
    files = [fd(value, step=s, seed=seed) for s in (500, 1000) for seed, value in enumerate((10.0, 12.0))]
    curves.learning_curves(lines(models=["duplex"], seeds=[0, 1]), files, tmp_path / "curves")
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_ydata().tolist() == [11.0, 11.0]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((11 - 2**0.5, 11 + 2**0.5))


def test_a_panel_for_each_data_set(tmp_path: Path, fd: MakeFile, drawn: list[Figure]) -> None:
    names = ["a", "b", "c", "d"]
    files = [fd(5.0, dataset=name) for name in names]
    curves.learning_curves(lines(models=["duplex"], datasets=names), files, tmp_path / "curves")
    assert [axes.get_title(loc="left")[0] for axes in drawn[0].axes] == names


def test_precision_is_drawn_in_percent(tmp_path: Path, metrics: MakeFile, drawn: list[Figure]) -> None:
    curves.learning_curves(lines(models=["duplex"], metric="precision"), [metrics()], tmp_path / "curves")
    assert drawn[0].axes[0].lines[0].get_ydata().tolist() == [50.0]
    assert drawn[0].get_supylabel() == "Precision % ↑"


def test_metric_that_was_not_measured(tmp_path: Path, fd: MakeFile) -> None:
    with pytest.raises(DataError, match=r"step-1000\.json: has no 'recall', which 'Curves' draws; .*evaluate again"):
        curves.learning_curves(lines(models=["duplex"], metric="recall"), [fd(5.0)], tmp_path / "curves")


def test_run_without_metrics(tmp_path: Path, fd: MakeFile) -> None:
    with pytest.raises(DataError, match="'Curves' needs metrics of scenes/simplex seed 0"):
        curves.learning_curves(lines(), [fd(5.0)], tmp_path / "curves")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, fd: MakeFile) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        curves.learning_curves(lines(models=["duplex"]), [fd(5.0)], tmp_path / name / "curves")
    for suffix in ("png", "pdf", "json"):
        one, other = ((tmp_path / name / f"curves.{suffix}").read_bytes() for name in ("a", "b"))
        assert one == other
        assert len(one) > 100
    assert not re.search(rb"CreationDate|ModDate", one)
