"""The tables: models compared, measured beside published, and what training costs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ganformer.config import Compared, Cost
from ganformer.report import published, records, words
from ganformer.report.table import Block, Cell, Column, Table, write

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
COUNTS = ("images", "objects")  # what the accuracy of a parser was measured on
COST = (
    "Parameters of the trained parts, time and memory of training. Times include what training does beside its steps "
    "and depend on the device; compare them only on one device with nothing else running."
)


# --------------------------------------------------------------------------------------------- comparison


def comparison(experiment: Compared, metrics: Sequence[Path], published_csv: Path, out: Path) -> None:
    """Writes the table of models × metrics at the end of training: `out`.csv, .md, .tex and .json.

    `metrics`: a metrics.json of every run; of several of one run the last step counts, other runs are left out.
    Raises DataError where a run is missing, runs of one data set were measured in different ways, or a published
    name is unknown.
    """
    measured = records.last(records.needed(records.measurements(metrics), experiment, "metrics"))
    quoted = published.lookup(experiment.published, published_csv) if experiment.published else None
    blocks = [_compared(experiment, dataset, measured, quoted) for dataset in experiment.datasets]
    write(Table(experiment.title, caption(experiment), blocks), numbers(experiment, measured, quoted), out)


def caption(experiment: Compared) -> str:
    """How to read the numbers."""
    seeds = len(experiment.seeds)
    sentences = [ONE_SEED if seeds == 1 else SEEDS.format(seeds)] + ([QUOTED] if experiment.published else [])
    return " ".join(sentences)


def _compared(experiment: Compared, dataset: str, measured: pd.DataFrame, quoted: pd.DataFrame | None) -> Block:
    """The block of one data set: measured columns, then published ones where the data set has any."""
    here = measured[measured["dataset"] == dataset]
    columns = {Column("Model", is_number=False): [Cell(words.model(model)) for model in experiment.models]}
    recipe = records.recipe(here, dataset)
    notes = [protocol(dataset, here, recipe)]
    there = None if quoted is None else quoted[quoted["dataset"] == dataset]
    for key in shown(here):
        chosen = here[here["metric"] == key]
        conditions = words.conditions(dataset, recipe, chosen["by"].iloc[0])
        columns |= _measured_column(experiment.models, key, here, f"measured, {conditions}")
    if there is not None and not there.empty:
        columns |= _published_columns(experiment.models, there)
        notes += sources(there)
    heading = dataset if len(experiment.datasets) > 1 else ""
    return Block(heading, list(columns), list(zip(*columns.values(), strict=True)), notes)


def shown(measured: pd.DataFrame) -> list[str]:
    """Metrics that are shown by themselves: all but the uncertainties of others."""
    every = list(measured["metric"].drop_duplicates())
    return [key for key in every if not key.endswith("_std")]


def _measured_column(
    models: Sequence[str], key: str, measured: pd.DataFrame, group: str
) -> Mapping[Column, list[Cell]]:
    """One metric on one data set, a row a model."""
    metric, summed = summarised(models, key, measured)
    return {Column(metric.heading, group): cells(summed, metric)}


def summarised(models: Sequence[str], key: str, measured: pd.DataFrame) -> tuple[words.Metric, pd.DataFrame]:
    """How a metric is shown, and of each model its mean over the seeds and its spread, NaN where there is none.

    The spread is the standard deviation over the seeds; of one seed it is the uncertainty of measuring.
    """
    chosen = measured[measured["metric"] == key]
    metric = words.metric(key, chosen["name"].iloc[0])
    values = chosen.groupby("model")["value"]
    own = measured[measured["metric"] == f"{key}_std"].groupby("model")["value"].mean().reindex(list(models))
    spread = own.where(values.size().reindex(list(models)) == 1, values.std().reindex(list(models)))
    return metric, pd.DataFrame({"mean": values.mean().reindex(list(models)), "spread": spread}) * metric.scale


def cells(summed: pd.DataFrame, metric: words.Metric) -> list[Cell]:
    """Means with their spread behind them, the best one marked."""
    decimals = words.decimals(summed["mean"].abs().min()) if metric.decimals is None else metric.decimals
    best = _best(summed, metric.better, decimals)
    return [
        Cell(words.NONE if math.isnan(row["mean"]) else _spread(row["mean"], row["spread"], decimals), model in best)
        for model, row in summed.iterrows()
    ]


def _spread(mean: float, spread: float, decimals: int) -> str:
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(spread) else f"{text} ± {spread:.{decimals}f}"


def _best(summed: pd.DataFrame, better: str | None, decimals: int) -> set[str]:
    """Models whose number is bold: the best as shown, unless all are; where spreads are known one that stands out."""
    ranked = summed.dropna(subset="mean").sort_values("mean", ascending=better == "low")
    if better is None or len(ranked) < 2:
        return set()
    if ranked["spread"].notna().any():
        gap = abs(ranked["mean"].iloc[0] - ranked["mean"].iloc[1])
        return {str(ranked.index[0])} if gap > ranked["spread"].iloc[:2].max() else set()
    rounded = ranked["mean"].round(decimals)
    best = set(rounded.index[rounded == rounded.iloc[0]])
    return best if len(best) < len(rounded) else set()


def _published_columns(models: Sequence[str], quoted: pd.DataFrame) -> Mapping[Column, list[Cell]]:
    """The published metrics that are measured here too, a column each, as they were printed."""
    columns = {}
    for name in (name for metric in words.METRICS.values() for name in metric.published):
        rows = quoted[quoted["metric"] == name]
        if not rows.empty:
            printed = {row["model"]: quote(row) for _, row in rows.iterrows()}
            columns[Column(words.PUBLISHED[name], published_conditions(rows))] = [
                Cell(printed.get(model, words.NONE)) for model in models
            ]
    return columns


def quote(row: pd.Series) -> str:
    return row["value"] if row["verified"] == "yes" else f"{row['value']} †"


def published_conditions(rows: pd.DataFrame) -> str:
    """What the published numbers are of, e.g. `published, CLEVR 256, 50k`."""
    first = rows.iloc[0]
    parts = [f"{first['published_dataset']} {first['resolution']}".strip()]
    parts += [words.thousands(number) for number in rows["n_images"].drop_duplicates() if number]
    return ", ".join(["published", *parts])


def protocol(dataset: str, measured: pd.DataFrame, recipe: Mapping[str, Any]) -> str:
    """How the block's numbers were measured, in a sentence or two."""
    kimg = words.listing([words.kimg(value) for value in sorted(set(measured["kimg"]))])
    against = f" against {words.count(recipe['real_images'])} real" if "real_images" in recipe else ""
    repeats = f", {recipe['repeats']} times" if recipe.get("repeats", 1) > 1 else ""
    seen = f"features of {words.listing(list(measured['by'].drop_duplicates()))}"
    if "accuracy" in recipe:
        seen = f"read by a parser ({recipe['extractor']['kind']}; {_right(recipe['accuracy'])})"
    return (
        f"Measured on {dataset} after {kimg} kimg: {words.count(recipe['images'])} generated{against} images{repeats}, "
        f"{seen}."
    )


def _right(accuracy: Mapping[str, float]) -> str:
    """What a parser gets right, as far as it is known."""
    if not accuracy:
        return "how well is not known"
    parts = [f"{name.replace('_', ' ')} {part:.2f}" for name, part in accuracy.items() if name not in COUNTS]
    counts = [f"{words.count(accuracy[name])} {name}" for name in COUNTS if name in accuracy]
    return f"{', '.join(parts)}, on {' with '.join(counts)} that it had not seen"


def sources(quoted: pd.DataFrame) -> list[str]:
    """One sentence for every source of published numbers, and what the dagger means where there is one."""
    notes = [
        f"Published: {row['paper']}, {row['table']}, {row['published_dataset']}; {row['source']}."
        for _, row in quoted.drop_duplicates(["paper", "table", "source"]).iterrows()
    ]
    return notes + (["† not checked against its source."] if (quoted["verified"] != "yes").any() else [])


def numbers(experiment: Compared, measured: pd.DataFrame, quoted: pd.DataFrame | None) -> pd.DataFrame:
    """The csv: one row a data set and model, unrounded; published numbers have columns that say so."""
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


# --------------------------------------------------------------------------------------------------- cost


def cost(experiment: Cost, runs: Sequence[Path], out: Path) -> None:
    """Writes the table of parameters, time and memory of training: `out`.csv, .md, .tex and .json.

    `runs`: the run.json of every run; other runs are left out. Raises DataError where one is missing.
    """
    trained = records.needed(records.runs(runs), experiment, "run.json")
    parts = list(dict.fromkeys(part for record in trained["record"] for part in record["parameters"]))
    numbers = pd.DataFrame([_spent(row, parts) for _, row in trained.iterrows()])
    rows = [
        _cost_row(experiment, chosen, parts)
        for dataset in experiment.datasets
        for model in experiment.models
        if len(chosen := numbers[(numbers["dataset"] == dataset) & (numbers["model"] == model)])
    ]
    caption = (
        COST if len(experiment.seeds) == 1 else f"{COST} Mean ± standard deviation over {len(experiment.seeds)} seeds."
    )
    write(Table(experiment.title, caption, [Block("", list(_cost_columns(experiment, parts)), rows)]), numbers, out)


def _spent(row: pd.Series, parts: Sequence[str]) -> Mapping[str, Any]:
    record = row["record"]
    return {
        **{key: row[key] for key in records.RUN},
        **{f"parameters_{part}": record["parameters"].get(part) for part in parts},
        "kimg": record["kimg"],
        "seconds_per_kimg": record["seconds_per_kimg"],
        "images_per_second": 1000 / record["seconds_per_kimg"],
        "wall_seconds": record["wall_seconds"],
        "peak_memory_mb": record.get("peak_memory_mb"),
        "device": words.device(record["hardware"]),
    }


def _cost_columns(experiment: Cost, parts: Sequence[str]) -> Iterable[Column]:
    if len(experiment.datasets) > 1:
        yield Column("Data set", is_number=False)
    yield Column("Model", is_number=False)
    yield from (Column(f"{part.replace('_', ' ').capitalize()}", "parameters") for part in parts)
    yield from (Column("s/kimg", "speed"), Column("images/s", "speed"), Column("Wall time"), Column("Peak memory"))
    yield Column("Device", is_number=False)


def _cost_row(experiment: Cost, rows: pd.DataFrame, parts: Sequence[str]) -> list[Cell]:
    first = rows.iloc[0]
    memory = rows["peak_memory_mb"].astype(float).max()
    texts = [first["dataset"]] if len(experiment.datasets) > 1 else []
    texts += [words.model(first["model"])]
    texts += [_parameters(first[f"parameters_{part}"]) for part in parts]
    texts += [_over_seeds(rows["seconds_per_kimg"]), _over_seeds(rows["images_per_second"])]
    texts += [words.duration(rows["wall_seconds"].mean())]
    texts += [words.NONE if math.isnan(memory) else f"{words.count(memory)} MB"]
    texts += [words.listing(sorted(set(rows["device"])))]
    return [Cell(text) for text in texts]


def _parameters(number: float | None) -> str:
    return words.NONE if number is None or math.isnan(number) else words.millions(number)


def _over_seeds(values: pd.Series) -> str:
    mean, spread = values.mean(), values.std()
    return words.quantity(mean) if math.isnan(spread) else f"{words.quantity(mean)} ± {words.quantity(spread)}"
