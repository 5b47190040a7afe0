"""Images and attention maps that `ganformer.analysis` stored."""

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ganformer.errors import DataError
from ganformer.report.records import RUN

COLUMNS = [*RUN, "kimg", "manifest", "file", "images", "maps"]


def generated(paths: Iterable[Path]) -> pd.DataFrame:
    """One row a file of generated images: dataset, model, seed, kimg, manifest, file, images, maps.

    `manifest`: sha256 of the manifest of the pack that the run was trained on; `images` uint8 [n, H, W, 3]; `maps`: one
    array [n, heads, components, h, w] a layer, coarse to fine, none where only images were stored. Files of real images
    are left out. Raises DataError where a file is missing or is no such file.
    """
    rows = [{**found["run"], **found} for found in map(_read, paths) if found["run"] is not None]
    return pd.DataFrame(rows, columns=COLUMNS)


def real(paths: Iterable[Path]) -> Mapping[str, Any]:
    """Real images uint8 [n, H, W, 3] by the sha256 of their pack's manifest; files of generated ones are left out.

    Raises DataError where a file is missing or is no such file.
    """
    return {found["manifest"]: found["images"] for found in map(_read, paths) if found["run"] is None}


def _read(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            provenance = json.loads(str(arrays["provenance"]))
            maps = [arrays[f"maps_{i}"] for i in range(len(arrays.files) - 2)]
            images = arrays["images"]
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no readable file of images ({error}); make it again") from error
    return {
        "run": provenance["run"],
        "kimg": provenance.get("kimg"),
        "manifest": provenance["manifest_sha256"],
        "file": str(path),
        "images": images,
        "maps": maps,
    }
