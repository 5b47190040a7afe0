"""Reading and writing of records, and messages about files that are none."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from ganformer.errors import CheckpointError, DataError, UserError
from ganformer.records.base import JsonRecord, Part
from ganformer.records.metrics import Recipe


class Place(Part):
    name: str


class Note(JsonRecord):
    FORMAT: ClassVar[int] = 2
    KIND: ClassVar[str] = "note"
    REMEDY: ClassVar[str] = "write it again"

    title: str
    count: int = 0
    places: tuple[Place, ...] = ()


class Strict(Note):
    ERROR: ClassVar[type[UserError]] = CheckpointError


def test_what_was_written_is_read(tmp_path: Path) -> None:
    note = Note(places=(Place(name="here"),), title="one")
    note.write(tmp_path / "note.json")
    text = '{\n  "format": 2,\n  "title": "one",\n  "places": [\n    {\n      "name": "here"\n    }\n  ]\n}\n'
    assert (tmp_path / "note.json").read_text() == text
    assert Note.read(tmp_path / "note.json") == note


def test_what_earlier_versions_did_not_measure_was_not_done() -> None:
    recipe = Recipe.model_validate({"extractor": {"kind": "vgg16"}, "images": 5})
    assert (recipe.mirrored, recipe.seed, recipe.repeats, recipe.pairs, recipe.compared) == (False, 0, 1, 0, 0)


def test_records_cannot_be_changed() -> None:
    note = Note(places=(Place(name="here"),), title="one")
    with pytest.raises(ValueError, match="frozen"):
        note.title = "two"
    with pytest.raises(ValueError, match="frozen"):
        note.places[0].name = "there"


def test_fields_of_later_versions_are_kept() -> None:
    content = {"format": 2, "title": "one", "places": [{"name": "here", "height": 3}], "more": [1]}
    assert Note.parse(content, Path("note.json")).content() == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "note.json: is no note, but a JSON array; write it again"),
        (True, "note.json: is no note, but a JSON truth value; write it again"),
        ("note", "note.json: is no note, but a JSON text; write it again"),
        (3, "note.json: is no note, but a JSON number; write it again"),
        (None, "note.json: is no note, but a JSON null; write it again"),
        ({"mine": 1}, "note.json: has no 'format', 'title', so it is no note; write it again"),
        ({"format": 2, "places": [{}]}, "note.json: has no 'title', 'places.0.name', so it is no note; write it again"),
        ({"format": 3}, "note.json: is of format 3, written by a newer version; this one reads 2: update the package"),
        ({"format": 1, "title": "one"}, "note.json: format 1 is not 2; write it again with this version"),
        ({"format": "2", "title": "one"}, "note.json: format 2 is not 2; write it again with this version"),
        (
            {"format": 2, "title": "one", "count": "many"},
            "note.json: count is 'many' (Input should be a valid integer, unable to parse string as an integer), so it "
            "is no note; write it again",
        ),
    ],
)
def test_what_is_no_such_record(content: Any, message: str) -> None:
    for kind, error in ((Note, DataError), (Strict, CheckpointError)):
        with pytest.raises(error) as caught:
            kind.parse(content, Path("note.json"))
        assert str(caught.value) == message


def test_files_that_are_missing_or_not_json(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    with pytest.raises(DataError, match=r"note\.json: cannot be read \(No such file"):
        Note.read(path)
    assert Note.find(path) is None
    path.write_text("{")
    with pytest.raises(DataError, match=r"note\.json: is not valid JSON .*; name the file that is meant, or make it"):
        Note.read(path)
    assert Note.find(path) is None
