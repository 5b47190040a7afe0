"""Weights that come with the repository: the best seed of a model, its record, its measurements and a model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganformer import plugins
from ganformer.artifacts import atomic, write_text
from ganformer.errors import DataError
from ganformer.records.metrics import Measured
from ganformer.records.run import RUN_FILE, WEIGHTS, Run, TrainedRun
from ganformer.report import card, formatting, records
from ganformer.report.best import first

FOLDER = "pretrained"


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
        return ", ".join(f"{title} {text}" for title, _, text in card.values(self.measured, usual))


def find(places: Iterable[Path]) -> Iterator[Pretrained]:
    """Yield the pretrained weights in the folders `pretrained` of these places, the first of each name."""
    folders: dict[str, Path] = {}
    for place in places:
        for record in sorted((place / FOLDER).glob(f"*/{RUN_FILE}")):
            folders.setdefault(record.parent.name, record.parent)
    for folder in folders.values():
        yield Pretrained(folder, Run.read(folder / RUN_FILE), Measured.read(folder / card.METRICS))


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
    values.write(out / card.METRICS)
    record.alone(record.end).write(out / RUN_FILE)
    by = formatting.metric(by, by).title
    chosen = f"best of {len(found)} seeds by {by}" if len(found) > 1 else "the only seed"
    licence = "MIT, as the code; the images are rendered or named by the data set"
    purpose = f" It is a small model for studies of models, of {card.size(record)}, and\nwas made for no other use."
    write_text(out / card.CARD, card.text(record, values, str(out), chosen=chosen, licence=licence, purpose=purpose))
    print(f"{out}: seed {best['seed']} of {len(found)}, {best['name']} {best['value']:.6g}", flush=True)
