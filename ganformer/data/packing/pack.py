"""Packing of a source: shards of images of one shape, and a manifest that describes them."""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ganformer import artifacts, ledger, plugins
from ganformer.config import Dataset, ImageSpec, Source
from ganformer.data.packing.arrays import ArrayFile
from ganformer.data.packing.prepare import Intake, OtherChannelsError, Prepared
from ganformer.data.source import ImageSource, open_source, printable
from ganformer.errors import DataError, listed
from ganformer.records import manifest
from ganformer.records.manifest import Crop, File, Manifest, Rejected, Shard

SCENES, MASKS = "scenes.jsonl", "masks.npy"
MAX_LISTED_IMAGES, MAX_LISTED_CLASSES = 20, 20  # in messages

_FILE = re.compile(r"images-\d{5,}\.\w+|scenes\.jsonl|masks\.npy|labels\.npy|rejected\.json|manifest\.json")


def pack(dataset: Dataset, out: Path, workers: int = 1) -> Manifest:
    """Pack the images of a data set into the folder `out`; files of an older pack in it are removed first, no others.

    The same source and settings give the same bytes, however many processes work at it, also after a run that was
    killed. Without a stated number of channels, the first images decide it; if later ones contradict, packing
    begins again. Raises DataError if the source is missing, is in `out` or `out` in it, has
    not as many classes as the settings say or fewer images than shards, `out` cannot be written or has files called
    like those of a pack that no pack of ours left, no image is usable, or `on_error` is `fail` and some are not usable:
    then all of these are in a manifest that counts no images.
    """
    _check_apart(dataset.source, out)
    _refuse_others(out)
    image = dataset.image
    source = open_source(dataset.source, image)
    _check_classes(source, dataset)
    if dataset.known_channels is None and source.channels not in (None, image.channels):
        image = image.with_channels(source.channels)
        source = open_source(dataset.source, image)
    finds_channels = dataset.known_channels is None and source.channels is None
    is_first_try = True
    while True:
        intake = Intake(
            source,
            dataset,
            image,
            f"pack {out.name}",
            workers,
            finds_channels=finds_channels,
            is_first_try=is_first_try,
        )
        if dataset.shards and dataset.shards > intake.total:
            raise DataError(f"shards {dataset.shards} cannot be made of {intake.total} images; set shards to fewer")
        try:
            return _packed(dataset, out, intake)
        except OtherChannelsError as found:
            words = f"the images have channels: {found.channels}, not {image.channels}; packing them so from the start"
            print(f"{out}: {words}", file=sys.stderr, flush=True)
            image, is_first_try = image.with_channels(found.channels), False
            source = open_source(dataset.source, image)


def _ledger(out: Path) -> ledger.Ledger:
    """Return the files that earlier packs left in a folder."""
    return ledger.Ledger(out, (manifest.files_of_pack(out) or frozenset()) - {manifest.SHEET, manifest.MEAN})


def _refuse_others(out: Path) -> None:
    """Raise DataError if files that no command wrote have names of files to be written."""
    if out.is_dir():
        _ledger(out).refuse(sorted(path.name for path in out.iterdir() if _FILE.fullmatch(path.name)))


def _check_apart(source: Source, out: Path) -> None:
    """Raise DataError if the output is in the input or the other way round."""
    target = out.resolve()
    for path in source.inputs:
        read = path.resolve()
        if read == target / manifest.NAME:
            raise DataError(f"{out}: is the pack to read from, and would be overwritten; choose another output folder")
        if path.is_dir() and target.is_relative_to(read):
            raise DataError(
                f"{out}: is in {path}, whose images are to be packed, and would be among them the next time; choose "
                "another output folder"
            )
        if read.is_relative_to(target):
            raise DataError(
                f"{out}: has {path} in it, which is to be packed; choose an output folder of its own for the pack"
            )


def _packed(dataset: Dataset, out: Path, intake: Intake) -> Manifest:
    """Write the pack of what `intake` gives; raises as `pack` does, and OtherChannelsError."""
    source = intake.source
    ours = _ledger(out)
    ours.clear(manifest.NAME)
    ours.claim([manifest.NAME, manifest.REJECTED, manifest.LABELS, SCENES, MASKS])
    shards = _write(dataset, out, intake, ours)
    if intake.rejected and (dataset.on_error == "fail" or not shards):
        ours.clear(manifest.NAME)
        ours.claim([manifest.NAME, manifest.REJECTED])
        raise _unusable(dataset, out, intake)
    if dataset.classes:
        _write_labels(out, intake)
    names = (*((SCENES, MASKS) if source.has_scenes else ()), *((manifest.LABELS,) if dataset.classes else ()))
    files = [File(file=name, sha256=artifacts.file_digest(out / name)) for name in names]
    written = _manifest(dataset, intake, shards, files)
    written.write(out / manifest.NAME)
    return written


def _manifest(dataset: Dataset, intake: Intake, shards: Sequence[Shard], files: Sequence[File]) -> Manifest:
    """Return the manifest of a pack; without shards only of the rejected images."""
    has_labels = dataset.classes and shards
    return Manifest(
        count=sum(shard.count for shard in shards),
        image=intake.image,
        format=dataset.format,
        source=dataset.source.model_dump(mode="json"),
        crop=Crop(ratio=dataset.crop, letterbox=dataset.letterbox, margin=dataset.crop_margin),
        shards=shards,
        files=files,
        rejected=[Rejected(path=image.name, reason=image.reason) for image in intake.rejected],
        left_out=intake.left_out,
        label_counts=np.bincount(intake.labels, minlength=dataset.classes).tolist() if has_labels else (),
        class_names=_class_names(intake) if has_labels else (),
        duplicates=intake.duplicates if shards else 0,
        content=intake.data_sha256,
    )


def _check_classes(source: ImageSource[Any], dataset: Dataset) -> None:
    if dataset.classes and dataset.classes != source.classes:  # labels that nobody asks for are not even read
        kind = dataset.source.kind
        names = listed(map(printable, source.class_names), MAX_LISTED_CLASSES)
        raise DataError(
            f"classes {dataset.classes} does not fit the source, {kind}, which has labels of {source.classes} classes"
            + (f" ({names})" if names else "")
            + "; "
            + (f"{source.class_hint}, or " if source.class_hint else "")
            + (
                f"set classes to {source.classes}, or to 0 to use no labels"
                if source.classes
                else "say in the source's labels where they are, if there are any, or set classes to 0"
            )
        )


def _class_names(intake: Intake) -> list[str]:
    """Return names of all classes; none if the source names only some of the classes that its labels use."""
    names = [printable(name) for name in intake.source.class_names]
    return names if len(names) == intake.image.classes else []


def _write_labels(out: Path, intake: Intake) -> None:
    with _explained(out), artifacts.atomic(out / manifest.LABELS) as temporary, temporary.open("wb") as file:
        np.save(file, intake.labels)


def _write(dataset: Dataset, out: Path, intake: Intake, ours: ledger.Ledger) -> list[Shard]:
    recorder = _scene_files(out, intake.image) if intake.source.has_scenes else nullcontext(lambda image: None)
    with _explained(out), recorder as record:
        return list(_write_shards(dataset, intake, ours, record))


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{out}: writing failed ({error.strerror}); fix that and pack again") from error


@contextmanager
def _scene_files(out: Path, image: ImageSpec) -> Iterator[Callable[[Prepared], None]]:
    """Yield what records the scene of each image: a line of `scenes.jsonl`, a mask in `masks.npy` [count, H, W]."""
    with (
        artifacts.atomic(out / SCENES) as scenes,
        artifacts.atomic(out / MASKS) as array,
        scenes.open("w", encoding="utf-8", newline="\n") as lines,
        ArrayFile(array, (image.height, image.width)) as masks,
    ):

        def record(image: Prepared) -> None:
            assert image.scene is not None, "a source that has scenes gives one with every sample"
            line = {"name": image.name, **image.scene.record}
            lines.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            masks.append(image.scene.mask[None])

        yield record


def _write_shards(
    dataset: Dataset, intake: Intake, ours: ledger.Ledger, record: Callable[[Prepared], None]
) -> Iterator[Shard]:
    layout = plugins.find("ganformer.data.formats", dataset.format)

    def shard(image: Prepared) -> int:
        if dataset.shards:  # by its place in the source, so that nothing needs to be known of those behind it
            return image.position * dataset.shards // intake.total
        return image.number // dataset.shard_images

    for number, (_, images) in enumerate(itertools.groupby(intake, shard)):
        path = ours.folder / f"images-{number:05d}{layout.SUFFIX}"
        ours.claim([path.name])
        with artifacts.atomic(path) as temporary, layout.Writer(temporary, intake.image) as writer:
            labels = _fill(writer, images, record)
            if dataset.classes and hasattr(writer, "write_labels"):  # the format has a place of its own for them
                writer.write_labels(np.array(labels, np.int32))
        yield Shard(file=path.name, count=len(labels), sha256=artifacts.file_digest(path))


def _fill(writer: Any, images: Iterator[Prepared], record: Callable[[Prepared], None]) -> list[int]:
    """Write images; returns their labels."""
    labels = []
    for image in images:
        # Where the format has an encoding of its own, the processes that load have done it.
        if isinstance(image.content, bytes):
            writer.append_encoded([image.content])
        else:
            writer.append(image.content[None])
        record(image)
        labels.append(image.label or 0)
    return labels


def _unusable(dataset: Dataset, out: Path, intake: Intake) -> DataError:
    failed = _manifest(dataset, intake, (), ())
    failed.write(out / manifest.NAME)
    # Once more, as the graph removes what a failed job was to make, and that is the manifest.
    artifacts.write_json(out / manifest.REJECTED, failed.model_dump(mode="json")["rejected"])
    rejected = failed.rejected
    lines = [f"  {image.path}: {image.reason}" for image in rejected[:MAX_LISTED_IMAGES]]
    if len(rejected) > MAX_LISTED_IMAGES:
        lines.append(f"  … and {len(rejected) - MAX_LISTED_IMAGES} more")
    hint = "fix or remove them, or set on_error: skip to leave them out" if dataset.on_error == "fail" else "fix them"
    head = f"{out}: {len(rejected)} of {intake.total} images are not usable; {hint}. All: {out / manifest.REJECTED}"
    return DataError("\n".join([head, *lines]))
