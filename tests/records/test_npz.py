"""npz files with facts, and messages about files that are none."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.records import npz
from ganformer.records.npz import ReferenceFacts, ShownImages, StoredImages
from ganformer.records.run import RunName

IMAGES = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)


def facts(**changes: object) -> StoredImages:
    run = RunName(dataset="scenes", model="duplex", seed=0)
    return StoredImages.model_validate({"run": run, "kimg": 1.0, "data_sha256": "d" * 64, **changes})


def written(path: Path, about: object, **arrays: np.ndarray) -> Path:
    np.savez(path, provenance=np.array(json.dumps(about)), **arrays)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path in paths:
        facts().write(path, {"images": IMAGES})
    found, arrays = ShownImages.read(paths[0])
    assert found.content() == facts().content()
    assert list(arrays) == ["images"]
    assert np.array_equal(arrays["images"], IMAGES)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert StoredImages.find(paths[0]) == facts()


def test_the_text_of_facts(tmp_path: Path) -> None:
    facts().write(tmp_path / "a.npz", {})
    text = '{"data_sha256":"%s","format":1,"kimg":1.0,"run":{"dataset":"scenes","model":"duplex","seed":0}}' % (
        "d" * 64
    )
    assert str(npz.read_npz(tmp_path / "a.npz")["provenance"]) == text
    about = ReferenceFacts(title="t", count=2, extractor={}, mirrored=False, data_sha256="d", code={})
    assert about.text() == (
        '{"format": 2, "title": "t", "count": 2, "extractor": {}, "mirrored": false, "data_sha256": "d", "code": {}}'
    )


def test_images_are_compressed_and_references_are_not(tmp_path: Path) -> None:
    facts().write(tmp_path / "images.npz", {"images": IMAGES})
    about = ReferenceFacts(title="t", count=2, extractor={}, mirrored=False, data_sha256="d", code={})
    about.write(tmp_path / "reference.npz", {"mu": IMAGES})
    for name, method in (("images", zipfile.ZIP_DEFLATED), ("reference", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(tmp_path / f"{name}.npz") as file:
            assert {member.compress_type for member in file.infolist()} == {method}


def test_a_missing_file_is_told_in_the_words_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no readable file of images \(No such file or directory\); make it again$"):
        ShownImages.read(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04 cut", b"\x93NUMPY cut"])
def test_files_that_are_no_npz(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: is no readable file of images \(.+\); make it"):
        ShownImages.read(path)
    assert ShownImages.find(path) is None


def test_no_file_is_advised_to_be_loaded_unsafely(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"any other file")
    message = r"is no readable file of images \(it is none of numpy's files of numbers\); make it again$"
    with pytest.raises(DataError, match=message):
        ShownImages.read(tmp_path / "a.npz")


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(DataError, match=r"is no readable file of images \(it is a single array, no npz\); make it"):
        ShownImages.read(tmp_path / "a.npy")


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    """Bytes of a compressed array, whose checksum does not fit any more."""
    path = tmp_path / "a.npz"
    facts().write(path, {"images": np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: is no readable file of images \(.+\); make it again"):
        ShownImages.read(path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=IMAGES)
    with pytest.raises(DataError, match=r"is no readable file of images \(has no provenance\); make it again"):
        ShownImages.read(path)
    with pytest.raises(DataError, match=r"is no readable file of images \(has no images\); make it again"):
        ShownImages.read(written(path, facts().content()))
    with pytest.raises(DataError, match=r"has no 'run', 'data_sha256', so it is no file of images; make it again"):
        ShownImages.read(written(path, {"format": 1}, images=IMAGES))
    with pytest.raises(DataError, match="is of format 2, written by a newer version; this one reads 1: update"):
        ShownImages.read(written(path, {**facts().content(), "format": 2}, images=IMAGES))
    np.savez(path, provenance=np.array("{"), images=IMAGES)
    with pytest.raises(DataError, match=r"is no readable file of images \(its facts are no JSON: .+\); make it again"):
        ShownImages.read(path)
    assert StoredImages.find(path) is None
