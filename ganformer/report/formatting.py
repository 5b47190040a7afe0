"""Spelling of models, metrics and quantities, the same in every table and figure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ganformer.config.evaluation import SECOND
from ganformer.records.metrics import Recipe

MODELS = {
    "gan": "GAN",
    "kgan": "k-GAN",
    "sagan": "SAGAN",
    "stylegan2": "StyleGAN2",
    "stylegan2released": "StyleGAN2 (released)",
    "msggan": "MSG-GAN",
    "vqgan": "VQGAN",
    "simplex": "GANformer (simplex)",
    "duplex": "GANformer (duplex)",
    "centroid": "GANformer (centroid)",
}
NONE = "–"
"""Stands if there is no number."""


@dataclass(frozen=True)
class Metric:
    """Display of a measured number: its title, the better direction, its unit and its published names.

    `decimals` None: as many as give the smallest value of a column three significant digits.
    """

    title: str
    better: Literal["low", "high", None] = None
    scale: float = 1.0
    decimals: int | None = None
    published: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The title with an arrow that points to better values."""
        return self.title + {"low": " ↓", "high": " ↑", None: ""}[self.better]


METRICS = {
    "fd": Metric("FD", "low", published=("FID",)),
    "rfd": Metric("rFD", "low"),
    "sfd": Metric("sFD", "low"),
    "fd_infinity": Metric("FD∞", "low"),
    "fd_bias": Metric("FD − FD∞"),
    "kid": Metric("KID × 10³", "low", 1000),
    "is": Metric("IS", "high", decimals=2, published=("IS",)),
    "precision": Metric("Precision %", "high", 100, decimals=1, published=("Precision_pct", "Precision")),
    "recall": Metric("Recall %", "high", 100, decimals=1, published=("Recall_pct", "Recall")),
    "density": Metric("Density", "high", decimals=3),
    "coverage": Metric("Coverage %", "high", 100, decimals=1),
}
METRICS |= {
    f"chi2_{key}": Metric(title, "low", published=(f"chi2_{published}",))
    for key, title, published in [
        ("object_area", "Object area", "object_area"),
        ("object_number", "Object number", "object_number"),
        ("co_occurrence", "Co-occurrence", "co_occurrence"),
        ("shape", "Shape", "shape"),
        ("size", "Size", "size"),
        ("material", "Material", "material"),
        ("colour", "Colour", "color"),
        ("class", "Class", "class"),
    ]
}
METRICS |= {
    f"ppl_{space}_{sampling}": Metric(f"PPL {space}, {sampling}", "low")
    for space in ("z", "w")
    for sampling in ("full", "end")
}
METRICS |= {
    f"dci_{key}": Metric(title, "high", decimals=3, published=(f"DCI_{published}",))
    for key, title, published in [
        ("disentanglement", "Disentanglement", "Disentanglement"),
        ("modularity", "Modularity", "Modularity"),
        ("completeness", "Completeness", "Completeness"),
        ("informativeness", "Informativeness", "Informativeness"),
        ("informativeness_prime", "Informativeness′", "Informativeness_prime"),
    ]
}
PUBLISHED = {
    "FID": "FID ↓",
    "IS": "IS ↑",
    "Precision": "Precision ↑",
    "Precision_pct": "Precision % ↑",
    "Recall": "Recall ↑",
    "Recall_pct": "Recall % ↑",
}


def model(name: str) -> str:
    """Return the usual spelling of a model's name, else the name itself."""
    return MODELS.get(plain(name), name)


def plain(name: str) -> str:
    """Return a name in small letters without hyphens, so that `k-GAN` and `kgan` are one."""
    return name.replace("-", "").replace("_", "").lower()


def metric(key: str, name: str) -> Metric:
    """Return the display of metric `key` with the name `name`; only features of that name give "FID"."""
    known = METRICS.get(key.removeprefix(SECOND), Metric(key))
    title = known.title.replace("FD", "FID") if "fid" in name else known.title
    resize = " (clean)" * name.startswith("clean_") + " (pytorch-fid)" * ("_pytorch" in name)
    return replace(known, title=title + resize)


def conditions(dataset: str, recipe: Recipe, by: str) -> str:
    """Return data set, size, features and images of numbers measured `by` a network: `scenes 32, vgg16, 1k`."""
    assert recipe.image is not None, "records of runs have the shape of their images"
    height, width = recipe.image.picture
    size = f"{width}" if height == width else f"{width}×{height}"
    return f"{dataset} {size}, {by}, {thousands(str(recipe.images))}"


def count(number: float) -> str:
    """Return a whole number with commas: 12345 → `12,345`."""
    return f"{number:,.0f}"


def thousands(number: str) -> str:
    """Return whole thousands in short, others as they are: 50000 → `50k`."""
    return f"{int(number) // 1000}k" if number.endswith("000") else number


def millions(number: float) -> str:
    """Return a large number in short: 30903632 → `30.9 M`, 845000 → `845 k`."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{quantity(number / size)} {unit}"
    return f"{number:.0f}"


def quantity(number: float) -> str:
    """Return three significant digits, whole numbers from 100 on: 0.0123, 1.20, 12.3, 1,234."""
    return f"{number:,.{decimals(number)}f}"


def decimals(number: float) -> int:
    """Return the decimals that show three significant digits of a number; at most six, and two for zero."""
    return 2 if number == 0 else min(6, max(0, 2 - math.floor(math.log10(abs(number)))))


def kimg(number: float) -> str:
    """Return thousands of images: 16.0 → `16`, 0.064 → `0.064`."""
    return f"{number:,g}"


def device(hardware: Mapping[str, Any]) -> str:
    """Return the device of a run: GPUs, or the processor and its number of threads."""
    name = re.sub(r"\((R|TM)\)", "", hardware["device_name"])
    if hardware["device"] == "cpu":
        return f"{name}, {plural(hardware['threads'], 'thread')}"
    return name if hardware["gpus"] == 1 else f"{hardware['gpus']} × {name}"


def duration(seconds: float) -> str:
    """Return the two largest units from days to seconds: 75 → `1 min 15 s`."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or f"{seconds:.2g} s"


def listing(items: list[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def plural(number: int, noun: str) -> str:
    """Return a number and its noun: `1 seed`, `3 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
