"""Manifests of packs: their files, what is said of files that are no images, and what contradicts itself."""

import os
from pathlib import Path
from typing import Any

import pytest

from ganformer.errors import DataError
from ganformer.records import manifest
from ganformer.records.manifest import Manifest
from ganformer.records.parser import SceneParserSubject

CONTENT: dict[str, Any] = {
    "version": 2,
    "count": 3,
    "image": {"height": 8, "width": 8, "classes": 2},
    "format": "npy",
    "source": {},
    "crop": {"ratio": 1.0},
    "shards": [{"file": "a.npy", "sha256": "a", "count": 2}, {"file": "b.npy", "sha256": "b", "count": 1}],
    "files": [{"file": "labels.npy", "sha256": "l"}],
    "class_names": ["cat", "dog"],
    "duplicates": 0,
    "content": "d",
}


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ({".txt": 1}, "1 other (1 .txt)"),
        ({".txt": 4, "hidden": 1200, ".json": 40}, "1,244 others (1,200 hidden, 40 .json, 4 .txt)"),
        ({f".{i}": 1 for i in range(8)}, "8 others (1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 1 .5, 1 .6, 1 .7)"),
        ({f".{i}": 1 for i in range(9)}, "9 others (1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 1 .5, 1 .6, 1 .7, …)"),
    ],
)
def test_what_is_no_image_is_counted_by_its_kind(left_out: dict[str, int], words: str) -> None:
    assert manifest.other_files(left_out) == words


def test_files_of_a_pack_are_those_it_names_and_those_that_may_be_beside_them(tmp_path: Path) -> None:
    assert manifest.files_of_pack(tmp_path) is None
    Manifest.parse(CONTENT, tmp_path / "manifest.json").write(tmp_path / "manifest.json")
    beside = {"manifest.json", "rejected.json", "contact-sheet.png", "mean.png"}
    assert manifest.files_of_pack(tmp_path) == beside | {"a.npy", "b.npy", "labels.npy"}


def test_a_pipe_is_no_manifest_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    monkeypatch.setattr(manifest.ManifestClaim, "find", lambda path: pytest.fail("would wait for ever"))
    assert manifest.files_of_pack(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 4}, "count is 4, but its shards hold 3 images, so it is no manifest of a pack"),
        ({"class_names": ["cat"]}, "class_names are 1, but there are 2 classes, so it is no manifest of a pack"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^manifest.json: {message}; pack again"):
        Manifest.parse({**CONTENT, **changes}, Path("manifest.json"))


def test_the_kind_of_a_parser_comes_before_the_format() -> None:
    assert list(SceneParserSubject(kind="scenes", settings={}).content()) == ["kind", "format", "settings"]
    assert list(SceneParserSubject(settings={}).content()) == ["format", "settings"]
