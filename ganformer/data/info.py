"""Summary of a pack as text, a contact sheet and a mean image."""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganformer.data.dataset import Images
from ganformer.data.pictures import grid, save_picture
from ganformer.ledger import Ledger
from ganformer.progress import Progress
from ganformer.records.manifest import MEAN, SHEET, other_files

SHEET_IMAGES = 64  # images on the contact sheet
BATCH = 256


def info(pack: Path, out: Path | None = None) -> None:
    """Print the content of a pack, then draw a contact sheet and its mean image into a folder, by default its own.

    The sheet has images evenly spread over the pack. Raises DataError if the pack is missing or damaged, or where
    the pictures would replace files of somebody else or cannot be written.
    """
    images = Images(pack)
    folder = images.folder if out is None else out
    print("\n".join(f"{name:12}{value}" for name, value in _facts(images).items()), flush=True)
    Ledger(folder).claim([SHEET, MEAN])
    shown = images.spread(min(SHEET_IMAGES, len(images)))
    save_picture(folder / SHEET, grid(shown.transpose(0, 2, 3, 1)))
    save_picture(folder / MEAN, mean(images))
    print(f"{'pictures':12}{folder / SHEET}, {folder / MEAN}", flush=True)


def mean(images: Images) -> NDArray[np.uint8]:
    """Return the mean of all images, uint8 [H, W, C]; the sums are whole numbers, so that order does not matter."""
    sums = np.zeros((images.image.channels, images.image.height, images.image.width), np.uint64)
    with Progress(f"mean {images.folder}", len(images)) as progress:
        for start in range(0, len(images), BATCH):
            batch = images.read(np.arange(start, min(start + BATCH, len(images))))
            sums += batch.sum(axis=0, dtype=np.uint64)
            progress.update(len(batch))
    return np.rint(sums / len(images)).astype(np.uint8).transpose(1, 2, 0)


def _facts(images: Images) -> dict[str, str]:
    known, image = images.manifest, images.image
    rows, columns = image.picture
    size = sum((images.folder / shard.file).stat().st_size for shard in known.shards)
    around = "" if (rows, columns) == (image.height, image.width) else f", the picture {columns}×{rows} in its middle"
    reasons = Counter(rejected.reason for rejected in known.rejected).most_common(1)
    names = known.class_names or [str(number) for number in range(len(known.label_counts))]
    classes = [f"{name}: {count:,}" for name, count in zip(names, known.label_counts, strict=True)]
    return {
        "images": f"{known.count:,}, {known.duplicates:,} of them equal to an earlier one",
        "shape": f"{image.width}×{image.height} pixels (width × height), {image.channels} channels{around}",
        "format": f"{known.format}, {len(known.shards)} shard{'s'[: len(known.shards) - 1]}, {size / 1e6:,.1f} MB",
        "source": ", ".join(f"{key} {value}" for key, value in known.source.items() if value is not None),
        "labels": ", ".join(classes) or "none",
        "left out": other_files(known.left_out) if known.left_out else "nothing",
        "unusable": f"{len(known.rejected):,}" + "".join(f", most often: {reason} ({n:,})" for reason, n in reasons),
        "sha256": f"{images.digest} (of shape, pixels and labels)",
    }
