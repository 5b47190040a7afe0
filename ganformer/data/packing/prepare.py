"""Images of a source made ready to be written, by several processes, in the source's order."""

import hashlib
import itertools
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ganformer import artifacts, plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data.images import Pixels, Traits
from ganformer.data.source import ImageSource, Rejection, Sample, Scene
from ganformer.errors import ConfigError, DataError
from ganformer.progress import Progress

MAX_BATCH = 64  # images prepared in one go, at most
MAX_BATCH_BYTES = 1 << 23  # of their pixels and of what their keys carry, at most, unless one image has more
WAITING_BATCHES = 2  # batches in preparation for each process
PROBED_IMAGES = 16  # images that tell the channels of all, as long as no other one contradicts them


@dataclass(frozen=True)
class Prepared:
    """One usable image: `content` is pixels [C, H, W] or what the format encodes them as, `digest` a hash of pixels.

    It is image `position` of the source and, once it is known how many of those before it are usable, image `number` of
    the pack.
    """

    name: str
    content: Pixels | bytes
    digest: bytes
    label: int | None
    scene: Scene | None
    traits: Traits
    left_out: Mapping[str, int]
    position: int = -1
    number: int = -1


class OtherChannelsError(Exception):
    """The images seen so far are of `channels`, not of as many as was taken for granted."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.channels = channels


class Intake:
    """Iterating gives the usable images of a source one after another, and remembers the others.

    `image` is their shape. Under `on_error: fail` the first bad one ends the stream, and the rest of the source is only
    checked. `workers`: number of processes that load; the stream is the same for any number. Raises DataError if one
    of them dies. Where `finds_channels`, raises OtherChannelsError if images contradict those of `image`; with
    `is_first_try` also where the first few speak for others.
    """

    def __init__(
        self,
        source: ImageSource[Any],
        dataset: Dataset,
        image: ImageSpec,
        label: str,
        workers: int = 1,
        *,
        finds_channels: bool = False,
        is_first_try: bool = False,
    ) -> None:
        self.source, self.dataset, self.image, self.label = source, dataset, image, label
        self.finds_channels, self.is_first_try = finds_channels, is_first_try
        left = len(source) - dataset.skip_images
        if dataset.skip_images and left < 1:
            raise DataError(
                f"skip_images {dataset.skip_images} leaves none of the source's {len(source)} images; skip fewer"
            )
        self.total = min(left, dataset.max_images or left)
        self.rejected: list[Rejection] = []
        self._digests = np.zeros(self.total, np.uint64)
        self._labels = np.zeros(self.total, np.int32)
        self._usable = 0
        self._content = hashlib.sha256(artifacts.canonical(image.model_dump(mode="json")).encode())
        self._left_out: Counter[str] = Counter()
        self._seen = Seen()
        self._batch_size = max(1, min(MAX_BATCH, MAX_BATCH_BYTES // (image.height * image.width * image.channels)))
        if workers < 1:
            raise ConfigError(f"workers {workers}: is less than 1; give the number of processes that load images")
        self._workers = max(1, min(workers, -(-self.total // self._batch_size)))

    def __iter__(self) -> Iterator[Prepared]:
        skipped = self.dataset.skip_images
        keys = itertools.islice(self.source.keys(), skipped, skipped + self.total)
        batches = _batches(keys, self._batch_size)
        with Progress(self.label, self.total) as progress:
            loaded = _in_order(Loader(self.source, self.dataset.format), batches, self._workers)
            for position, image in enumerate(itertools.chain.from_iterable(loaded)):
                progress.update(1)
                if isinstance(image, Rejection):
                    self.rejected.append(image)
                elif self.dataset.classes and image.label is None:
                    self.rejected.append(Rejection(image.name, "has no label"))
                elif not (self.rejected and self.dataset.on_error == "fail"):
                    self._look_at(image)
                    yield self._numbered(image, position)
        if self.finds_channels and self._usable and self._seen.channels != self.image.channels:
            raise OtherChannelsError(self._seen.channels)

    @property
    def duplicates(self) -> int:
        """Number of images equal to an earlier one."""
        digests = self._digests[: self._usable]
        return len(digests) - len(np.unique(digests))

    @property
    def labels(self) -> NDArray[np.int32]:
        """Numbers of the classes of the usable images, where they have one."""
        return self._labels[: self._usable]

    @property
    def data_sha256(self) -> str:
        """sha256 (hex) of shape, pixels and labels of the usable images in their order."""
        return self._content.hexdigest()

    @property
    def left_out(self) -> dict[str, int]:
        """Number of things in the source that are no pictures, by kind, the most frequent first."""
        return dict((self._left_out + Counter(self.source.left_out)).most_common())

    def _look_at(self, image: Prepared) -> None:
        self._left_out.update(image.left_out)
        self._seen.add(image.traits)
        if not self.finds_channels:
            return
        has_seen_enough = self.is_first_try and self._seen.count == PROBED_IMAGES
        if not self._seen.may_become(self.image.channels) or (
            has_seen_enough and self._seen.channels != self.image.channels
        ):
            raise OtherChannelsError(self._seen.channels)

    def _numbered(self, image: Prepared, position: int) -> Prepared:
        number = self._usable
        self._digests[number] = int.from_bytes(image.digest[:8], "little")
        self._content.update(image.digest)
        if self.image.classes:
            self._content.update(int(image.label or 0).to_bytes(4, "little"))
        self._labels[number] = image.label or 0
        self._usable += 1
        return replace(image, position=position, number=number)


@dataclass
class Seen:
    """All pictures seen so far: how many, whether all are grey, all have an opacity channel, some are not opaque."""

    count: int = 0
    are_grey: bool = True
    have_opacity: bool = True
    some_are_transparent: bool = False

    def add(self, traits: Traits) -> None:
        """Take one more picture into account."""
        self.count += 1
        self.are_grey &= Traits.GREY in traits
        self.have_opacity &= Traits.OPACITY in traits
        self.some_are_transparent |= Traits.TRANSPARENT in traits

    @property
    def channels(self) -> Literal[1, 3, 4]:
        """Channels of a data set of these pictures, see `Dataset.channels`."""
        if self.have_opacity and self.some_are_transparent:
            return 4
        return 1 if self.are_grey else 3

    def may_become(self, channels: int) -> bool:
        """Return whether pictures that are still to come can make it a data set of so many channels."""
        return {1: self.are_grey, 3: True, 4: self.have_opacity}[channels]


class Loader:
    """Callable that loads the images of some keys and encodes them for the pack. Worker processes get a copy."""

    def __init__(self, source: ImageSource[Any], layout: str) -> None:
        self.source, self.layout = source, layout

    def __call__(self, keys: Sequence[Any]) -> list[Prepared | Rejection]:
        encode = getattr(plugins.find("ganformer.data.formats", self.layout), "encode", lambda pixels: pixels)
        return [image if isinstance(image, Rejection) else _prepared(image, encode) for image in self.source.load(keys)]


def _prepared(image: Sample, encode: Callable[[Pixels], Pixels | bytes]) -> Prepared:
    pixels = np.ascontiguousarray(image.pixels.transpose(2, 0, 1))
    digest = hashlib.blake2b(pixels.data, digest_size=16).digest()
    return Prepared(image.name, encode(pixels), digest, image.label, image.scene, image.traits, image.left_out)


def _batches(keys: Iterable[Any], count: int) -> Iterator[list[Any]]:
    """Yield at most `count` keys at a time; fewer if the keys of a stream carry many bytes."""
    batch: list[Any] = []
    carried = 0
    for key in keys:
        batch.append(key)
        carried += sum(len(part) for part in key if isinstance(part, bytes)) if isinstance(key, tuple) else 0
        if len(batch) == count or carried >= MAX_BATCH_BYTES:
            yield batch
            batch, carried = [], 0
    if batch:
        yield batch


def _in_order(loader: Loader, batches: Iterator[list[Any]], workers: int) -> Iterator[list[Prepared | Rejection]]:
    """Yield the loader's result for each batch of keys, in order; `workers` processes, or this one alone for 1."""
    if workers == 1:
        yield from map(loader, batches)
        return
    # Processes are started anew, not forked: open files and threads of this one do not come along.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(loader,))
    try:
        waiting = deque(pool.submit(_load, keys) for keys in itertools.islice(batches, WAITING_BATCHES * workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_load, keys) for keys in itertools.islice(batches, 1))
    except BrokenProcessPool as error:
        raise DataError(
            f"one of {workers} processes that load images was ended from outside, perhaps for want of memory; "
            "pack again with fewer workers (a script that calls this needs the line `if __name__ == '__main__':`)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_loader: Loader


def _start(loader: Loader) -> None:
    """Prepare a worker: Ctrl-C is for the first process to handle; when that is gone, so is this one."""
    global _loader
    _loader = loader
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _load(keys: Sequence[Any]) -> list[Prepared | Rejection]:
    return _loader(keys)
