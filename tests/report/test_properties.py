"""Tables 2 and 3 from hand-made records: a row a property, a column a model."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganformer import config
from ganformer.errors import DataError
from ganformer.report import requirements
from ganformer.report.properties import Properties, draw

MakeFile = Callable[..., Path]
PUBLISHED = Path(__file__).parents[2] / "ganformer/report/published.csv"
RECIPE = {
    "images": 40,
    "real_images": 30,
    "image": {"height": 32, "width": 32},
    "extractor": {"kind": "scenes"},
    "accuracy": {"precision": 0.98, "mask_iou": 0.7, "images": 50.0, "objects": 266.0},
}
REAL = {"chi2_shape": 0.25, "chi2_colour": 3.0}


def table(kind: str = "scene-statistics", **changes: Any) -> Properties:
    fields = {"kind": kind, "title": "Table", "datasets": ["scenes"], "models": ["stylegan2", "duplex"], **changes}
    return Properties.model_validate(fields)


@pytest.fixture
def measured(metrics: MakeFile) -> Callable[..., Path]:
    """Write a record of scene statistics or disentanglement."""

    def write(model: str, values: dict[str, float], seed: int = 0, **changes: Any) -> Path:
        named = {key: {"name": key, "value": value} for key, value in values.items()}
        return metrics(model=model, seed=seed, values=named, recipe=RECIPE, **changes)

    return write


def lines(out: Path) -> list[str]:
    return out.with_name(f"{out.name}.md").read_text(encoding="utf-8").splitlines()


def test_properties_are_rows_with_the_floor_of_real_images(tmp_path: Path, measured: MakeFile) -> None:
    files = [
        measured("stylegan2", {"chi2_shape": 9.0, "chi2_shape_std": 1.0, "chi2_colour": 20.0}, real=REAL),
        measured("duplex", {"chi2_shape": 7.0, "chi2_shape_std": 0.5, "chi2_colour": 4.0}, real=REAL),
    ]
    quoted = {
        "table": "Table 2 chi-square (ICML; direction not stated)",
        "datasets": {"scenes": "CLEVR"},
        "models": {"duplex": "GANformer-duplex"},
    }
    out = tmp_path / "table2"
    draw(table(published=quoted), [*files, PUBLISHED], out)
    group = "(measured, scenes 32, parser, 40)"
    found = lines(out)
    assert (
        f"|  | StyleGAN2 {group} | GANformer (duplex) {group} | Real images {group} | "
        "GANformer (duplex) (published, CLEVR 256, 1k) |"
    ) in found
    assert "| :--- | ---: | ---: | ---: | ---: |" in found
    assert "| Shape ↓ | 9.00 ± 1.00 | **7.00 ± 0.50** | 0.250 | 2.815 |" in found
    assert "| Colour ↓ | 20.00 | **4.00** | 3.00 | 3.189 |" in found
    text = "\n".join(found)
    assert "40 generated against 30 real images, read by a parser (scenes; mask iou 0.70, precision 0.98, " in text
    assert "on 50 images with 266 objects that it had not seen)." in text
    assert "below that nothing can be expected" in text
    rows = list(csv.DictReader(out.with_name("table2.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["model"], row["chi2_shape"], row["published_chi2_color"]) for row in rows] == [
        ("stylegan2", "9.0", ""),
        ("duplex", "7.0", "3.189"),
    ]


def test_the_floor_has_the_unit_of_its_row(tmp_path: Path, measured: MakeFile) -> None:
    values = {"stylegan2": 0.25, "duplex": 0.5}
    real = {"precision": 0.75}  # in which nothing is known of recall
    files = [measured(model, {"precision": value, "recall": 0.5}, real=real) for model, value in values.items()]
    draw(table(), [*files, PUBLISHED], tmp_path / "t")
    assert "| Precision % ↑ | 25.0 | **50.0** | 75.0 |" in lines(tmp_path / "t")
    assert "| Recall % ↑ | 50.0 | 50.0 | – |" in lines(tmp_path / "t")


def test_a_property_that_no_image_has_is_left_blank(tmp_path: Path, measured: MakeFile) -> None:
    files = [measured("stylegan2", {"chi2_shape": 9.0, "chi2_colour": 1.0}), measured("duplex", {"chi2_shape": 7.0})]
    draw(table(), [*files, PUBLISHED], tmp_path / "t")
    assert "| Colour ↓ | 1.00 | – |" in lines(tmp_path / "t")


def test_data_sets_are_named_above_their_parts_if_there_are_several(tmp_path: Path, measured: MakeFile) -> None:
    for datasets, headings in ((["scenes"], []), (["scenes", "faces"], ["### scenes", "### faces"])):
        files = [
            measured(model, {"chi2_shape": 9.0}, dataset=dataset)
            for model in ("stylegan2", "duplex")
            for dataset in datasets
        ]
        out = tmp_path / "table"
        draw(table(datasets=datasets), files, out)
        assert [line for line in lines(out) if line.startswith("### ")] == headings


def test_several_seeds_have_their_spread(tmp_path: Path, measured: MakeFile) -> None:
    files = [
        measured(model, {"dci_modularity": value + seed / 10, "dci_modularity_std": 0.9}, seed=seed)
        for model, value in (("stylegan2", 0.2), ("duplex", 0.7))
        for seed in (0, 1)
    ]
    draw(table("disentanglement", seeds=(0, 1)), [*files, PUBLISHED], tmp_path / "t")
    assert "| Modularity ↑ | 0.250 ± 0.071 | **0.750 ± 0.071** |" in lines(tmp_path / "t")
    assert "nothing can be expected" not in "\n".join(lines(tmp_path / "t"))


def test_problems_of_a_parser_with_the_images_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {
        "datasets": {name: {"source": {"kind": "scenes"}, "resolution": 32} for name in ("a", "b")},
        "models": {"m": {"kind": "gan"}},
        "evaluation": {"extractor": {"kind": "random-vgg16"}},
    }
    settings = config.load({**content, "datasets": {**content["datasets"], "c": {"source": {"kind": "clevr"}}}})
    kind = type(settings.parser("a"))
    monkeypatch.setattr(kind, "problems", lambda self, dataset: ["it is blind"])
    assert list(requirements.parsers(["a", "c"], settings)) == [
        ("datasets", "it is blind (data set a)"),
        ("datasets", "nothing reads objects in images of 'c'; name a parser as parsing.c"),
    ]


def test_missing_run_is_named(tmp_path: Path, measured: MakeFile) -> None:
    with pytest.raises(DataError, match="'Table' needs measurements of scenes/duplex seed 0"):
        draw(table(), [measured("stylegan2", {"chi2_shape": 1.0}), PUBLISHED], tmp_path / "t")
    assert not (tmp_path / "t.md").exists()
