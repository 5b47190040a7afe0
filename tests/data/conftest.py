"""Tiny folders of pictures."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def save_noise(path, *, seed=0, size=(20, 16)):
    """Save a picture of noise, `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture
def save_picture():
    return save_noise


@pytest.fixture
def mapped():
    """Tell how many bytes of files are in the memory of this process."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs Linux, which tells what is in memory")
    return lambda: int(re.search(r"RssFile:\s+(\d+) kB", status.read_text())[1]) * 1024


@pytest.fixture
def pictures(tmp_path):
    """Provide seven good pictures in several folders, and files that are to be overlooked."""
    folder = tmp_path / "pictures"
    names = ["b/1.png", "b/10.png", "b/2.bmp", "a.png", "a/deep/x.JPG", "a-b/y.webp", "z.gif"]
    for seed, name in enumerate(names):
        save_noise(folder / name, seed=seed)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("not a picture")
    return folder
