"""The tables: models compared, measured beside published, and what training costs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ganformer.config import Comparison, Cost
from ganformer.report import published, records, words
from ganformer.report.table import Block, Cell, Column, Table, write

ONE_SEED = (
    "Every model was trained with one seed, so small differences may be chance; the best number of a column is bold."
)
SEEDS = (
    "Mean ± standard deviation over {} seeds; the best mean is bold where it is further from the next one than "
    "either standard deviation."
)
QUOTED = (
    "Published numbers are quoted from their source in columns of their own; they compare with measured ones only "
    "where data set, resolution, features and number of images agree."
)
COST = (
    "Parameters of the trained parts, time and memory of training. Times include what training does beside its steps "
    "and depend on the device; compare them only on one device with nothing else running."
)


# --------------------------------------------------------------------------------------------- comparison


def comparison(experiment: Comparison, metrics: Sequence[Path], published_csv: Path, out: Path) -> None:
    """Writes the table of models × metrics at the end of training: `out`.csv, .md, .tex and .json.

    `metrics`: a metrics.json of every run; of several of one run the last step counts, other runs are left out.
    Raises DataError where a run is missing, runs of one data set were measured in different ways, or a published
    name is unknown.
    """
    measured = records.last(records.needed(records.measurements(metrics), experiment, "metrics"))
    quoted = published.lookup(experiment.published, published_csv) if experiment.published else None
    blocks = [_compared(experiment, dataset, measured, quoted) for dataset in experiment.datasets]
    caption = [ONE_SEED if len(experiment.seeds) == 1 else SEEDS.format(len(experiment.seeds))]
    caption += [QUOTED] if quoted is not None else []
    write(Table(experiment.title, " ".join(caption), blocks), _numbers(experiment, measured, quoted), out)


def _compared(experiment: Comparison, dataset: str, measured: pd.DataFrame, quoted: pd.DataFrame | None) -> Block:
    """The block of one data set: measured columns, then published ones where the data set has any."""
    here = measured[measured["dataset"] == dataset]
    columns = {Column("Model", is_number=False): [Cell(words.model(model)) for model in experiment.models]}
    recipe = records.recipe(here, dataset)
    notes = [_protocol(dataset, here, recipe)]
    there = None if quoted is None else quoted[quoted["dataset"] == dataset]
    group = f"measured, {words.conditions(dataset, recipe)}"
    for key in _shown(here):
        columns |= _measured_column(experiment.models, here[here["metric"] == key], group)
    if there is not None and not there.empty:
        columns |= _published_columns(experiment.models, there)
        notes += _sources(there)
    heading = dataset if len(experiment.datasets) > 1 else ""
    return Block(heading, list(columns), list(zip(*columns.values(), strict=True)), notes)


def _shown(measured: pd.DataFrame) -> list[str]:
    """Metrics that are columns: all but the spreads over parts of the images, which are in the csv."""
    return [key for key in measured["metric"].drop_duplicates() if not key.endswith("_std")]


def _measured_column(models: Sequence[str], numbers: pd.DataFrame, group: str) -> Mapping[Column, list[Cell]]:
    """One metric on one data set, a row a model, over the seeds."""
    metric = words.metric(numbers["metric"].iloc[0], numbers["name"].iloc[0])
    values = numbers.assign(value=numbers["value"] * metric.scale).groupby("model")["value"]
    means, spreads = values.mean().reindex(list(models)), values.std().reindex(list(models))
    decimals = words.decimals(means.abs().min()) if metric.decimals is None else metric.decimals
    best = _best(means, spreads, metric.better, decimals)
    cells = [
        Cell(words.NONE if math.isnan(mean) else _spread(mean, spread, decimals), model in best)
        for model, mean, spread in zip(models, means, spreads, strict=True)
    ]
    return {Column(metric.heading, group): cells}


def _spread(mean: float, spread: float, decimals: int) -> str:
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(spread) else f"{text} ± {spread:.{decimals}f}"


def _best(means: pd.Series, spreads: pd.Series, better: str | None, decimals: int) -> set[str]:
    """Models whose number is bold: the best as shown, unless all are; with several seeds one that stands out."""
    ranked = means.dropna().sort_values(ascending=better == "low")
    if better is None or len(ranked) < 2:
        return set()
    if spreads.notna().any():
        first, second = ranked.index[:2]
        gap = abs(ranked.iloc[0] - ranked.iloc[1])
        return {first} if gap > spreads.loc[[first, second]].max() else set()
    shown = ranked.round(decimals)
    best = set(shown.index[shown == shown.iloc[0]])
    return best if len(best) < len(shown) else set()


def _published_columns(models: Sequence[str], quoted: pd.DataFrame) -> Mapping[Column, list[Cell]]:
    """The published metrics that are measured here too, a column each, as they were printed."""
    columns = {}
    for name in (name for metric in words.METRICS.values() for name in metric.published):
        rows = quoted[quoted["metric"] == name]
        if not rows.empty:
            printed = {row["model"]: _quote(row) for _, row in rows.iterrows()}
            columns[Column(words.PUBLISHED[name], _conditions(rows))] = [
                Cell(printed.get(model, words.NONE)) for model in models
            ]
    return columns


def _quote(row: pd.Series) -> str:
    return row["value"] if row["verified"] == "yes" else f"{row['value']} †"


def _conditions(rows: pd.DataFrame) -> str:
    """What the published numbers are of, e.g. `published, CLEVR 256, 50k`."""
    first = rows.iloc[0]
    parts = [f"{first['published_dataset']} {first['resolution']}".strip()]
    parts += [words.thousands(number) for number in rows["n_images"].drop_duplicates() if number]
    return ", ".join(["published", *parts])


def _protocol(dataset: str, measured: pd.DataFrame, recipe: Mapping[str, Any]) -> str:
    """One sentence that says how the block's numbers were measured."""
    kimg = words.listing([words.kimg(value) for value in sorted(set(measured["kimg"]))])
    return (
        f"Measured on {dataset} after {kimg} kimg: {words.count(recipe['images'])} generated against "
        f"{words.count(recipe['real_images'])} real images, features of {recipe['extractor']['kind']}."
    )


def _sources(quoted: pd.DataFrame) -> list[str]:
    """One sentence for every source of published numbers, and what the dagger means where there is one."""
    notes = [
        f"Published: {row['paper']}, {row['table']}, {row['published_dataset']}; {row['source']}."
        for _, row in quoted.drop_duplicates(["paper", "table", "source"]).iterrows()
    ]
    return notes + (["† not checked against its source."] if (quoted["verified"] != "yes").any() else [])


def _numbers(experiment: Comparison, measured: pd.DataFrame, quoted: pd.DataFrame | None) -> pd.DataFrame:
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
    shown = set(rows.loc[rows["metric"].isin(_shown(rows)), "name"])
    numbers: dict[str, Any] = {"seeds": rows["seed"].nunique(), "kimg": rows["kimg"].max()}
    for name, values in rows.groupby("name", sort=False)["value"]:
        numbers[str(name)] = values.mean()
        if str(name) in shown:
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
