"""Table in four forms: csv for programs, Markdown, LaTeX, and JSON for the report page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ganformer import artifacts
from ganformer.records.exhibit import Block, Cell, Column, Exhibit
from ganformer.report.latex import breakable, escaped, lines, width

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """Table for readers."""

    title: str
    caption: str
    blocks: Sequence[Block]


def write(table: Table, numbers: pd.DataFrame, out: Path) -> None:
    """Write `out`.csv (`numbers`, unrounded), .md, .tex and .json (for the report page)."""
    page = Exhibit(exhibit="table", target=out.name, title=table.title, caption=table.caption, blocks=table.blocks)
    write_numbers(numbers, out)
    artifacts.write_text(out.with_name(f"{out.name}.md"), markdown(table))
    artifacts.write_text(out.with_name(f"{out.name}.tex"), latex(table, out.name))
    page.write(out.with_name(f"{out.name}.json"))


def write_numbers(numbers: pd.DataFrame, out: Path) -> None:
    """Write `out`.csv, unrounded."""
    artifacts.write_text(out.with_name(f"{out.name}.csv"), numbers.to_csv(index=False, lineterminator="\n"))


# ---------------------------------------------------------------------------------------------- Markdown


def markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, with one line of headings: a column's group follows its title."""
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


# Of the class `article`, in points.
TEXT_WIDTH, TEXT_HEIGHT = 345.0, 550.0
LINE = 12.0
RULES = 16.0  # height of the rules of a table


@dataclass(frozen=True)
class Look:
    """Size of a table: a command of LaTeX, its scale, and the points beside a column.

    `wraps`: headings are broken into lines, and columns of text that are wide.
    """

    command: str
    scale: float
    margin: float
    wraps: bool


LOOKS = (
    Look("", 1.0, 6.0, False),
    Look("", 1.0, 6.0, True),
    Look(r"\small", 0.93, 5.0, True),
    Look(r"\footnotesize", 0.86, 4.0, True),
)
"""Sizes in order of preference; a table that must be split is set in the last one."""


def latex(table: Table, label: str) -> str:
    """Return the table as LaTeX, no wider than the text of `article`; it needs the package booktabs.

    It is set smaller where it must be, and where that is not enough columns are put below each other, with those of the
    names again. Rows beyond a page are in another float. The first is labelled `tab:<label>`.
    """
    look = next((look for look in LOOKS if all(Laid(block, look).fits for block in table.blocks)), LOOKS[-1])
    caption = f"{table.title}. {table.caption}"
    room = TEXT_HEIGHT - _height(caption, 1.0) - 2 * LINE
    floats = _floats([part for block in table.blocks for part in _parts(block, look, room)], room)
    text = ["% needs \\usepackage{booktabs}"]
    for number, parts in enumerate(floats):
        text += [r"\begin{table}", *(rf"  {line}" for line in _beginning(look))]
        if number:
            text += [r"  \addtocounter{table}{-1}", rf"  \caption{{{_paragraph(f'{table.title} (continued).')}}}"]
        else:
            name = re.sub(r"[^A-Za-z0-9_.:-]", "-", label)
            text += [rf"  \caption{{{_paragraph(caption)}}}", rf"  \label{{tab:{name}}}"]
        for place, part in enumerate(parts):
            text += [r"  \par\medskip"] if place else []
            text += [f"  {line}" for line in part.lines()]
        text.append(r"\end{table}")
    return "\n".join([*text, ""])


def _beginning(look: Look) -> Iterator[str]:
    yield r"\centering\sloppy"
    if look.command:
        yield rf"{look.command}\setlength{{\tabcolsep}}{{{look.margin:g}pt}}"


@dataclass(frozen=True)
class Laid:
    """Layout of a block, or of a part of it. Widths are points at the size of the look."""

    block: Block
    look: Look

    @property
    def names(self) -> int:
        """Number of columns at the beginning that name a row."""
        first = [column.is_number for column in self.block.columns]
        return first.index(True) if True in first else min(1, len(first))

    def limit(self, place: int) -> float:
        """Return the largest width of a column; columns of names share half of the text, the others get less."""
        if not self.look.wraps:
            return math.inf
        if place >= self.names:
            return 0.4 * TEXT_WIDTH
        share = 0.5 * TEXT_WIDTH / self.names
        others = sum(min(self.natural[i], share) for i in range(self.names) if i != place)
        return max(share, 0.5 * TEXT_WIDTH - others)

    @cached_property
    def natural(self) -> list[float]:
        """Width of the widest cell of each column."""
        rows = [[width(cell.text, bold=cell.is_best) * self.look.scale for cell in row] for row in self.block.rows]
        return [max(column) for column in zip(*rows, strict=True)] if rows else [0.0] * len(self.block.columns)

    @cached_property
    def titles(self) -> list[list[str]]:
        """Lines of the heading of each column."""
        return [
            self._lines(c.title, min(self.natural[i], self.limit(i)), self.limit(i))
            for i, c in enumerate(self.block.columns)
        ]

    @cached_property
    def widths(self) -> list[float]:
        """Width of each column, its heading included."""
        widths = [
            max(min(self.natural[place], self.limit(place)), self._widest(title))
            for place, title in enumerate(self.titles)
        ]
        start = 0
        for (_, count), heading in zip(groups(self.block.columns), self._headings(widths), strict=True):
            own = self._span(widths[start : start + count])
            widths[start + count - 1] += max(0.0, self._widest(heading) - own)
            start += count
        return widths

    @cached_property
    def headings(self) -> list[list[str]]:
        """Lines of the heading of each group of columns."""
        return self._headings(self.widths)

    @property
    def fits(self) -> bool:
        """True if it is no wider than the text."""
        return self._span(self.widths) <= TEXT_WIDTH

    @property
    def height(self) -> float:
        """Estimate of the height, notes included, in points."""
        tall = [max(max(1, math.ceil(1.2 * x / limit)) for x, limit in self._cells(row)) for row in self.block.rows]
        heads = max(map(len, self.titles), default=0) + max(map(len, self.headings), default=0)
        notes = sum(_height(note, 0.86) + LINE / 2 for note in self.block.notes)
        return (sum(tall) + heads + bool(self.block.heading)) * LINE * self.look.scale + RULES + notes

    def lines(self) -> Iterator[str]:
        """Yield its LaTeX."""
        if self.block.heading:
            yield rf"\textbf{{{_paragraph(self.block.heading)}}}\\[2pt]"
        yield rf"\begin{{tabular}}{{@{{}}{''.join(map(self._kind, range(len(self.widths))))}@{{}}}}"
        yield r"  \toprule"
        if any(column.group for column in self.block.columns):
            yield from (f"  {line}" for line in self._group_lines())
        titles = zip(self.titles, self.block.columns, strict=True)
        yield f"  {_row(_stacked(title, 'r' if column.is_number else 'l') for title, column in titles)}"
        yield r"  \midrule"
        yield from (f"  {_row(self._cell(place, cell) for place, cell in enumerate(row))}" for row in self.block.rows)
        yield r"  \bottomrule"
        yield r"\end{tabular}"
        yield from (rf"\par\smallskip{{\footnotesize {_paragraph(note)}\par}}" for note in self.block.notes)

    def _lines(self, title: str, wanted: float, limit: float) -> list[str]:
        """Return a heading in one line, or in lines of the width `wanted`, as far as its words allow."""
        if not self.look.wraps:
            return [title]
        scale = self.look.scale
        return lines(breakable(title, limit / scale), wanted / scale)

    def _headings(self, widths: Sequence[float]) -> list[list[str]]:
        found, start = [], 0
        for group, count in groups(self.block.columns):
            found.append(
                self._lines(group, self._span(widths[start : start + count]), 0.4 * TEXT_WIDTH) if group else []
            )
            start += count
        return found

    def _widest(self, heading: Sequence[str]) -> float:
        return max((width(line) for line in heading), default=0.0) * self.look.scale

    def _span(self, widths: Sequence[float]) -> float:
        return sum(widths) + 2 * self.look.margin * max(0, len(widths) - 1)

    def _cells(self, row: Sequence[Cell]) -> Iterator[tuple[float, float]]:
        for place, cell in enumerate(row):
            yield width(cell.text, bold=cell.is_best) * self.look.scale, self.limit(place)

    def _kind(self, place: int) -> str:
        if self.natural[place] > self.limit(place):
            return f"p{{{self.widths[place]:.1f}pt}}"
        return "r" if self.block.columns[place].is_number else "l"

    def _cell(self, place: int, cell: Cell) -> str:
        is_broken = self.natural[place] > self.limit(place)
        text = escaped(breakable(cell.text, self.limit(place) / self.look.scale / 1.3) if is_broken else cell.text)
        text = rf"\textbf{{{text}}}" if cell.is_best else text
        side = r"\raggedleft" if self.block.columns[place].is_number else r"\raggedright"
        return rf"{side}\let\\\tabularnewline {text}" if is_broken else text  # restore the end of the row

    def _group_lines(self) -> Iterator[str]:
        cells, rules, start = [], [], 1
        for (group, count), heading in zip(groups(self.block.columns), self.headings, strict=True):
            edge = "@{}" if start + count > len(self.widths) else ""
            spanned = rf"\multicolumn{{{count}}}{{c{edge}}}{{{_stacked(heading, 'c')}}}"
            cells.append(spanned if group else " & ".join([""] * count))
            rules += [rf"\cmidrule(lr){{{start}-{start + count - 1}}}"] if group else []
            start += count
        yield _row(cells)
        yield " ".join(rules)


def _parts(block: Block, look: Look, room: float) -> Iterator[Laid]:
    """Yield parts of a block that fit the text: columns below each other, then rows; notes follow the last one."""
    whole = Laid(block, look)
    columns = [list(range(len(block.columns)))] if whole.fits else list(_portions(whole))
    bodies = []
    for chosen in columns:
        titles = [block.columns[i] for i in chosen]
        rows = [[row[i] for i in chosen] for row in block.rows]
        height, heads = (Laid(Block("", titles, body), look).height for body in (rows, []))
        count = max(1, len(rows) if height <= room else int(len(rows) * (room - heads) / (height - heads)))
        bodies += [Block("", titles, rows[start : start + count]) for start in range(0, max(1, len(rows)), count)]
    for place, body in enumerate(bodies):
        heading = block.heading if place == 0 else ""
        yield Laid(replace(body, heading=heading, notes=block.notes if place == len(bodies) - 1 else ()), look)


def _portions(whole: Laid) -> Iterator[list[int]]:
    """Yield as many columns as fit beside the names; groups stay together if they can."""
    block, names = whole.block, list(range(whole.names))

    def fits(chosen: Sequence[int]) -> bool:
        columns = [block.columns[i] for i in [*names, *chosen]]
        rows = [[row[i] for i in [*names, *chosen]] for row in block.rows]
        return Laid(Block("", columns, rows), whole.look).fits

    chosen: list[int] = []
    start = 0
    for _, count in groups(block.columns):
        group = [i for i in range(start, start + count) if i >= len(names)]
        start += count
        for together in [group] if fits(group) else [[i] for i in group]:
            if chosen and not fits([*chosen, *together]):
                yield [*names, *chosen]
                chosen = []
            chosen += together
    yield [*names, *chosen]


def _floats(parts: Sequence[Laid], room: float) -> list[list[Laid]]:
    """Return lists of parts that are together no higher than a page."""
    floats: list[list[Laid]] = [[]]
    left = room
    for part in parts:
        if floats[-1] and part.height > left:
            floats.append([])
            left = room
        floats[-1].append(part)
        left -= part.height + LINE / 2
    return floats


def groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Return heading and number of neighbouring columns of one group."""
    return [(group, len(list(members))) for group, members in groupby(column.group for column in columns)]


def _height(text: str, scale: float) -> float:
    """Return the height of a paragraph."""
    return math.ceil(width(text) * scale / TEXT_WIDTH) * LINE * scale


def _stacked(heading: Sequence[str], side: str) -> str:
    """Return the lines of a heading above each other."""
    text = r"\\".join(map(escaped, heading))
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{text}\end{{tabular}}" if len(heading) > 1 else text


def _paragraph(text: str) -> str:
    return escaped(breakable(text, TEXT_WIDTH / 3))


def _row(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"
