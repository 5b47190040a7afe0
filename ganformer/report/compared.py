"""Cells, notes and numbers of tables of models, measured beside published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganformer.records.exhibit import Cell
from ganformer.records.metrics import Recipe
from ganformer.report import formatting
from ganformer.report.published import Compared

if TYPE_CHECKING:
    import pandas as pd

ONE_SEED = (
    "Every model was trained with one seed, so small differences may be chance; ± is the uncertainty of measuring, "
    "where it is known. The best number is bold where it is further from the next one than either uncertainty."
)
SEEDS = (
    "Mean ± standard deviation over {} seeds; the best mean is bold where it is further from the next one than "
    "either standard deviation."
)
QUOTED = (
    "Published numbers are quoted from their source in columns of their own; they compare with measured ones only "
    "where data set, resolution, features and number of images agree."
)
COUNTS = ("images", "objects")  # numbers that a parser's accuracy was measured on


def caption(experiment: Compared) -> str:
    """Return the caption, which explains the numbers."""
    seeds = len(experiment.seeds)
    sentences = [ONE_SEED if seeds == 1 else SEEDS.format(seeds)] + ([QUOTED] if experiment.published else [])
    return " ".join(sentences)


def shown(measured: pd.DataFrame) -> list[str]:
    """Return the metrics that are shown by themselves: all but the uncertainties of others."""
    every = list(measured["metric"].drop_duplicates())
    return [key for key in every if not key.endswith("_std")]


def summarised(models: Sequence[str], key: str, measured: pd.DataFrame) -> tuple[formatting.Metric, pd.DataFrame]:
    """Return the display of a metric, and for each model its mean over the seeds and its spread (NaN if none).

    The spread is the standard deviation over the seeds; of one seed it is the uncertainty of measuring.
    """
    import pandas as pd

    chosen = measured[measured["metric"] == key]
    metric = formatting.metric(key, chosen["name"].iloc[0])
    values = chosen.groupby("model")["value"]
    own = measured[measured["metric"] == f"{key}_std"].groupby("model")["value"].mean().reindex(list(models))
    spread = own.where(values.size().reindex(list(models)) == 1, values.std().reindex(list(models)))
    return metric, pd.DataFrame({"mean": values.mean().reindex(list(models)), "spread": spread}) * metric.scale


def cells(summed: pd.DataFrame, metric: formatting.Metric) -> list[Cell]:
    """Return means with their spread behind them, the best one marked."""
    decimals = formatting.decimals(summed["mean"].abs().min()) if metric.decimals is None else metric.decimals
    best = _best(summed, metric.better, decimals)
    return [
        Cell(
            formatting.NONE if math.isnan(row["mean"]) else _spread(row["mean"], row["spread"], decimals), model in best
        )
        for model, row in summed.iterrows()
    ]


def _spread(mean: float, spread: float, decimals: int) -> str:
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(spread) else f"{text} ± {spread:.{decimals}f}"


def _best(summed: pd.DataFrame, better: str | None, decimals: int) -> set[str]:
    """Return the models whose number is bold: the best as shown, unless all are; with spreads one that stands out."""
    ranked = summed.dropna(subset="mean").sort_values("mean", ascending=better == "low")
    if better is None or len(ranked) < 2:
        return set()
    if ranked["spread"].notna().any():
        gap = abs(ranked["mean"].iloc[0] - ranked["mean"].iloc[1])
        return {str(ranked.index[0])} if gap > ranked["spread"].iloc[:2].max() else set()
    rounded = ranked["mean"].round(decimals)
    best = set(rounded.index[rounded == rounded.iloc[0]])
    return best if len(best) < len(rounded) else set()


def quote(row: pd.Series) -> str:
    return row["value"] if row["verified"] == "yes" else f"{row['value']} †"


def published_conditions(rows: pd.DataFrame) -> str:
    """Return the conditions of published numbers, e.g. `published, CLEVR 256, 50k`."""
    first = rows.iloc[0]
    parts = [f"{first['published_dataset']} {first['resolution']}".strip()]
    parts += [formatting.thousands(number) for number in rows["n_images"].drop_duplicates() if number]
    return ", ".join(["published", *parts])


def protocol(dataset: str, measured: pd.DataFrame, recipe: Recipe) -> str:
    """Return a sentence on how the block's numbers were measured."""
    kimg = formatting.listing([formatting.kimg(value) for value in sorted(set(measured["kimg"]))])
    against = f" against {formatting.count(recipe.real_images)} real" if recipe.real_images is not None else ""
    repeats = f", {recipe.repeats} times" if recipe.repeats > 1 else ""
    seen = f"features of {formatting.listing(list(measured['by'].drop_duplicates()))}"
    if recipe.accuracy is not None:
        seen = f"read by a parser ({recipe.network}; {_right(recipe.accuracy)})"
    return (
        f"Measured on {dataset} after {kimg} kimg: {formatting.count(recipe.images)} generated{against} "
        f"images{repeats}, {seen}.{diverged(measured)}"
    )


def diverged(measured: pd.DataFrame) -> str:
    """Return a sentence on the runs that diverged; empty if none did."""
    runs = measured[measured["diverged"].notna()].drop_duplicates(["dataset", "model", "seed"])
    told = [
        f"{formatting.model(row['model'])} with seed {row['seed']} after {formatting.kimg(row['diverged'])} kimg"
        for _, row in runs.iterrows()
    ]
    ending = "values of such runs are of the snapshot before"
    return f" Diverged: {formatting.listing(told)}; {ending}." if told else ""


def _right(accuracy: Mapping[str, float]) -> str:
    """Return the accuracy of a parser, as far as it is known."""
    if not accuracy:
        return "how well is not known"
    parts = [f"{name.replace('_', ' ')} {part:.2f}" for name, part in accuracy.items() if name not in COUNTS]
    counts = [f"{formatting.count(accuracy[name])} {name}" for name in COUNTS if name in accuracy]
    return f"{', '.join(parts)}, on {' with '.join(counts)} that it had not seen"


def sources(quoted: pd.DataFrame) -> list[str]:
    """Return one sentence for every source of published numbers, and the meaning of the dagger if there is one."""
    notes = [
        f"Published: {row['paper']}, {row['table']}, {row['published_dataset']}; {row['source']}."
        for _, row in quoted.drop_duplicates(["paper", "table", "source"]).iterrows()
    ]
    return notes + (["† not checked against its source."] if (quoted["verified"] != "yes").any() else [])


def numbers(experiment: Compared, measured: pd.DataFrame, quoted: pd.DataFrame | None) -> pd.DataFrame:
    """Return the csv: one row a data set and model, unrounded; published numbers have columns of their own."""
    import pandas as pd

    rows = [
        {
            "dataset": dataset,
            "model": model,
            **_measured_numbers(measured[(measured["dataset"] == dataset) & (measured["model"] == model)]),
            **(
                {}
                if quoted is None
                else _quoted_numbers(quoted[(quoted["dataset"] == dataset) & (quoted["model"] == model)])
            ),
        }
        for dataset in experiment.datasets
        for model in experiment.models
    ]
    return pd.DataFrame(rows)


def _measured_numbers(rows: pd.DataFrame) -> Mapping[str, Any]:
    by_themselves = set(rows.loc[rows["metric"].isin(shown(rows)), "name"])
    numbers: dict[str, Any] = {"seeds": rows["seed"].nunique(), "kimg": rows["kimg"].max()}
    if "minutes" in rows:
        numbers |= {"kimg": rows["kimg"].mean(), "minutes": rows["minutes"].mean()}
    for name, values in rows.groupby("name", sort=False)["value"]:
        numbers[str(name)] = values.mean()
        if str(name) in by_themselves:
            numbers[f"{name}_seed_std"] = values.std()
    return numbers


def _quoted_numbers(rows: pd.DataFrame) -> Mapping[str, Any]:
    numbers = {f"published_{row['metric']}": row["value"] for _, row in rows.iterrows()}
    if not rows.empty:
        first = rows.iloc[0]
        numbers |= {"published_dataset": first["published_dataset"], "published_resolution": first["resolution"]}
        numbers |= {"published_images": first["n_images"], "published_source": "; ".join(sorted(set(rows["source"])))}
    return numbers
