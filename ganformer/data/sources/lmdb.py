"""Encoded images in an LMDB environment, as LSUN is distributed."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lmdb

from ganformer.config import ImageSpec, Source
from ganformer.data import environments
from ganformer.data.images import UnreadableImageError, read_image
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError


class Config(Source):
    """All values of an LMDB environment, each an encoded image, in the order of their keys."""

    path: Path
    """The folder with data.mdb, or the file itself; a relative path starts at the working directory."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file with the images."""
        return (self.path / "data.mdb" if self.path.is_dir() else self.path,)


class LmdbImages(ImageSource[bytes]):
    """A key is that of the environment."""

    def __init__(self, path: Path, image: ImageSpec) -> None:
        self.path, self.image = path, image

    def __reduce__(self) -> tuple[type["LmdbImages"], tuple[Path, ImageSpec]]:
        return LmdbImages, (self.path, self.image)  # another process opens the environment itself

    def __len__(self) -> int:
        with _explained(self.path):
            entries: int = environments.environment(self.path).stat()["entries"]
            return entries

    def keys(self) -> Iterator[bytes]:
        with _explained(self.path):
            yield from environments.keys(self.path)

    def load(self, keys: Sequence[bytes]) -> Iterator[Sample | Rejection]:
        # Opened for these only: what was touched of a map counts as memory until it is closed.
        with _explained(self.path), environments.environment(self.path).begin(buffers=True) as transaction:
            for key in keys:
                name = key.decode("utf-8", "backslashreplace")
                try:
                    yield Sample(name, read_image(io.BytesIO(transaction.get(key, b"")), self.image))
                except UnreadableImageError as error:
                    yield Rejection(name, str(error))
                except lmdb.Error as error:
                    yield Rejection(name, f"cannot be read from the environment ({error})")

    def has_database(self, key: bytes) -> bool:
        """Whether the value of this key is a database of its own."""
        try:
            environments.environment(self.path).open_db(key, create=False)
        except (lmdb.IncompatibleError, lmdb.NotFoundError):
            return False
        return True


def open_source(config: Config, image: ImageSpec) -> LmdbImages:
    """Raises DataError where the environment is missing, damaged, empty, or split into named ones."""
    source = LmdbImages(config.path, image)
    with _explained(config.path):
        environments.check(config.path)
    first = next(source.keys(), None)
    if first is None:
        raise DataError(f"{config.path}: this LMDB environment is empty; choose one with encoded images")
    if source.has_database(first):
        raise DataError(
            f"{config.path}: has named databases, such as '{first.decode('utf-8', 'backslashreplace')}', which are not "
            "read; images must lie in the unnamed one: key -> encoded image"
        )
    return source


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no LMDB environment, a folder with data.mdb; correct the source's path"
        ) from error
    except (OSError, ValueError, lmdb.Error) as error:
        raise DataError(f"{path}: cannot be read as an LMDB environment ({error}); get or make it again") from error
