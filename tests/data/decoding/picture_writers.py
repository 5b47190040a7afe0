"""Files of pictures made number by number, sharing nothing with the code that reads them."""

import io
import struct
import zlib

import numpy as np

from ganformer.data import decoding


def decoded(content, **options):
    """Return levels [H, W, C] of a file, whose size must be what is said before decoding."""
    result = decoding.decode(io.BytesIO(content), **options).image
    assert decoding.size(io.BytesIO(content), page=options.get("page")) == result.size
    assert result.mode in ("L", "LA", "RGB", "RGBA")
    return np.asarray(result).reshape(result.height, result.width, -1)


def reason(content, **options):
    """Return why a file is refused."""
    try:
        decoding.decode(io.BytesIO(content), **options)
    except decoding.UnreadableImageError as error:
        return str(error)
    raise AssertionError("was decoded")


def left_out(content, **options):
    return dict(decoding.decode(io.BytesIO(content), **options).left_out)


def numbers(*shape, bits=8, seed=0):
    """Return numbers of all sizes, the least and the greatest among them."""
    found = np.random.default_rng(seed).integers(0, 2**bits, shape, np.int64)
    found.flat[0], found.flat[-1] = 0, 2**bits - 1
    return found


def levels_of(values, top):
    """Return the nearest levels from 0 to 255 of numbers from 0 to `top`, by whole numbers.

    (255 v / top) + 1/2, cut off.
    """
    return (510 * np.asarray(values, np.int64) + top) // (2 * top)


def packed(rows, bits, order="big"):
    """Return numbers [rows, columns] with their bits one behind the other, the highest first.

    Each row ends with a byte.

    8, 16, 32 and 64 bits stand in the order of bytes.
    """
    if bits in (8, 16, 32, 64):
        return rows.astype(f"{'>' if order == 'big' else '<'}u{bits // 8}").tobytes()
    digits = (rows[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


# PNG


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(values, bits=8, colour=0, chunks=(), after=(), is_interlaced=False):
    """Return a PNG of numbers [H, W, C] as they stand in it; `chunks` are before the pixels, `after` behind them."""
    height, width = values.shape[:2]
    passes = [values]
    if is_interlaced:  # section 8.1: first row, first column, steps of rows, steps of columns
        adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        passes = [values[top::down, left::across] for top, left, down, across in adam7]
    rows = b""
    for part in passes:
        for row in part if part.shape[1] else ():
            rows += b"\0" + packed(row.reshape(1, -1), bits)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, is_interlaced)
    pieces = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*piece) for piece in pieces)


def exif(orientation):
    """Return exif that says nothing but an orientation."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


# TIFF

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


def tiff(*pages, order="little", is_big=False):
    """Return a TIFF of directories {tag.

    (type, values)} with "pieces", a list of bytes, and "below", those of SubIFDs.
    """
    mark = "<" if order == "little" else ">"
    head = (b"II" if order == "little" else b"MM") + struct.pack(mark + "H", 43 if is_big else 42)
    body = bytearray(head + (struct.pack(mark + "HHQ", 8, 0, 0) if is_big else bytes(4)))
    link = 8 if is_big else 4
    for page in pages:
        start = _directory(body, page, mark, is_big)
        body[link : link + (8 if is_big else 4)] = struct.pack(mark + ("Q" if is_big else "I"), start)
        link = len(body) - (8 if is_big else 4)
    return bytes(body)


def _directory(body, page, mark, is_big):
    """Write a directory behind all that is there, its link to the next at the end; returns where it begins."""
    word, place, room = ("Q", 16, 8) if is_big else ("I", 4, 4)
    tags = {tag: entry for tag, entry in page.items() if isinstance(tag, int)}
    offsets = []
    for piece in page["pieces"]:
        body += bytes(len(body) % 2)
        offsets.append(len(body))
        body += piece
    is_tiled = 322 in tags
    tags[324 if is_tiled else 273] = (place, offsets)
    tags[325 if is_tiled else 279] = (place, [len(piece) for piece in page["pieces"]])
    if page.get("below"):
        below = []
        for inner in page["below"]:
            below.append(_directory(body, inner, mark, is_big))
        tags[330] = (place, below)
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        data = bytes(values) if kind in (2, 7) else _packed_values(kind, values, mark)
        count = len(data) // _SIZES[kind]
        if len(data) > room:
            body += bytes(len(body) % 2)
            at = len(body)
            body += data
            data = struct.pack(mark + word, at)
        entries += struct.pack(mark + "HH" + word, tag, kind, count) + data.ljust(room, b"\0")
    body += bytes(len(body) % 2)
    start = len(body)
    body += struct.pack(mark + ("Q" if is_big else "H"), len(tags)) + entries + bytes(room)
    return start


def _packed_values(kind, values, mark):
    if kind == 5:
        return b"".join(struct.pack(mark + "II", *value) for value in values)
    return struct.pack(f"{mark}{len(values)}{_LETTERS[kind]}", *values)


def page_of(values, bits, photometric, *, order="little", planar=1, rows=None, tile=None, compress=None, **tags):
    """Return a directory for numbers [H, W, S]: in strips of `rows` or tiles (height, width).

    `compress`: (number, function).

    `tags` as t274=1 (SHORT), or t320=(type, values).
    """
    height, width, samples = values.shape
    page = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * samples), 262: (3, [photometric])}
    page |= {277: (3, [samples]), 284: (3, [planar])}
    planes = [values] if planar == 1 else [values[:, :, place : place + 1] for place in range(samples)]
    pieces = []
    for plane in planes:
        if tile is None:
            page[278] = (4, [rows or height])
            pieces += [plane[top : top + (rows or height)] for top in range(0, height, rows or height)]
        else:
            page |= {322: (4, [tile[1]]), 323: (4, [tile[0]])}
            beyond = np.pad(plane, ((0, -height % tile[0]), (0, -width % tile[1]), (0, 0)))
            pieces += [
                beyond[top : top + tile[0], left : left + tile[1]]
                for top in range(0, height, tile[0])
                for left in range(0, width, tile[1])
            ]
    page["pieces"] = [stored(piece, bits, order) for piece in pieces]
    number, function = compress or (1, bytes)
    page[259] = (3, [number])
    page["pieces"] = [function(piece) for piece in page["pieces"]]
    for name, value in tags.items():
        page[int(name[1:])] = value if isinstance(value, tuple) else (3, [value])
    return page


def stored(values, bits, order):
    """Return numbers [H, W, S], of floats in their own type, as bytes."""
    if values.dtype.kind == "f" or (values.dtype.kind == "i" and values.dtype != np.int64):
        return values.astype(values.dtype.newbyteorder("<" if order == "little" else ">")).tobytes()
    return packed(values.reshape(len(values), -1), bits, order)


# ICC profiles


def profile(curve, space=b"RGB ", name="made", version=2):
    """Return a profile of sRGB's primaries, or of greys. `curve`: a number (a power), or bytes of a curve element."""

    def xyz(*values):
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in values))

    if isinstance(curve, (int, float)):
        curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * curve))
    text = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(1 + 4 + 4 + 2 + 1 + 67)
    if version == 4:
        text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(name), 28)
        text += name.encode("utf-16-be")
    tags = [(b"desc", text), (b"cprt", text), (b"wtpt", xyz(0.9642, 1, 0.8249))]
    if space == b"GRAY":
        tags.append((b"kTRC", curve))
    else:
        tags += [(b"rXYZ", xyz(0.4361, 0.2225, 0.0139)), (b"gXYZ", xyz(0.3851, 0.7169, 0.0971))]
        tags += [(b"bXYZ", xyz(0.1431, 0.0606, 0.7141)), (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve)]
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, data in tags:
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4xI4s4s4s", start + len(body), version << 24, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += struct.pack(">3i", round(65536 * 0.9642), 65536, round(65536 * 0.8249))
    return head.ljust(128, b"\0") + table + body


def parametric(*values):
    """Return a parametric curve: a power, or the five numbers g, a, b, c, d of sRGB's kind (ICC.1:2022, table 68)."""
    kind = {1: 0, 5: 3}[len(values)]
    numbers_ = (round(65536 * value) for value in values)
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + struct.pack(f">{len(values)}i", *numbers_)


SRGB_CURVE = parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def shown(light):
    """Return levels, not rounded, that show linear light from 0 to 1 in sRGB."""
    light = np.clip(np.asarray(light, float), 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
