"""A page of the documentation from a template, whose numbers are cells of csv files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ganformer import config
from ganformer.errors import ConfigError, DataError
from ganformer.report import drawing
from ganformer.report.publish import LARGEST, publish
from ganformer.report.table import Block, Cell, Column, Table, write

MakeFile = Callable[..., Path]
CONFIG = config.load(
    {
        "datasets": {"scenes": {"source": {"kind": "scenes"}, "resolution": 16}},
        "models": {"duplex": {"kind": "ganformer", "attention": "duplex"}},
        "evaluation": {"extractor": {"kind": "random-vgg16"}, "images": 1000},
    }
)


@pytest.fixture
def files(tmp_path: Path, run: MakeFile) -> list[Path]:
    """Write a table, a figure and two runs."""
    folder = tmp_path / "results"
    folder.mkdir()
    numbers = pd.DataFrame({"model": ["gan", "duplex"], "fd": [2.5, 1.25], "kimg": [40, 40]})
    rows = [[Cell("GAN"), Cell("2.50")], [Cell("GANformer (duplex)"), Cell("1.25", is_best=True)]]
    columns = [Column("Model", is_number=False), Column("FD ↓")]
    write(Table("The models", "Two models.", [Block("", columns, rows, ["A note."])]), numbers, folder / "table1")
    with drawing.style():
        figure = drawing.figure(1.0)
        drawing.write(figure, folder / "curves", title="Curves", caption="Some curves.", alt="Two lines")
    return [folder / "table1.json", folder / "curves.json", run(seed=0), run(seed=1)]


def published(tmp_path: Path, text: str, files: list[Path], **changes: Any) -> str:
    template = tmp_path / "study.md"
    template.write_text(text, encoding="utf-8")
    publish(CONFIG, template, files, tmp_path / "docs", changes.get("command", "snakemake --cores all {} --config x=1"))
    return (tmp_path / "docs" / "index.md").read_text(encoding="utf-8")


def test_numbers_tables_and_figures_come_from_the_files(tmp_path: Path, files: list[Path]) -> None:
    text = (
        "# A study\n\n{{ model('duplex') }} has {{ quantity(value('table1', 'fd', model='duplex')) }}.\n\n"
        "{% for row in rows('table1', kimg=40) %}{{ row.model }} {% endfor %}{{ count(runs) }}\n\n"
        "{{ exhibit('table1') }}\n\n{{ exhibit('curves') }}\n\n`{{ command }}`\n"
    )
    found = published(tmp_path, text, files)
    assert "GANformer (duplex) has 1.25.\n\ngan duplex 2\n" in found
    assert "Two models.\n\n<table>\n" in found
    assert '<tr><th align="left">Model</th><th align="right">FD ↓</th></tr>\n' in found
    assert '<tr><td align="left">GAN</td><td align="right">2.50</td></tr>\n' in found
    assert '<td align="right"><b>1.25</b></td></tr>\n</table>\n' in found
    assert "A note.\n\n[Numbers as csv](table1.csv)" in found
    assert "## The models" not in found
    assert "![Two lines](curves.png)\n\nSome curves.\n" in found
    assert "`snakemake --cores all --config x=1`" in found
    folder = tmp_path / "docs"
    assert {path.name for path in folder.iterdir()} == {"index.md", "table1.csv", "curves.png"}
    for name in ("table1.csv", "curves.png"):
        assert (folder / name).read_bytes() == (tmp_path / "results" / name).read_bytes()


def test_headings_over_several_columns_and_names_of_blocks(tmp_path: Path, files: list[Path]) -> None:
    columns = [Column("Model", is_number=False), Column("FD", "a < b"), Column("IS", "a < b"), Column("s", "c")]
    block = Block("scenes", columns, [[Cell("x & y"), Cell("1"), Cell("2"), Cell("3")]])
    write(Table("T", "C.", [block]), pd.DataFrame({"a": [1]}), tmp_path / "results" / "wide")
    found = published(tmp_path, "{{ exhibit('wide') }}", [*files, tmp_path / "results" / "wide.json"])
    assert "### scenes\n\n<table>\n" in found
    assert '<tr><th colspan="1"></th><th colspan="2">a &lt; b</th><th colspan="1">c</th></tr>' in found
    assert '<td align="left">x &amp; y</td><td align="right">1</td>' in found


def test_facts_are_those_of_the_runs(tmp_path: Path, files: list[Path]) -> None:
    found = published(tmp_path, "{% for name, text in facts %}- {{ name }}: {{ text }}\n{% endfor %}", files)
    assert found.splitlines() == [
        "- Data sets: scenes",
        "- Runs: 2, of 1 model with 2 seeds",
        "- Images shown to each run: 16 thousand",
        "- Training in all: 4 min 30 s",
        "- Computed on: Example CPU 3000, 2 threads",
        "- Code: 0.1.0 (abc123def456)",
        "- Libraries: torch 2.13.0 and numpy 2.4.0",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ exhibit('table9') }}", r"study\.md: there is no table or figure 'table9'; there are table1, curves"),
        (
            "{{ value('table1', 'fid', model='gan') }}",
            "no column 'fid'; the columns are model, fd, kimg",
        ),
        ("{{ value('table1', 'fd', seed=1) }}", "has no column 'seed'"),
        ("{{ value('table1', 'fd', kimg=40) }}", "2 rows of table1.csv have kimg 40; ask for exactly one"),
        (
            "{{ value('table1', 'fd') }}",
            r"study\.md: 2 rows of table1\.csv have no condition; ask for exactly one of them",
        ),
        (
            "{{ value('table1', 'fd', model='gan', kimg=1) }}",
            "0 rows of table1.csv have model gan, kimg 1; ask for exactly one",
        ),
        ("{{ value('table1', 'fd', model='sagan') }}", "0 rows of table1.csv have model sagan; ask for exactly one"),
        ("{{ unknown }}", r"study\.md: 'unknown' is undefined; see `publish` for what a template knows"),
        ("a\n{% if %}", r"study\.md:2: is no valid template \(Expected an expression, got 'end of statement block'\)"),
    ],
)
def test_template_with_an_error_is_refused(tmp_path: Path, files: list[Path], text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        published(tmp_path, text, files)
    assert not (tmp_path / "docs").exists()


def test_missing_template_is_named(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(ConfigError, match=r"none\.md: cannot be read"):
        publish(CONFIG, tmp_path / "none.md", files, tmp_path / "docs", "snakemake {}")


def test_figure_has_no_numbers_to_quote(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"curves\.csv: is missing, so the page cannot quote 'curves'; draw it again"):
        published(tmp_path, "{{ value('curves', 'fd') }}", files)


def test_spellings_and_settings_that_a_template_knows(tmp_path: Path, files: list[Path]) -> None:
    text = (
        "{{ percent(0.12345) }}; {{ count(12345) }}; {{ quantity(0.012345) }}; {{ listing(['a', 'b', 'c']) }}; "
        "{{ model('kgan') }}; {{ config.evaluation.images }} < {{ value('table1', 'fd', model='duplex', kimg=40) }}\n"
    )
    expected = "12.3 %; 12,345; 0.0123; a, b and c; k-GAN; 1000 < 1.25\n"
    assert published(tmp_path, text, files) == expected


def test_figure_with_numbers_links_them_and_a_picture_may_be_as_large_as_the_limit(
    tmp_path: Path, files: list[Path]
) -> None:
    (tmp_path / "results" / "curves.csv").write_text("a\n1\n")
    (tmp_path / "results" / "curves.png").write_bytes(bytes(1_200_000))
    found = published(tmp_path, "{{ exhibit('curves') }}|{{ value('curves', 'a') }}", files)
    assert found == "![Two lines](curves.png)\n\nSome curves.\n\n[Numbers as csv](curves.csv)|1"
    assert (tmp_path / "docs" / "curves.csv").read_text() == "a\n1\n"


def test_facts_name_each_value_once(tmp_path: Path, files: list[Path], run: MakeFile) -> None:
    more = run(
        model="gan",
        kimg=40.0,
        wall_seconds=30.0,
        code={"ganformer": "0.2.0"},
        libraries={"torch": "2.13.0", "numpy": "2"},
    )
    text = "{% for name, text in facts %}{{ name }}: {{ text }}\n{% endfor %}"
    assert published(tmp_path, text, [*files, more]).splitlines() == [
        "Data sets: scenes",
        "Runs: 3, of 2 models with 2 seeds",
        "Images shown to each run: 16 and 40 thousand",
        "Training in all: 5 min",
        "Computed on: Example CPU 3000, 2 threads",
        "Code: 0.1.0 (abc123def456) and 0.2.0",
        "Libraries: torch 2.13.0, numpy 2.4.0 and numpy 2",
    ]


def test_large_picture_is_refused(tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "results" / "curves.png").write_bytes(bytes(LARGEST + 1))
    with pytest.raises(
        DataError, match=r"curves\.png: has 1,200,001 bytes, .* pictures of at most 1,200,0.*; draw fewer images"
    ):
        published(tmp_path, "text", files)


def test_missing_picture_is_named(tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "results" / "curves.png").unlink()
    with pytest.raises(DataError, match=r"curves\.png: cannot be read .*; draw the figure again"):
        published(tmp_path, "text", files)
