"""Formats by the first bytes of their files; unsupported ones, too, so that they are refused by name."""

import re

READ = {"PNG", "JPEG", "WebP", "GIF", "AVIF", "BMP", "TIFF", "PNM"}
"""Formats that are decoded."""

PAGED = (".tif", ".tiff", ".btf", ".tf8")
"""File name extensions of TIFF, whose files may hold several pictures."""

EXTENSIONS = (
    *(".png", ".apng"),
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    *(".webp", ".gif"),
    *(".avif", ".avifs"),
    *(".bmp", ".dib"),
    *PAGED,
    *(".pnm", ".pbm", ".pgm", ".ppm"),
)
"""File name extensions of `READ`, in small letters."""

START = 64
"""Number of bytes at the start of a file by which its format is recognised."""

# The first that fits counts.
_SIGNATURES = [
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("JPEG-LS", rb"\xff\xd8\xff\xf7"),
    ("JPEG", rb"\xff\xd8\xff"),
    ("WebP", rb"RIFF....WEBP"),
    ("GIF", rb"GIF8[79]a"),
    ("Canon raw (CR2)", rb"(II\*\0|MM\0\*).{4}CR"),
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("BMP", rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    ("PNM", rb"P[1-6]\s*(#[^\n]*\n\s*)*(\d|#|$)"),
    ("PAM", rb"P7\n"),
    ("PFM", rb"P[fF]\n"),
    ("JPEG 2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    ("JPEG XR", rb"II\xbc\x01"),
    ("OpenEXR", rb"\x76\x2f\x31\x01"),
    ("Photoshop (PSD)", rb"8BPS\0[\x01\x02]"),
    ("Radiance HDR", rb"#\?(RADIANCE|RGBE)\n"),
    ("DDS", rb"DDS \x7c\0\0\0"),
    ("KTX", rb"\xabKTX [12][01]\xbb\r\n\x1a\n"),
    ("FITS", rb"SIMPLE  ="),
    ("GIMP (XCF)", rb"gimp xcf"),
    ("QOI", rb"qoif"),
    ("FLIF", rb"FLIF"),
    ("BPG", rb"BPG\xfb"),
    ("ICO", rb"\0\0[\x01\x02]\0[^\0]\0.{3}\0[\0\x01]\0"),
    ("ICNS", rb"icns"),
    ("PCX", rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08]"),
    ("SGI", rb"\x01\xda[\0\x01][\x01\x02]\0[\x01-\x03]"),
    ("Sun raster", rb"\x59\xa6\x6a\x95"),
    ("DPX", rb"SDPX|XPDS"),
    ("DjVu", rb"AT&TFORM"),
    ("EMF", rb"\x01\0\0\0.{36} EMF"),
    ("WMF", rb"\xd7\xcd\xc6\x9a"),
    ("Fujifilm raw (RAF)", rb"FUJIFILMCCD-RAW"),
    ("Olympus raw (ORF)", rb"IIR[OS]"),
    ("Panasonic raw (RW2)", rb"IIU\0"),
    ("PDF", rb"%PDF-"),
    ("PostScript", rb"%!PS"),
    ("SVG", rb"\s*(<\?xml[^>]*>\s*)?<svg[\s>]"),
]
_PATTERNS = [(name, re.compile(pattern, re.DOTALL)) for name, pattern in _SIGNATURES]

# Brands of the box "ftyp" of ISO/IEC 14496-12; the first of these among a file's brands decides.
_BRANDS = [
    ("AVIF", (b"avif", b"avis")),
    ("Canon raw (CR3)", (b"crx ",)),
    ("HEIC", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")),
    ("HEIF", (b"mif1", b"mif2", b"msf1")),
]


# Vector graphics and icons: beside pictures these are counted like texts.
_NO_PICTURES = {"PDF", "PostScript", "SVG", "EMF", "WMF", "DjVu", "ICO", "ICNS"}


def recognise(start: bytes) -> str | None:
    """Return name of the picture format that a file begins as, by its first 64 bytes; None if it is no picture.

    `READ` has the names of the formats that are decoded. Documents, vector graphics and icons are no pictures.
    """
    name = _name(start)
    return None if name in _NO_PICTURES else name


def _name(start: bytes) -> str | None:
    if start[4:8] == b"ftyp":
        end = min(int.from_bytes(start[:4]), len(start))
        brands = {start[8:12], *(start[place : place + 4] for place in range(16, end - 3, 4))}
        return next((name for name, known in _BRANDS if brands.intersection(known)), None)
    return next((name for name, pattern in _PATTERNS if pattern.match(start)), None)


def refusal(start: bytes) -> str:
    """Return why a file that begins with these bytes is not read; None if it may be."""
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS in place of the file itself; get that, e.g. with git lfs pull"
    name = _name(start)
    if name is None:
        return "is not an image of a known format"
    return f"is {name}, a format that is not read; convert it, e.g. to PNG"
