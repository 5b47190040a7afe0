"""Comparison of all results with the configuration, by the checksums that they carry, not by times of files."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganformer import artifacts
from ganformer.config import Config, Evaluation
from ganformer.errors import listed
from ganformer.records import manifest
from ganformer.records.exhibit import Exhibit
from ganformer.records.metrics import Measured
from ganformer.records.run import RUN_FILE, Run

OTHER_WEIGHTS = "is of other weights than the run has now"
SHIFT = 50 * 365 * 24 * 3600 * 10**9  # in nanoseconds
SHIFTED_BEFORE = 10**9 * 10**9  # the year 2001; older files were dated back
MAX_LISTED = 3  # settings that differ, or inputs, that a line names


@dataclass(frozen=True)
class Finding:
    """State of one result: `problems` are sentences, none if it is as the configuration has it."""

    path: Path
    is_missing: bool = False
    problems: Sequence[str] = ()

    @property
    def is_current(self) -> bool:
        """True if the result is there and as the configuration has it."""
        return not (self.is_missing or self.problems)

    def __str__(self) -> str:
        state = "missing" if self.is_missing else "stale" if self.problems else "current"
        return f"{state:8} {self.path}" + (f": {'; '.join(self.problems)}" if self.problems else "")


def check(config: Config, place: Path, *, is_quick: bool = False) -> list[Finding]:
    """Return the state of every run, of all its measured values, and of every table and figure.

    `place`: the folder `results`, or the one that stands for it. With `is_quick` the records are compared with each
    other and the configuration, but not with the bytes of weights.
    """
    findings = list(itertools.chain.from_iterable(_run(config, place, *run, is_quick) for run in config.runs()))
    stale = {finding.path.resolve() for finding in findings if finding.problems}
    return [*findings, *(_exhibit(config, place, name, stale) for name in config.experiments)]


def date_back(config: Config, place: Path) -> None:
    """Date stale results back by 50 years, before their inputs, so that Snakemake makes them again.

    Snakemake compares settings only with what it noted itself in its folder `.snakemake`, which copies often lack. A
    result dated back for another configuration that is right for this one gets its date again.
    """
    for finding in check(config, place, is_quick=True):
        with suppress(OSError):  # missing ones have no date, and where results may only be read, nothing is made
            modified = finding.path.stat().st_mtime_ns
            is_back = modified < SHIFTED_BEFORE
            if is_back != bool(finding.problems):
                changed = modified + (SHIFT if is_back else -SHIFT)
                os.utime(finding.path, ns=(changed, changed))


def sign(out: Path, experiment: str, files: Iterable[Path]) -> None:
    """Add settings and the sha256 of every input file to the record of a table or figure.

    `experiment`: its settings as canonical JSON; `out`: its path without suffix.
    """
    path = out.with_name(f"{out.name}.json")
    Exhibit.read(path).signed(experiment, list(files)).write(path)


def _run(config: Config, place: Path, dataset: str, model: str, seed: int, is_quick: bool) -> Iterator[Finding]:
    folder = place / "runs" / dataset / model / f"seed{seed}"
    path = folder / RUN_FILE
    if not path.exists():
        yield Finding(path, is_missing=True)
        return
    record = Run.find(path)
    if record is None:
        yield Finding(path, problems=["is no record of a run"])
        return
    problems = list(_run_problems(config, place, dataset, model, seed, record))
    problems += [] if is_quick else _damaged(record, folder)
    yield Finding(path, problems=problems)
    inherited = ["is of a run that is stale"] if problems else []
    measured = config.evaluation.model_dump(mode="json")
    for file in sorted(folder.glob("metrics/step-*.json")):
        yield Finding(file, problems=[*inherited, *_metrics_problems(config, place, dataset, record, file, measured)])
    for file in sorted(folder.glob("*-[0-9]*.json")):
        end = record.end.sha256
        found = Measured.find(file)
        is_current = found is not None and found.weights_sha256 == end
        yield Finding(file, problems=[*inherited, *([] if is_current else [OTHER_WEIGHTS])])


def _run_problems(config: Config, place: Path, dataset: str, model: str, seed: int, record: Run) -> Iterator[str]:
    spec = config.spec(dataset, model, seed)
    if spec.finds_channels:
        spec = spec.with_channels(record.image.channels)
    start = spec.model.initial_record
    if start is not None and start.parts[0] == "results":
        start = place.joinpath(*start.parts[1:])
    begun = Run.find(start) if start is not None else None
    if begun is not None:
        spec = spec.with_initial(begun.weights_sha256)
    if start is not None and begun is None:
        yield f"was trained from {start}, which is not there"
    elif spec.digest != record.spec_sha256:
        yield f"was trained with other settings: {_differences(record.spec, spec.model_dump(mode='json'))}"
    if problem := _data_problem(place, dataset, record.data.data_sha256, "was trained on"):
        yield problem


def _damaged(record: Run, folder: Path) -> Iterator[str]:
    for file in record.changed_files(folder):
        yield f"{file} was changed after training" if file.exists() else f"{file} is missing"


def _metrics_problems(
    config: Config,
    place: Path,
    dataset: str,
    record: Run,
    file: Path,
    measured: Mapping[str, Any],
) -> Iterator[str]:
    found = Measured.find(file)
    if found is None or found.reference is None:
        yield "is no record of measured values"
        return
    snapshots = {kept.step: kept.sha256 for kept in record.snapshots}
    if snapshots.get(found.step) != found.weights_sha256:
        yield OTHER_WEIGHTS
    if not artifacts.agrees(found.recipe, measured):
        recipe = {key: found.recipe.get(key) for key in Evaluation.model_fields}
        yield f"was measured with other settings: {_differences(recipe, measured)}"
    reals = config.reals(dataset)
    if problem := _data_problem(place, reals, found.reference.data_sha256, "was measured against"):
        yield problem


def _data_problem(place: Path, dataset: str, digest: str | None, how: str) -> str | None:
    pack = place / "data" / dataset / manifest.NAME
    if not pack.exists():
        return None  # packs may be deleted to make room
    found = manifest.Manifest.find(pack)
    return None if found is not None and found.data_sha256 == digest else f"{how} other images than {pack} holds"


def _exhibit(config: Config, place: Path, name: str, stale: set[Path]) -> Finding:
    paths = [place / kind / f"{name}.json" for kind in ("tables", "figures")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return Finding(place / f"{{tables,figures}}/{name}.json", is_missing=True)
    record = Exhibit.find(path)
    if record is None or record.inputs is None:
        return Finding(path, problems=["does not name its inputs"])
    problems = []
    if record.experiment_sha256 != artifacts.digest(config.experiments[name].json()):
        problems.append("was made with other settings")
    changed = [file for file, digest in record.inputs.items() if _has_changed(Path(file), digest, stale)]
    if changed:
        problems.append(f"is of files that changed, are stale or missing: {listed(changed, MAX_LISTED)}")
    return Finding(path, problems=problems)


def _has_changed(file: Path, digest: str, stale: set[Path]) -> bool:
    return not file.exists() or file.resolve() in stale or artifacts.file_digest(file) != digest


def _differences(was: Any, now: Any) -> str:
    """Return the settings in which two values differ, with both."""
    there, here = dict(_flat(was)), dict(_flat(now))
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    return listed([f"{key} {there.get(key, 'not set')}, now {here.get(key, 'not set')}" for key in keys], MAX_LISTED)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inside in value.items():
            yield from _flat(inside, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
