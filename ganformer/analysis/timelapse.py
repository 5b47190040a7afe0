"""Film of the pictures of samples that a training left, in their order."""

import io
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ganformer import artifacts
from ganformer.errors import ConfigError, DataError

PICTURE = re.compile(r"kimg(\d+\.\d+)\.png")
SHORTEST = 20  # milliseconds that programs show a frame of a GIF at least
UNIT = 10  # milliseconds in which a GIF counts
RATE = 30  # frames a second of an mp4, which repeats pictures

Frames = Sequence[Image.Image]


def film(run: Path, out: Path, *, seconds: float = 10.0, is_labelled: bool = False) -> None:
    """Write the pictures `samples/kimg….png` of a run as a film of so many seconds: `.gif`, or `.mp4` by ffmpeg.

    `run`: its folder, or a file in it. With `is_labelled` the thousands of images are in the lower left corner. A GIF
    has at most 256 colours in a frame. Raises ConfigError if `out` has another suffix or there is no ffmpeg, DataError
    if there are no pictures, they are of several sizes, or ffmpeg fails.
    """
    write = _writer(out)
    pictures = pictures_of(run)
    frames = [_read(path) for path in pictures]
    if len({frame.size for frame in frames}) > 1:
        raise DataError(f"{pictures[0].parent}: the pictures are of several sizes, as of several runs; remove others")
    if is_labelled:
        for frame, path in zip(frames, pictures, strict=True):
            label(frame, f"{kimg_of(path):,g} kimg")
    with artifacts.atomic(out) as temporary:
        write(frames, temporary, seconds)
    print(f"{out}: {len(frames)} pictures of {frames[0].width}×{frames[0].height} pixels, {seconds:g} s", flush=True)


def pictures_of(run: Path) -> list[Path]:
    """Return the pictures of samples of a run by their thousands of images; DataError if there are none."""
    folder = (run if run.is_dir() else run.parent) / "samples"
    found = [path for path in folder.glob("kimg*.png") if PICTURE.fullmatch(path.name)] if folder.is_dir() else []
    if not found:
        raise DataError(f"{folder}: has no pictures kimg….png; name the folder of a run that was trained here")
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


def _writer(out: Path) -> Callable[[Frames, Path, float], None]:
    writers = {".gif": _gif, ".mp4": _mp4}
    if out.suffix not in writers:
        raise ConfigError(f"{out}: a film is a .gif or .mp4 file; name one")
    if out.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise ConfigError(f"{out}: ffmpeg, which writes mp4, is not installed; install it, or name a .gif file")
    return writers[out.suffix]


def _gif(frames: Frames, path: Path, seconds: float) -> None:
    duration = max(SHORTEST, round(seconds * 1000 / len(frames) / UNIT) * UNIT)
    first, *others = [frame.quantize(dither=Image.Dither.NONE) for frame in frames]
    first.save(path, format="GIF", save_all=True, append_images=others, duration=duration, loop=0)


def _mp4(frames: Frames, path: Path, seconds: float) -> None:
    """Write an mp4 that usual players show: H.264 with an even number of rows and columns."""
    options = ["-f", "image2pipe", "-framerate", f"{len(frames) / seconds:g}", "-i", "-", "-r", str(RATE)]
    options += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-f", "mp4"]
    pictures = io.BytesIO()
    for frame in frames:
        frame.save(pictures, format="PNG")
    ended = subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", *options, str(path)], input=pictures.getvalue(), capture_output=True
    )
    if ended.returncode:
        reason = ended.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise DataError(f"ffmpeg cannot write the film ({reason[-1]}); name a .gif file")
