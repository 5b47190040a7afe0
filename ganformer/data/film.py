"""Films: pictures one after the other, as mp4 by ffmpeg or as gif by Pillow."""

import shutil
import subprocess
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ganformer import artifacts
from ganformer.data.images import Pixels
from ganformer.errors import DataError

LEAST = 256  # pixels of the shorter side, at least; players blur what is smaller
RATE = 25.0  # pictures a second


def write_film(stem: Path, frames: Pixels, form: Literal["mp4", "gif"] = "mp4", rate: float = RATE) -> Path:
    """Write pictures uint8 [n, H, W, 3] as `stem`.mp4 or .gif, `rate` a second, and return its path.

    Small pictures are enlarged by a whole number, with hard pixels. Without ffmpeg on the PATH a gif is written, and a
    printed line says so. Raises DataError if ffmpeg fails or the file cannot be written.
    """
    if form == "mp4" and shutil.which("ffmpeg") is None:
        print(f"{stem}.mp4: there is no ffmpeg on the PATH, so {stem}.gif is written instead", flush=True)
        form = "gif"
    path = stem.with_name(f"{stem.name}.{form}")
    factor = max(1, -(-LEAST // min(frames.shape[1:3])))
    write(path, frames.repeat(factor, 1).repeat(factor, 2), rate)
    return path


def write(path: Path, frames: Pixels, rate: float) -> None:
    """Write pictures uint8 [n, H, W, 3] as a film, `rate` a second: .mp4 by ffmpeg, or else .gif.

    A GIF has at most 256 colours in a frame. Raises DataError if ffmpeg fails or the file cannot be written.
    """
    with artifacts.atomic(path) as temporary:
        (_mp4 if path.suffix == ".mp4" else _gif)(temporary, path, frames, rate)


def _mp4(temporary: Path, path: Path, frames: Pixels, rate: float) -> None:
    # H.264 in the form that every player knows wants even sides, and players stumble over few pictures a second.
    even = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    height, width = even.shape[1:3]
    call = ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    call += ["-r", f"{rate:g}", "-i", "-", "-an", "-r", f"{max(rate, RATE):g}", "-pix_fmt", "yuv420p"]
    call += ["-movflags", "+faststart", "-f", "mp4", str(temporary)]
    done = subprocess.run(call, input=np.ascontiguousarray(even).tobytes(), capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise DataError(f"{path}: ffmpeg cannot write it ({reason[0]}); ask for a gif, or mend ffmpeg")


def _gif(temporary: Path, path: Path, frames: Pixels, rate: float) -> None:
    first, *others = [Image.fromarray(frame).quantize(dither=Image.Dither.NONE) for frame in frames]
    milliseconds = max(20, round(1000 / rate / 10) * 10)  # the format counts hundredths; browsers slow down below 2
    first.save(temporary, format="GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
