"""Images of a source become a pack: shards of equal images, and a manifest that says what is in them."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganformer import artifacts, plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data import manifest
from ganformer.data.arrays import ArrayFile
from ganformer.data.manifest import Crop, File, Manifest, Rejected, Shard
from ganformer.data.source import ImageSource, Rejection, Sample, open_source
from ganformer.errors import DataError
from ganformer.progress import Progress

SCENES, MASKS, REJECTED = "scenes.jsonl", "masks.npy", "rejected.json"
PORTION = 64  # images loaded in one go
SHOWN = 20  # unreadable images that a message names

_FILE = r"(images-\d{5,}\.\w+|scenes\.jsonl|masks\.npy|labels\.npy|rejected\.json)"
_OURS = re.compile(rf"{_FILE}|\.({_FILE}|manifest\.json)\.\d+\.tmp")


def pack(dataset: Dataset, out: Path) -> Manifest:
    """Packs the images of a data set into the folder `out`; files of an older pack in it are removed first.

    The same source and settings give the same bytes, also after a run that was killed. Raises DataError where the
    source is missing, has not as many classes as the settings say, `out` cannot be written, no image is usable, or
    `on_error` is `fail` and some are not usable: then all of them are in `rejected.json`.
    """
    source = open_source(dataset.source, dataset.image)
    _check_classes(source, dataset)
    _clear(out)
    intake = _Intake(source, dataset, f"pack {out.name}")
    shards = _write(dataset, out, intake)
    if intake.rejected and (dataset.on_error == "fail" or not shards):
        raise _unusable(dataset, out, intake)
    if dataset.classes:
        _write_labels(out, intake)
    files = (*((SCENES, MASKS) if source.has_scenes else ()), *((manifest.LABELS,) if dataset.classes else ()))
    written = Manifest(
        count=sum(shard.count for shard in shards),
        image=dataset.image,
        format=dataset.format,
        source=dataset.source.model_dump(mode="json"),
        crop=Crop(ratio=dataset.image.height / dataset.image.width),
        shards=shards,
        files=[File(file=name, sha256=artifacts.file_digest(out / name)) for name in files],
        rejected=[Rejected(path=image.name, reason=image.reason) for image in intake.rejected],
        label_counts=np.bincount(intake.labels, minlength=dataset.classes).tolist() if dataset.classes else (),
        duplicates=intake.duplicates,
    )
    written.write(out)
    return written


def _check_classes(source: ImageSource[Any], dataset: Dataset) -> None:
    if dataset.classes not in (0, source.classes):
        kind = dataset.source.kind
        raise DataError(
            f"classes {dataset.classes} does not fit the source, {kind}, which has labels of {source.classes} classes; "
            f"set classes to {source.classes}" + (", or to 0 to use no labels" if source.classes else "")
        )


def _write_labels(out: Path, intake: "_Intake") -> None:
    with _explained(out), artifacts.atomic(out / manifest.LABELS) as temporary, temporary.open("wb") as file:
        np.save(file, intake.labels)


def _write(dataset: Dataset, out: Path, intake: "_Intake") -> list[Shard]:
    recorder = _scene_files(out, dataset.image) if intake.source.has_scenes else nullcontext(lambda sample: None)
    with _explained(out), recorder as record:
        return list(_write_shards(dataset, out, _recorded(intake, record)))


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{out}: writing failed ({error.strerror}); mend that and pack again") from error


class _Intake:
    """Usable images of a source one after another; remembers the others. Under `fail` the first bad one ends the
    stream, and the rest of the source is only checked."""

    def __init__(self, source: ImageSource[Any], dataset: Dataset, label: str) -> None:
        self.source, self.dataset, self.label = source, dataset, label
        self.total = min(len(source), dataset.max_images or len(source))
        self.rejected: list[Rejection] = []
        self._digests = np.zeros(self.total, np.uint64)
        self._labels = np.zeros(self.total, np.int32)
        self._usable = 0

    def __iter__(self) -> Iterator[Sample]:
        keys = itertools.islice(self.source.keys(), self.total)
        with Progress(self.label, self.total) as progress:
            while portion := list(itertools.islice(keys, PORTION)):
                for image in self.source.load(portion):
                    progress.update(1)
                    if isinstance(image, Rejection):
                        self.rejected.append(image)
                    elif self.dataset.classes and image.label is None:
                        self.rejected.append(Rejection(image.name, "has no label"))
                    elif not (self.rejected and self.dataset.on_error == "fail"):
                        self._remember(image)
                        yield image

    @property
    def duplicates(self) -> int:
        """Number of images equal to an earlier one."""
        digests = self._digests[: self._usable]
        return len(digests) - len(np.unique(digests))

    @property
    def labels(self) -> NDArray[np.int32]:
        """Numbers of the classes of the usable images, where they have one."""
        return self._labels[: self._usable]

    def _remember(self, image: Sample) -> None:
        digest = hashlib.blake2b(np.ascontiguousarray(image.pixels).data, digest_size=8).digest()
        self._digests[self._usable] = int.from_bytes(digest, "little")
        self._labels[self._usable] = image.label or 0
        self._usable += 1


@contextmanager
def _scene_files(out: Path, image: ImageSpec) -> Iterator[Callable[[Sample], None]]:
    """Yields what records the scene of each image: a line of `scenes.jsonl`, a mask in `masks.npy` [count, H, W]."""
    with (
        artifacts.atomic(out / SCENES) as scenes,
        artifacts.atomic(out / MASKS) as array,
        scenes.open("w", encoding="utf-8", newline="\n") as lines,
        ArrayFile(array, (image.height, image.width)) as masks,
    ):

        def record(sample: Sample) -> None:
            assert sample.scene is not None, "a source that has scenes gives one with every sample"
            line = {"name": sample.name, **sample.scene.record}
            lines.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            masks.append(sample.scene.mask[None])

        yield record


def _recorded(samples: Iterable[Sample], record: Callable[[Sample], None]) -> Iterator[Sample]:
    for sample in samples:
        record(sample)
        yield sample


def _write_shards(dataset: Dataset, out: Path, samples: Iterator[Sample]) -> Iterator[Shard]:
    layout = plugins.find("ganformer.data.formats", dataset.format)
    for number in itertools.count():
        first = next(samples, None)
        if first is None:
            return
        path = out / f"images-{number:05d}{layout.SUFFIX}"
        count = 0
        with artifacts.atomic(path) as temporary, layout.Writer(temporary, dataset.image) as writer:
            for sample in itertools.chain([first], itertools.islice(samples, dataset.shard_images - 1)):
                writer.append(sample.pixels.transpose(2, 0, 1)[None])
                count += 1
        yield Shard(file=path.name, count=count, sha256=artifacts.file_digest(path))


def _clear(out: Path) -> None:
    """Makes the folder, and removes what earlier runs left in it, the manifest first."""
    with artifacts.may_write(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / manifest.NAME).unlink(missing_ok=True)
        for path in out.iterdir():
            if _OURS.fullmatch(path.name):
                path.unlink()


def _unusable(dataset: Dataset, out: Path, intake: _Intake) -> DataError:
    _clear(out)
    rejected = intake.rejected
    artifacts.write_json(out / REJECTED, [{"path": image.name, "reason": image.reason} for image in rejected])
    lines = [f"  {image.name}: {image.reason}" for image in rejected[:SHOWN]]
    if len(rejected) > SHOWN:
        lines.append(f"  … and {len(rejected) - SHOWN} more")
    hint = "mend or remove them, or set on_error: skip to leave them out" if dataset.on_error == "fail" else "mend them"
    return DataError(
        "\n".join(
            [f"{out}: {len(rejected)} of {intake.total} images are not usable; {hint}. All: {out / REJECTED}", *lines]
        )
    )
