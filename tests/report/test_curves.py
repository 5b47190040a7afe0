"""Figures of numbers: contents and inputs."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ganformer.errors import DataError
from ganformer.exhibits import data_efficiency, learning_curves
from ganformer.report import drawing, series
from ganformer.report.records import RUN, last
from tests.report import layout

MakeFile = Callable[..., Path]


def lines(**changes: object) -> learning_curves.Config:
    fields = {"kind": "learning-curves", "title": "Curves", "datasets": ["scenes"], "models": ["simplex", "duplex"]}
    return learning_curves.Config.model_validate({**fields, **changes})


def efficiency(**changes: object) -> data_efficiency.Config:
    fields = {"kind": "data-efficiency", "title": "Few images", "datasets": ["all", "few"], "models": ["duplex"]}
    return data_efficiency.Config.model_validate({**fields, **changes})


@pytest.fixture
def trained(run: MakeFile) -> Callable[..., list[Path]]:
    """Write the run.json of runs on data sets of these numbers of images."""

    def write(counts: dict[str, int], models: tuple[str, ...] = ("duplex",), seeds: int = 1) -> list[Path]:
        return [
            run(dataset, model, seed, data={"data_sha256": "d" * 64, "count": count})
            for dataset, count in counts.items()
            for model in models
            for seed in range(seeds)
        ]

    return write


def numbers(out: Path) -> list[dict[str, Any]]:
    """Return the rows of the csv."""
    rows: list[dict[str, Any]] = pd.read_csv(out.with_name(f"{out.name}.csv")).to_dict("records")
    return rows


def about(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(out.with_name(f"{out.name}.json").read_text())
    return content


# ---------------------------------------------------------------------------------------- learning curves


def test_a_curve_for_each_model_over_the_steps(tmp_path: Path, fd: MakeFile, drawn: list[Figure]) -> None:
    files = [fd(v, model=m, step=s) for m, s, v in [("duplex", 1000, 3.0), ("duplex", 500, 7.0), ("simplex", 500, 9.0)]]
    learning_curves.draw(lines(), files, tmp_path / "curves")
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
    learning_curves.draw(lines(models=["duplex"], seeds=[0, 1]), files, tmp_path / "curves")
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_ydata().tolist() == [11.0, 11.0]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((11 - 2**0.5, 11 + 2**0.5))
    layout.check("learning_curves", drawn[0])


@pytest.mark.parametrize(("first", "last", "scale"), [(20.0, 1.0, "log"), (19.9, 1.0, "linear"), (20.0, 0.0, "linear")])
def test_an_axis_is_logarithmic_where_late_differences_would_not_be_seen(
    tmp_path: Path, fd: MakeFile, drawn: list[Figure], first: float, last: float, scale: str
) -> None:
    files = [fd(first, step=500), fd(last, step=1000)]
    learning_curves.draw(lines(models=["duplex"]), files, tmp_path / "curves")
    (axes,) = drawn[0].axes
    assert axes.get_yscale() == scale
    assert ("; the axis is logarithmic." in about(tmp_path / "curves")["caption"]) == (scale == "log")
    if scale == "log":
        assert axes.get_ylim()[0] == 0.5
        assert [axes.yaxis.get_major_formatter()(value, 0) for value in (0.5, 2, 20)] == ["0.5", "2", "20"]
        shown = [tick for tick in axes.yaxis.get_majorticklocs() if 0.5 <= tick <= 20]
        assert shown == pytest.approx([0.5, 1, 2, 5, 10, 20])
        assert not axes.yaxis.get_minorticklocs().size


def test_a_panel_for_each_data_set(tmp_path: Path, fd: MakeFile, drawn: list[Figure]) -> None:
    names = ["a", "b", "c", "d"]
    files = [fd(5.0, dataset=name) for name in names]
    learning_curves.draw(lines(models=["duplex"], datasets=names), files, tmp_path / "curves")
    assert [axes.get_title(loc="left")[0] for axes in drawn[0].axes] == names


def test_precision_is_drawn_in_percent(tmp_path: Path, metrics: MakeFile, drawn: list[Figure]) -> None:
    learning_curves.draw(lines(models=["duplex"], metric="precision"), [metrics()], tmp_path / "curves")
    assert drawn[0].axes[0].lines[0].get_ydata().tolist() == [50.0]
    assert drawn[0].get_supylabel() == "Precision % ↑"


def test_metric_that_was_not_measured(tmp_path: Path, fd: MakeFile) -> None:
    with pytest.raises(DataError, match=r"step-1000\.json: has no 'recall', which 'Curves' draws; .*evaluate again"):
        learning_curves.draw(lines(models=["duplex"], metric="recall"), [fd(5.0)], tmp_path / "curves")


def test_csv_has_the_numbers_of_the_curves(tmp_path: Path, metrics: MakeFile) -> None:
    values = [(1000, 0, 0.5), (500, 0, 0.25), (1000, 1, 0.75), (500, 1, 0.25)]
    error = {"name": "precision_std_vgg16", "value": 0.125}
    files = [
        metrics(
            step=s, seed=seed, values={"precision": {"name": "precision_vgg16", "value": v}, "precision_std": error}
        )
        for s, seed, v in values
    ]
    learning_curves.draw(lines(models=["duplex"], seeds=[0, 1], metric="precision"), files, tmp_path / "curves")
    shared = {"dataset": "scenes", "model": "duplex", "metric": "precision_vgg16", "seeds": 2, "error": 0.125}
    assert numbers(tmp_path / "curves") == [
        {**shared, "kimg": 8.0, "mean": 0.25, "std": 0.0},
        {**shared, "kimg": 16.0, "mean": 0.625, "std": pytest.approx(0.125 * 2**0.5)},
    ]


def test_rows_of_the_csv_are_in_the_order_of_the_experiment(tmp_path: Path, fd: MakeFile) -> None:
    names = {"datasets": ["b", "a"], "models": ["simplex", "duplex"]}
    files = [fd(5.0, dataset=dataset, model=model) for dataset in "ab" for model in ("duplex", "simplex")]
    learning_curves.draw(lines(**names), files, tmp_path / "curves")
    rows = [(row["dataset"], row["model"]) for row in numbers(tmp_path / "curves")]
    assert rows == [("b", "simplex"), ("b", "duplex"), ("a", "simplex"), ("a", "duplex")]


def test_one_seed_has_error_bars_of_measuring(tmp_path: Path, metrics: MakeFile, drawn: list[Figure]) -> None:
    values = {"is": {"name": "is_x", "value": 2.5}, "is_std": {"name": "is_std_x", "value": 0.1}}
    learning_curves.draw(lines(models=["duplex"], metric="is"), [metrics(values=values)], tmp_path / "curves")
    (bars,) = drawn[0].axes[0].collections
    assert bars.get_segments()[0].tolist() == [[16.0, 2.4], [16.0, 2.6]]
    assert (bars.get_linewidth(), bars.get_alpha()) == ([0.9], 0.8)
    assert about(tmp_path / "curves")["caption"].endswith(
        "one seed per model, error bars of the uncertainty of measuring (one standard deviation); higher is better."
    )
    (row,) = numbers(tmp_path / "curves")
    assert (row["seeds"], row["error"]) == (1, 0.1)
    assert pd.isna(row["std"])


def test_names_of_more_than_four_models_take_several_lines() -> None:
    models = [f"m{i}" for i in range(9)]
    points = pd.DataFrame({"model": models, "kimg": 1.0, "mean": 2.0, "spread": float("nan")})
    figure = drawing.figure(1.0)
    axes = figure.subplots()
    series.lines(axes, lines(models=models), points, "kimg")
    series.legend(figure, axes)
    assert figure.legends[0]._ncols == 4
    assert [line.get_marker() for line in axes.lines] == [*"osD^vP*Xo"]


def test_run_without_metrics(tmp_path: Path, fd: MakeFile) -> None:
    with pytest.raises(DataError, match="'Curves' needs metrics of scenes/simplex seed 0"):
        learning_curves.draw(lines(), [fd(5.0)], tmp_path / "curves")


# ---------------------------------------------------------------------------------------- data efficiency


def test_values_at_the_end_over_the_number_of_images(
    tmp_path: Path, trained: MakeFile, fd: MakeFile, drawn: list[Figure]
) -> None:
    models = ("simplex", "duplex")
    runs = trained({"all": 4000, "few": 250}, models)
    files = [fd(value, model=m, dataset=d) for m, d, value in [("simplex", "few", 9.0), ("simplex", "all", 4.0)]]
    files += [fd(value, dataset=d) for d, value in [("few", 8.0), ("all", 3.0)]] + [fd(99.0, dataset="few", step=500)]
    data_efficiency.draw(efficiency(models=models), [*runs, *files], tmp_path / "few")
    (axes,) = drawn[0].axes
    assert [line.get_label() for line in axes.lines] == ["GANformer (simplex)", "GANformer (duplex)"]
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[250, 9], [4000, 4]], [[250, 8], [4000, 3]]]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["250", "4,000"]
    assert not axes.xaxis.get_minorticklocs().size
    assert axes.get_title(loc="left") == "all 32, random-vgg16, 1k"
    assert axes.get_ylabel() == "FD ↓"
    assert about(tmp_path / "few") == {
        "format": 1,
        "exhibit": "figure",
        "target": "few",
        "title": "Few images",
        "caption": "FD after 16 kimg of training on more and fewer of the same images, all measured against the same "
        "real ones: one seed per model; lower is better. Data sets and their training images: few (250) and "
        "all (4,000).",
        "alt": "Lines of FD against the number of training images, 250 to 4,000: GANformer (simplex) from 9.00 to 4.00 "
        "and GANformer (duplex) from 8.00 to 3.00.",
    }
    rows = [(row["dataset"], row["images"], row["model"], row["mean"]) for row in numbers(tmp_path / "few")]
    assert rows == [
        ("few", 250, "simplex", 9.0),
        ("few", 250, "duplex", 8.0),
        ("all", 4000, "simplex", 4.0),
        ("all", 4000, "duplex", 3.0),
    ]


def test_seeds_of_few_images_are_a_mean_and_a_band(
    tmp_path: Path, trained: MakeFile, fd: MakeFile, drawn: list[Figure]
) -> None:
    files = [fd(v + seed, dataset=name, seed=seed) for name, v in (("few", 8.0), ("all", 3.0)) for seed in (0, 2)]
    runs = [path for path in trained({"all": 4000, "few": 250}, seeds=3) if "seed1" not in str(path)]
    data_efficiency.draw(efficiency(seeds=[0, 2]), [*runs, *files], tmp_path / "few")
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_ydata().tolist() == [9.0, 4.0]
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(9 + 2**0.5)
    assert "mean over 2 seeds, band of one standard deviation" in about(tmp_path / "few")["caption"]
    layout.check("data_efficiency", drawn[0])


@pytest.mark.parametrize(("few", "rotation"), [(250, 0), (3000, 0), (3020, 90)])
def test_labels_of_close_numbers_are_upright(
    tmp_path: Path, trained: MakeFile, fd: MakeFile, drawn: list[Figure], few: int, rotation: int
) -> None:
    counts = {"one": 100, "few": few, "all": 4000}
    files = [fd(5.0, dataset=name) for name in counts]
    data_efficiency.draw(efficiency(datasets=list(counts)), [*trained(counts), *files], tmp_path / "few")
    axes = drawn[0].axes[0]
    assert {text.get_rotation() for text in axes.get_xticklabels()} == {rotation}
    assert axes.get_xlim() == pytest.approx((100 / 40**0.05, 4000 * 40**0.05))


def test_one_data_set_is_a_point(tmp_path: Path, trained: MakeFile, fd: MakeFile, drawn: list[Figure]) -> None:
    runs = trained({"all": 4000})
    data_efficiency.draw(efficiency(datasets=["all"]), [*runs, *[fd(5.0, dataset="all")]], tmp_path / "few")
    assert drawn[0].axes[0].get_xlim() == pytest.approx((4000 / math.e, 4000 * math.e))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": {"data_sha256": "e" * 64}}, r"measured against different real images \(e{64} and d{64}\)"),
        ({"recipe": {"images": 5, "extractor": {"kind": "x"}}}, r"measured in different ways \(\{\"extractor"),
    ],
)
def test_runs_that_were_not_measured_alike(
    tmp_path: Path, trained: MakeFile, fd: MakeFile, change: dict[str, Any], message: str
) -> None:
    files = [fd(3.0, dataset="few", **change), fd(5.0, dataset="all")]
    with pytest.raises(DataError) as raised:
        data_efficiency.draw(efficiency(), [*trained({"all": 4000, "few": 250}), *files], tmp_path / "few")
    said = rf"few/.*step-1000\.json and .*all/.*step-1000\.json were {message}.*; name one data set in measured_against"
    assert re.search(said, str(raised.value))
    assert not list(tmp_path.glob("few.*"))


@pytest.mark.parametrize("reference", [{}, {"reference": {}}])
def test_metrics_that_do_not_tell_the_real_images(
    tmp_path: Path, trained: MakeFile, fd: MakeFile, reference: dict[str, Any]
) -> None:
    file = fd(5.0, dataset="all")
    record = {key: value for key, value in json.loads(file.read_text()).items() if key != "reference"} | reference
    file.write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"step-1000\.json: has no 'reference\.data_sha256', .* make it again"):
        data_efficiency.draw(efficiency(datasets=["all"]), [*trained({"all": 4000}), *[file]], tmp_path / "few")


def test_data_sets_of_equally_many_images(tmp_path: Path, trained: MakeFile, fd: MakeFile) -> None:
    files = [fd(5.0, dataset=name) for name in ("all", "few")]
    message = "'Few images': data sets all and few both have 4,000 training images, .*; leave one of them out"
    with pytest.raises(DataError, match=message):
        data_efficiency.draw(efficiency(), [*trained({"all": 4000, "few": 4000}), *files], tmp_path / "few")


def test_data_set_that_changed_between_runs(tmp_path: Path, run: MakeFile, fd: MakeFile) -> None:
    models = ["simplex", "duplex"]
    files = [fd(5.0, dataset="all", model=model) for model in models]
    runs = [
        run("all", model, data={"data_sha256": "d" * 64, "count": count})
        for model, count in zip(models, (4000, 250), strict=True)
    ]
    message = (
        r"simplex/.*run\.json was trained on 4,000 images, .*duplex/.*run\.json of the same data set on 250; train"
        " again the one whose data set has changed since"
    )
    with pytest.raises(DataError, match=message):
        data_efficiency.draw(efficiency(datasets=["all"], models=models), [*runs, *files], tmp_path / "few")


def test_runs_of_different_lengths(tmp_path: Path, trained: MakeFile, fd: MakeFile) -> None:
    models = ("simplex", "duplex")
    files = [fd(5.0, dataset="all", model="simplex", step=500), fd(5.0, dataset="all")]
    message = (
        r"step-500\.json was measured after 8 kimg of training, .*step-1000\.json after 16, so 'Few images' cannot "
        "compare them; pass metrics of both at the end"
    )
    with pytest.raises(DataError, match=message):
        experiment = efficiency(datasets=["all"], models=models)
        data_efficiency.draw(experiment, [*trained({"all": 4000}, models), *files], tmp_path / "few")


def test_run_that_does_not_tell_its_images(tmp_path: Path, trained: MakeFile, fd: MakeFile) -> None:
    with pytest.raises(DataError, match=r"'Few images' needs run\.json of few/duplex seed 0"):
        data_efficiency.draw(efficiency(), [*trained({"all": 4000}), *[fd(5.0, dataset="all")]], tmp_path / "few")
    with pytest.raises(DataError, match="'Few images' needs metrics of few/duplex seed 0"):
        runs = trained({"all": 4000, "few": 250})
        data_efficiency.draw(efficiency(), [*runs, *[fd(5.0, dataset="all")]], tmp_path / "few")


def test_metric_at_the_end_that_was_not_measured(tmp_path: Path, trained: MakeFile, fd: MakeFile) -> None:
    experiment = efficiency(datasets=["all"], metric="recall")
    with pytest.raises(DataError, match=r"step-1000\.json: has no 'recall', which 'Few images' draws"):
        data_efficiency.draw(experiment, [*trained({"all": 4000}), *[fd(5.0, dataset="all")]], tmp_path / "few")


# ---------------------------------------------------------------------------------------------- both of them


@pytest.mark.slow
@pytest.mark.usefixtures("own_fonts")
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, fd: MakeFile) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        learning_curves.draw(lines(models=["duplex"]), [fd(5.0)], tmp_path / name / "curves")
    for suffix in ("png", "pdf", "csv", "json"):
        one, other = ((tmp_path / name / f"curves.{suffix}").read_bytes() for name in ("a", "b"))
        assert one == other
        assert len(one) > 80
    written = (tmp_path / "a" / "curves.pdf").read_bytes()
    assert b"/FontFile2" in written  # TrueType, which journals ask for, and no Type 3
    assert b"/Subtype /Type3" not in written
    assert not re.search(rb"CreationDate|ModDate", written)


def test_the_last_step_is_that_of_each_run() -> None:
    frame = pd.DataFrame(
        [("scenes", "gan", seed, step) for seed, step in ((0, 5), (0, 10), (1, 8), (1, 4))], columns=[*RUN, "step"]
    )
    assert last(frame)["step"].tolist() == [10, 8]
