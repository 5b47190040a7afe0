"""Page about finished tables and figures for the documentation, from a template whose numbers come from their csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined, TemplateError
from jinja2.exceptions import TemplateSyntaxError

from ganformer import artifacts
from ganformer.config import Config
from ganformer.errors import ConfigError, DataError
from ganformer.records.exhibit import Block, Cell, Exhibit
from ganformer.records.run import RUN_FILE
from ganformer.report import facts, formatting, records, table

if TYPE_CHECKING:
    import pandas as pd

PAGE = "index.md"
LARGEST = 1_200_000
"""Largest picture, in bytes, that is copied; the documentation is part of the repository."""


@dataclass(frozen=True)
class Published:
    """Table or figure beside the page, as the template uses it."""

    record: Exhibit
    path: Path
    """Its .json."""

    @property
    def csv(self) -> Path:
        """Path of its numbers; samples and attention maps have none."""
        return self.path.with_suffix(".csv")

    @property
    def png(self) -> Path:
        """Path of the picture of a figure."""
        return self.path.with_suffix(".png")

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """Rows of its csv; DataError if it has none."""
        import pandas as pd

        if not self.csv.exists():
            raise DataError(f"{self.csv}: is missing, so the page cannot quote '{self.record.target}'; draw it again")
        return pd.read_csv(self.csv)

    def text(self) -> str:
        """Return the table, or the picture with its caption, and a link to the numbers, as Markdown and HTML."""
        name = self.record.target
        link = f"[Numbers as csv]({name}.csv)" if self.csv.exists() else ""
        if self.record.exhibit == "figure":
            return "\n\n".join(filter(None, [f"![{self.record.alt}]({name}.png)", self.record.caption, link]))
        parts = [self.record.caption]
        for block in self.record.blocks:
            parts += [f"### {block.heading}" if block.heading else "", html(block), *block.notes]
        return "\n\n".join(filter(None, [*parts, link]))


def publish(config: Config, template: Path, files: Sequence[Path], out: Path, command: str) -> None:
    """Write the page `out`/index.md, with the csv and the pictures of its tables and figures beside it.

    `template`: Markdown with Jinja expressions. It knows `exhibit(NAME)`, the whole table or figure; `value(NAME,
    COLUMN, …)`, a cell of its csv in the row whose other columns have the given values; `quantity`, `count`, `percent`
    and `model`, spellings of it; `rows(NAME, …)`, such rows as mappings; `facts`, pairs of a name and a text on the
    runs; `command`; `config`. `files`: the .json of each table and figure, and run.json of every run.
    Raises ConfigError if the template is not valid or uses an unknown name, DataError if a file is missing or a picture
    is too large.
    """
    records_of_runs = records.runs(file for file in files if file.name == RUN_FILE)
    shown = {}
    for file in (file for file in files if file.name != RUN_FILE):
        record = Exhibit.read(file)
        shown[record.target] = Published(record, file)
    lookup = Lookup(template, shown)
    text = lookup.render(
        facts=[*facts.of_runs(records_of_runs), ("Libraries", facts.libraries(records_of_runs))],
        command=command.replace(" {}", ""),
        config=config,
        runs=len(records_of_runs),
    )
    copies = [path for each in shown.values() for path in _copied(each)]
    for path in copies:
        with artifacts.atomic(out / path.name) as temporary:
            temporary.write_bytes(path.read_bytes())
    artifacts.write_text(out / PAGE, text)


def _copied(published: Published) -> Iterable[Path]:
    if published.csv.exists():
        yield published.csv
    if published.record.exhibit == "figure":
        try:
            size = published.png.stat().st_size
        except OSError as error:
            raise DataError(f"{published.png}: cannot be read ({error.strerror}); draw the figure again") from error
        if size > LARGEST:
            raise DataError(
                f"{published.png}: has {size:,} bytes, and a page takes pictures of at most {LARGEST:,}; draw fewer "
                "images"
            )
        yield published.png


def html(block: Block) -> str:
    """Return a block of a table as HTML, since Markdown has no headings over several columns."""
    cells = [_row("th", ((column.title, _side(column.is_number)) for column in block.columns))]
    if any(column.group for column in block.columns):
        spans = ((title, f' colspan="{width}"') for title, width in table.groups(block.columns))
        cells.insert(0, _row("th", spans))
    for row in block.rows:
        sides = (_side(column.is_number) for column in block.columns)
        cells.append(_row("td", zip(map(_marked, row), sides, strict=True), is_text=False))
    return "\n".join(["<table>", *cells, "</table>"])


def _row(tag: str, cells: Iterable[tuple[str, str]], *, is_text: bool = True) -> str:
    inside = (f"<{tag}{look}>{escape(text) if is_text else text}</{tag}>" for text, look in cells)
    return f"<tr>{''.join(inside)}</tr>"


def _side(is_number: bool) -> str:
    return ' align="right"' if is_number else ' align="left"'


def _marked(cell: Cell) -> str:
    text = escape(cell.text)
    return f"<b>{text}</b>" if cell.is_best else text


@dataclass(frozen=True)
class Lookup:
    """Names that a template can use, and their content."""

    template: Path
    shown: Mapping[str, Published]

    def render(self, **variables: Any) -> str:
        """Return the text of the template."""
        environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
        environment.globals |= {
            "exhibit": self.exhibit,
            "value": self.value,
            "rows": self.rows,
            "quantity": formatting.quantity,
            "count": formatting.count,
            "percent": lambda number: f"{100 * number:.1f} %",
            "model": formatting.model,
            "listing": formatting.listing,
        }
        try:
            return environment.from_string(self.template.read_text(encoding="utf-8")).render(**variables)
        except OSError as error:
            raise ConfigError(f"{self.template}: cannot be read ({error.strerror})") from error
        except TemplateSyntaxError as error:
            raise ConfigError(f"{self.template}:{error.lineno}: is no valid template ({error.message})") from error
        except TemplateError as error:
            raise ConfigError(f"{self.template}: {error}; see `publish` for what a template knows") from error

    def exhibit(self, name: str) -> str:
        """Return a table or figure."""
        return self._named(name).text()

    def rows(self, name: str, **where: Any) -> list[dict[str, Any]]:
        """Return the rows of a csv whose columns have these values."""
        numbers = self._named(name).numbers
        for column, wanted in where.items():
            self._check(name, column, numbers)
            numbers = numbers[numbers[column] == wanted]
        return [{str(key): value for key, value in row.items()} for row in numbers.to_dict("records")]

    def value(self, name: str, column: str, **where: Any) -> Any:
        """Return the cell of a csv in `column`, of the only row whose other columns have these values."""
        self._check(name, column, self._named(name).numbers)
        found = self.rows(name, **where)
        if len(found) != 1:
            told = ", ".join(f"{key} {wanted}" for key, wanted in where.items()) or "no condition"
            raise ConfigError(
                f"{self.template}: {len(found)} rows of {name}.csv have {told}; ask for exactly one of them"
            )
        return found[0][column]

    def _check(self, name: str, column: str, numbers: pd.DataFrame) -> None:
        if column not in numbers:
            raise ConfigError(
                f"{self.template}: {name}.csv has no column '{column}'; the columns are {', '.join(map(str, numbers))}"
            )

    def _named(self, name: str) -> Published:
        if name not in self.shown:
            raise ConfigError(
                f"{self.template}: there is no table or figure '{name}'; there are {', '.join(self.shown)}"
            )
        return self.shown[name]
