"""How models, metrics and quantities are written, the same in every table and figure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ganformer.config import ImageSpec

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
"""Stands where there is no number."""


@dataclass(frozen=True)
class Metric:
    """How a measured number is shown: its title, which direction is better, its unit and where it was published.

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
    """The usual spelling of a model's name; the name itself where there is none."""
    return MODELS.get(plain(name), name)


def plain(name: str) -> str:
    """A name in small letters without hyphens, so that `k-GAN` and `kgan` are one."""
    return name.replace("-", "").replace("_", "").lower()


def metric(key: str, name: str) -> Metric:
    """How metric `key` is shown where it goes by `name`; "FID" is said only of the features of that name."""
    known = METRICS.get(key, Metric(key))
    title = known.title.replace("FD", "FID") if "fid" in name else known.title
    resize = " (clean)" * name.startswith("clean_") + " (pytorch-fid)" * ("_pytorch" in name)
    return replace(known, title=title + resize)


def conditions(dataset: str, recipe: Mapping[str, Any], by: str) -> str:
    """What numbers measured `by` a network are of: data set, size, features and images, as `scenes 32, vgg16, 1k`."""
    height, width = ImageSpec.model_validate(recipe["image"]).picture
    size = f"{width}" if height == width else f"{width}×{height}"
    return f"{dataset} {size}, {by}, {thousands(str(recipe['images']))}"


def count(number: float) -> str:
    """12345 → `12,345`."""
    return f"{number:,.0f}"


def thousands(number: str) -> str:
    """50000 → `50k`; what is no whole number of thousands stays."""
    return f"{int(number) // 1000}k" if number.endswith("000") else number


def millions(number: float) -> str:
    """30903632 → `30.9 M`, 845000 → `845 k`."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{quantity(number / size)} {unit}"
    return f"{number:.0f}"


def quantity(number: float) -> str:
    """Three significant digits, whole numbers from 100 on: 0.0123, 1.20, 12.3, 1,234."""
    return f"{number:,.{decimals(number)}f}"


def decimals(number: float) -> int:
    """Decimals that show three significant digits of a number; at most six, and two of zero."""
    return 2 if number == 0 else min(6, max(0, 2 - math.floor(math.log10(abs(number)))))


def kimg(number: float) -> str:
    """Thousands of images: 16.0 → `16`, 0.064 → `0.064`."""
    return f"{number:,g}"


def device(hardware: Mapping[str, Any]) -> str:
    """What a run was computed on: GPUs, or the processor and how many of its threads."""
    name = re.sub(r"\((R|TM)\)", "", hardware["device_name"])
    if hardware["device"] == "cpu":
        return f"{name}, {plural(hardware['threads'], 'thread')}"
    return name if hardware["gpus"] == 1 else f"{hardware['gpus']} × {name}"


def duration(seconds: float) -> str:
    """75 → `1 min 15 s`; the two largest units from days to seconds."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or f"{seconds:.2g} s"


def listing(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def plural(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
