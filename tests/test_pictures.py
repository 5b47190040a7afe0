"""Generated pictures are of the kinds that the real ones are of, and the same every time."""

import warnings
from pathlib import Path

import pytest
from PIL import Image

from tests import pictures

# Format, mode and orientation as Pillow has them, and whether it moves; of those that Pillow opens.
KINDS = {
    "10ct_32bit_128.tiff": ("TIFF", "F", 1, False),
    "16bit.cropped.tif": ("TIFF", "I;16", 1, False),
    "1_trns.png": ("PNG", "1", 1, False),
    "7x13.png": ("PNG", "RGB", 1, False),
    "apng_delay.png": ("PNG", "RGBA", 1, True),
    "app13-multiple.jpg": ("JPEG", "RGB", 1, False),
    "bmp_b_shortfile.bmp": ("BMP", "1", 1, False),
    "broken_data_stream.png": ("PNG", "RGB", 1, False),
    "bw_gradient.png": ("PNG", "L", 1, False),
    "dispose_bgnd.gif": ("GIF", "P", 1, True),
    "exif_imagemagick_orientation.png": ("PNG", "RGB", 3, False),
    "flower2.jpg": ("JPEG", "RGB", 1, False),
    "hopper.Lab.tif": ("TIFF", "LAB", 1, False),
    "hopper.jpg": ("JPEG", "RGB", 1, False),
    "hopper.webp": ("WEBP", "RGB", 1, False),
    "hopper_bad_exif.jpg": ("JPEG", "L", 1, False),
    "hopper_gray.jpg": ("JPEG", "L", 1, False),
    "hopper_orientation_3.jpg": ("JPEG", "RGB", 3, False),
    "hopper_orientation_6.jpg": ("JPEG", "RGB", 6, False),
    "hopper_orientation_6.webp": ("WEBP", "RGB", 6, False),
    "hopper_orientation_8.jpg": ("JPEG", "RGB", 8, False),
    "i_trns.png": ("PNG", "I;16", 1, False),
    "iss634.webp": ("WEBP", "RGBA", 1, True),
    "jfif_unit_cm.jpg": ("JPEG", "L", 1, False),
    "l_trns.png": ("PNG", "L", 1, False),
    "p_trns_single.png": ("PNG", "P", 1, False),
    "pil123p.png": ("PNG", "P", 1, False),
    "pil123rgba.png": ("PNG", "RGBA", 1, False),
    "pil_sample_cmyk.jpg": ("JPEG", "CMYK", 1, False),
    "tiff_strip_cmyk_jpeg.tif": ("TIFF", "CMYK", 1, False),
    "transparent.gif": ("GIF", "P", 1, False),
    "transparent.webp": ("WEBP", "RGBA", 1, False),
    "truncated_image.png": ("PNG", "RGB", 1, False),
    "truncated_jpeg.jpg": ("JPEG", "RGB", 1, False),
    "uncompressed_la.png": ("PNG", "LA", 1, False),
}
NOT_OPENED = {"broken.png", "unknown_compression_method.png", "png_decompression_dos.png"}
NOT_OPENED |= {"decompression_bomb.gif", "bmp_b_reallybig.bmp"}


def kind(path: Path) -> tuple[str | None, str, int, bool]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of exif that is damaged
        with Image.open(path) as image:
            has_exif = any("exif" in key for key in image.info)  # without, Pillow decodes all of a PNG
            orientation = image.getexif().get(0x0112, 1) if has_exif else 1
            return image.format, image.mode, orientation, getattr(image, "is_animated", False)


def test_kinds_of_odd_pictures(shared: Path) -> None:
    folder = shared / "data" / "odd_images"
    assert {path.name for path in folder.iterdir()} == KINDS.keys() | NOT_OPENED
    assert {name: kind(folder / name) for name in KINDS} == KINDS


@pytest.mark.parametrize("name", sorted(NOT_OPENED))
def test_odd_pictures_that_pillow_refuses(shared: Path, name: str) -> None:
    with pytest.raises((ValueError, OSError, Image.DecompressionBombError)):  # never a warning or a long wait
        Image.open(shared / "data" / "odd_images" / name)


def test_same_files_every_time(generated: Path, tmp_path: Path) -> None:
    pictures.write_all(tmp_path)
    written = {path.relative_to(generated): path.read_bytes() for path in generated.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert written.keys() == again.keys()
    differing = {path for path in written if written[path] != again[path]}
    assert {path.name for path in differing} <= {"lock.mdb"}  # LMDB's names the process
    assert sum(map(len, written.values())) < 2**20
