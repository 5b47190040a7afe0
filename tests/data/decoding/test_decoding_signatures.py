"""Formats by their first bytes, and what is refused before anything is decoded."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from ganformer.data import decoding
from ganformer.data.decoding import EXTENSIONS, UnreadableImageError, recognise
from tests.data.decoding.picture_writers import numbers, page_of, png, reason, tiff


def box(brand, *others):
    brands = brand + bytes(4) + b"".join(others)
    return (8 + len(brands)).to_bytes(4) + b"ftyp" + brands


STARTS = [
    ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
    ("JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF"),
    ("JPEG", b"\xff\xd8\xff\xdb"),
    ("WebP", b"RIFF\x24\0\0\0WEBPVP8L"),
    ("GIF", b"GIF87a"),
    ("GIF", b"GIF89a"),
    ("BMP", b"BM" + bytes(12) + b"\x28\0\0\0"),
    ("TIFF", b"II*\0\x08\0\0\0"),
    ("TIFF", b"MM\0*\0\0\0\x08"),
    ("TIFF", b"II+\0\x08\0\0\0"),
    ("TIFF", b"MM\0+\0\x08\0\0"),
    ("PNM", b"P6\n3 2 255\n"),
    ("PNM", b"P1#"),
    ("AVIF", box(b"avif", b"mif1", b"miaf")),
    ("AVIF", box(b"mif1", b"avif", b"miaf")),
    ("HEIC", box(b"heic", b"mif1", b"heic")),
    ("HEIC", box(b"mif1", b"heic")),
    ("HEIF", box(b"mif1")),
    ("HEIF", box(b"mif1", b"miaf", b"mavi", b"fxxx")),  # "avif" across two brands is none
    ("Canon raw (CR3)", box(b"crx ")),
    ("Canon raw (CR2)", b"II*\0\x10\0\0\0CR\x02\0"),
    ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
    ("JPEG 2000", b"\xff\x4f\xff\x51\0"),
    ("JPEG XL", b"\xff\x0a\x12"),
    ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("JPEG XR", b"II\xbc\x01"),
    ("OpenEXR", b"\x76\x2f\x31\x01\x02"),
    ("Photoshop (PSD)", b"8BPS\0\x01"),
    ("Radiance HDR", b"#?RADIANCE\n"),
    ("DDS", b"DDS \x7c\0\0\0"),
    ("FITS", b"SIMPLE  =                    T"),
    ("QOI", b"qoif"),
    (None, b""),
    (None, b"BM is how this text begins, not a picture"),
    (None, b"P6 of the list"[:1]),
    (None, b"P9\n"),
    (None, b"P2 and P3 are answered on page 4"),
    (None, bytes(64)),
    (None, box(b"isom", b"mp42")),
    (None, b"PK\3\4"),
    (None, b"\x1f\x8b\x08"),
    (None, b"<!DOCTYPE html><html>"),
]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("ICO", b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0"),
        ("SVG", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">'),
        ("SVG", b"<svg>"),
        ("PDF", b"%PDF-1.7"),
    ],
)
def test_document_is_no_picture_but_is_refused_by_name_where_it_is_called_one(name, start):
    assert recognise(start.ljust(64, b" ")[:64]) is None
    assert reason(start) == f"is {name}, a format that is not read; convert it, e.g. to PNG"


@pytest.mark.parametrize(("name", "start"), STARTS)
def test_format(name, start):
    assert recognise(start[:64]) == name
    assert recognise(start.ljust(64, b" ")[:64]) == name
    if name not in ("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF", "PNM", "AVIF") and name:
        assert reason(start) == f"is {name}, a format that is not read; convert it, e.g. to PNG"
    else:
        assert reason(start)


def test_what_is_no_picture():
    assert reason(b"") == "is empty"
    assert reason(b"hello") == "is not an image of a known format"
    assert "Git LFS" in reason(b"version https://git-lfs.github.com/spec/v1\noid sha256:")


@pytest.mark.parametrize("function", [decoding.size, decoding.count])
def test_what_is_no_picture_has_no_size_and_no_count(function):
    with pytest.raises(UnreadableImageError, match="not an image of a known format"):
        function(io.BytesIO(b"hello"))


def test_extensions():
    assert all(name.startswith(".") and name == name.lower() for name in EXTENSIONS)
    assert len(set(EXTENSIONS)) == len(EXTENSIONS)
    usual = ".png .apng .jpg .jpeg .jpe .jfif .jif .webp .bmp .dib .tif .tiff .gif .ppm .pgm .pbm .pnm .avif"
    assert {*usual.split()} <= {*EXTENSIONS}


@pytest.mark.parametrize("content", [png(numbers(2, 3, 1)), tiff(page_of(numbers(2, 3, 1), 8, 1))])
def test_number_of_a_page(content):
    file = io.BytesIO(content)
    assert decoding.decode(file, page=0).image.size == decoding.size(file, page=0) == (3, 2)
    assert decoding.count(file) == 1
    for number in (1, -1):
        assert f"no number {number}" in reason(content, page=number)


def test_name_and_place_of_a_file_do_not_matter(tmp_path):
    """Files are read from their beginning, wherever they stand."""
    (tmp_path / "a.jpg").write_bytes(png(numbers(2, 3, 1)))
    with (tmp_path / "a.jpg").open("rb") as file:
        file.seek(5)
        assert decoding.decode(file).image.mode == "L"
        assert decoding.size(file) == (3, 2)


def test_running_out_of_memory_is_not_the_pictures_fault(monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", exhausted)
    with pytest.raises(MemoryError):
        decoding.decode(io.BytesIO(png(numbers(2, 3, 1))))


def test_workers_start_without_what_only_some_pictures_need():
    script = "import sys, ganformer.data.decoding; print([n for n in ('tifffile', 'imagecodecs') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
