"""Published numbers: looked up by what an experiment names, quoted as they were printed."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ganformer import plugins
from ganformer.config import Published
from ganformer.errors import DataError

COLUMNS = ["paper", "table", "dataset", "resolution", "model", "metric", "value", "n_images", "source", "verified"]
NUMBER = ["dataset", "model", "metric"]


def lookup(published: Published, file: Path) -> pd.DataFrame:
    """The rows of `file` that stand beside the measured numbers, all columns as text.

    `dataset` and `model` are the names of our configuration, `published_dataset` is the name there. Raises DataError
    where the file cannot be read, a name is not in it, or a number is there twice.
    """
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
