"""JSON files of tables and figures."""

import json
from pathlib import Path

import pytest

from ganformer.artifacts import digest, file_digest
from ganformer.errors import DataError
from ganformer.records.exhibit import Block, Cell, Column, Exhibit

TABLE = Exhibit(
    exhibit="table",
    target="t",
    title="Models",
    caption="c",
    blocks=[Block("", [Column("Model", is_number=False)], [[Cell("one", is_best=True)]], [])],
)


def test_a_signed_table_is_read(tmp_path: Path) -> None:
    source, path = tmp_path / "run.json", tmp_path / "t.json"
    source.write_text("{}")
    TABLE.write(path)
    Exhibit.read(path).signed('{"kind":"cost"}', [source]).write(path)
    assert json.loads(path.read_text()) == {
        "format": 1,
        "exhibit": "table",
        "target": "t",
        "title": "Models",
        "caption": "c",
        "blocks": [
            {
                "heading": "",
                "columns": [{"title": "Model", "group": "", "is_number": False}],
                "rows": [[{"text": "one", "is_best": True}]],
                "notes": [],
            }
        ],
        "experiment_sha256": digest('{"kind":"cost"}'),
        "inputs": {str(source): file_digest(source)},
    }
    assert list(Exhibit.read(path).blocks) == list(TABLE.blocks)


def test_columns_are_of_numbers_and_cells_not_the_best_unless_told() -> None:
    assert Column("FD") == Column("FD", group="", is_number=True)
    assert not Cell("1").is_best


def test_other_exhibits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({**TABLE.content(), "exhibit": "film"}))
    message = r"t\.json: exhibit is 'film' \(Input should be 'table' or 'figure'\), so it is no record of a"
    with pytest.raises(DataError, match=message):
        Exhibit.read(path)
