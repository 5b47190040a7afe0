"""Many images as one picture, and pictures as files."""

from pathlib import Path

import numpy as np
from PIL import Image

from ganformer import artifacts
from ganformer.data.images import Pixels

COLUMNS = 8  # of a grid


def grid(images: Pixels) -> Pixels:
    """Return images [n, H, W, C] as one picture [rows·H, columns·W, C]; empty cells are black."""
    count, height, width, channels = images.shape
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = images
    arranged = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return arranged.reshape(rows * height, columns * width, channels)


def save_picture(path: Path, picture: Pixels) -> None:
    """Write a picture [H, W, C] as PNG."""
    with artifacts.atomic(path) as temporary:
        Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(temporary, format="PNG")
