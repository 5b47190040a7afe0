#!/usr/bin/env bash
# One would guess that a colour management system turns 256 grey levels into sRGB
# to within rounding: there is one curve to go through, and 8 bits come out.
# With default flags, Little CMS (by Pillow's ImageCms) takes a linear-light grey
# profile to sRGB through a table of 33 evenly spaced points with straight lines
# between. sRGB rises steeply near black, so dark levels come out up to 10 levels
# too dark (level 2: 12 where 21.7 is right), light ones hardly differ.
# Flags.NOOPTIMIZE gives the sRGB formula to within rounding;
# Flags.HIGHRESPRECALC, which sounds like the cure, is still more than 6 levels off.
# Seen with Pillow 13.0.0 and the Little CMS 2.19 in its wheel.
# It matters when grey pictures with such a profile are read as sRGB: shadows sink.
# Where: PIL/ImageCms.py, class Flags, says no more than "Inhibit optimizations"
# of NOOPTIMIZE; in Little CMS the number of points for one channel, 33, is in
# src/cmspcs.c, _cmsReasonableGridpointsByColorspace.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
venv/bin/python -I - <<'PY'
import io, struct
import numpy as np, PIL
from PIL import Image, ImageCms, features

print("Pillow", PIL.__version__, "| Little CMS", features.version("littlecms2"), "| levels 0..8 give:")
d50 = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
tags = {
    b"desc": b"desc" + bytes(4) + struct.pack(">I", 7) + b"linear\0" + bytes(4 + 4 + 2 + 1 + 67),
    b"cprt": b"text" + bytes(4) + b"none\0",
    b"wtpt": b"XYZ " + bytes(4) + d50,
    b"kTRC": b"curv" + bytes(4) + struct.pack(">I", 0),  # no entries: output equals input
}
table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
for name, data in tags.items():
    table += name + struct.pack(">2I", start + len(body), len(data))
    body += data + bytes(-len(data) % 4)
header = struct.pack(">I4xI4s4s4s", start + len(body), 0x02100000, b"mntr", b"GRAY", b"XYZ ")
header += struct.pack(">6H4s28x", 2000, 1, 1, 0, 0, 0, b"acsp")
grey = ImageCms.getOpenProfile(io.BytesIO((header + d50).ljust(128, b"\0") + table + body))

def srgb(level):
    x = np.asarray(level) / 255
    return 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)

levels, flags = np.arange(256), ImageCms.Flags
points = np.linspace(0, 255, 33)
off = {}
for name in ("NONE", "HIGHRESPRECALC", "NOOPTIMIZE"):
    convert = ImageCms.buildTransform(grey, ImageCms.createProfile("sRGB"), "L", "RGB", flags=flags[name])
    got = np.asarray(convert.apply(Image.fromarray(levels[None].astype(np.uint8))))[0, :, 1].astype(float)
    off[name], lines = abs(got - srgb(levels)).max(), abs(got - np.interp(levels, points, srgb(points))).max()
    print(f"{name:14}", got[:9].astype(int).tolist(), f"off {off[name]:.2f} | off 33-point lines {lines:.2f}")
    if name == "NONE" and not lines < 0.6 < 9 < off[name]:
        raise SystemExit("Changed: default flags no longer give the lines between 33 points.")
print("formula       ", srgb(levels[:9]).round(1).tolist())
if not off["NOOPTIMIZE"] < 0.6 < 6 < off["HIGHRESPRECALC"]:
    raise SystemExit("Changed: NOOPTIMIZE is no longer right, or HIGHRESPRECALC no longer far off.")
PY
