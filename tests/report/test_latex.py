"""LaTeX of tables: what is written compiles with `article` and booktabs, and is no wider than the text."""

import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from snakemake.utils import update_config

from ganformer import config, plugins
from ganformer.exhibits import comparison, cost, orderings, search
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.report import compared, formatting, properties, table
from ganformer.report.latex import BREAK, breakable, escaped, lines, width
from ganformer.report.table import LOOKS, TEXT_WIDTH, Laid, Table, latex

MakeFile = Callable[..., Path]
ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "ganformer/report/published.csv"
PRESETS = ["", *sorted(path.stem for path in (ROOT / "workflow/presets").glob("*.yaml"))]
LONG = "a_very/long.name-of-a-model_" * 4
ODD = ["50% & <more>|_#", "[x]", "*", "``a'' -- b---c ?` !`", "\\{}~^$", "Ünïcödé ąęģ łß", "日本語", "👩‍🚀", "α′∞−±×↑↓"]


# ------------------------------------------------------------------------------------------------------ characters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50% & #1_{a}$", r"50\% \& \#1\_\{a\}\$"),
        (
            "\\ ~ ^ < > |",
            r"\textbackslash{} \textasciitilde{} \textasciicircum{} \textless{} \textgreater{} \textbar{}",
        ),
        ("′∞−±×↑↓", r"$'$$\infty$$-$$\pm$$\times$$\uparrow$$\downarrow$"),
        ("αψΩΑο µ", r"$\alpha$$\psi$$\Omega$Ao $\mu$"),
        ("10³ 2⁻¹ x₀", "10$^3$ 2$^-$$^1$ x$_0$"),
        ("é ï ñ ç ů ǰ", r"\'{e} \\\"{\i} \~{n} \c{c} \r{u} \v{\j}".replace("\\\\\\", "\\")),
        ("e\u0301", r"\'{e}"),
        ("łøßæ", r"\l{}\o{}\ss{}\ae{}"),
        ("中 😀 ą", "{[}U+4E2D{]} {[}U+1F600{]} {[}U+0105{]}"),
        ("[a]*", "{[}a{]}{*}"),
        ("a--b '' ?` !` ``", "a-{}-b '{}' ?{}` !{}` `{}`"),
        ("a–b—c…", r"a--b---c\dots{}"),
        ("a\nb\tc\u00a0d", "a b c~d"),
        (f"a{BREAK}b", r"a\allowbreak{}b"),
        ("", ""),
    ],
)
def test_characters(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_greek_letters_have_the_commands_of_their_names() -> None:
    variants = {"ε": "varepsilon", "ϵ": "epsilon", "ϑ": "vartheta", "ϖ": "varpi", "ϱ": "varrho", "ς": "varsigma"}
    variants |= {"φ": "varphi", "ϕ": "phi", "λ": "lambda", "Λ": "Lambda"}
    for letter in (chr(code) for code in range(0x3B1, 0x3CA) if chr(code) != "ο"):
        name = unicodedata.name(letter).rpartition(" ")[2].lower()
        assert escaped(letter) == f"${chr(92)}{variants.get(letter, name)}$"
    for letter in "ΓΔΘΛΞΠΣΥΦΨΩ":
        name = unicodedata.name(letter).rpartition(" ")[2].capitalize()
        assert escaped(letter) == f"${chr(92)}{variants.get(letter, name)}$"
    assert escaped("ΑΒΕΖΗΙΚΜΝΟΡΤΧο") == "ABEZHIKMNOPTXo"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("†‡§¶©£", r"\dag{}\ddag{}\S{}\P{}\copyright{}\pounds{}"),
        ("ßæÆœŒøØłŁı", r"\ss{}\ae{}\AE{}\oe{}\OE{}\o{}\O{}\l{}\L{}\i{}"),
        ("¡ ¿ ‘a’ “b”", "!` ?` `a' ``b''"),
        ("¼½¾ 5° 3″", r"$\frac14$$\frac12$$\frac34$ 5$^\circ$ 3$''$"),
        ("a‐b‑c\u00add", r"a-b\mbox{-}c\-d"),
        ("1\u20092\u202f3", r"1\,2\,3"),
        ("à á â ã ā ȧ", r"\`{a} \'{a} \^{a} \~{a} \={a} \.{a}"),
        ("ä ă ǎ ő å", '\\"{a} ' + r"\u{a} \v{a} \H{o} \r{a}"),
        ("ȩ ẹ ḇ", r"\c{e} \d{e} \b{b}"),
    ],
)
def test_signs_have_the_commands_that_draw_them(text: str, expected: str) -> None:
    assert escaped(text) == expected


@pytest.mark.parametrize(
    ("signs", "commands"),
    [
        ("·∘∗⊕⊗⊙∑∏∫∂∇√ℓ", "cdot circ ast oplus otimes odot sum prod int partial nabla surd ell"),
        ("∈∋⊂⊆∪∩∅∀∃¬∧∨", "in ni subset subseteq cup cap emptyset forall exists neg wedge vee"),
        ("≤≥≠≈≡∼≃≅∝≪≫⊥∥∣∠", "leq geq neq approx equiv sim simeq cong propto ll gg perp parallel mid angle"),
        ("←→↔↕⇐⇒⇔↦", "leftarrow rightarrow leftrightarrow updownarrow Leftarrow Rightarrow Leftrightarrow mapsto"),
        ("↗↘↙↖•★△⋯", "nearrow searrow swarrow nwarrow bullet star triangle cdots"),
        ("♠♥♦♣♭♮♯∓÷«»", "spadesuit heartsuit diamondsuit clubsuit flat natural sharp mp div ll gg"),
    ],
)
def test_signs_of_mathematics_have_their_commands(signs: str, commands: str) -> None:
    assert escaped(signs) == "".join(f"${chr(92)}{command}$" for command in commands.split())


def test_whatever_is_written_is_of_characters_that_every_latex_reads() -> None:
    everything = [chr(code) for code in [*range(0x3000), 0x4E2D, 0xAC00, 0xFB01, 0xFFFD, 0x1F600, 0x10FFFF]]
    for character in everything:
        written = escaped(character)
        assert written.isascii()
        assert written.isprintable()
        if not character.isspace() and unicodedata.category(character) not in ("Cf", "Cc"):
            assert written.strip(), hex(ord(character))


def test_words_of_our_own_tables_need_no_replacement() -> None:
    headings = [formatting.metric(key, key).heading for key in formatting.METRICS]
    shown = [
        *headings,
        *formatting.PUBLISHED.values(),
        *formatting.MODELS.values(),
        formatting.NONE,
        table.__doc__ or "",
    ]
    shown += [compared.ONE_SEED, compared.SEEDS, compared.QUOTED, cost.COST]
    assert not [text for text in shown if "U+" in escaped(text)]


def test_long_words_break_behind_punctuation_or_anywhere() -> None:
    assert breakable("plain words stay", 100.0) == "plain words stay"
    assert breakable("here/there.is_it", 40.0) == f"here/{BREAK}there.{BREAK}is_{BREAK}it"
    pieces = breakable("m" * 30, 50.0).split(BREAK)
    assert "".join(pieces) == "m" * 30
    assert all(width(piece) <= 50.0 for piece in pieces)


def test_lines_are_as_wide_as_they_may_be() -> None:
    assert lines("measured, scenes 32, 1k", width("measured, scenes")) == ["measured, scenes", "32, 1k"]
    assert lines("a bcdef g", 0.0) == ["a", "bcdef", "g"]
    assert lines("FID ↓", 0.0) == ["FID\u00a0↓"]


# ---------------------------------------------------------------------------------------------------------- layout


def numbers(columns: int, rows: int = 3, *, group: int = 4, name: str = "a model", cell: str = "12.34 ± 0.56") -> Block:
    """Return columns of numbers in groups, behind one of names; every cell says where it stands."""
    titles = [Column("Model", is_number=False)]
    titles += [Column(f"Metric {i} ↓", f"measured, group {i // group}, vgg16, 50k") for i in range(columns)]
    found = [[Cell(f"{name} {j}"), *(Cell(f"{cell} r{j}c{i}", i == j) for i in range(columns))] for j in range(rows)]
    return Block("", titles, found, ["A note."])


def written(*blocks: Block, title: str = "Title", caption: str = "How to read it.") -> str:
    return latex(Table(title, caption, blocks), "a b/ü")


def test_what_fits_is_not_made_smaller() -> None:
    text = written(numbers(2))
    assert r"\setlength" not in text
    assert text.count(r"\begin{tabular}") == 1
    assert text.count(r"\begin{table}") == 1
    assert r"\label{tab:a-b--}" in text


@pytest.mark.parametrize(("columns", "command"), [(4, r"\small"), (5, r"\footnotesize")])
def test_what_is_a_little_too_wide_is_made_smaller(columns: int, command: str) -> None:
    block = numbers(columns, cell="12.34")
    wide = Block(
        "", block.columns, [[cell if i else Cell("n" * 18) for i, cell in enumerate(row)] for row in block.rows]
    )
    text = written(wide)
    assert rf"{command}\setlength" in text
    assert len(re.findall(r"\\begin{tabular}{", text)) == 1


def test_what_is_much_too_wide_is_parted_at_groups_with_the_names_again() -> None:
    block = numbers(12, 3, group=3)
    text = written(block)
    parts = re.findall(r"\\begin{tabular}{@{}(.*?)@{}}", text)
    assert len(parts) > 1
    assert text.count("a model 2") == len(parts)
    assert text.count("A note.") == 1
    for j in range(3):
        for i in range(12):
            assert len(re.findall(rf"r{j}c{i}\b", text)) == 1
    heads = re.findall(r"\\cmidrule\(lr\){2-(\d+)}", text)
    assert len(heads) == len(parts)
    assert set(map(len, parts)) == {4}  # the names and one group of three


@pytest.mark.parametrize(
    "block", [numbers(40), numbers(9, name=LONG), numbers(5, cell=LONG), numbers(1, cell="W" * 90)]
)
def test_no_part_is_estimated_wider_than_the_text(block: Block) -> None:
    parts = list(table._parts(block, LOOKS[-1], 500.0))
    assert all(part.fits for part in parts)
    assert sum(len(part.block.columns) - part.names for part in parts) == len(block.columns) - 1


def test_what_is_higher_than_a_page_goes_on_in_another_float() -> None:
    text = written(numbers(2, 250))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") > 2
    assert text.count(r"\label") == 1
    assert (
        text.count(r"\addtocounter{table}{-1}") == text.count("Title (continued).") == text.count(r"\begin{table}") - 1
    )
    assert [int(j) for j in re.findall(r"a model (\d+)", text)] == list(range(250))


def test_the_smallest_tables_are_written() -> None:
    assert r"\begin{tabular}{@{}l@{}}" in written(Block("", [Column("", is_number=False)], []))
    assert written() == written()


# --------------------------------------------------------------------------------------------------------- compiled


def compile_all(texts: Sequence[str], folder: Path, allowed: str = "(?!)") -> None:
    """One document of all of them; AssertionError names errors, and boxes and floats that are too large."""
    if (
        shutil.which("pdflatex") is None
        or subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode
    ):
        pytest.skip("pdflatex or booktabs is not here: Debian's texlive-latex-base and texlive-latex-recommended")
    for i, text in enumerate(texts):
        (folder / f"part{i}.tex").write_text(text, encoding="ascii")
    included = "\n".join(rf"\input{{part{i}}}\clearpage" for i in range(len(texts)))
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{included}\end{{document}}"
    (folder / "all.tex").write_text(document, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "all"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "max_print_line": "1000"}, capture_output=True)
    log = (folder / "all.log").read_text(encoding="utf-8", errors="replace")
    bad = re.findall(
        r"^(?:!|Overfull \\hbox|LaTeX Warning: Float too large|Missing character).*(?:\n.*)?", log, re.MULTILINE
    )
    bad = [line for line in bad if not re.match(allowed, line)]
    assert not bad, bad[:5]
    assert done.returncode == 0


def merged(preset: str) -> config.Config:
    """Return the configuration as Snakemake makes it of config.yaml and an overlay."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    if preset:
        update_config(raw, yaml.safe_load((ROOT / f"workflow/presets/{preset}.yaml").read_text(encoding="utf-8")))
    return config.load(raw)


@pytest.mark.slow
@pytest.mark.latex
@pytest.mark.parametrize(("preset", "seeds"), [*((preset, (0,)) for preset in PRESETS), ("", (0, 1))])
def test_all_tables_of_a_configuration_compile(
    preset: str, seeds: tuple[int, ...], tmp_path: Path, metrics: MakeFile, run: MakeFile
) -> None:
    found = merged(preset)
    random = np.random.default_rng(0)
    texts = []
    for name, told in found.experiments.items():
        if told.shape != "table":
            continue
        experiment = told.model_copy(update={"seeds": seeds})
        out = tmp_path / name
        keys = [key for key in formatting.METRICS if not key.startswith(("chi2_", "dci_"))]
        if isinstance(experiment, cost.Config):
            cost.draw(experiment, costs(experiment, run, random), out)
        elif isinstance(experiment, properties.Properties):
            prefix = "chi2_" if experiment.kind == "scene-statistics" else "dci_"
            keys = [key for key in formatting.METRICS if key.startswith(prefix)]
            properties.draw(experiment, [*values(experiment, keys, metrics, random), PUBLISHED], out)
        elif isinstance(experiment, search.Config):
            search.draw(experiment, [*costs(experiment, run, random), *values(experiment, keys, metrics, random)], out)
        else:
            # With the speed of each run unknown, at equal images; what compares seeds has two.
            changes = {"budget": "images"} if isinstance(experiment, comparison.Config) else {"seeds": (0, 1)}
            experiment = experiment.model_copy(update={**changes, "budget": "images"})
            files = values(experiment, [*keys, "second_fd"], metrics, random)
            needs_published = isinstance(experiment, comparison.Config | orderings.Config)
            kind = plugins.find("ganformer.exhibits", experiment.kind)
            kind.draw(experiment, [*files, *([PUBLISHED] if needs_published else [])], out)
        texts.append(out.with_name(f"{name}.tex").read_text(encoding="utf-8"))
    assert texts
    compile_all(texts, tmp_path)


def values(experiment: Any, keys: list[str], metrics: MakeFile, random: np.random.Generator) -> list[Path]:
    """Return metrics.json of every run, with all numbers that there can be and their errors."""
    files = []
    for dataset, model, seed in experiment.runs():
        found = {}
        for key in keys:
            value = float(
                random.uniform(0.1, 0.9) if formatting.metric(key, key).scale == 100 else random.uniform(10, 200)
            )
            network = {"by": "inception-2015" if key[0] in "fi" else "vgg16"}
            found[key] = {"name": f"fid_{key}", "value": value, **network}
            found[f"{key}_std"] = {"name": f"fid_{key}_std", "value": value / 20, **network}
        recipe = {
            "extractor": {"kind": "inception-2015"},
            "images": 50_000,
            "repeats": 10,
            "real_images": 100_000,
            "image": {"height": 192, "width": 256, "channels": 3},
        }
        files.append(metrics(dataset, model, seed, values=found, recipe=recipe, kimg=10_000))
    return files


def costs(experiment: Any, run: MakeFile, random: np.random.Generator) -> list[Path]:
    """Return run.json of every run, on hardware with long names."""
    hardware = {"device": "cuda", "device_name": "NVIDIA H100 80GB HBM3", "gpus": 8, "threads": 2}
    parts = ("generator", "discriminator", "autoencoder", "transformer")
    return [
        run(
            dataset,
            model,
            seed,
            parameters={part: int(random.integers(10**6, 10**9)) for part in parts},
            seconds_per_kimg=float(random.uniform(1, 900)),
            wall_seconds=float(random.uniform(1e5, 1e6)),
            peak_memory_mb=123_456.7,
            hardware=hardware,
        )
        for dataset, model, seed in experiment.runs()
    ]


@pytest.mark.slow
@pytest.mark.latex
def test_odd_tables_compile(tmp_path: Path) -> None:
    """Every character there is a rule for, and more; long names, many columns, many rows, in every place of a table."""
    every = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x250), *range(0x370, 0x400), *range(0x2000, 0x2300)]))
    blocks = [numbers(12), numbers(25, 6, group=7), numbers(9, name=LONG), numbers(5, cell=LONG), numbers(3, 150)]
    blocks += [numbers(1, cell="W" * 90), numbers(2, 0)]
    compile_all([written(block) for block in blocks], tmp_path)
    texts = []
    for text in [*ODD, LONG, "W" * 200, "x".join(ODD), *(every[i : i + 40] for i in range(0, len(every), 40))]:
        columns = [Column(text, is_number=False), Column(text, text), Column("b", text), Column(text)]
        rows = [[Cell(text, is_best), Cell(text), Cell("1", is_best), Cell(text, is_best)] for is_best in (False, True)]
        texts.append(written(Block(text, columns, rows, [text]), numbers(3), title=text, caption=f"{text} {text}"))
    compile_all(texts, tmp_path, allowed="LaTeX Warning: Float too large")  # all that text in one row


@pytest.mark.latex
def test_estimated_widths_are_no_less_than_those_of_latex(tmp_path: Path) -> None:
    blocks = [numbers(3), numbers(6), numbers(12), numbers(5, cell=LONG), numbers(4, name="é′±×↑ W")]
    laid = [part for block in blocks for look in LOOKS for part in table._parts(block, look, 500.0)]
    measured = "\n".join(
        rf"{{{part.look.command}\setlength{{\tabcolsep}}{{{part.look.margin}pt}}\setbox0=\hbox{{%"
        + "\n"
        + "\n".join(line for line in part.lines() if "A note" not in line)
        + r"}\message{WIDTH \the\wd0;}}"
        for part in laid
    )
    compile_all([measured], tmp_path)
    found = re.findall(r"WIDTH ([\d.]+)pt;", (tmp_path / "all.log").read_text(encoding="utf-8", errors="replace"))
    assert len(found) == len(laid)
    for part, true in zip(laid, map(float, found), strict=True):
        estimated = part._span(part.widths)
        assert 0.75 * estimated < true <= estimated + 0.1


def test_a_wide_heading_of_a_group_widens_its_last_column() -> None:
    names, group = Column("model", is_number=False), "wide heading of two columns"
    columns = [names, Column("a", group), Column("b", group), Column("c")]
    block = Block("", columns, [[Cell("m"), Cell("1"), Cell("2"), Cell("3")]])
    plain = Laid(replace(block, columns=[replace(column, group="") for column in columns]), LOOKS[0]).widths
    wide = Laid(block, LOOKS[0]).widths
    assert wide[2] > plain[2]
    assert [wide[0], wide[1], wide[3]] == [plain[0], plain[1], plain[3]]
    assert wide[1] + wide[2] + 2 * LOOKS[0].margin == pytest.approx(width(group))


def test_names_may_be_wider_than_numbers() -> None:
    columns = [Column("model", is_number=False), Column("a")]
    laid = Laid(Block("", columns, [[Cell("m"), Cell("1")]]), LOOKS[1])
    assert [laid.limit(0), laid.limit(1)] == [0.5 * TEXT_WIDTH, 0.4 * TEXT_WIDTH]


def test_what_one_column_of_names_leaves_another_may_take() -> None:
    columns = [Column("a", is_number=False), Column("b", is_number=False), Column("c")]
    laid = Laid(Block("", columns, [[Cell("short"), Cell("long " * 90), Cell("1")]]), LOOKS[1])
    assert laid.limit(0) == 0.25 * TEXT_WIDTH
    assert laid.limit(1) == pytest.approx(0.5 * TEXT_WIDTH - width("short"))


def test_a_part_of_a_table_knows_its_names() -> None:
    assert Laid(numbers(2), LOOKS[0]).names == 1
    both = Block("", [Column("Data set", is_number=False), Column("Model", is_number=False), Column("x")], [])
    assert Laid(both, LOOKS[0]).names == 2


def test_the_height_of_a_table_counts_its_rows_headings_and_notes() -> None:
    one = Block("", [Column("Model", is_number=False), Column("FD")], [[Cell("duplex"), Cell("1.0")]])

    def height(**changes: Any) -> float:
        return Laid(replace(one, **changes), LOOKS[0]).height

    assert height() == 16 + 2 * 12
    assert height(rows=[*one.rows, *one.rows]) == height() + 12
    assert height(heading="scenes") == height() + 12
    assert height(columns=[one.columns[0], Column("FD", "measured")]) == height() + 12
    assert height(notes=["Short."]) == pytest.approx(height() + 0.86 * 12 + 6)
    assert height(notes=["Short.", "Short."]) == pytest.approx(height() + 2 * (0.86 * 12 + 6))
    assert Laid(one, LOOKS[1]).height == height()
    assert Laid(one, LOOKS[3]).height == pytest.approx(16 + 0.86 * 2 * 12)


def test_parts_of_a_long_table_are_as_high_as_the_page() -> None:
    rows = [[Cell("duplex"), Cell("1.0")]] * 30
    block = Block("scenes", [Column("Model", is_number=False), Column("FD", "measured")], rows, ["Short."])
    parts = list(table._parts(block, LOOKS[0], 16 + 12 * 12))  # of which two lines are headings
    assert [len(part.block.rows) for part in parts] == [10, 10, 10]
    assert [part.block.heading for part in parts] == ["scenes", "", ""]
    assert [part.block.notes for part in parts] == [(), (), ["Short."]]


# Computer Modern Roman of 10 pt, as its font metrics have them.
CMR10 = {
    **dict(
        zip(
            "ABCDEFGHIJKLM",
            (7.5, 7.083, 7.222, 7.639, 6.806, 6.528, 7.847, 7.5, 3.611, 5.139, 7.778, 6.25, 9.167),
            strict=True,
        )
    ),
    **dict(
        zip(
            "NOPQRSTUVWXYZ",
            (7.5, 7.778, 6.806, 7.778, 7.361, 5.556, 7.222, 7.5, 7.5, 10.278, 7.5, 7.5, 6.111),
            strict=True,
        )
    ),
    **dict(
        zip(
            "abcdefghijklm",
            (5, 5.556, 4.444, 5.556, 4.444, 3.056, 5, 5.556, 2.778, 3.056, 5.278, 2.778, 8.333),
            strict=True,
        )
    ),
    **dict(
        zip(
            "nopqrstuvwxyz",
            (5.556, 5, 5.556, 5.278, 3.917, 3.944, 3.889, 5.556, 5.278, 7.222, 5.278, 5.278, 4.444),
            strict=True,
        )
    ),
    **dict.fromkeys("0123456789", 5.0),
    "…": 3 * (2.778 + 1.667),  # full stops, each with a thin space
}


def test_widths_of_letters_are_those_of_the_font_rounded_up() -> None:
    assert {letter for letter, true in CMR10.items() if not true - 1e-3 <= width(letter) <= true + 0.56} == set()
    assert width("é") == width("e")
    assert width("mm", bold=True) == pytest.approx(1.22 * width("mm"))
    assert width("\u4e2d") == width("[U+4E2D]")
    assert width(f"a{BREAK}b") == width("ab")


def test_sizes_are_those_of_the_class_article() -> None:
    """Compare text and columns with article's; letters of 9 and 8 pt are 0.925 and 0.85 as wide as those of 10 pt."""
    assert (TEXT_WIDTH, table.TEXT_HEIGHT) == (345, 550)
    assert [look.margin for look in LOOKS] == [6, 6, 5, 4]
    for look, true in zip(LOOKS, (1.0, 1.0, 0.925, 0.85), strict=True):
        assert true <= look.scale <= true + 0.011
    assert [look.wraps for look in LOOKS] == [False, True, True, True]


def test_a_letter_wider_than_its_line_has_a_line_of_its_own() -> None:
    assert breakable("WW i", 5.0) == f"W{BREAK}W i"


def test_a_table_as_wide_as_the_text_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    laid = Laid(numbers(2), LOOKS[0])
    for more, fits in ((0.0, True), (-0.1, False)):
        monkeypatch.setattr(table, "TEXT_WIDTH", laid._span(laid.widths) + more)
        assert Laid(numbers(2), LOOKS[0]).fits is fits


def test_words_of_paragraphs_and_of_cells_that_are_broken_are_broken() -> None:
    """A paragraph breaks words wider than a third of the text (115 pt), a column of numbers those wider than 106 pt."""
    assert [r"\allowbreak" in table._paragraph("m" * count) for count in (13, 14)] == [False, True]  # 109 and 118 pt
    columns = [Column("model", is_number=False), Column("a")]
    for count, is_broken in ((12, False), (13, True)):
        cell = Cell(f"{'m' * count} {'m' * count}")
        laid = Laid(Block("", columns, [[Cell("m"), cell]]), LOOKS[1])
        assert (r"\allowbreak" in laid._cell(1, cell)) is is_broken
        assert laid._kind(1) == "p{138.0pt}"


def test_wide_cells_are_as_high_as_their_lines() -> None:
    for count, height in ((33, 2), (36, 3)):  # 277 and 302 pt in 172.5 pt, a fifth of which may be left at its end
        block = Block("", [Column("Model", is_number=False)], [[Cell("m" * count)]])
        assert Laid(block, LOOKS[1]).height == 16 + 12 + height * 12


def test_pages_are_filled_with_rows() -> None:
    """A caption of one line and the space around the float take 36 of 550 pt, rules 16 and two lines of headings 24."""
    floats = written(numbers(2, 250)).split(r"\begin{table}")[1:]
    assert [part.count("a model") for part in floats] == [39] * 6 + [16]


def test_parts_share_a_page_with_half_a_line_between_them() -> None:
    part = Laid(numbers(2), LOOKS[0])
    for room, count in ((2 * part.height + 6, 1), (2 * part.height + 5, 2)):
        assert [len(each) for each in table._floats([part, part], room)] == ([2] if count == 1 else [1, 1])
