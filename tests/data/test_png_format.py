"""Shards of PNGs: what others make of ours, what we make of theirs, and that damage is noticed."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from ganformer.config import ImageSpec
from ganformer.data.formats import png
from ganformer.data.packing import png_rows
from ganformer.errors import DataError

IMAGE = ImageSpec(height=12, width=20)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 3, 12, 20), np.uint8)


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard.zip"
    with png.Writer(path, IMAGE) as writer:
        writer.append(IMAGES)
    return path


def read(reader, indices):
    images = np.empty((len(indices), 3, 12, 20), np.uint8)
    for image, index in zip(images, indices, strict=True):
        reader.read(index, image)
    return images


def decoded(file, height=12, width=20):
    return png_rows.decode(memoryview(file), (3, height, width)).transpose(2, 0, 1)


def saved(image, **options):
    """Return the PNG that Pillow makes of it."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(file, "png", **options)
    return file.getvalue()


def pieces(file):
    """Return kind and content of every piece of a PNG; the checksums must be right."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(file):
        (length,) = struct.unpack_from(">L", file, at)
        kind, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        assert struct.unpack_from(">L", file, at + 8 + length) == (zlib.crc32(kind + content),)
        found.append((kind, content))
        at += 12 + length
    return found


def joined(found):
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))
        for kind, content in found
    )


def test_layout_is_that_of_stylegan2_ada(shard):
    with zipfile.ZipFile(shard) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"00000/img0000000{number}.png" for number in range(7)]
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        for name, image in zip(archive.namelist(), IMAGES, strict=True):
            with Image.open(io.BytesIO(archive.read(name))) as picture:
                assert (picture.format, picture.mode) == ("PNG", "RGB")
                assert (np.asarray(picture) == image.transpose(1, 2, 0)).all()


def test_pyspng_reads_them(shard):
    pyspng = pytest.importorskip("pyspng", reason="needs pyspng (the extra bench)")
    with zipfile.ZipFile(shard) as archive:
        for name, image in zip(archive.namelist(), IMAGES, strict=True):
            assert (pyspng.load(archive.read(name)) == image.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 1), (3, 5), (16, 16), (33, 7)])
@pytest.mark.parametrize("content", ["noise", "black", "white", "gradient"])
def test_any_size_comes_back(size, content):
    image = {
        "noise": np.random.default_rng(1).integers(0, 256, (3, *size), np.uint8),
        "black": np.zeros((3, *size), np.uint8),
        "white": np.full((3, *size), 255, np.uint8),
        "gradient": np.arange(3 * size[0] * size[1], dtype=np.uint8).reshape(3, *size),
    }[content]
    file = png.encode(image)
    assert (decoded(file, *size) == image).all()
    with Image.open(io.BytesIO(file)) as picture:
        assert (np.asarray(picture) == image.transpose(1, 2, 0)).all()


def test_images_encoded_elsewhere_give_the_same_bytes(shard, tmp_path):
    with png.Writer(tmp_path / "other.zip", IMAGE) as writer:
        writer.append_encoded([png.encode(image) for image in IMAGES[:4]])
        writer.append(IMAGES[4:5])
        writer.append_encoded([png.encode(image) for image in IMAGES[5:]])
    assert (tmp_path / "other.zip").read_bytes() == shard.read_bytes()


def test_own_files_are_read_without_pillow(shard, monkeypatch):
    monkeypatch.delattr(png_rows, "Image")
    assert (read(png.Reader(shard, 7, IMAGE), range(7)) == IMAGES).all()


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}, {"dpi": (72, 72)}])
def test_files_of_other_programs_are_read(options):
    smooth = np.cumsum(IMAGES[0] // 64, axis=2, dtype=np.uint8)  # makes Pillow use several filters
    for image in (IMAGES[0], smooth):
        assert (decoded(saved(image, **options)) == image).all()


def test_pixels_in_several_pieces_are_read():
    head, (kind, content), end = pieces(png.encode(IMAGES[0]))
    split = joined([head, (kind, content[:100]), (kind, content[100:]), (b"tEXt", b"Title\0x"), end])
    assert (decoded(split) == IMAGES[0]).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16"])
def test_pictures_that_are_not_rgb_are_refused(mode):
    file = io.BytesIO()
    Image.new(mode, (20, 12)).save(file, "png")
    with pytest.raises(ValueError, match=r"a picture of \w+ \(12, 20.*\) instead of uint8 \(12, 20, 3\)"):
        decoded(file.getvalue())


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"a picture of uint8 \(12, 20, 3\) instead of uint8 \(20, 12, 3\)"):
        decoded(png.encode(IMAGES[0]), 20, 12)


def test_too_few_or_too_many_rows_are_refused():
    head, (kind, content), end = pieces(png.encode(IMAGES[0]))
    rows = zlib.decompress(content)
    for wrong in (rows[:-61], rows + rows[:61]):
        with pytest.raises(ValueError, match=f"{len(wrong)} bytes of pixels instead of {len(rows)}"):
            decoded(joined([head, (kind, zlib.compress(wrong)), end]))


@pytest.mark.parametrize("encode", [png.encode, saved], ids=["ours", "Pillow's"])
def test_no_flipped_bit_changes_pixels(encode):
    file = encode(IMAGES[0])
    noticed = 0
    for at in range(len(file)):
        damaged = bytearray(file)
        damaged[at] ^= 1 << at % 8
        try:
            assert (decoded(damaged) == IMAGES[0]).all()
        except ValueError:
            noticed += 1
    assert noticed > 0.9 * len(file)  # the rest are checksums of pieces and the like


@pytest.mark.parametrize("encode", [png.encode, saved], ids=["ours", "Pillow's"])
def test_cut_files_are_noticed(encode):
    file = encode(IMAGES[0])
    for length in range(len(file) - 20):  # less than the end of the pixels
        with pytest.raises(ValueError):
            decoded(file[:length])


def test_damaged_image_is_named(shard):
    whole = bytearray(shard.read_bytes())
    whole[whole.index(png.encode(IMAGES[3])) + 200] ^= 1
    shard.write_bytes(whole)
    reader = png.Reader(shard, 7, IMAGE)
    assert (read(reader, [2, 4]) == IMAGES[[2, 4]]).all()
    with pytest.raises(DataError, match=r"shard.zip: image 3 of this shard is damaged \(.+\); pack the data set again"):
        read(reader, [2, 3])


def test_labels_are_where_stylegan2_ada_looks_for_them(tmp_path):
    path = tmp_path / "shard.zip"
    with png.Writer(path, IMAGE) as writer:
        writer.append(IMAGES)
        writer.write_labels(np.array([2, 0, 1, 1, 0, 2, 5], np.int32))
    with zipfile.ZipFile(path) as archive:
        labels = json.loads(archive.read("dataset.json"))["labels"]
        assert labels[:2] == [["00000/img00000000.png", 2], ["00000/img00000001.png", 0]]
        assert [name for name, _ in labels] == [name for name in archive.namelist() if name.endswith(".png")]
        assert [label for _, label in labels] == [2, 0, 1, 1, 0, 2, 5]
    assert (read(png.Reader(path, 7, IMAGE), range(7)) == IMAGES).all()
