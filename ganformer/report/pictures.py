"""Images and attention maps that `ganformer.analysis` stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganformer.config import Experiment
from ganformer.records.npz import ShownImages
from ganformer.report.records import RUN

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [*RUN, "kimg", "data", "file", "images", "maps", "classes"]


def generated(paths: Iterable[Path]) -> pd.DataFrame:
    """Return one row a file of generated images: dataset, model, seed, kimg, data, file, images, maps, classes.

    `data`: sha256 of the data that the run was trained on; `images` uint8 [n, H, W, 3]; `maps`: one
    array [n, heads, components, h, w] a layer, coarse to fine, none if only images were stored; `classes`: name of
    the class of each image, none without classes. Files of real images
    are left out. Raises DataError if a file is missing or is no such file.
    """
    import pandas as pd

    rows = [{**found["run"], **found} for found in map(_read, paths) if found["run"] is not None]
    return pd.DataFrame(rows, columns=COLUMNS)


def real(paths: Iterable[Path]) -> Mapping[str, Mapping[str, Any]]:
    """Return `images` uint8 [n, H, W, 3] and `classes` of real images by the sha256 of their data; skip other files.

    Raises DataError if a file is missing or is no such file.
    """
    return {found["data"]: found for found in map(_read, paths) if found["run"] is None}


def in_order(experiment: Experiment, found: pd.DataFrame) -> list[pd.Series]:
    """Return the rows in the experiment's order of models, then seeds."""
    rows = [row for _, row in found.iterrows()]
    return sorted(rows, key=lambda row: (experiment.models.index(row["model"]), experiment.seeds.index(row["seed"])))


def _read(path: Path) -> dict[str, Any]:
    from ganformer.data.images import in_colours

    facts, arrays = ShownImages.read(path)
    return {
        "run": None if facts.run is None else facts.run.content(),
        "kimg": facts.kimg,
        "data": facts.data_sha256,
        "file": str(path),
        "images": in_colours(arrays["images"], axis=-1),
        "maps": [arrays[name] for name in (f"maps_{i}" for i in range(len(arrays))) if name in arrays],
        "classes": facts.classes,
    }
