#!/usr/bin/env bash
# One would guess that Pillow brings grey TIFF levels to the full scale of the mode
# it gives, black at 0, as it does for 4 bits (15 -> 255) and 8-bit WhiteIsZero.
# It does not do so for mode "I;16". Levels of 12 bits stay 0..4095 in that mode,
# where 16-bit pictures have white at 65535, and neither mode nor info tells (only
# tag 258 does). Saved as PNG, white becomes 4095 of 65535: 16 times too dark.
# convert("L") is no way out: at either depth it only cuts the levels at 255.
# A 16-bit WhiteIsZero picture is not inverted (8 bits: it is), so it is a negative.
# Seen with Pillow 13.0.0, on little-endian files by tifffile 2026.3.3.
# It matters for reading data sets of scans, X-rays and raw sensors, where both
# kinds occur: one must read tags 258 and 262 and scale or invert by oneself.
# Where: PIL/TiffImagePlugin.py, table OPEN_INFO: 12 bits map to ("I;16", "I;12"),
# and photometric 0 with 16 bits to ("I;16", "I;16"), the same as photometric 1,
# where the rows of 8 bits and less have an inverting raw mode such as "L;I".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    pillow==13.0.0 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
venv/bin/python -I - <<'PY'
import imagecodecs, numpy as np, PIL, tifffile
from PIL import Image

print("Pillow", PIL.__version__, "| tifffile", tifffile.__version__, "| numpy", np.__version__)

def read(bits, photometric):
    levels = [0, 1, 1 << bits - 1, (1 << bits) - 1]
    data = np.array([levels], np.uint8 if bits <= 8 else np.uint16)
    tifffile.imwrite("a.tif", data, photometric=photometric, bitspersample=bits, byteorder="<")
    if bits < 16:  # TIFF 6.0 packs samples from the high bit down: check the file by hand
        with tifffile.TiffFile("a.tif") as tif:
            tif.filehandle.seek(tif.pages[0].dataoffsets[0])
            stored = int.from_bytes(tif.filehandle.read(4 * bits // 8), "big")
        if stored != sum(v << bits * (3 - i) for i, v in enumerate(levels)):
            raise SystemExit("tifffile packed the samples otherwise, so nothing is shown.")
    with Image.open("a.tif") as image:
        got, as_l = (np.asarray(i)[0].tolist() for i in (image, image.convert("L")))
        image.save("a.png")
        print(f"{photometric} {bits:2} bits, stored {levels}: {image.mode} {got}, as L {as_l}")
    return image.mode, got, as_l

if read(4, "minisblack") != ("L", [0, 17, 136, 255], [0, 17, 136, 255]):
    raise SystemExit("Changed: 4 bits are no longer scaled to 255.")
if read(12, "minisblack") != ("I;16", [0, 1, 2048, 4095], [0, 1, 255, 255]):
    raise SystemExit("Changed: 12 bits are no longer left at 0..4095.")
png = imagecodecs.png_decode(open("a.png", "rb").read())
print("12 bits saved as PNG, read by libpng:", png.dtype, png[0].tolist(), "| white to scale: 65535")
if (png.dtype, png[0, 3]) != (np.uint16, 4095):
    raise SystemExit("Changed: 12-bit white is no longer saved as 4095 of 65535.")
if read(8, "miniswhite")[:2] != ("L", [255, 254, 127, 0]):
    raise SystemExit("Changed: 8 bits WhiteIsZero are no longer inverted.")
if read(16, "miniswhite")[:2] != ("I;16", [0, 1, 32768, 65535]):
    raise SystemExit("Changed: 16 bits WhiteIsZero are no longer left as stored.")
PY
