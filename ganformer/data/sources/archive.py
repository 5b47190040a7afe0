"""Image files in a zip or tar archive, read where they are: nothing is unpacked."""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Self

from ganformer.config import ImageSpec, Source
from ganformer.data import labels, zips
from ganformer.data.extraction import unsafe
from ganformer.data.images import UnreadableImageError, read_image
from ganformer.data.labels import FolderLabels, Labels, LabelTable
from ganformer.data.source import ImageFiles, Rejection, Sample
from ganformer.data.sources.folder import EXTENSIONS, shown
from ganformer.errors import DataError

COMPRESSED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
LIMIT_STREAMED = 1 << 26  # bytes of one member of a compressed tar, which passes through memory
CHUNK = 1 << 20

_ABOUT_NEXT = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class Config(Source):
    """All image files in a zip, tar, tar.gz, tar.bz2 or tar.xz, without unpacking it.

    Those of a zip come in the order of their names, like those of a folder, those of a tar in its own; hidden ones and
    macOS's `__MACOSX` are left out. A compressed tar is read from its beginning a few times over, so unpack it first
    where that takes long.
    """

    path: Path
    """The archive; a relative path starts at the working directory."""
    folder: str = ""
    """Take only what is below this folder of the archive; names and labels start there."""
    labels: Path | None = None
    """Labels: a csv with the columns `path` and `label`, or a json in the form of StyleGAN2-ADA's `dataset.json`. None:
    `dataset.json` in the archive where there is one, else the folders at its top, in the order of their names."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The archive, and the file of labels where one is named."""
        return (self.path, *filter(None, [self.labels]))


class Key(NamedTuple):
    """One image: its name, what it takes to read it, why that cannot be, and its label where those are asked for."""

    name: str
    place: Any
    problem: str | None
    label: int | None = None


@dataclass
class Contents:
    """What one pass through an archive finds."""

    images: int = 0
    folders: set[str] = field(default_factory=set)
    """Those right below the top."""
    table: bytes | None = None
    """The `dataset.json` at the top."""


class Archive(ImageFiles[Key]):
    """Labels travel with the keys, so that no other process needs all of them."""

    def __init__(self, config: Config, image: ImageSpec) -> None:
        self.config, self.image = config, image
        self._above = _parts(config.folder)

    def __reduce__(self) -> tuple[type["Archive"], tuple[Config, ImageSpec]]:
        return type(self), (self.config, self.image)

    @abstractmethod
    def _scan(self) -> Iterator[Key]:
        """Every visible member, folders with a slash at the end; DataError where the archive is damaged."""

    @abstractmethod
    def _read(self, file: IO[bytes], place: Any) -> bytes:
        """The bytes of a member, from the open archive; ValueError with the reason where they are not to be had."""

    @cached_property
    def contents(self) -> Contents:
        """Found by going through the archive once; DataError where it is damaged."""
        contents = Contents()
        for key in self._scan():
            folder, slash, _ = key.name.partition("/")
            if slash and not key.problem:
                contents.folders.add(folder)
            if _is_image(key.name):
                contents.images += 1
            elif key.name == labels.DATASET_JSON and not self.config.labels:
                contents.table = self._table(key)
        return contents

    @cached_property
    def labels(self) -> Labels:
        """Labels of the images; DataError where what should hold them does not."""
        if self.config.labels:
            return labels.read(self.config.labels)
        if self.contents.table is None:
            return FolderLabels(self.contents.folders)
        table = labels.parse_json(self.contents.table, f"{self.config.path}: {labels.DATASET_JSON}")
        self.contents.table = b""  # it may be large
        return table

    @property
    def classes(self) -> int:
        """Number of classes of the labels."""
        return self.labels.classes

    def __len__(self) -> int:
        return self.contents.images

    def keys(self) -> Iterator[Key]:
        find = self.labels.find if self.image.classes else lambda name: None
        return (key._replace(label=find(key.name)) for key in self._scan() if _is_image(key.name))

    def load(self, keys: Sequence[Key]) -> Iterator[Sample | Rejection]:
        with self._opened() as file:
            for key in keys:
                try:
                    yield Sample(shown(key.name), read_image(self._encoded(file, key), self.image), label=key.label)
                except UnreadableImageError as error:
                    yield Rejection(shown(key.name), str(error))

    @contextmanager
    def content(self, key: Key) -> Iterator[IO[bytes]]:
        """The file of an image; UnreadableImageError where it cannot be read."""
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

    def _table(self, key: Key) -> bytes:
        with self._opened() as file:
            if key.problem:
                raise ValueError(f"its {key.name} {key.problem}")
            return self._read(file, key.place)

    def _key(self, name: str, problem: str | None) -> Key | None:
        """A member without its place; None where it is hidden or not below the folder that is asked for."""
        parts, depth = _parts(name), len(self._above)
        below = parts[depth:]
        if parts[:depth] != self._above or not below or any(map(_is_hidden, below)):
            return None
        reason = unsafe(name)
        relative = "/".join(below) + "/" * name.endswith("/")
        return Key(name if reason else relative, None, reason or problem)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """The file of the archive; inside, what goes wrong with it becomes a DataError."""
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
    """A place is that of the member's bytes. The order of the names is kept as the positions of their entries."""

    @cached_property
    def _entries(self) -> "array[int]":
        """Positions of the entries of the directory, in the order of their names."""
        with self._opened() as file:
            found = [
                # One string for each is the least that can be sorted: its UTF-8 sorts as the name does.
                key.name.encode("utf-8", "surrogatepass") + b"\0" + position.to_bytes(8, "big")
                for position, member in zips.find_directory(file).members(file)
                if (key := self._key(member.name, member.problem))
            ]
        found.sort()
        return array("Q", (int.from_bytes(entry[-8:], "big") for entry in found))

    def _scan(self) -> Iterator[Key]:
        with self._opened() as file:
            for position in self._entries:
                file.seek(position)
                member = zips.read_entry(file)
                key = self._key(member.name, member.problem)
                assert key is not None, "entries are those that have a key"
                yield key._replace(place=member.place)

    def _read(self, file: IO[bytes], place: Any) -> bytes:
        return zips.read_member(file, place)


class Tar(Archive):
    """A place is the offset of the member's bytes, and their number."""

    def _scan(self) -> Iterator[Key]:
        with self._opened() as file, _tar(file, "r:") as archive:
            yield from self._members(archive)

    def _read(self, file: IO[bytes], place: Any) -> bytes:
        offset, size = place
        file.seek(offset)
        contents = file.read(size)
        if len(contents) < size:
            raise ValueError("is cut off in the archive")
        return contents

    def _members(self, archive: tarfile.TarFile) -> Iterator[Key]:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else it keeps all
            key = self._key(member.name + "/" * member.isdir(), self._problem(member))
            if key is not None:
                yield key._replace(place=None if key.problem else self._place(archive, member, key.name))

    def _problem(self, member: tarfile.TarInfo) -> str | None:
        if not member.isreg() and not member.isdir():
            return "is a link or a device, not a file"
        return "is stored as a sparse file" if member.issparse() else zips.too_large(member.size)

    def _place(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> Any:
        return member.offset_data, member.size


class CompressedTar(Tar):
    """A place is the member's bytes themselves: they cannot be found again without going through all before them."""

    def _scan(self) -> Iterator[Key]:
        with self._opened() as file, _decompressed(file) as stream:
            with _tar(stream, "r|") as archive:
                yield from self._members(archive)
            while stream.read(CHUNK):  # its checksum stands at the end
                pass

    def _read(self, file: IO[bytes], place: Any) -> bytes:
        contents: bytes = place
        return contents

    def _problem(self, member: tarfile.TarInfo) -> str | None:
        limit = LIMIT_STREAMED if _is_image(member.name) else zips.LIMIT
        return super()._problem(member) or zips.too_large(member.size, limit)

    def _place(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> bytes | None:
        if not _is_image(name) and name != labels.DATASET_JSON:
            return None
        contents = archive.extractfile(member)
        assert contents is not None, "only files are read"
        return contents.read()


def open_source(config: Config, image: ImageSpec) -> Archive:
    """Raises DataError where the archive is missing, damaged or none, has no images, or where the labels do not fit."""
    path = config.path
    if not path.is_file():
        what = "is a folder, which is of kind folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path}: this archive {what}; correct the source")
    archive = _kind(path)(config, image)
    if not len(archive):
        where = f"below '{config.folder}' in" if config.folder else "in"
        raise DataError(f"{path}: no images {where} this archive; looked for {', '.join(EXTENSIONS)} at any depth")
    if (config.labels or image.classes) and isinstance(archive.labels, LabelTable):
        archive.labels.must_name_one_of(key.name for key in archive._scan() if _is_image(key.name))
    return archive


class _Header(tarfile.TarInfo):
    """Lets nothing that is wrong with a tar pass: by itself, tarfile takes a damaged header for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Reads the next header."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the stubs do not have it
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Understands a header. A long name or attributes of the next member, which go to memory, must be short."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _ABOUT_NEXT and header.size > CHUNK:
            raise tarfile.ReadError(f"{header.size} bytes of attributes of a member")
        return header


def _tar(file: IO[bytes], mode: Literal["r:", "r|"]) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode=mode, tarinfo=_Header, encoding="utf-8", errors="surrogateescape")


def _kind(path: Path) -> type[Archive]:
    """What a file is by how it begins, whatever its name."""
    try:
        with path.open("rb") as file:
            start = file.read(tarfile.BLOCKSIZE)
    except OSError as error:
        raise DataError(f"{path}: this archive cannot be read ({error.strerror}); make it readable") from error
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return Zip
    if start.startswith(tuple(COMPRESSED)):
        return CompressedTar
    try:
        _Header.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise DataError(
            f"{path}: is neither a zip nor a tar (plain, or compressed by gzip, bzip2 or xz); correct the source's path"
        ) from error
    return Tar


def _decompressed(file: IO[bytes]) -> IO[bytes]:
    start = file.read(max(map(len, COMPRESSED)))
    file.seek(0)
    return next(opener(file) for magic, opener in COMPRESSED.items() if start.startswith(magic))


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part != "..")
