#!/usr/bin/env bash
# One would guess that convert("RGBA") makes those pixels of a PNG transparent
# whose stored sample equals the key in the tRNS chunk, at every bit depth: the PNG
# specification compares the samples as they are stored, with all their bits.
# Pillow scales the samples to 8 bits first and keeps the key unscaled. With 4 bits
# of grey, key 7 never meets level 7, which is 119 by then: all stays opaque.
# With 16-bit RGB a pixel keeps its high byte and the key its low byte. With key
# 0x1234, pixel 0x1234 (now 0x12) stays opaque, and every pixel whose high byte is
# 0x34, such as 0x3400, vanishes.
# Seen with Pillow 13.0.0; libpng in imagecodecs 2026.3.6 follows the specification.
# It matters when pictures are put on a background: keyed backgrounds stay, and
# holes come up in the object, without any error.
# Where: PIL/PngImagePlugin.py, table _MODES ("L;4" and "RGB;16B" scale) and
# PngStream.chunk_tRNS (the key is taken as stored, save for 1 bit);
# PIL/Image.py, Image.convert, hands both to the C function convert_transparent.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 imagecodecs==2026.3.6 numpy==2.4.6
venv/bin/python -I - <<'PY'
import io, struct, zlib
import imagecodecs, PIL
from PIL import Image

print("Pillow", PIL.__version__, "| imagecodecs", imagecodecs.__version__, "with", imagecodecs.png_version())

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def opaque(depth, colour, levels, key):
    """Which pixels are opaque: by the specification, by libpng, by Pillow."""
    channels = 3 if colour == 2 else 1
    bits = "".join(f"{v:0{depth}b}" * channels for v in levels)
    row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", len(levels), 1, depth, colour, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", key) * channels)
    png += chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    spec = [v != key for v in levels]
    libpng = [bool(a) for a in imagecodecs.png_decode(png)[0, :, -1]]
    with Image.open(io.BytesIO(png)) as image:
        rgba = [image.convert("RGBA").getpixel((x, 0)) for x in range(len(levels))]
    print(f"{depth} bits, colour type {colour}, key {key:#x}, levels", [hex(v) for v in levels])
    print("  opaque by specification", spec, "by libpng", libpng)
    print("  Pillow (red, alpha):", [(p[0], p[3]) for p in rgba])
    if libpng != spec:
        raise SystemExit("libpng departs from the specification, so nothing is shown.")
    return spec, [bool(p[3]) for p in rgba]

spec, pillow = opaque(8, 0, [0, 7, 8, 255], 7)
if pillow != spec:
    raise SystemExit("Changed: 8-bit keys are no longer right in Pillow.")
if opaque(4, 0, [0, 7, 8, 15], 7)[1] != [True, True, True, True]:
    raise SystemExit("Changed: a 4-bit grey key is no longer without effect.")
levels = [0x1234, 0x1299, 0x3400, 0x34FF, 0x5678]
if opaque(16, 2, levels, 0x1234)[1] != [v >> 8 != 0x1234 & 255 for v in levels]:
    raise SystemExit("Changed: high byte of pixel and low byte of key are no longer compared.")
PY
