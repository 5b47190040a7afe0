"""Python interface: runs, packs, evaluation and training in a few lines. `ganformer` itself has its names."""

import itertools
import operator
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganformer import config, devices
from ganformer.analysis import exporting, generate, looking, projection
from ganformer.analysis.explorer import Explorer
from ganformer.analysis.view import View
from ganformer.config import Dataset, Evaluation, Exporting, ImageSpec, Looking, chosen_logging, single_run
from ganformer.config.projection import Projection
from ganformer.data.dataset import Images
from ganformer.data.images import Pixels, central
from ganformer.data.packing import detect
from ganformer.data.packing import pack as packing
from ganformer.errors import ConfigError
from ganformer.metrics import compare
from ganformer.records.run import Run as RunRecord
from ganformer.training import loop
from ganformer.training.runs import open_run
from ganformer.training.samples import make, pixels

Settings = Mapping[str, Any]


class Pack:
    """Packed images: a sequence of uint8 arrays [H, W, C], with labels if the pack has classes."""

    def __init__(self, path: str | Path) -> None:
        """Open a pack by its folder or manifest.json; DataError if there is no complete pack."""
        self._images = Images(Path(path))
        self.folder: Path = self._images.folder

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int | slice) -> Pixels:
        """Return image `index` [H, W, C], or the images of a slice [n, H, W, C]; IndexError outside the pack."""
        numbers = range(len(self))[index]
        found = self._images.read(np.atleast_1d(np.asarray(numbers, np.int64))).transpose(0, 2, 3, 1)
        return found if isinstance(index, slice) else found[0]

    @property
    def image(self) -> ImageSpec:
        """Shape of the images."""
        return self._images.image

    @property
    def manifest(self) -> Path:
        """Path of its manifest."""
        return self.folder / "manifest.json"

    @property
    def labels(self) -> "np.ndarray[Any, np.dtype[np.int64]] | None":
        """Class of every image, int64 [n]; None without classes."""
        if not self.image.classes:
            return None
        classes: np.ndarray[Any, np.dtype[np.int64]] | None = self._images.labels(np.arange(len(self))).argmax(axis=1)
        return classes

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, if the source has names."""
        return self._images.manifest.class_names


class Run:
    """A trained or imported run, ready to be sampled."""

    def __init__(self, path: str | Path, step: int | None = None, *, gpus: int = 0, threads: int = 1) -> None:
        """Open a run by its folder, run.json or weights; `step`: one of its snapshots, None: the end of training.

        Of a folder whose training has not ended the last checkpoint is used, and a printed line says so.
        Raises ConfigError if there is no run, CheckpointError if it cannot be read or has no such snapshot.
        """
        self.path, self._learner, record = open_run(Path(path), step)
        self.record: RunRecord = record
        """Content of run.json; of a training that has not ended, of one that ended at its last checkpoint."""
        self.spec = record.settings(self.path)
        """Resolved settings of the run."""
        self._threads = threads
        self._device = devices.acquire(gpus)
        self._learner.sampler.to(self._device)

    @property
    def network(self) -> torch.nn.Module:
        """Network that images are sampled from, e.g. the moving average of the generator."""
        return self._learner.sampler

    @property
    def _explorer(self) -> Explorer:
        return Explorer(self.path, self.record, self._learner, self._device)

    @property
    def snapshots(self) -> list[int]:
        """Steps whose weights are kept."""
        return [snapshot.step for snapshot in self.record.snapshots]

    def sample(self, seeds: Sequence[int], *, truncation: float = 1.0, label: int | str | None = None) -> Pixels:
        """Generate one image per seed, uint8 [n, H, W, C]; the same seed always gives the same image.

        `truncation`: ψ, less than 1 trades variety for quality. `label`: name or number of a class; None: classes are
        drawn as in the data. The images are the same as of `ganformer generate --noise`. Raises ConfigError for an
        unknown class, for seeds that are no whole numbers, and for a seed or ψ out of range.
        """
        data, image = self.record.data, self.spec.image
        seeds = _whole(seeds)
        if not len(seeds):
            return np.zeros((0, *image.picture, image.channels), np.uint8)
        generate.check(truncation, min(seeds), max(seeds))
        chosen = generate.class_number(None if label is None else str(label), data, self.path)
        labels = generate.labelled(chosen, data.label_counts)
        images = partial(make, self._learner, image, labels, truncation=truncation)
        with devices.reproducible(self._threads), torch.no_grad():
            parts = [pixels(central(images(part), *image.picture)) for part in _consecutive(seeds)]
        return np.concatenate(parts)

    def look(self, kind: str, **settings: Any) -> View:
        """Look at what the run has learned: pictures in rows and columns, and the numbers behind them.

        `kind`: one of the commands of `ganformer look`, e.g. "interpolation"; `settings`: its options, e.g.
        `seeds=[0, 1]`. Raises ConfigError for wrong settings, and for a kind of look that the model does not have.
        """
        chosen = config.parse(Looking, {"look": {"kind": kind, **settings}}, "look").look
        return looking.take(chosen, self._explorer, self._threads)

    def export(self, kind: str, out: str | Path, **settings: Any) -> None:
        """Write the model in a form that other programs read.

        `kind`: one of the formats of `ganformer export`, e.g. "onnx"; `settings`: its options. Raises ConfigError for
        wrong settings, and if the model cannot have that form.
        """
        chosen = config.parse(Exporting, {"export": {"kind": kind, **settings}}, "export").export
        exporting.export(chosen, self._explorer, Path(out), self._threads)

    def project(self, images: str | Path | Sequence[str | Path], **settings: Any) -> list[projection.Found]:
        """Find the latents of a picture file, of several, or of all pictures in folders.

        `settings`: options of `ganformer project`, e.g. `steps=200`. The results have `w`, `picture` (uint8 [H, W, C])
        and `distance`. Raises ConfigError for wrong settings, and if the model has no latents; DataError for a file
        that is no picture; StoppedError if it is stopped by a signal.
        """
        paths = [images] if isinstance(images, str | Path) else list(images)
        if wrong := [path for path in paths if not isinstance(path, str | Path)]:
            raise ConfigError(f"images: {type(wrong[0]).__name__} is no path; name files or folders of pictures")
        chosen = config.parse(Projection, settings, "project")
        explorer = self._explorer
        wanted = projection.targets([Path(path) for path in paths], explorer)
        return projection.find(explorer, chosen, wanted, None, self._threads)


def _whole(seeds: Sequence[int]) -> list[int]:
    try:
        return [operator.index(seed) for seed in seeds]
    except TypeError as error:
        raise ConfigError(f"seeds {seeds!r}: are no whole numbers; give a list or a range, e.g. range(16)") from error


def _consecutive(seeds: Sequence[int]) -> list[range]:
    groups = itertools.groupby(enumerate(seeds), key=lambda pair: pair[1] - pair[0])
    parts = [[seed for _, seed in group] for _, group in groups]
    return [range(part[0], part[-1] + 1) for part in parts]


def load_run(path: str | Path, step: int | None = None, *, gpus: int = 0, threads: int = 1) -> Run:
    """Open a run by its folder, run.json or weights; see `Run`."""
    return Run(path, step, gpus=gpus, threads=threads)


def load_pack(path: str | Path) -> Pack:
    """Open a pack by its folder or manifest.json; see `Pack`."""
    return Pack(path)


def pack(source: str | Path | Settings, out: str | Path, *, workers: int = 1, **settings: Any) -> Pack:
    """Crop, resize and store images as a pack in the folder `out`.

    `source`: a path, the name of a data set, or settings of a source with their `kind`; `settings`: of a data set, e.g.
    `resolution=64`, `format="lmdb"`. A pack of the same source and settings has the same bytes. Raises ConfigError
    for wrong settings, DataError if images cannot be read or written.
    """
    found = source if isinstance(source, Mapping) else detect.recognise(str(source))
    packing.pack(config.parse(Dataset, {"source": found, **settings}, "pack"), Path(out), workers)
    return Pack(out)


def train(
    model: str | Settings,
    data: Pack | str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    mirror: bool = False,
    gpus: int = 0,
    threads: int = 1,
    adversarial: Settings | None = None,
    logging: Settings | None = None,
    **training: Any,
) -> Run:
    """Train a model on a pack, or resume that training, and return the run in the folder `out`.

    `model`: a kind such as "stylegan2", or its settings with their `kind`; `adversarial`: settings of the losses and
    optimisers, as in the section of that name; `training`: settings of the section `training`, e.g. `kimg=10`,
    `batch=32`; `mirror`: flip images left to right at random; `logging`: settings of the section of that name, e.g.
    `{"wandb": {"project": "faces", "mode": "offline"}}`. Raises ConfigError for wrong settings, and whatever training
    raises.
    """
    opened = data if isinstance(data, Pack) else Pack(data)
    settings = {"kind": model} if isinstance(model, str) else model
    spec = single_run(
        settings, opened.image.canvas, training=training, adversarial=adversarial or {}, seed=seed, mirror=mirror
    )
    names = {"dataset": opened.folder.resolve().name, "model": spec.model.kind}
    logs = chosen_logging(dict(logging or {}))
    loop.train(spec, opened.manifest, Path(out), names=names, threads=threads, gpus=gpus, logging=logs)
    return Run(out, gpus=gpus, threads=threads)


def evaluate(
    real: Pack | Run | str | Path,
    fake: Pack | Run | str | Path,
    *,
    extractor: str | Settings = "random-vgg16",
    step: int | None = None,
    gpus: int = 0,
    threads: int = 1,
    **settings: Any,
) -> dict[str, float]:
    """Measure one set of images against another; return the values by name, e.g. `fid50k`.

    A set is a pack, a run, or any set that `ganformer evaluate` takes. `extractor`: a kind such as "inception-2015", or
    its settings with their `kind`. `settings`: others of the section `evaluation`, e.g. `metrics=["frechet"]`,
    `images=10_000`. Raises ConfigError for wrong settings, DataError if the sets cannot be compared.
    """
    network = {"kind": extractor} if isinstance(extractor, str) else extractor
    evaluation = config.parse(Evaluation, {"extractor": network, **settings}, "evaluate")
    found = compare.compare(evaluation, _named(real), _named(fake), step=step, threads=threads, gpus=gpus)
    return {entry.name: entry.value for entry in found.values.values()}


def _named(images: Pack | Run | str | Path) -> str:
    if isinstance(images, Pack):
        return str(images.folder)
    return str(images.path) if isinstance(images, Run) else str(images)
