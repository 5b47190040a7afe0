"""Rivals of the benchmarks: the same work as other programs do it, in our own words."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

try:
    import pyspng
except ImportError:  # said in the table
    pyspng = None

Pixels = NDArray[np.uint8]
HAS_PYSPNG = pyspng is not None


class Pictures(Protocol):
    """Pictures by their numbers."""

    def __getitem__(self, index: int) -> Pixels:
        """Return uint8 [C, H, W]."""


class FolderOfPngs:
    """The usual folder data set: a file is opened and decoded by Pillow for every image."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob("*.png"))

    def __getitem__(self, index: int) -> Pixels:
        """Return uint8 [C, H, W]."""
        with Image.open(self._paths[index]) as picture:
            return np.asarray(picture.convert("RGB")).transpose(2, 0, 1).copy()


class StyleGan2AdaZip:
    """Reader of StyleGAN2-ADA's zip files (`ImageFolderDataset` in its training/dataset.py).

    The archive stays open, a member is read through Python's zipfile and decoded by pyspng, one image at a time.
    """

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self._names = sorted(name for name in self._zip.namelist() if name.endswith(".png"))

    def __getitem__(self, index: int) -> Pixels:
        """Return uint8 [C, H, W]."""
        with self._zip.open(self._names[index]) as file:
            pixels: Pixels = pyspng.load(file.read()).transpose(2, 0, 1).copy()
            return pixels


def write_stylegan2_ada_zip(pictures: Path, path: Path) -> None:
    """Pack a folder of PNGs as StyleGAN2-ADA's dataset_tool does: uncompressed PNGs in an uncompressed zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, picture in enumerate(sorted(pictures.glob("*.png"))):
            name = f"{number:08d}"
            with archive.open(f"{name[:5]}/img{name}.png", "w") as file, Image.open(picture) as image:
                image.save(file, "png", compress_level=0)


def official_tool(pictures: Path, out: Path) -> int:
    """Return the steps of `create_from_imgs` of GANformer's dataset_tool (PyTorch version).

    Decode, convert to RGB, crop the centre, pad to a square, resize to the nearest power of two, then save this size
    and every smaller one down to 4 as PNGs, each the mean of 2 × 2 pixels of the one before.
    """
    paths = sorted(pictures.glob("**/*.png"))
    for number, path in enumerate(paths):
        levels = _levels(_square(Image.open(path).convert("RGB")))
        for level in levels:
            pixels = np.rint(level).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
            folder = out / str(len(pixels))
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png", format="png")
    return len(paths)


def least_tool(pictures: Path, out: Path, resolution: int) -> int:
    """Return only what is needed of it: decode, convert, crop, resize to the resolution that is wanted, save as PNG."""
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(pictures.glob("**/*.png"))
    for number, path in enumerate(paths):
        image = _square(Image.open(path).convert("RGB"))
        image.resize((resolution, resolution), Image.Resampling.LANCZOS).save(out / f"{number}.png", format="png")
    return len(paths)


def _square(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))  # nothing is left to pad at ratio 1, the tool's default


def _levels(image: Image.Image) -> Iterator[NDArray[np.generic]]:
    """Yield [C, H, W] at a power of two, then at each half, floats, down to 4."""
    side = 2 ** round(np.log2(image.width))
    level: NDArray[np.generic] = np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    while True:
        yield level
        if level.shape[1] == 4:
            return
        whole = level.astype(np.float32)
        level = (whole[:, ::2, ::2] + whole[:, ::2, 1::2] + whole[:, 1::2, ::2] + whole[:, 1::2, 1::2]) * 0.25


# Runs the tool of a checkout. What it imports without using it on this way is replaced where it is not installed, and
# the name of Lanczos that Pillow 10 removed is put back.
_CHECKOUT = """
import importlib, sys
from unittest.mock import MagicMock
import PIL.Image
PIL.Image.ANTIALIAS = PIL.Image.Resampling.LANCZOS
for name in ("tensorflow", "cv2", "six", "six.moves", "six.moves.queue", "seaborn", "termcolor"):
    try:
        importlib.import_module(name)
    except ImportError:
        sys.modules[name] = MagicMock()
sys.path.insert(0, sys.argv[1])
import dataset_tool
print("ready", flush=True)
sys.stdin.readline()
dataset_tool.create_from_imgs(sys.argv[2], sys.argv[3], format="png", ratio=1.0)
"""


class OfficialCheckout:
    """The tool itself, from a checkout of github.com/dorarad/gansformer, started and waiting for the word."""

    def __init__(self, checkout: Path, pictures: Path, out: Path) -> None:
        command = [sys.executable, "-c", _CHECKOUT, str(checkout / "pytorch_version"), str(out), str(pictures)]
        self._pictures = pictures
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{checkout}: pytorch_version/dataset_tool.py cannot be imported; is this a checkout?")

    def __call__(self) -> int:
        """Convert all pictures; returns their number."""
        self._process.communicate("go\n")
        if self._process.returncode:
            raise SystemExit(f"the official tool ended with status {self._process.returncode}")
        return sum(1 for _ in self._pictures.glob("**/*.png"))
