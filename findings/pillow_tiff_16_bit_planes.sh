#!/usr/bin/env bash
# One would guess that a TIFF picture gives the same pixels whether or not it is
# compressed, and that a layout which a reader cannot do is refused.
# Pillow opens an uncompressed RGB TIFF of 16 bits a sample in separate planes
# (PlanarConfiguration 2) without an error or a warning, and reads each plane as if
# it had 8 bits a sample. The two bytes of a sample become neighbouring pixels, so
# the picture is striped and its lower half is never read. The same array is right
# with deflate, and right without compression when the samples are interleaved.
# Seen with Pillow 13.0.0; the files are written by tifffile 2026.3.3, which reads
# all of them back unchanged.
# It matters because scanners, microscopes and satellite tools write such files:
# nothing fails, mode and size are as expected, and only a look shows the damage.
# Where: PIL/TiffImagePlugin.py, TiffImageFile._setup. The branch of uncompressed
# strips takes `rawmode[layer]`, one letter of "RGB;16L" ("R", "G", "B"), and these
# raw modes mean 8 bits; a compressed file goes to libtiff with the whole raw mode.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
venv/bin/python -I - <<'PY'
import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__, "| tifffile", tifffile.__version__, "| numpy", np.__version__)
size = 8
y, x = np.mgrid[0:size, 0:size]
# Red grows to the right, green downwards, blue is even; low bytes differ from high ones.
planes = np.stack([x * 8192 + 255, y * 8192 + 255, np.full_like(x, 0x40FF)]).astype(np.uint16)
want = (planes >> 8).astype(np.uint8)  # the upper 8 of 16 bits, as Pillow keeps them


def read(order, layout, compression):
    data = planes if layout == "separate" else planes.transpose(1, 2, 0)
    tifffile.imwrite("a.tif", data, photometric="rgb", planarconfig=layout,
                     compression=compression, byteorder=order)
    if not np.array_equal(tifffile.imread("a.tif"), data):
        raise SystemExit("tifffile does not read its own file back, so nothing is shown.")
    with Image.open("a.tif") as image:
        print(f"{order} {layout:8} {compression or 'none':4} {image.mode} {image.size}", end=" ")
        got = np.asarray(image).transpose(2, 0, 1)
    print("red of row 0:", got[0, 0].tolist(), "| wrong:", int((got != want).sum()), "of", want.size)
    return got


print("right is red of row 0:", want[0, 0].tolist())
for order in "<>":
    for layout, compression in (("separate", "zlib"), ("contig", None)):
        if not np.array_equal(read(order, layout, compression), want):
            raise SystemExit("Changed: a layout that Pillow read right is now read otherwise.")
    stored = planes.astype(order + "u2")
    # Of every plane, the first 8 x 8 bytes as pixels.
    bytes_as_pixels = stored.view(np.uint8).reshape(3, -1)[:, : size * size].reshape(3, size, size)
    if not np.array_equal(read(order, "separate", None), bytes_as_pixels):
        raise SystemExit("Changed: uncompressed 16-bit planes are no longer read as 8-bit ones.")
PY
