"""Film of the pictures of samples that a training left, in their order."""

import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganformer.data.film import write
from ganformer.errors import ConfigError, DataError

PICTURE = re.compile(r"kimg(\d+\.\d+)\.png")


def film(run: Path, out: Path, *, seconds: float = 10.0, is_labelled: bool = False) -> None:
    """Write the pictures `samples/kimg….png` of a run as a film of so many seconds: `.gif`, or `.mp4` by ffmpeg.

    `run`: its folder, or a file in it. With `is_labelled` the thousands of images are in the lower left corner. A GIF
    has at most 256 colours in a frame. Raises ConfigError if `out` has another suffix or there is no ffmpeg, DataError
    if there are no pictures, they are of several sizes, or ffmpeg fails.
    """
    _check(out)
    pictures = pictures_of(run)
    frames = [_read(path) for path in pictures]
    if len({frame.size for frame in frames}) > 1:
        raise DataError(f"{pictures[0].parent}: the pictures are of several sizes, as of several runs; remove others")
    if is_labelled:
        for frame, path in zip(frames, pictures, strict=True):
            label(frame, f"{kimg_of(path):,g} kimg")
    write(out, np.stack([np.asarray(frame) for frame in frames]), len(frames) / seconds)
    print(f"{out}: {len(frames)} pictures of {frames[0].width}×{frames[0].height} pixels, {seconds:g} s", flush=True)


def pictures_of(run: Path) -> list[Path]:
    """Return the pictures of samples of a run by their thousands of images; DataError if there are none."""
    if not run.exists() and not run.suffix:
        raise DataError(f"{run}: is not there; name the folder of a run that was trained here")
    folder = (run if run.is_dir() else run.parent) / "samples"
    found = [path for path in folder.glob("kimg*.png") if PICTURE.fullmatch(path.name)] if folder.is_dir() else []
    if not found:
        raise DataError(
            f"{folder}: has no pictures kimg….png; name the folder of a run that was trained here, past its "
            "first snapshot"
        )
    return sorted(found, key=kimg_of)


def kimg_of(picture: Path) -> float:
    """Return the thousands of images that the name of a picture tells."""
    match = PICTURE.fullmatch(picture.name)
    assert match is not None, "other files were left out"
    return float(match[1])


def _read(path: Path) -> Image.Image:
    """Return a picture as RGB, opacity laid on white."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGBA")
    except OSError as error:
        raise DataError(f"{path}: is not a whole picture ({error}); remove it") from error
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def label(frame: Image.Image, text: str) -> None:
    """Write a text into the lower left corner, white on black."""
    draw, font = ImageDraw.Draw(frame), ImageFont.load_default(max(10, frame.height // 24))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = 2
    height = bottom - top + 2 * margin
    draw.rectangle((0, frame.height - height, right - left + 2 * margin, frame.height), fill="black")
    draw.text((margin - left, frame.height - height + margin - top), text, font=font, fill="white")


def _check(out: Path) -> None:
    if out.suffix not in (".gif", ".mp4"):
        raise ConfigError(f"{out}: a film is a .gif or .mp4 file; name one")
    if out.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise ConfigError(f"{out}: ffmpeg, which writes mp4, is not installed; install it, or name a .gif file")
