"""The page holds everything, needs nothing from outside, and is well-formed."""

import base64
import io
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ganformer import artifacts, config, plugins
from ganformer.errors import DataError
from ganformer.exhibits import comparison, learning_curves
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.report.check import Finding
from ganformer.report.facts import version
from ganformer.report.page import page
from ganformer.report.table import Table, write

MakeFile = Callable[..., Path]
TABLE = {"kind": "comparison", "title": "Models <&> numbers", "datasets": ["scenes"], "models": ["simplex", "duplex"]}
FIGURE = {"kind": "learning-curves", "title": "Curves", "datasets": ["scenes"], "models": ["simplex", "duplex"]}
INCEPTION = {"kind": "inception-2015"}
SETTINGS: dict[str, Any] = {
    "datasets": {"scenes": {"source": {"kind": "scenes"}, "resolution": 16}},
    "models": {
        "simplex": {"kind": "ganformer", "attention": "simplex"},
        "duplex": {"kind": "ganformer", "attention": "duplex"},
    },
    "evaluation": {"extractor": {"kind": "random-vgg16"}, "images": 1000},
    "experiments": {"curves": FIGURE, "table1": TABLE},
}
CONFIG = config.load(SETTINGS)
MODEL = {"kind": "ganformer", "heads": 1, "end_resolution": None, "adversarial": {"r1_gamma": 1.0}}
MANIFEST = {
    "version": 2,
    "count": 4000,
    "image": {"height": 16, "width": 16, "channels": 3, "classes": 2},
    "crop": {"ratio": 1.0},
    "shards": [{"file": "0.npy", "sha256": "0" * 64, "count": 4000}],
    "duplicates": 0,
    "class_names": ["cube", "cylinder & cone"],
    "content": "c" * 64,
    "format": "npy",
    "source": {"kind": "shapes"},
}


@pytest.fixture(scope="module")
def exhibits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the folder that keeps a table and a figure once the first test has drawn them."""
    return tmp_path_factory.mktemp("exhibits")


@pytest.fixture
def files(tmp_path: Path, run: MakeFile, metrics: MakeFile, images: MakeFile, exhibits: Path) -> list[Path]:
    """Provide all that a small page is made from."""
    models = ("simplex", "duplex")
    fd = ({"fd": {"name": "fd_random_vgg16", "value": value}} for value in (20.0, 12.34))
    measured = [metrics(model=model, values=values) for model, values in zip(models, fd, strict=True)]
    if not list(exhibits.iterdir()):
        comparison.draw(comparison.Config.model_validate(TABLE), measured, exhibits / "tables/table1")
        learning_curves.draw(learning_curves.Config.model_validate(FIGURE), measured, exhibits / "figures/curves")
    shutil.copytree(exhibits, tmp_path, dirs_exist_ok=True)
    manifest = tmp_path / "manifest.json"
    artifacts.write_json(manifest, MANIFEST)
    digest = MANIFEST["content"]
    image, data = {"height": 16, "width": 16}, {"data_sha256": digest, "count": 4000}
    made = [
        run(model=name, data=data, spec={"image": image, "mirror": True, "model": {**MODEL, "attention": name}})
        for name in models
    ]
    reals = images(model=None, count=16, data_sha256=digest)
    return [manifest, *made, reals, tmp_path / "tables/table1.json", tmp_path / "figures/curves.json"]


@pytest.fixture
def text(tmp_path: Path, files: list[Path]) -> str:
    page(CONFIG, files, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def said(text: str) -> str:
    """Return the visible text in one line."""
    body = text[text.index("<body>") :]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_it_is_well_formed(text: str) -> None:
    root = parsed(text)
    assert root.attrib["lang"] == "en"
    identifiers = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(identifiers) == len(set(identifiers))
    targets = [a.attrib["href"] for a in root.iter("a")]
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(identifiers)


def test_it_needs_nothing_from_outside(text: str) -> None:
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", text)
    sources = [image.attrib["src"] for image in parsed(text).iter("img")]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)


def test_real_images_are_in_one_row_in_the_head_and_in_rows_of_six_beside_the_data(text: str) -> None:
    sources = [image.attrib["src"] for image in parsed(text).iter("img")]
    sizes = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size for source in sources]
    assert (14 * 64 + 13 * 4, 64) in sizes
    assert (6 * 64 + 5 * 4, 2 * 64 + 4) in sizes


def test_images_wider_than_64_pixels_keep_their_pixels() -> None:
    module = sys.modules[page.__module__]
    data = SimpleNamespace(data_sha256="d")
    record = SimpleNamespace(data=data, is_mirrored=False)
    image = {"width": 80, "height": 40, "channels": 3}
    pack = {"count": 20, "source": {"kind": "shapes"}, "format": "npy", "class_names": ()}
    inputs = SimpleNamespace(
        reals={"d": {"images": np.zeros((20, 40, 80, 3), np.uint8)}},
        packs={"d": SimpleNamespace(image=SimpleNamespace(**image), **pack)},
        runs=pd.DataFrame({"dataset": ["scenes"], "record": [record]}),
    )
    assert module._strip(inputs)[1:] == (14 * 80 + 13 * 4, 40)
    (card,) = module._cards(inputs)
    assert card["image"][1:] == (6 * 80 + 5 * 4, 2 * 40 + 4)
    assert card["images"] == "20 images of 80 × 40 pixels"


def test_pictures_and_tables_can_be_read_aloud(text: str) -> None:
    root = parsed(text)
    assert all(len(image.attrib["alt"]) > 10 for image in root.iter("img"))
    assert all(heading.attrib["scope"] in ("col", "row", "colgroup") for heading in root.iter("th"))
    for row in (row for table in root.iter("table") for row in table.iter("tr")):
        assert row.find("th") is not None


def test_rows_are_as_wide_as_their_headings(text: str) -> None:
    for table in parsed(text).iter("table"):
        widths = {sum(int(cell.get("colspan", "1")) for cell in row) for row in table.iter("tr")}
        assert len(widths) == 1


def test_it_shows_tables_and_figures_in_the_order_of_the_files(text: str) -> None:
    seen = said(text)
    assert seen.index("snakemake --cores all table1") < seen.index("snakemake --cores all curves")
    assert "Models <&> numbers" in seen
    assert "<strong>12.3</strong>" in text
    assert "measured, scenes 32, random-vgg16, 1k" in seen


ODD = "A&B <i> \"q\" 'r'"


def test_all_text_is_shown_as_it_is(tmp_path: Path, files: list[Path], run: MakeFile) -> None:
    made = [Cell(f"cell {ODD}"), Cell(f"number {ODD}", is_best=True), Cell(f"other {ODD}")]
    columns = [Column("", is_number=False), Column(f"column {ODD}", f"group {ODD}"), Column("plain", f"group {ODD}")]
    blocks = [Block(f"heading {ODD}", columns, [made], [f"note {ODD}"])]
    table = Table(f"title {ODD}", f"caption {ODD}", blocks)
    write(table, pd.DataFrame({"a": [1]}), tmp_path / "tables/table1")
    figure = artifacts.read_json(files[-1])
    artifacts.write_json(files[-1], {**figure, "caption": f"figure {ODD}", "alt": f"alt {ODD}"})
    odd = {"class_names": [f"class {ODD}"], "image": {**MANIFEST["image"], "classes": 1}}
    artifacts.write_json(files[0], {**MANIFEST, **odd, "source": {"kind": f"source {ODD}"}})
    hardware = {"device": "cuda", "device_name": f"device {ODD}", "gpus": 1, "system": f"system {ODD}", "threads": 1}
    data = {"data_sha256": MANIFEST["content"], "count": 4000}
    files = [*files, run(model=f"model {ODD}", data=data, hardware=hardware)]
    findings = [Finding(Path(f"file {ODD}"), is_missing=True)]
    page(CONFIG, files, tmp_path / "report.html", f"make {{}} {ODD}", findings)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    root = parsed(text)
    assert not list(root.iter("i"))
    shown = ["".join(element.itertext()) for element in root.iter()]
    for place in ("cell", "number", "column", "group", "heading", "note", "title", "caption", "figure", "model"):
        assert f"{place} {ODD}" in shown, place
    for words in (f"make table1 {ODD}", f"Classes: class {ODD}", f"missing  file {ODD}"):
        assert words in shown, words
    assert f"Example CPU 3000, 2 threads and device {ODD}" in shown
    assert f"Source: source {ODD}; stored as npy" in shown
    assert f"alt {ODD}" in [image.attrib["alt"] for image in root.iter("img")]
    assert f"device {ODD}; system {ODD}" in shown


def test_it_says_what_was_run(text: str) -> None:
    seen = said(text)
    assert "Data sets scenes Runs 2, of 2 models with 1 seed Images shown to each run 16 thousand" in seen
    assert "Training in all 4 min 30 s Computed on Example CPU 3000, 2 threads Code 0.1.0 (abc123def456)" in seen
    assert "scenes 4,000 images of 16 × 16 pixels, mirrored at random Source: shapes; stored as npy" in seen
    assert (
        "GANformer (duplex) duplex kind ganformer, attention duplex kind ganformer, heads 1, attention duplex" in seen
    )


def test_it_says_where_every_number_comes_from(text: str) -> None:
    seen = said(text)
    assert "scenes / duplex / seed 0 – 16 kimg in 2 min 15 s, settings 555555555555, weights aaaaaaaaaaaa" in seen
    assert f"Settings sha256 {'5' * 64} Weights sha256 {'a' * 64} Data sha256 " in seen
    assert '"r1_gamma": 1.0' in seen


def test_it_says_what_cannot_be_compared(text: str) -> None:
    seen = said(text)
    assert (
        "The distances here (FD) are not FID. They compare 1,000 generated images with the real ones on features of "
        in seen
    )
    assert "features of random-vgg16, not of the Inception network of 2015." in seen
    assert "This is a small-scale run" in seen
    assert "Every model was trained with a single seed" in seen
    assert "Published numbers are quoted" not in seen


def test_cautions_go_where_they_do_not_apply(tmp_path: Path, files: list[Path], run: MakeFile) -> None:
    digest = MANIFEST["content"]
    long = [run(model="simplex", seed=seed, kimg=25_000.0, data={"data_sha256": digest, "count": 1}) for seed in (0, 1)]
    evaluation = {"extractor": INCEPTION, "images": 50_000}
    published = {"table": "Table 1", "datasets": {"scenes": "CLEVR"}, "models": {"duplex": "Duplex"}}
    experiments = {**SETTINGS["experiments"], "table1": {**TABLE, "published": published}}
    settings = config.load({**SETTINGS, "evaluation": evaluation, "experiments": experiments})
    page(settings, [*files, long[1]], tmp_path / "report.html")
    seen = said((tmp_path / "report.html").read_text())
    assert "How to read the numbers Published numbers are quoted as they were printed" in seen
    page(config.load({**SETTINGS, "evaluation": {**evaluation, "images": 5000}}), files, tmp_path / "report.html")
    assert "FID is measured on 5,000 generated images." in said((tmp_path / "report.html").read_text())
    clean = {"frechet": {**INCEPTION, "resize": "clean"}}
    vgg16 = {"extractor": {"kind": "vgg16"}, "images": 50_000, "extractors": clean}
    page(config.load({**SETTINGS, "evaluation": vgg16}), files, tmp_path / "report.html")
    assert "compare with the values of clean-fid" in said((tmp_path / "report.html").read_text())
    assert "are not FID" not in said((tmp_path / "report.html").read_text())


@pytest.mark.parametrize(("kimg", "is_short"), [(999.0, True), (1000.0, False)])
def test_training_of_less_than_a_million_images_is_called_short(kimg: float, is_short: bool) -> None:
    runs = pd.DataFrame({"record": [SimpleNamespace(kimg=1.0), SimpleNamespace(kimg=kimg)], "seed": [0, 1]})
    inputs = SimpleNamespace(config=CONFIG, runs=runs)
    told = list(sys.modules[page.__module__]._cautions(inputs))
    assert any(words.startswith("This is a small-scale run: ") for words in told) is is_short
    assert not any("single seed" in words for words in told)


def test_what_is_not_as_the_configuration_has_it_is_named(tmp_path: Path, files: list[Path]) -> None:
    stale = Finding(Path("results/runs/a/run.json"), problems=["was trained with other settings: model.<x> 1, now 2"])
    findings = [Finding(Path("results/tables/table1.json")), stale, Finding(Path("results/gone.json"), is_missing=True)]
    page(CONFIG, files, tmp_path / "report.html", findings=findings)
    told = said((tmp_path / "report.html").read_text())
    assert "stale results/runs/a/run.json: was trained with other settings: model.<x> 1, now 2" in told
    assert "missing results/gone.json" in told
    assert "1 of 3 results were as the configuration has them, by their checksums" in told
    page(CONFIG, files, tmp_path / "report.html", findings=findings[:1])
    told = said((tmp_path / "report.html").read_text())
    assert "Not as the configuration has it" not in told
    assert "1 of 1 result" in told


def test_commands_are_those_that_were_given(tmp_path: Path, files: list[Path]) -> None:
    page(CONFIG, files, tmp_path / "report.html", "snakemake --cores all {} --configfile mine.yaml")
    told = said((tmp_path / "report.html").read_text())
    assert "snakemake --cores all table1 --configfile mine.yaml" in told
    assert "snakemake --cores all curves --configfile mine.yaml" in told


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, files: list[Path]) -> None:
    for name in ("a.html", "b.html"):
        page(CONFIG, files, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_missing_experiment_is_named(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"the report needs the \.json of table1; make them and pass them as well"):
        page(CONFIG, [file for file in files if file.name != "table1.json"], tmp_path / "report.html")


@pytest.mark.parametrize(("name", "words"), [("manifest.json", r"manifest\.json"), ("reals", "file of real images")])
def test_missing_pack_is_named(tmp_path: Path, files: list[Path], name: str, words: str) -> None:
    kept = [file for file in files if not file.name.startswith(name)]
    message = (
        rf"the report needs the {words} of the pack that .*simplex/seed0/run\.json was trained on \(data c{{12}}…\);"
        " pass it as well, and train again where the pack was made anew"
    )
    with pytest.raises(DataError, match=message):
        page(CONFIG, kept, tmp_path / "report.html")


def test_missing_picture_is_named(tmp_path: Path, files: list[Path]) -> None:
    files[-1].with_suffix(".png").unlink()
    with pytest.raises(DataError, match=r"curves\.png: cannot be read \(.*\); draw the figure again"):
        page(CONFIG, files, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_tables_figures_and_page_need_no_torch() -> None:
    modules = [f"ganformer.report.{name}" for name in plugins.names("ganformer.report")]
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "ganformer.report.compared" in loaded
    assert not {"torch", "scipy", "snakemake", "matplotlib.pyplot"} & set(loaded)


def test_settings_of_a_table_are_read_without_torch() -> None:
    program = (
        "import sys; from ganformer import config; "
        f"config.parse_experiment({TABLE!r}, 'experiment'); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "False\n"


def test_code_with_changes_is_told() -> None:
    assert version({"ganformer": "1"}) == "1"
    assert version({"ganformer": "1", "commit": "abc", "dirty": False}) == "1 (abc)"
    assert version({"ganformer": "1", "commit": "abc", "dirty": True}) == "1 (abc, with changes)"


def test_data_and_models_of_a_page(tmp_path: Path, files: list[Path], run: MakeFile, images: MakeFile) -> None:
    """Images in the head: half are of each of two data sets, and settings tell models of one kind apart."""
    for name, channels, digest in (("grey", 1, "1"), ("glass", 4, "4")):
        (tmp_path / name).mkdir()
        content = {**MANIFEST, "image": {"height": 8, "width": 16, "channels": channels}, "class_names": []}
        artifacts.write_json(tmp_path / name / "manifest.json", {**content, "content": digest * 64})
        images(name, None, count=16, data_sha256=digest * 64)
        spec = {
            "image": {"height": 8, "width": 16},
            "mirror": False,
            "model": {"kind": "gan", "noise": True, "base": 2},
        }
        data = {"data_sha256": digest * 64, "count": 9}
        changes = {"sessions": 2, "kimg": 2000.0, "spec": spec, "data": data, "wall_seconds": 45.0}
        files += [tmp_path / name / "manifest.json", run(name, "gan", **changes), tmp_path / f"reals-{name}.npz"]
    page(CONFIG, files, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    seen = said(text)
    assert "4,000 images of 16 × 8 pixels, grey Source: shapes" in seen
    assert "4,000 images of 16 × 8 pixels, with opacity Source: shapes" in seen
    assert "Runs 4, of 3 models with 1 seed Images shown to each run 16 and 2,000 thousand Training in" in seen
    assert "This is a small-scale run" not in seen  # as the longest is not short
    assert "GAN gan kind gan kind gan, noise True, base 2" in seen
    assert "to 2026-11-20T10:02:15Z, 2 sessions" in seen
    assert "to 2026-11-20T10:02:15Z, 1 session" in seen
    assert "Libraries torch 2.13.0, numpy 2.4.0" in seen
    assert "csv, md and tex in results/tables" in seen
    sources = [image.attrib["src"] for image in parsed(text).iter("img")]
    sizes = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size for source in sources]
    assert (12 * 64 + 11 * 4, 64) in sizes  # four of each data set


def test_a_line_is_in_front_of_each_group_of_columns() -> None:
    columns = [
        Column(title, group) for title, group in zip("abcd", ("", "measured", "measured", "published"), strict=True)
    ]
    shown = sys.modules[page.__module__]._block(Block("", columns, []))
    assert [column["starts_group"] for column in shown["columns"]] == [False, True, False, True]
    assert shown["groups"] == [
        {"title": "", "width": 1},
        {"title": "measured", "width": 2},
        {"title": "published", "width": 1},
    ]
