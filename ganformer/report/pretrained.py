"""Weights that come with the repository: the best seed of a model, its record, its measurements and a model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganformer import plugins
from ganformer.artifacts import atomic, write_text
from ganformer.errors import DataError
from ganformer.records.metrics import Measured, Value
from ganformer.records.run import RUN_FILE, WEIGHTS, Run, TrainedRun
from ganformer.report import formatting, records
from ganformer.report.best import first

FOLDER = "pretrained"
METRICS = "metrics.json"
CARD = "README.md"
DIGITS = 12  # of a digest


@dataclass(frozen=True)
class Pretrained:
    """Folder of pretrained weights."""

    folder: Path
    run: Run
    measured: Measured

    @property
    def values(self) -> str:
        """Values of the usual network in one line; the card has all, with the names of their networks."""
        usual = {key: value for key, value in self.measured.values.items() if value.by is None}
        return ", ".join(f"{title} {text}" for title, _, text in _values(self.measured, usual))


def find(places: Iterable[Path]) -> Iterator[Pretrained]:
    """Yield the pretrained weights in the folders `pretrained` of these places, the first of each name."""
    folders: dict[str, Path] = {}
    for place in places:
        for record in sorted((place / FOLDER).glob(f"*/{RUN_FILE}")):
            folders.setdefault(record.parent.name, record.parent)
    for folder in folders.values():
        yield Pretrained(folder, Run.read(folder / RUN_FILE), Measured.read(folder / METRICS))


def places() -> list[Path]:
    """Return where pretrained weights are looked for: the working folder, and the clone of this package."""
    return list(dict.fromkeys(place.resolve() for place in (Path(), Path(__file__).parents[2])))


def listing(found: Iterable[Pretrained]) -> str:
    """Return one line for each model: its folder, model, length of training and values."""
    rows = [
        (
            _from_here(each.folder),
            formatting.model(each.run.run.model),
            f"{formatting.kimg(each.run.kimg)} kimg",
            each.values,
        )
        for each in found
    ]
    if not rows:
        looked = " and ".join(str(place / FOLDER) for place in places())
        return f"no pretrained weights in {looked}; the repository has them, see its README"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def export(by: str, runs: Sequence[Path], metrics: Sequence[Path], out: Path) -> None:
    """Write the end of the best of several seeds of a model to the folder `out`.

    It gets weights.safetensors and run.json as a run has them, without other snapshots; the measurements as
    metrics.json; and README.md, a model card. `by`: key of the value that decides; of equal ones the least seed is
    taken. `runs`: run.json of every seed, weights beside it; `metrics`: their measurements, of several the last step
    counts. Raises DataError if they are of several models, if the value is missing or has no better direction, or if
    weights are missing or not the ones of their record.
    """
    trained = {(row["dataset"], row["model"], row["seed"]): row for _, row in records.runs(runs).iterrows()}
    names = sorted({f"{dataset}/{model}" for dataset, model, _ in trained})
    if len(names) > 1:
        raise DataError(f"{out}: is for one model, but runs of {' and '.join(names)} were given; export each by itself")
    measured = records.last(records.measurements(metrics))
    found = measured[measured["metric"] == by]
    if found.empty:
        allowed = sorted(set(measured["metric"]))
        raise DataError(
            f"{metrics[0]}: '{by}', which decides the best seed, was not measured; {plugins.choices(by, allowed)}"
        )
    best = first(found, by, "seed")
    row = trained[best["dataset"], best["model"], best["seed"]]
    record: TrainedRun = row["record"]
    folder = Path(row["file"]).parent
    if record.changed_files(folder):
        raise DataError(f"{folder / WEIGHTS}: is missing or not the file that {row['file']} names; train the run again")
    with atomic(out / WEIGHTS) as temporary:
        temporary.write_bytes((folder / record.end.file).read_bytes())
    values = Measured.read(Path(best["file"]))
    values.write(out / METRICS)
    record.model_copy(update={"snapshots": [record.end.model_copy(update={"file": WEIGHTS})]}).write(out / RUN_FILE)
    write_text(out / CARD, card(record, values, by, len(found), out))
    print(f"{out}: seed {best['seed']} of {len(found)}, {best['name']} {best['value']:.6g}", flush=True)


def card(record: TrainedRun, measured: Measured, by: str, seeds: int, out: Path) -> str:
    """Return the model card in Markdown."""
    image, how, spec = record.image, measured.how, record.spec
    size = f"{image.width}×{image.height} pixels"
    dataset = f"{record.run.dataset}, {formatting.count(record.data.count)} images of {size}"
    dataset += ", mirrored at random" if record.is_mirrored else ""
    training = spec["training"]
    real = f" against {formatting.count(how.real_images)} real ones" if how.real_images is not None else ""
    rows = "\n".join(f"| {title} ({by}) | {text} |" for title, by, text in _values(measured, measured.values))
    chosen = f"best of {seeds} seeds by {formatting.metric(by, by).title}" if seeds > 1 else "the only seed"
    return f"""# {formatting.model(record.run.model)} on {record.run.dataset}

```sh
ganformer generate --weights {out} --grid
```

| | |
| --- | --- |
| Model | {record.kind}, {formatting.millions(sum(record.parameters.values()))} parameters in training |
| Data | {dataset}; sha256 {str(record.data.data_sha256)[:DIGITS]} |
| Training | {formatting.kimg(record.kimg)} kimg in batches of {training["batch"]}, seed {record.run.seed}, {chosen} |
| Time | {formatting.duration(record.wall_seconds)} on {formatting.device(record.hardware)} |
| Code | {record.code.get("ganformer")} ({record.code.get("commit", "no commit")}) |
| Weights | moving average of the generator, float32, sha256 {record.weights_sha256[:DIGITS]} |
| Licence | MIT, as the code; the images are rendered or named by the data set |

Measured on {formatting.count(how.images)} generated images{real}. FD is a Fréchet distance of the features of the
network in brackets, so it compares with no published FID.

| Measure | Value |
| --- | --- |
{rows}

All settings are in `run.json`, all values in `metrics.json`. It is a small model for studies of models, of {size}, and
was made for no other use.
"""


def _values(measured: Measured, chosen: Mapping[str, Value]) -> Iterator[tuple[str, str, str]]:
    """Yield title, network and text of these values, of those that have a better direction."""
    for key, value in chosen.items():
        shown = formatting.metric(key, value.name)
        if shown.better is not None:
            number = value.value * shown.scale
            decimals = formatting.decimals(number) if shown.decimals is None else shown.decimals
            yield shown.title, value.by or measured.how.network, f"{number:.{decimals}f}"
