"""Published data sets: origin, content and licences.

Each is a source of its own (`ganformer/data/sources`) with one or more editions. Fetched editions are in
`results/downloads/{name}-{edition}`: the files as published, their content in `unpacked` if they cannot be read as they
are, and `download.json`, written last, with all checksums.
"""

import sys
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import ValidationError

from ganformer import artifacts, plugins
from ganformer.config import ImageSpec, Source, Strict
from ganformer.data import source
from ganformer.data.fetching.download import Remote, address, fetch
from ganformer.data.fetching.extraction import extract
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.data.sources import archive, folder
from ganformer.errors import ConfigError, DataError
from ganformer.progress import Progress

DOWNLOADS = Path("results/downloads")  # as settings name it
RECEIPT, UNPACKED = "download.json", "unpacked"
SOURCES = "ganformer.data.sources"
MAX_LISTED_FILES = 20  # missing files that a message names


@dataclass(frozen=True)
class Edition:
    """One form in which a data set is published."""

    counts: Sequence[int]
    """Number of images; several where its publishers contradict themselves, the one to trust first."""
    files: Sequence[Remote] = ()
    """Files to fetch."""
    is_unpacked: bool = False
    """True if the fetched file is an archive to unpack; otherwise it is read as it is."""
    by_hand: str = ""
    """Instructions for data that no program can fetch."""
    remark: str = ""
    """Notes on correct use."""


class Catalogued(Source):
    """A published data set. Its own class narrows `edition` to the keys of `editions`."""

    title: ClassVar[str]
    """Its name, for people."""
    home: ClassVar[str]
    """Address of its publishers' page."""
    licence: ClassVar[str]
    """Name of the licence, its address, and its restrictions."""
    editions: ClassVar[Mapping[str, Edition]]
    """Editions by name."""
    channels: ClassVar[Literal[1, 3, 4] | None] = 3
    classes: ClassVar[int] = 0
    """Number of classes that its images are labelled with."""

    edition: str
    path: Path | None = None
    """Folder or archive with the images. None: the place where `ganformer data download` puts them."""

    @property
    def name(self) -> str:
        """Name on the command line, and of the folder among the downloads."""
        return f"{self.kind}-{self.edition}"

    @property
    def facts(self) -> Edition:
        """Facts about this edition."""
        return self.editions[self.edition]

    @property
    def notice(self) -> str:
        """Notice that a user must read before downloading."""
        return "\n".join(filter(None, [f"{self.title} ({self.name}): {self.home}", self.licence, self.facts.remark]))

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that images are read from, or the receipt of the download, which stands for all of them."""
        return (DOWNLOADS / self.name / RECEIPT,) if self.path is None else self.container.inputs

    @property
    def place(self) -> Path:
        """File or folder where the images are."""
        place = self.path or artifacts.placed(DOWNLOADS) / self.name
        return place / UNPACKED if (place / UNPACKED).is_dir() else place

    @property
    @abstractmethod
    def container(self) -> Source:
        """The source that the images are read with."""

    def missing(self, images: ImageSource[Any]) -> Sequence[str]:
        """Return the parts known to be missing if there are too few images."""
        return ()

    def archive_or_folder(self, name: str = "", inner: str = "") -> Source:
        """Return the images below the folder `inner` of the archive `name`, or of that unpacked.

        The place may be the archive, the folder it is in, the folder it was unpacked to, one above that, or any
        folder on the way to the images. All that lies there is taken only where nothing of this is found.
        """
        if self.place.is_file():
            return archive.Config(kind="archive", path=self.place, folder=inner)
        if (self.place / name).is_file():
            return archive.Config(kind="archive", path=self.place / name, folder=inner)
        return folder.Config(kind="folder", path=find_below(self.place, inner) or self.place)


def find_below(place: Path, inner: str) -> Path | None:
    """Return the folder `inner` in or below `place`, or the rest of its path if `place` already lies on it.

    Returns None if there is none. Raises DataError if there are several.
    """
    parts = inner.split("/") if inner else []
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    for tail in tails:
        if (place / tail).is_dir():
            return place / tail
    for tail in tails:
        found = sorted(path for path in place.glob(f"*/{tail}") if path.is_dir())
        if len(found) > 1:
            listed = ", ".join(map(str, found))
            raise DataError(f"{place}: several folders can be meant ({listed}); set the source's path to one of them")
        if found:
            return found[0]
    return None


class Fetched(Strict):
    """A file that was fetched."""

    name: str
    bytes: int
    sha256: str
    urls: Sequence[str]
    """Mirrors in the order in which they were tried."""


class Receipt(Strict):
    """Contents of `download.json`: the edition that was fetched, and its terms."""

    name: str
    title: str
    home: str
    licence: str
    files: Sequence[Fetched]


class Published(ImageSource[Any]):
    """Images of a published data set, from a container that knows nothing of classes."""

    def __init__(self, images: ImageSource[Any], classes: int, names: Sequence[str] = ()) -> None:
        self.images, self._classes, self._names = images, classes, names

    @property
    def classes(self) -> int:
        """Number of classes of the data set, whatever folders its images are in."""
        return self._classes

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, where they are published."""
        return self._names

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of things in the container that are no pictures, by kind."""
        return self.images.left_out

    def __len__(self) -> int:
        return len(self.images)

    def keys(self) -> Iterator[Any]:
        return self.images.keys()

    def load(self, keys: Sequence[Any]) -> Iterator[Sample | Rejection]:
        return self.images.load(keys)


def open_images(config: Catalogued, image: ImageSpec) -> Published:
    """Return the images of a published data set.

    Raises DataError if they are missing, fewer than were downloaded, or more than were published. If a path of the
    user's own has fewer, a line says how many.
    """
    check_downloaded(config)
    images = source.open_source(config.container, image.model_copy(update={"classes": 0}))
    check_count(config, images)
    return Published(images, config.classes)


def check_downloaded(config: Catalogued) -> None:
    """Raise DataError if the data set is to be where downloads are, but is not."""
    receipt = artifacts.placed(DOWNLOADS) / config.name / RECEIPT
    if config.path is None and not receipt.is_file():
        if not config.facts.files:
            raise _by_hand(config)
        raise DataError(
            f"{receipt}: missing, so {config.title} is not downloaded (completely) yet; run "
            f"'ganformer data download {config.name}', or set the source's path to where it is already"
        )


def check_count(config: Catalogued, images: ImageSource[Any]) -> None:
    """Compare the number of images with that which was published. Raises DataError as `open_images` does."""
    found, published = len(images), config.facts.counts
    if found in published:
        return
    expected = " or ".join(f"{count:,}" for count in published)
    if found > max(published):
        raise DataError(
            f"{config.place}: {found:,} images are here, but only {expected} of {config.title} were published, so "
            "something else is among them (masks, thumbnails, frames); set the source's path to the folder of the "
            "images alone, or take all of it as a source of kind folder"
        )
    missing = config.missing(images)
    lines = [
        f"{config.place}: {found:,} images of {config.title} are here, {expected} were published",
        *(f"  missing: {name}" for name in missing[:MAX_LISTED_FILES]),
        *([f"  … and {len(missing) - MAX_LISTED_FILES:,} more"] if len(missing) > MAX_LISTED_FILES else []),
    ]
    if config.path is None:
        here = artifacts.placed(DOWNLOADS) / config.name
        lines.append(f"remove {here} and download it again, or set the source's path to it to take it as it is")
        raise DataError("\n".join(lines))
    _say("\n".join(lines))


# ------------------------------------------------------------------------------------------------------- by name


def named(name: str) -> Catalogued:
    """Return settings of the data set KIND (its first edition) or KIND-EDITION. Raises ConfigError for another name."""
    if name not in names():
        raise ConfigError(f"'{name}' is not in the catalogue of data sets; {plugins.choices(name, names())}")
    kind, edition = _catalogue()[name]
    found: Catalogued = plugins.find(SOURCES, kind).Config(kind=kind, edition=edition)
    return found


def names() -> tuple[str, ...]:
    """Return all names that `named` knows, sorted."""
    return tuple(sorted(_catalogue()))


def listing() -> str:
    """Return the catalogue as a table for people: name, number of images, bytes to fetch, title."""
    rows = []
    for name in names():
        config = named(name)
        if name != config.name:
            continue
        count = f"{config.facts.counts[0]:,}"
        short = f", also called {config.kind}" if _catalogue().get(config.kind) == (config.kind, config.edition) else ""
        rows.append(f"{name:24} {count:>10} images  {_size(config.facts):>12}  {config.title}{short}")
    return "\n".join(rows)


def _size(facts: Edition) -> str:
    """Return the size of the download as text."""
    sizes = [remote.size or remote.about or 0 for remote in facts.files]
    if not sizes:
        return "by hand"
    about = "" if all(remote.size for remote in facts.files) else "about "
    return f"{about}{sum(sizes) / 1e9:,.1f} GB" if all(sizes) else "size unknown"


@cache
def _catalogue() -> Mapping[str, tuple[str, str]]:
    """Return kind and edition by name."""
    found = {}
    for kind in plugins.names(SOURCES):
        config = plugins.find(SOURCES, kind).Config
        if issubclass(config, Catalogued):
            field = config.model_fields["edition"]
            if not field.is_required():
                found[kind] = (kind, field.default)
            found.update({f"{kind}-{edition}": (kind, edition) for edition in get_args(field.annotation)})
    return found


# ------------------------------------------------------------------------------------------------------ download


def download(config: Catalogued, root: Path = DOWNLOADS) -> Path:
    """Fetch a data set into a folder of `root`, which is returned; complete files are not fetched again.

    Says first what a user must know, the licence above all. Raises DataError if it cannot be fetched.
    """
    out = root / config.name
    _say(config.notice)
    if not config.facts.files:
        raise _by_hand(config)
    if _is_complete(config, out):
        _say(f"{out}: is there already, complete")
        return out
    fetched = [_fetched(remote, fetch(remote, out)) for remote in config.facts.files]
    if config.facts.is_unpacked:
        _unpack(config, out)
    receipt = Receipt(name=config.name, title=config.title, home=config.home, licence=config.licence, files=fetched)
    artifacts.write_json(out / RECEIPT, receipt.model_dump(mode="json"))
    return out


def _is_complete(config: Catalogued, out: Path) -> bool:
    """Return whether the receipt lists all files to fetch, and these have the sizes listed there."""
    if not (out / RECEIPT).is_file():
        return False
    try:
        receipt = Receipt.model_validate(artifacts.read_json(out / RECEIPT))
    except ValidationError:  # of another program or version: the files are checked again
        return False
    noted = {file.name: file for file in receipt.files}
    if not all(_is_noted(remote, noted) for remote in config.facts.files):
        return False
    if config.facts.is_unpacked:  # it is read from there, so the archive may have been removed
        return (out / UNPACKED).is_dir()
    paths = {out / name: file.bytes for name, file in noted.items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def _is_noted(remote: Remote, noted: Mapping[str, Fetched]) -> bool:
    return remote.name in noted and remote.sha256 in (None, noted[remote.name].sha256)


def _unpack(config: Catalogued, out: Path) -> None:
    if not (out / UNPACKED).is_dir():
        (remote,) = config.facts.files
        extract(out / remote.name, out / UNPACKED)
    _say(f"{out / UNPACKED}: images are read from here, so the archive may be removed")


def _fetched(remote: Remote, path: Path) -> Fetched:
    size = path.stat().st_size
    if remote.sha256 is None:
        with Progress(f"check {path.name}", size, unit="bytes") as progress:
            sha256 = artifacts.file_digest(path, progress.update)
    else:
        sha256 = remote.sha256  # `fetch` has compared it
    return Fetched(name=remote.name, bytes=size, sha256=sha256, urls=[address(url) for url in remote.urls])


def _by_hand(config: Catalogued) -> DataError:
    return DataError(
        f"{config.title} ({config.name}): no program can fetch this. {config.facts.by_hand} Then set the "
        "source's path to that folder"
    )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
