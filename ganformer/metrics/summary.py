"""Measured numbers as lines for a terminal, each with its uncertainty, above how they were measured."""

from collections.abc import Iterable, Mapping
from typing import Any

from ganformer import artifacts
from ganformer.records.metrics import Measured, Value

Row = tuple[str, str]


def of_run(measured: Measured) -> str:
    """Format a `metrics.json` for a terminal."""
    recipe = measured.how
    assert measured.reference is not None and recipe.picture is not None, "evaluation sets both"
    mirrored = " and their mirror images" if recipe.mirrored else ""
    first = recipe.seed * recipe.images
    last = first + recipe.images * recipe.repeats - 1
    repeats = f", {recipe.repeats} times" if recipe.repeats > 1 else ""
    return lines(
        [
            *values(measured.values),
            (
                "real",
                f"{recipe.real_images:,} images{mirrored}, data {measured.reference.data_sha256[:12]}",
            ),
            (
                "fake",
                f"{recipe.images:,} images{repeats} of step {measured.step}, seeds {first} to {last}, truncation none",
            ),
            ("extractor", artifacts.canonical(recipe.extractor)),
            *((f"  of {metric}", artifacts.canonical(other)) for metric, other in recipe.extractors.items()),
            *([("second", artifacts.canonical(recipe.second["extractor"]))] if recipe.second else []),
            *settings(recipe.measures),
            *([("paths", artifacts.canonical(recipe.path_length))] if recipe.path_length else []),
            ("images", "{1}×{0} pixels".format(*recipe.picture)),
        ]
    )


def settings(measures: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Format the settings of values: "kid", "subsets 100, size 1000"."""
    return [(metric, ", ".join(f"{key} {value}" for key, value in held.items())) for metric, held in measures.items()]


def values(measured: Mapping[str, Value]) -> list[Row]:
    """Return names and numbers, with the uncertainty behind if there is one."""
    return [(value.name, _number(key, measured)) for key, value in measured.items() if not is_spread(key, measured)]


def is_spread(key: str, measured: Iterable[str]) -> bool:
    """Return whether a value is the uncertainty of another one."""
    return key.endswith("_std") and key.removesuffix("_std") in measured


def lines(rows: Iterable[Row]) -> str:
    """Return names in a column, and texts beside them."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows)


def _number(key: str, measured: Mapping[str, Value]) -> str:
    spread = f" ± {measured[f'{key}_std'].value:.2g}" if f"{key}_std" in measured else ""
    return f"{measured[key].value:.6g}{spread}"
