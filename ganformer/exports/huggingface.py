"""Export a run as a folder in the layout of the Hugging Face Hub, with a model card; nothing is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ganformer.config import Ability, Export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ganformer.analysis.explorer import Explorer
    from ganformer.records.metrics import Measured
    from ganformer.records.run import Run

SAMPLES, SHOWN = "samples.png", 16
"""File of samples, and their number."""


class Config(Export):
    """Hugging Face: a folder with weights (safetensors), record, samples and model card, which is a run here, too."""

    kind: Literal["huggingface"] = "huggingface"
    needs: ClassVar[Ability | None] = None
    is_folder: ClassVar[bool] = True

    metrics: Path | None = None
    """Measurements of these weights by the workflow, for the card: results/metrics/…/step-N.json. None: metrics.json
    beside the run, if it is there."""
    licence: Annotated[str, Field(min_length=1)] | None = None
    """Licence of the weights by its name on the Hub, e.g. mit or cc-by-nc-4.0. None: the card says nothing of it."""


def write(settings: Config, opened: Explorer, out: Path) -> Sequence[str]:
    """Write the folder `out`: everything or, after an error, nothing. ConfigError if there are files in it."""
    import shlex
    import tempfile

    from ganformer import artifacts
    from ganformer.report import card

    _check_free(out)
    measured = _measured(settings, opened)
    with artifacts.may_write(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
            made = Path(place)
            _write_files(settings, opened, measured, made)
            out.mkdir(exist_ok=True)
            for path in sorted(made.iterdir(), key=lambda path: path.name == card.CARD):
                path.replace(out / path.name)
    return [f"upload it with: hf upload NAME {shlex.quote(str(out))}"]


def _write_files(settings: Config, opened: Explorer, measured: Measured | None, folder: Path) -> None:
    import shutil

    from ganformer import artifacts
    from ganformer.data.pictures import grid, save_picture
    from ganformer.records.run import RUN_FILE, WEIGHTS
    from ganformer.report import card
    from ganformer.training.checkpoint import write_weights
    from ganformer.training.samples import pixels

    record = opened.record
    kept = record.snapshot(None, opened.path)
    save_picture(folder / SAMPLES, grid(pixels(opened.samples(range(SHOWN), truncation=0.7))))
    if kept.file:
        shutil.copyfile(opened.path.parent / kept.file, folder / WEIGHTS)
    else:  # of a run in training
        write_weights(folder / WEIGHTS, opened.learner.sampler, str(record.trajectory_sha256), kept.step)
    if measured is not None:
        measured.write(folder / card.METRICS)
    record.alone(kept).write(folder / RUN_FILE)
    picture = f"![Samples of seeds 0 to {SHOWN - 1}, truncation 0.7]({SAMPLES})"
    text = card.text(record, measured, ".", licence=settings.licence, picture=picture)
    artifacts.write_text(folder / card.CARD, f"{_header(settings, record, measured)}\n{text}")


def _check_free(out: Path) -> None:
    """Raise ConfigError if there are files in `out`, but for hidden ones, as those of git."""
    from ganformer.errors import ConfigError, listed

    found = sorted(path.name for path in out.iterdir() if path.name[0] != ".") if out.is_dir() else []
    if found:
        raise ConfigError(
            f"{out}: has {listed(found)}, which could be lost; choose a new or an empty folder, or move them away"
        )


def _measured(settings: Config, opened: Explorer) -> Measured | None:
    """Return the measurements for the card; ConfigError if they are of other weights."""
    from ganformer.errors import ConfigError
    from ganformer.records.metrics import Measured
    from ganformer.report import card

    beside = opened.path.with_name(card.METRICS)
    path = settings.metrics or (beside if beside.exists() else None)
    if path is None:
        return None
    measured = Measured.read(path)
    if measured.weights_sha256 != opened.record.weights_sha256:
        raise ConfigError(
            f"{path}: holds measurements of other weights ({measured.run} at step {measured.step}) than "
            f"{opened.path} at step {opened.record.steps}; name those of these weights as metrics"
        )
    return measured


def _header(settings: Config, record: Run, measured: Measured | None) -> str:
    """Return the YAML header that the Hub reads."""
    import yaml

    from ganformer.report import card, formatting

    task = "unconditional-image-generation"
    content: dict[str, Any] = {"library_name": "ganformer", "pipeline_tag": task}
    if settings.licence is not None:
        content["license"] = settings.licence
    content["tags"] = list(dict.fromkeys(["gan", "image-generation", record.kind, record.run.dataset]))
    if measured is not None:
        values = [
            {"type": title, "name": f"{title} ({by})", "value": float(value)}
            for title, by, value in card.values(measured, measured.values)
        ]
        dataset = {"name": record.run.dataset, "type": record.run.dataset}
        name = formatting.model(record.run.model)
        result = {"task": {"type": task}, "dataset": dataset, "metrics": values}
        content["model-index"] = [{"name": name, "results": [result]}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n"
