"""Published numbers: looked up by the names of an experiment, quoted as they were printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganformer import plugins
from ganformer.config import Experiment, Name, Strict, as_mapping
from ganformer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["paper", "table", "dataset", "resolution", "model", "metric", "value", "n_images", "source", "verified"]
NUMBER = ["dataset", "model", "metric"]


PUBLISHED = Path(__file__).with_name("published.csv")
"""Table of published numbers, which comes with the package."""


class Published(Strict):
    """Published numbers beside the measured ones: rows of `ganformer/report/published.csv`."""

    table: str
    """Value of the column `table`."""
    datasets: Mapping[Name, str]
    """Name of each data set there."""
    models: Mapping[Name, str]
    """Name of each model there."""


class Compared(Experiment):
    """Settings of a table with published numbers beside measured ones."""

    shape = "table"
    forms = ("csv", "md", "tex")

    published: Published | None = None

    @classmethod
    def references(cls, raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yield the names that the entry uses, those beside which published numbers stand as well."""
        yield from super().references(raw)
        published = as_mapping(raw.get("published"))
        for section in ("datasets", "models"):
            yield from ((f"published.{section}.{name}", section, name) for name in as_mapping(published.get(section)))


def quoted(experiment: Compared, files: Sequence[Path]) -> tuple[list[Path], pd.DataFrame | None]:
    """Return the files without the table of published numbers, and its rows for the experiment, None if it has none.

    Raises DataError if the experiment has published numbers and no csv is among the files, and as `lookup` does.
    """
    tables = [path for path in files if path.suffix == ".csv"]
    others = [path for path in files if path.suffix != ".csv"]
    if experiment.published is None:
        return others, None
    if len(tables) != 1:
        raise DataError(
            f"'{experiment.title}' needs the table of published numbers, which is {PUBLISHED} unless you have your "
            f"own; pass one .csv among the files ({len(tables)} were passed)"
        )
    return others, lookup(experiment.published, tables[0])


def lookup(published: Published, file: Path) -> pd.DataFrame:
    """Return the rows of `file` for the measured numbers, all columns as text.

    `dataset` and `model` are the names of our configuration, `published_dataset` is the name there. Raises DataError
    where the file cannot be read, a name is not in it, or a number is there twice.
    """
    import pandas as pd

    table = _read(file)
    _refuse_unknown(table, "table", [published.table], file)
    table = table[table["table"] == published.table]
    _refuse_unknown(table, "dataset", published.datasets.values(), file)
    _refuse_unknown(table, "model", published.models.values(), file)
    found = [
        rows.assign(dataset=dataset, model=model, published_dataset=there)
        for dataset, there in published.datasets.items()
        for model, named in published.models.items()
        if len(rows := table[(table["dataset"] == there) & (table["model"] == named)])
    ]
    rows = pd.concat([table.iloc[:0].assign(published_dataset=""), *found], ignore_index=True)
    _refuse_doubles(rows, file)
    return rows


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{file}: is not a CSV table ({error})") from error
    lacking = [column for column in COLUMNS if column not in table]
    if lacking:
        raise DataError(f"{file}: has no column {', '.join(lacking)}; the columns are {', '.join(COLUMNS)}")
    return table


def _refuse_unknown(table: pd.DataFrame, column: str, names: Iterable[str], file: Path) -> None:
    allowed = sorted(set(table[column]))
    for name in names:
        if name not in allowed:
            raise DataError(
                f"{file}: '{name}' is not in column {column} of the rows asked for; "
                f"{plugins.choices(name, allowed)} Correct `published` of the experiment"
            )


def _refuse_doubles(rows: pd.DataFrame, file: Path) -> None:
    doubles = rows[rows.duplicated(NUMBER)]
    if len(doubles):
        first = doubles.iloc[0]
        raise DataError(
            f"{file}: {first['metric']} of {first['model']} on {first['published_dataset']} is in '{first['table']}' "
            "more than once; give its rows a table name of their own"
        )
