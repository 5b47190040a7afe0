"""Model cards: a run described in Markdown, for the folder that its weights are in."""

from collections.abc import Iterator, Mapping

from ganformer.records.metrics import Measured, Value
from ganformer.records.run import Run
from ganformer.report import formatting

CARD, METRICS = "README.md", "metrics.json"
"""Files of a card and of the measurements in it, beside the weights."""
DIGITS = 12  # of a digest


def text(
    record: Run,
    measured: Measured | None,
    weights: str,
    *,
    chosen: str | None = None,
    licence: str | None = None,
    purpose: str = "",
    picture: str = "",
) -> str:
    """Return the card of a run whose weights are named `weights` on the command line.

    `chosen`: reason why this seed was taken; `purpose`: last sentence; `picture`: Markdown of one below the title. What
    the record of an imported run does not say is left out.
    """
    rows = "\n".join(f"| {title} | {value} |" for title, value in _facts(record, chosen, licence))
    files = "All settings are in `run.json`" + (", all values in `metrics.json`" if measured is not None else "")
    shown = f"{picture}\n\n" if picture else ""
    return f"""# {formatting.model(record.run.model)} on {record.run.dataset}

{shown}```sh
ganformer generate --weights {weights} --grid
```

| | |
| --- | --- |
{rows}

{_measurements(measured)}{files}.{purpose}
"""


def _facts(record: Run, chosen: str | None, licence: str | None) -> Iterator[tuple[str, str]]:
    count = sum(record.parameters.values())
    yield "Model", f"{record.kind}, {formatting.millions(count)} parameters in training"
    if record.imported is not None:
        yield "Imported", f"from {record.imported.file} ({record.imported.origin})"
    else:
        dataset = f"{record.run.dataset}, {formatting.count(record.data.count)} images of {size(record)}"
        dataset += ", mirrored at random" if record.is_mirrored else ""
        yield "Data", f"{dataset}; sha256 {str(record.data.data_sha256)[:DIGITS]}"
        batch = record.spec["training"]["batch"]
        words = [f"{formatting.kimg(record.kimg)} kimg in batches of {batch}", f"seed {record.run.seed}"]
        yield "Training", ", ".join([*words, *([] if chosen is None else [chosen])])
    if record.wall_seconds is not None:
        yield "Time", f"{formatting.duration(record.wall_seconds)} on {formatting.device(record.hardware)}"
    yield "Code", f"{record.code.get('ganformer')} ({record.code.get('commit', 'no commit')})"
    yield "Weights", f"moving average of the generator, float32, sha256 {record.weights_sha256[:DIGITS]}"
    if licence is not None:
        yield "Licence", licence


def size(record: Run) -> str:
    return f"{record.image.width}×{record.image.height} pixels"


def _measurements(measured: Measured | None) -> str:
    if measured is None:
        return ""
    how = measured.how
    real = f" against {formatting.count(how.real_images)} real ones" if how.real_images is not None else ""
    rows = "\n".join(f"| {title} ({by}) | {value} |" for title, by, value in values(measured, measured.values))
    images = f"{formatting.count(how.images)} generated images{real}"
    return f"""Measured on {images}. FD is a Fréchet distance of the features of the
network in brackets, so it compares with no published FID.

| Measure | Value |
| --- | --- |
{rows}

"""


def values(measured: Measured, chosen: Mapping[str, Value]) -> Iterator[tuple[str, str, str]]:
    """Yield title, network and text of these values, of those that have a better direction."""
    for key, value in chosen.items():
        shown = formatting.metric(key, value.name)
        if shown.better is not None:
            number = value.value * shown.scale
            decimals = formatting.decimals(number) if shown.decimals is None else shown.decimals
            yield shown.title, value.by or measured.how.network, f"{number:.{decimals}f}"
