"""The table of what is read (docs/what-is-read.md) is written from the examples below, each of which is packed here.

python -m tests.data.test_what_is_read > docs/what-is-read.md
"""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import lmdb
import numpy as np
import pytest
import tifffile
from PIL import Image, features

from tests.data import records

PAGE = Path(__file__).resolve().parents[2] / "docs/what-is-read.md"
HEAD = """# What is read, and what is refused

Written by `python -m tests.data.test_what_is_read`, whose tests pack an example of every line. A picture is converted
to 8-bit sRGB by the tags of its own file. A file, member, key, row or page that cannot be read is named with its reason
(in `rejected` of the manifest; `on_error: fail`, the default, stops there). What is no picture at all is counted by
kind in the output, in `left_out` of the manifest, and by `ganformer data info`. `ganformer evaluate` reads its sides in
the same way.
"""

Source = dict[str, Any]


class Line(NamedTuple):
    """One line of the table: what it is, what becomes of it, and a function that writes an example into a folder.

    `expected` is the number of images that come of it, or part of the message that refuses it.
    """

    what: str
    becomes: str
    example: Callable[[Path], Source]
    expected: int | str


def noise(*shape: int, top: int = 256, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, top, shape).astype(dtype)


def encoded(kind: str = "png", mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    pixels = noise(8, 8, 3)
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def file_of(name: str, content: bytes | Callable[[], bytes]) -> Callable[[Path], Source]:
    """Return a folder with one file."""

    def write(folder: Path) -> Source:
        (folder / name).write_bytes(content() if callable(content) else content)
        return {"kind": "folder", "path": str(folder)}

    return write


def saved(name: str, kind: str, mode: str = "RGB", **options: Any) -> Callable[[Path], Source]:
    return file_of(name, lambda: encoded(kind, mode, **options))


def tiff(pixels: np.ndarray, **options: Any) -> Callable[[Path], Source]:
    def content() -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **options)
        return file.getvalue()

    return file_of("a.tif", content)


def with_limits(low: float, high: float, write: Callable[[Path], Source]) -> Callable[[Path], Source]:
    return lambda folder: {**write(folder), "limits": [low, high]}


def png(depth: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of 8×8 zeros."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + 8 * depth * channels // 8)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, 0))
    parts = [chunk(*one) for one in chunks] + [chunk(b"IDAT", zlib.compress(row * 8)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(parts)


def deep_jpeg() -> bytes:
    """Return a baseline JPEG whose frame says 12 bits."""
    content = bytearray(encoded("jpeg"))
    place = content.index(b"\xff\xc0")
    content[place + 1], content[place + 4] = 0xC1, 12
    return bytes(content)


FORMATS = [
    Line("PNG of 1 to 8 bits: grey, colour, palette, opacity, interlaced", "read", saved("a.png", "png", "P"), 1),
    Line("PNG of 16 bits", "read; all 16 bits count until after the colour space", file_of("a.png", png(16, 2)), 1),
    Line("colour keys (tRNS), any depth", "transparent", file_of("a.png", png(2, 0, (b"tRNS", b"\0\0"))), 1),
    Line(
        "cICP, iCCP, sRGB, gAMA and cHRM",
        "converted, in that order of precedence",
        file_of("a.png", png(8, 2, (b"gAMA", struct.pack(">I", 100_000)))),
        1,
    ),
    Line("cICP of PQ and HLG (HDR)", "refused", file_of("a.png", png(8, 2, (b"cICP", bytes([9, 16, 0, 1])))), "PQ"),
    Line("JPEG: grey, YCbCr, RGB", "read", saved("a.jpg", "jpeg"), 1),
    Line("JPEG of CMYK and YCCK", "read as Adobe's programs write them", saved("a.jpg", "jpeg", "CMYK"), 1),
    Line("JPEG of 12 bits, lossless, arithmetic", "refused by that name", file_of("a.jpg", deep_jpeg), "12-bit"),
    Line("WebP", "read", saved("a.webp", "webp"), 1),
    Line(
        "GIF, animated PNG and WebP",
        "the first frame; the others are counted",
        saved("a.gif", "gif", save_all=True, append_images=[Image.new("RGB", (8, 8))]),
        1,
    ),
    Line("BMP; PBM, PGM, PPM of any maxval", "read", saved("a.ppm", "ppm"), 1),
    Line("AVIF", "read where Pillow has it", saved("a.avif", "avif"), 1),
    Line(
        "HEIC, JPEG 2000, JPEG XL, OpenEXR, PSD, raw, …",
        "refused by name",
        file_of("a.heic", b"\0\0\0\x18ftypheic" + bytes(52)),
        "HEIC",
    ),
    Line("documents, vector graphics, icons", "counted", lambda folder: _beside(folder, "a.pdf", b"%PDF-1.7"), 1),
    Line(
        "ICC profiles, with any depth and opacity",
        "converted by what they do, not by their names",
        saved("a.png", "png", icc_profile=b"damaged ones are left aside"),
        1,
    ),
    Line("Orientation (Exif, TIFF)", "turned upright", tiff(noise(8, 8, 3), extratags=[(274, "H", 1, 6, False)]), 1),
    Line("any other suffix but those of texts, or none", "told by the first bytes", saved("a.jfif", "jpeg"), 1),
]
TIFFS = [
    Line(
        "grey (0 black or white), RGB, palette, CMYK, YCbCr, L\\*a\\*b\\*",
        "read",
        tiff(noise(8, 8), photometric="miniswhite"),
        1,
    ),
    Line(
        "1 to 16 bits a sample, either byte order, BigTIFF",
        "read",
        tiff(noise(8, 8, 3, top=65536, dtype=np.uint16), byteorder=">", bigtiff=True),
        1,
    ),
    Line(
        "strips, tiles, planes",
        "read",
        tiff(noise(3, 8, 8, top=65536, dtype=np.uint16), photometric="rgb", planarconfig="separate"),
        1,
    ),
    Line(
        "uncompressed, LZW, deflate, PackBits, JPEG, WebP, Zstandard, LZMA, fax",
        "read",
        tiff(noise(8, 8, 3), compression="zstd"),
        1,
    ),
    Line("opacity, multiplied or not", "read", tiff(noise(8, 8, 4), photometric="rgb", extrasamples=[1]), 1),
    Line(
        "floats, signed and 32-bit integers, without `limits`", "refused", tiff(noise(8, 8, dtype=np.float32)), "limits"
    ),
    Line(
        "the same with `limits`, the values of black and white",
        "read, one range for the whole set",
        with_limits(0, 255, tiff(noise(8, 8, dtype=np.float32))),
        1,
    ),
    Line(
        "several pages",
        "each is a picture",
        tiff(noise(3, 8, 8, 3)[:, :, :, :1].squeeze(-1), photometric="minisblack"),
        3,
    ),
    Line("reduced-resolution pages, masks", "counted", lambda folder: _pyramid(folder), 1),
    Line(
        "other interpretations (CFA, LogLuv), complex numbers, camera raw",
        "refused by name",
        tiff(noise(8, 8).astype(np.complex64), photometric="minisblack"),
        "complex",
    ),
]


def _beside(folder: Path, name: str, content: bytes) -> Source:
    (folder / name).write_bytes(content)
    return file_of("a.png", encoded())(folder)


def _pyramid(folder: Path) -> Source:
    with tifffile.TiffWriter(folder / "a.tif") as file:
        file.write(noise(16, 16, 3))
        file.write(noise(8, 8, 3), subfiletype=1)
    return {"kind": "folder", "path": str(folder)}


# ---------------------------------------------------------------------------------------------------- containers


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def archive(folder: Path, write: Callable[[Path], Path], name: str = "a.tar", **settings: Any) -> Source:
    return {"kind": "archive", "path": str(write(folder / name)), **settings}


def _joined(path: Path) -> Path:
    parts = [tar(path.with_name(name), {name: encoded()}).read_bytes() for name in ("1.png", "2.png")]
    path.write_bytes(b"".join(parts))
    return path


def _replaced(path: Path) -> Path:
    tar(path, {"a.png": encoded()})
    return tar(path, {"a.png": encoded(mode="L")}, "a")


def _linked(path: Path, kind: bytes = tarfile.LNKTYPE) -> Path:
    with tarfile.open(path, "w") as file:
        member = tarfile.TarInfo("a.png")
        member.size = len(encoded())
        file.addfile(member, io.BytesIO(encoded()))
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = kind, "a.png"
        file.addfile(link)
    return path


def _zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", encoded())
        file.writestr("notes.txt", "no picture")
    return path


def webdataset(folder: Path, *parts: str) -> Source:
    for shard in range(2):
        members = {f"{shard}{stem}.{part}": encoded() for stem in "ab" for part in parts}
        tar(folder / f"{shard:06d}.tar", {**members, **{f"{shard}{stem}.cls": b"1" for stem in "ab"}})
    return {"kind": "webdataset", "path": str(folder / "{000000..000001}.tar")}


def array(folder: Path, values: np.ndarray, **settings: Any) -> Source:
    np.save(folder / "a.npy", values)
    return {"kind": "arrays", "path": str(folder / "a.npy"), **settings}


def _two_arrays(folder: Path, *shapes: tuple[int, ...]) -> Source:
    with (folder / "a.npy").open("wb") as file:
        for shape in shapes:
            np.save(file, noise(*shape))
    return {"kind": "arrays", "path": str(folder / "a.npy")}


def hdf5(folder: Path, write: Callable[[h5py.File], None], **settings: Any) -> Source:
    with h5py.File(folder / "a.h5", "w") as file:
        write(file)
    return {"kind": "hdf5", "path": str(folder / "a.h5"), **settings}


def _matlab(file: h5py.File) -> None:
    file["X"] = noise(2, 3, 8, 8)
    file["X"].attrs["MATLAB_class"] = np.bytes_("uint8")


def _encoded_dataset(file: h5py.File) -> None:
    images = file.create_dataset("images", (2,), h5py.vlen_dtype(np.uint8))
    for number in range(2):
        images[number] = np.frombuffer(encoded(), np.uint8)


def _unwritten(file: h5py.File) -> None:
    file.create_dataset("images", (4, 8, 8, 3), np.uint8, chunks=(1, 8, 8, 3))[:2] = noise(2, 8, 8, 3)


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((2, 8, 8, 3), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "x", (2, 8, 8, 3))
    file.create_virtual_dataset("images", layout)


def environment(folder: Path, entries: dict[str, bytes], database: str | None = None, **settings: Any) -> Source:
    with lmdb.open(str(folder / "a.lmdb"), map_size=1 << 24, max_dbs=2) as opened:
        where = None if database is None else opened.open_db(database.encode())
        with opened.begin(write=True) as transaction:
            for key, value in entries.items():
                transaction.put(key.encode(), value, db=where)
    return {"kind": "lmdb", "path": str(folder / "a.lmdb"), **settings}


def datum(channels: int) -> bytes:
    """Return caffe's Datum of raw pixels: channels, height, width, data."""
    numbers = b"".join(
        bytes([number << 3]) + records.varint(value) for number, value in ((1, channels), (2, 8), (3, 8))
    )
    return numbers + records.field(4, noise(channels, 8, 8).tobytes())


def example(**features_: bytes) -> bytes:
    entries = (
        records.entry(name.replace("__", "/").encode(), records.field(1, records.field(1, value)))
        for name, value in features_.items()
    )
    return records.field(1, b"".join(entries))


def tfrecords(folder: Path, name: str, *contents: bytes) -> Source:
    return {"kind": "tfrecords", "path": str(records.write(folder / name, contents))}


def rows(folder: Path, values: list[Any], name: str = "image") -> Source:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet, table

    parquet.write_table(table({name: values}), folder / "a.parquet")
    return {"kind": "parquet", "path": str(folder / "a.parquet")}


ARCHIVES = [
    Line(
        "zip, tar, tar.gz, tar.bz2, tar.xz",
        "read where they are; told by their content",
        lambda f: archive(f, _zipped, "a.zip"),
        1,
    ),
    Line("tars one behind the other", "all are read", lambda f: archive(f, _joined), 2),
    Line("a member replaced by a later one", "the last counts", lambda f: archive(f, _replaced), 1),
    Line("hard links", "read", lambda f: archive(f, _linked), 2),
    Line(
        "symbolic links, devices, sparse files",
        "refused by name",
        lambda f: archive(f, lambda p: _linked(p, tarfile.SYMTYPE)),
        "symbolic link",
    ),
    Line("WebDataset: several tars, `{000..009}`", "read in order; labels by stem", lambda f: webdataset(f, "png"), 4),
    Line(
        "several pictures in a sample",
        "`part` chooses, else refused",
        lambda f: webdataset(f, "input.png", "mask.png"),
        "part",
    ),
    Line("the same with `part`", "read", lambda f: {**webdataset(f, "input.png", "mask.png"), "part": "input.png"}, 4),
]
ARRAYS = [
    Line("npy, npz: NHWC, NCHW, NHW, HWC", "read", lambda f: array(f, noise(2, 8, 8, 3)), 2),
    Line(
        "arrays of one shape behind each other in a npy",
        "all are read",
        lambda f: _two_arrays(f, (2, 8, 8, 3), (3, 8, 8, 3)),
        5,
    ),
    Line(
        "arrays of different shapes in a npy", "refused", lambda f: _two_arrays(f, (2, 8, 8, 3), (2, 9, 9, 3)), "bytes"
    ),
    Line(
        "3 or 4 grey pictures [3, H, W]",
        "refused; `layout: NHW` or `CHW` says it",
        lambda f: array(f, noise(3, 8, 8)),
        "layout: NHW",
    ),
    Line(
        "any order of axes, e.g. HWCN",
        "read where `layout` says it",
        lambda f: array(f, noise(8, 8, 3, 2), layout="HWCN"),
        2,
    ),
    Line(
        "floats, wide and signed integers",
        "read with `limits`",
        lambda f: array(f, noise(2, 8, 8, 3) / 255, limits=[0, 1]),
        2,
    ),
    Line("the same without `limits`", "refused", lambda f: array(f, noise(2, 8, 8, 3) / 255), "limits"),
    Line("HDF5", "read", lambda f: hdf5(f, lambda file: file.update({"x": noise(2, 8, 8, 3)})), 2),
    Line("MATLAB -v7.3 (by its attribute)", "read, columns first", lambda f: hdf5(f, _matlab), 2),
    Line("encoded pictures in HDF5", "read", lambda f: hdf5(f, _encoded_dataset), 2),
    Line("chunks that were never written", "those images are refused", lambda f: hdf5(f, _unwritten), "never written"),
    Line("virtual datasets, external storage, links", "refused", lambda f: hdf5(f, _virtual), "virtual"),
]
TABLES = [
    Line("LMDB of encoded pictures", "read", lambda f: environment(f, {"0": encoded(), "1": encoded()}), 2),
    Line(
        "several sizes of each picture (`SIZE-NUMBER`)",
        "the largest",
        lambda f: environment(f, {"8-00000": encoded(), "16-00000": encoded(), "length": b"1"}),
        1,
    ),
    Line(
        "bookkeeping keys (`length`, `num-samples`, …)",
        "counted",
        lambda f: environment(f, {"0": encoded(), "num-samples": b"1"}),
        1,
    ),
    Line(
        "named databases",
        "`database` chooses, else refused",
        lambda f: environment(f, {"0": encoded()}, "images"),
        "database",
    ),
    Line("Caffe Datums: encoded, or raw grey", "read", lambda f: environment(f, {"0": datum(1)}), 1),
    Line(
        "raw Datums of 3 channels",
        "`colours: BGR` or `RGB` says it, else refused",
        lambda f: environment(f, {"0": datum(3)}),
        "colours",
    ),
    Line(
        "TFRecords of StyleGAN and GANformer",
        "the highest resolution",
        lambda f: tfrecords(f, "x-r03.tfrecords", records.example(noise(3, 8, 8))),
        1,
    ),
    Line(
        "TFRecords of encoded pictures (`image/encoded`, …), any usual name",
        "read",
        lambda f: tfrecords(f, "train-00000-of-00001", example(image__encoded=encoded())),
        1,
    ),
    Line(
        "other features",
        "refused, with the features that there are",
        lambda f: tfrecords(f, "a.tfrecord", example(text=b"x")),
        "text",
    ),
    Line(
        "parquet with a column `image` (Hugging Face)",
        "read, with pyarrow",
        lambda f: rows(f, [{"bytes": encoded(), "path": "a"}]),
        1,
    ),
    Line("rows with a path only", "refused", lambda f: rows(f, [{"bytes": None, "path": "a.png"}]), "a.png"),
]
TABLE = {"Pictures": FORMATS, "TIFF": TIFFS, "Archives": ARCHIVES, "Arrays": ARRAYS, "Databases and tables": TABLES}
LINES = [pytest.param(line, id=line.what) for lines in TABLE.values() for line in lines]


def page() -> str:
    parts = [HEAD]
    for title, lines in TABLE.items():
        parts.append(f"\n## {title}\n\n| what | becomes |\n| --- | --- |\n")
        parts += [f"| {line.what} | {line.becomes} |\n" for line in lines]
    return "".join(parts)


def test_the_page_is_what_is_tested_here() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m tests.data.test_what_is_read > docs/what-is-read.md"
    )


@pytest.mark.parametrize("line", LINES)
def test_line(line: Line, tmp_path: Path) -> None:
    from ganformer.config import Dataset
    from ganformer.data.packing.pack import pack
    from ganformer.errors import DataError

    if "AVIF" in line.what and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    (tmp_path / "in").mkdir()
    source = line.example(tmp_path / "in")
    dataset = Dataset.model_validate({"source": source, "resolution": 8})
    if isinstance(line.expected, int):
        written = pack(dataset, tmp_path / "out")
        assert (written.count, list(written.rejected)) == (line.expected, [])
        if line.becomes.endswith("counted"):
            assert sum(written.left_out.values()) > 0
        return
    with pytest.raises(DataError) as refused:
        pack(dataset, tmp_path / "out")
    assert line.expected in str(refused.value), json.dumps(str(refused.value))


if __name__ == "__main__":
    print(page(), end="")
