"""One table in four forms: csv for programs, Markdown, LaTeX, and JSON for the report page."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import pandas as pd

from ganformer import artifacts

LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "²": r"$^2$",
    "–": "--",
    "†": r"\dag{}",
    "µ": r"$\mu$",
}


@dataclass(frozen=True)
class Column:
    """A column; `group` is the heading over it and its neighbours of the same group. Numbers are flush right."""

    title: str
    group: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and whether it is the best of its column."""

    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Block:
    """A part of a table with columns of its own, e.g. one data set; `heading` is empty where there is only one."""

    heading: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """A table for readers."""

    title: str
    caption: str
    blocks: Sequence[Block]


def write(table: Table, numbers: pd.DataFrame, out: Path) -> None:
    """Writes `out`.csv (`numbers`, unrounded), .md, .tex and .json (what the report page shows)."""
    page = {"format": 1, "exhibit": "table", "target": out.name, **asdict(table)}
    write_numbers(numbers, out)
    artifacts.write_text(out.with_name(f"{out.name}.md"), markdown(table))
    artifacts.write_text(out.with_name(f"{out.name}.tex"), latex(table, out.name))
    artifacts.write_json(out.with_name(f"{out.name}.json"), page)


def write_numbers(numbers: pd.DataFrame, out: Path) -> None:
    """Writes `out`.csv, unrounded."""
    artifacts.write_text(out.with_name(f"{out.name}.csv"), numbers.to_csv(index=False, lineterminator="\n"))


# ---------------------------------------------------------------------------------------------- Markdown


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown; a column's group follows its title, as there is one line of headings only."""
    parts = [f"## {_marked(table.title)}", _marked(table.caption)]
    for block in table.blocks:
        if block.heading:
            parts.append(f"### {_marked(block.heading)}")
        parts.append("\n".join(_markdown_lines(block)))
        parts += [_marked(note) for note in block.notes]
    return "\n\n".join(parts) + "\n"


def _markdown_lines(block: Block) -> Iterable[str]:
    yield _line(_marked(f"{c.title} ({c.group})" if c.group else c.title) for c in block.columns)
    yield _line("---:" if column.is_number else ":---" for column in block.columns)
    for row in block.rows:
        yield _line(f"**{_marked(cell.text)}**" if cell.is_best else _marked(cell.text) for cell in row)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marked(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


# ------------------------------------------------------------------------------------------------- LaTeX


def latex(table: Table, label: str) -> str:
    """The table as a LaTeX float labelled `tab:<label>`; it needs the package booktabs."""
    lines = ["% needs \\usepackage{booktabs}", r"\begin{table}", r"  \centering"]
    lines += [rf"  \caption{{{_escaped(f'{table.title}. {table.caption}')}}}", rf"  \label{{tab:{label}}}"]
    for block in table.blocks:
        lines += [rf"  \textbf{{{_escaped(block.heading)}}}\\[2pt]"] if block.heading else []
        lines += [f"  {line}" for line in _tabular(block)]
        lines += [rf"  \par\smallskip{{\footnotesize {_escaped(note)}\par}}" for note in block.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _tabular(block: Block) -> Iterable[str]:
    yield rf"\begin{{tabular}}{{{''.join('r' if column.is_number else 'l' for column in block.columns)}}}"
    yield r"  \toprule"
    if any(column.group for column in block.columns):
        yield from (f"  {line}" for line in _group_lines(block.columns))
    yield f"  {_row(_escaped(column.title) for column in block.columns)}"
    yield r"  \midrule"
    for row in block.rows:
        yield "  " + _row(rf"\textbf{{{_escaped(c.text)}}}" if c.is_best else _escaped(c.text) for c in row)
    yield r"  \bottomrule"
    yield r"\end{tabular}"


def _group_lines(columns: Sequence[Column]) -> Iterable[str]:
    cells, rules, start = [], [], 1
    for group, width in groups(columns):
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_escaped(group)}}}" if group else " & ".join([""] * width))
        rules += [rf"\cmidrule(lr){{{start}-{start + width - 1}}}"] if group else []
        start += width
    yield _row(cells)
    yield " ".join(rules)


def groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Neighbouring columns of one group: its heading and how many they are."""
    return [(group, len(list(members))) for group, members in groupby(column.group for column in columns)]


def _row(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
