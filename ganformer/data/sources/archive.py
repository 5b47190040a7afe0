"""Image files in a zip or tar archive, read where they are: nothing is unpacked."""

import io
import itertools
import lzma
import tarfile
import zlib
from abc import abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from ganformer.config import ImageSpec, Source
from ganformer.data import decoding
from ganformer.data.containers import labels, tars, zips
from ganformer.data.containers.labels import FolderLabels, Labelled, Labels, LabelTable
from ganformer.data.containers.limits import Limits
from ganformer.data.containers.tars import Content, Plan, Streamed, Survey, Targets, hashed, parts_of
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.fetching.extraction import unsafe
from ganformer.data.images import read_image
from ganformer.data.source import ImageFiles, Rejection, Sample
from ganformer.data.sources.folder import HIDDEN, has_suffix_of_picture, has_suffix_of_text, kind_of_name, shown
from ganformer.errors import DataError
from ganformer.records.manifest import other_files

MAX_STREAMED_BYTES = 1 << 26  # bytes of one member of a compressed tar, which passes through memory
PICTURE = "picture"
REPLACED = "replaced by a later member of the same name"


class Config(Source):
    """All image files in a zip, tar, tar.gz, tar.bz2 or tar.xz, without unpacking it.

    Images of a zip come in the order of their names, as in a folder, images of a tar in its own; hidden ones and
    macOS's `__MACOSX` are left out. Of several members of one name the last counts, as it does where they are unpacked.
    Tars one behind the other are read as one. A compressed tar is read from its beginning a few times over, so unpack
    it first where that takes long.
    """

    kind: Literal["archive"] = "archive"
    path: Path
    """The archive; a relative path starts at the working directory."""
    folder: str = ""
    """Take only members below this folder of the archive; names and labels start there."""
    labels: Path | None = None
    """Labels: a csv with the columns `path` and `label`, or a json in the form of StyleGAN2-ADA's `dataset.json`. None:
    `dataset.json` in the archive if there is one, else the folders at its top that hold images."""
    limits: Limits | None = None
    """The values of black and white of pictures of floats, or of integers of more than 8 bits, e.g. [0, 4095]."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The archive, and the file of labels where one is named."""
        return (self.path, *filter(None, [self.labels]))


class Key(NamedTuple):
    """Image: its name, how to read it or the reason that it cannot be read, its label, and its page."""

    name: str
    place: Any
    problem: str | None
    label: int | None = None
    page: int | None = None

    @property
    def title(self) -> str:
        """Its name in messages."""
        return shown(self.name, self.page)


class Member(NamedTuple):
    """A file in an archive."""

    key: Key
    kind: str
    """PICTURE, or the kind that it is left out as: HIDDEN, or its suffix."""
    pages: int = 1
    """Number of images in it, where it is a picture."""

    def keys(self, label: int | None = None) -> Iterator[Key]:
        """Return keys of its images."""
        key = self.key._replace(label=label)
        return iter([key]) if self.pages == 1 else (key._replace(page=page) for page in range(self.pages))


@dataclass
class Contents:
    """Result of one pass through an archive."""

    images: int = 0
    folders: set[str] = field(default_factory=set)
    """Folders right below the top that hold images."""
    pages: "array[int]" = field(default_factory=lambda: array("L"))
    """Number of images in each file that may have several, in their order."""
    table: Key | None = None
    """`dataset.json` at the top, if labels are asked for and are there."""
    left_out: Counter[str] = field(default_factory=Counter)


class Archive(Labelled, ImageFiles[Key]):
    """Labels travel with the keys, so that no other process needs all of them."""

    def __init__(self, config: Config, image: ImageSpec) -> None:
        self.config, self.image = config, image
        self.wanted: Callable[[str], bool] = lambda name: False
        """Other members to read: the bytes of a compressed tar are only kept if these are known."""
        self._above = parts_of(config.folder)

    def __reduce__(self) -> tuple[type["Archive"], tuple[Config, ImageSpec]]:
        return type(self), (self.config, self.image)

    @abstractmethod
    def _scan(self) -> Iterator[Member]:
        """Yield every file below the folder; the last of several of one name. DataError if the archive is damaged."""

    @abstractmethod
    def _read(self, file: IO[bytes], place: Any) -> bytes:
        """Read the bytes of a member from the open archive; ValueError with the reason if that is impossible."""

    @cached_property
    def contents(self) -> Contents:
        """Found by going through the archive; DataError if it is damaged."""
        return self._looked_at(self._scan())

    def members(self) -> Iterator[Member]:
        """Return every file below the folder, with the number of its pages."""
        pages = iter(self.contents.pages)
        return (member._replace(pages=next(pages, 1)) if _may_have_pages(member) else member for member in self._scan())

    def first_members(self) -> Iterator[Member]:
        """Return files below the folder, without having looked at all of them: one may be replaced by a later one."""
        return self._scan()

    def content_of(self, key: Key) -> bytes:
        """Return the bytes of a member; ValueError if they cannot be read, DataError if the archive cannot."""
        if key.problem:
            raise ValueError(key.problem)
        with self._opened() as file:
            try:
                return self._read(file, key.place)
            except ValueError as error:
                reason = error
        raise reason

    @cached_property
    def labels(self) -> Labels:
        """Labels of the images; DataError if what should hold them does not."""
        if self.config.labels:
            return labels.read(self.config.labels)
        if self.contents.table is None:
            inner = f"{self.config.folder.rstrip('/')}/{{}}".lstrip("/")
            return FolderLabels(self.contents.folders, f"set the source's folder to {inner}")
        where = f"{self.config.path}: {labels.DATASET_JSON}"
        try:
            table = self.content_of(self.contents.table)
        except ValueError as error:
            raise DataError(f"{where}: {error}; make the archive again, or name labels beside it in labels") from error
        return labels.parse_json(table, where)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Files by suffix, and hidden and replaced ones."""
        return self.contents.left_out

    def __len__(self) -> int:
        return self.contents.images

    def keys(self) -> Iterator[Key]:
        find = self.labels.find if self.image.classes else lambda name: None
        for member in self.members():
            if member.kind == PICTURE:
                yield from member.keys(find(member.key.name))

    def load(self, keys: Sequence[Key]) -> Iterator[Sample | Rejection]:
        with self._opened() as file:
            for key in keys:
                try:
                    picture = read_image(self._encoded(file, key), self.image, self.config.limits, key.page)
                    yield Sample.of(key.title, picture, key.label)
                except UnreadableImageError as error:
                    yield Rejection(key.title, str(error))

    @contextmanager
    def content(self, key: Key) -> Iterator[IO[bytes]]:
        """Yield the file of an image; UnreadableImageError if it cannot be read."""
        with self._opened() as file:
            encoded = self._encoded(file, key)
        yield encoded

    def _encoded(self, file: IO[bytes], key: Key) -> IO[bytes]:
        if key.problem:
            raise UnreadableImageError(key.problem)
        try:
            return io.BytesIO(self._read(file, key.place))
        except ValueError as error:
            raise UnreadableImageError(str(error)) from error

    def _looked_at(self, members: Iterator[Member]) -> Contents:
        contents = Contents()
        for member in members:
            if member.kind == PICTURE:
                pages = self._pages(member)
                contents.images += pages
                if _may_have_pages(member):
                    contents.pages.append(pages)
                folder, slash, _ = member.key.name.partition("/")
                if slash and not unsafe(member.key.name):
                    contents.folders.add(folder)
            elif self._is_table(member.key.name):
                contents.table = member.key
            else:
                contents.left_out[member.kind] += 1
        return contents

    def _pages(self, member: Member) -> int:
        if not _may_have_pages(member) or member.key.problem:
            return 1
        try:
            return decoding.count(io.BytesIO(self.content_of(member.key)))
        except (ValueError, UnreadableImageError):
            return 1  # loading says what is wrong with it

    def _is_table(self, name: str) -> bool:
        return name == labels.DATASET_JSON and self.image.classes > 0 and not self.config.labels

    def _found(self, name: str) -> tuple[str, bool] | None:
        """Return a member's path below the folder, and whether it is hidden; None if it is not below the folder."""
        parts, depth = parts_of(name), len(self._above)
        below = parts[depth:]
        if parts[:depth] != self._above or not below:
            return None
        return name if unsafe(name) else "/".join(below), any(map(_is_hidden, below))

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Yield the file of the archive; inside, what goes wrong with it becomes a DataError."""
        path = self.config.path
        try:
            with path.open("rb") as file:
                yield file
        except (ValueError, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if isinstance(error, OSError) and error.strerror:
                raise DataError(f"{path}: this archive cannot be read ({error.strerror}); make it readable") from error
            raise DataError(
                f"{path}: this archive is cut short or damaged ({error}); copy or download it again"
            ) from error


class Zip(Archive):
    """A place is the position of the member's bytes. The order of the names is kept as positions of entries."""

    _replaced = 0

    @cached_property
    def contents(self) -> Contents:
        """Found by going through the archive; DataError if it is damaged."""
        contents = self._looked_at(self._scan())
        if self._replaced:
            contents.left_out[REPLACED] = self._replaced
        return contents

    @cached_property
    def _entries(self) -> "array[int]":
        """Positions of the entries of the directory, in the order of their names."""
        with self._opened() as file:
            entries = [
                # One string for each is the least that can be sorted: its UTF-8 sorts as the name does.
                found[0].encode("utf-8", "surrogatepass") + b"\0" + position.to_bytes(8, "big")
                for position, member in zips.find_directory(file).members(file)
                if not member.name.endswith("/") and (found := self._found(member.name))
            ]
        entries.sort()
        last = (
            entry
            for entry, following in itertools.zip_longest(entries, itertools.islice(entries, 1, None), fillvalue=b"")
            if entry[:-8] != following[:-8]
        )
        kept = array("Q", (int.from_bytes(entry[-8:], "big") for entry in last))
        self._replaced = len(entries) - len(kept)
        return kept

    def _scan(self) -> Iterator[Member]:
        with self._opened() as file:
            for position in self._entries:
                file.seek(position)
                member = zips.read_entry(file)
                found = self._found(member.name)
                assert found is not None, "all entries are below the folder"
                key = Key(found[0], member.place, unsafe(member.name) or member.problem)
                yield Member(key, HIDDEN if found[1] else _kind_of_member(key.name, partial(self._start, file, key)))

    def _start(self, file: IO[bytes], key: Key) -> bytes:
        """Return the first bytes, by which a picture is recognised; none if there is a problem."""
        try:
            return b"" if key.problem else zips.read_start(file, key.place, decoding.START)
        except ValueError:
            return b""

    def _read(self, file: IO[bytes], place: Any) -> bytes:
        return zips.read_member(file, place)


class Tar(Archive):
    """A place is the offset of the member's bytes, and their number."""

    def __init__(self, config: Config, image: ImageSpec) -> None:
        super().__init__(config, image)
        self._plan = Plan()

    @cached_property
    def contents(self) -> Contents:
        """Found by going through the archive, twice where members replace others or are hard links."""
        survey = Survey()
        contents = self._looked_at(self._scan(survey))
        self._plan = survey.plan()
        if self._plan.replaced or self._plan.targets:
            contents = self._looked_at(self._scan())
        if self._plan.replaced:
            contents.left_out[REPLACED] = sum(self._plan.replaced.values())
        return contents

    def _scan(self, survey: Survey | None = None) -> Iterator[Member]:
        with self._opened() as file, tars.opened(file, "r:") as archive:
            yield from self._members(archive, survey)

    def _read(self, file: IO[bytes], place: Any) -> bytes:
        offset, size = place
        file.seek(offset)
        contents = file.read(size)
        if len(contents) < size:
            raise ValueError("is cut off in the archive")
        return contents

    def _members(self, archive: tars.Tar, survey: Survey | None) -> Iterator[Member]:
        targets = Targets(MAX_STREAMED_BYTES)
        replaced = dict(self._plan.replaced)
        for member in tars.files(archive):
            name = hashed(member.name)
            content = self._content(archive, member)
            if member.islnk():
                content = targets.resolve(content, member.linkname)
            if name in self._plan.targets:
                targets.keep(name, content)
            if survey is not None:
                survey.note(name, member)
            if replaced.get(name):
                replaced[name] -= 1
            elif found := self._found(member.name):
                yield self._member(*found, content)

    def _member(self, name: str, is_hidden: bool, content: Content) -> Member:
        if is_hidden:
            return Member(Key(name, None, None), HIDDEN)
        kind = _kind_of_member(name, lambda: content.start)
        is_read = kind == PICTURE or self._is_table(name) or self.wanted(name)
        place = content.place(MAX_STREAMED_BYTES if kind == PICTURE else zips.MAX_MEMBER_BYTES) if is_read else None
        return Member(Key(name, place, unsafe(content.name) or content.problem), kind)

    def _content(self, archive: tars.Tar, member: tarfile.TarInfo) -> Content:
        return Content(archive, member)


class CompressedTar(Tar):
    """A place is the member's bytes themselves: they cannot be found again without going through all before them."""

    def _scan(self, survey: Survey | None = None) -> Iterator[Member]:
        with self._opened() as file, tars.decompressed(file) as stream, tars.opened(stream, "r|") as archive:
            yield from self._members(archive, survey)

    def _read(self, file: IO[bytes], place: Any) -> bytes:
        contents: bytes = place
        return contents

    def _content(self, archive: tars.Tar, member: tarfile.TarInfo) -> Content:
        return Streamed(archive, member)


def open_source(config: Config, image: ImageSpec) -> Archive:
    """Return the images; DataError if the archive is missing, damaged or none, has no images, or labels do not fit."""
    archive = open_archive(config, image)
    if not len(archive):
        where = f"below '{config.folder}' in" if config.folder else "in"
        others = f"It has {other_files(archive.left_out)}" if archive.left_out else "It has no files"
        raise DataError(f"{config.path}: no images {where} this archive at any depth. {others}")
    if (config.labels or image.classes) and isinstance(archive.labels, LabelTable):
        archive.labels.must_name_one_of(member.key.name for member in archive.members() if member.kind == PICTURE)
    return archive


def open_archive(config: Config, image: ImageSpec) -> Archive:
    """Open an archive by its first bytes, whatever its name; DataError if it is missing or no archive."""
    path = config.path
    if not path.is_file():
        what = "is a folder, which is of kind folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path}: this archive {what}; correct the source")
    try:
        with path.open("rb") as file:
            start = file.read(tarfile.BLOCKSIZE)
    except OSError as error:
        raise DataError(f"{path}: this archive cannot be read ({error.strerror}); make it readable") from error
    kind = _kind(start)
    if kind is None:
        raise DataError(
            f"{path}: is neither a zip nor a tar (plain, or compressed by gzip, bzip2 or xz); correct the source's path"
        )
    return kind(config, image)


def is_archive(start: bytes) -> bool:
    """Return whether a file with these first 512 bytes begins as an archive does."""
    return _kind(start) is not None


def _kind(start: bytes) -> type[Archive] | None:
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return Zip
    if start.startswith(tuple(tars.COMPRESSED)):
        return CompressedTar
    return Tar if tars.begins(start) else None


def _may_have_pages(member: Member) -> bool:
    """Return whether it is called a TIFF, or is a picture by its content, which may be one."""
    name = member.key.name
    return member.kind == PICTURE and (name.lower().endswith(decoding.PAGED) or not has_suffix_of_picture(name))


def _kind_of_member(name: str, start: Callable[[], bytes]) -> str:
    """Return PICTURE, or what else a member counts as; `start` reads its first bytes, where its name does not tell."""
    if has_suffix_of_picture(name):
        return PICTURE
    is_picture = not has_suffix_of_text(name) and decoding.recognise(start()) is not None
    return PICTURE if is_picture else kind_of_name(name)


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part != "..")
