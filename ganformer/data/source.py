"""Interface of sources of images. A file in `ganformer/data/sources` is a source, found by its name."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar, Generic, Literal, TypeVar

from ganformer import plugins
from ganformer.config import ImageSpec, Source
from ganformer.data.images import Picture, Pixels, Traits

Key = TypeVar("Key")


@dataclass(frozen=True)
class Scene:
    """Known objects of an image: `record` is plain JSON, `mask` uint8 [H, W]: 0 background, i the i-th object."""

    record: Mapping[str, Any]
    mask: Pixels


@dataclass(frozen=True)
class Sample:
    """Usable image: its name in the source, pixels uint8 [H, W, C], and its content if known."""

    name: str
    pixels: Pixels
    scene: Scene | None = None
    label: int | None = None
    """Number of its class, from 0; None if it has none."""
    traits: Traits = Traits.NONE
    """Colours and opacity of the picture as it is stored in the source."""
    size: tuple[int, int] | None = None
    """Rows and columns of the picture as it is stored; None if it is made in any shape."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of things beside the picture in its file that are no pictures of their own, by kind."""

    @classmethod
    def of(cls, name: str, picture: Picture, label: int | None = None) -> "Sample":
        """Return the sample of a picture that was read."""
        pixels, traits, size, left_out = picture
        return cls(name, pixels, label=label, traits=traits, size=size, left_out=left_out)


@dataclass(frozen=True)
class Rejection:
    """One unusable image: its name in the source, and why."""

    name: str
    reason: str


class ImageSource(ABC, Generic[Key]):
    """Images in a fixed order.

    Every image has a key: small, picklable, and enough to load it in any process, alone or with others. A module in
    `ganformer/data/sources` has `Config(Source)` and `open_source(config, image) -> ImageSource`.
    """

    has_scenes: ClassVar[bool] = False
    """True if every sample comes with its `Scene`."""

    @property
    def classes(self) -> int:
        """Number of classes that the samples' labels name; 0: there are no labels. Asked for only where they are used.

        Raises DataError if the source has something in the place of labels that is none.
        """
        return 0

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes in the order of their numbers; empty if they have only numbers."""
        return ()

    @property
    def class_hint(self) -> str:
        """Setting that would give other classes, if the found ones look wrong; else empty."""
        return ""

    @property
    def channels(self) -> Literal[1, 3, 4] | None:
        """Channels that all images have, 1, 3 or 4, where the source knows without looking at them."""
        return None

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of files, members, keys and so on that are no pictures, by kind, as in {".txt": 4, "hidden": 1}."""
        return {}

    @abstractmethod
    def __len__(self) -> int:
        """Return number of images, unusable ones included."""

    @abstractmethod
    def keys(self) -> Iterator[Key]:
        """Return the keys in order, without holding all of them in memory."""

    @abstractmethod
    def load(self, keys: Sequence[Key]) -> Iterator[Sample | Rejection]:
        """Return the images of these keys, one each, in their order; an image does not depend on the keys around it."""


def printable(text: str) -> str:
    """Return text that can be written and printed: bytes of a name that are not UTF-8 become hexadecimal escapes."""
    return (
        "".join(f"\\x{ord(letter) - 0xDC00:02x}" if 0xDC80 <= ord(letter) <= 0xDCFF else letter for letter in text)
        .encode("utf-8", "backslashreplace")
        .decode()
    )


class ImageFiles(ImageSource[Key]):
    """Images that are files of formats such as PNG, wherever these lie."""

    @abstractmethod
    def content(self, key: Key) -> AbstractContextManager[IO[bytes]]:
        """Return the file of an image as it is; UnreadableImageError if it cannot be read."""


def open_source(config: Source, image: ImageSpec) -> ImageSource[Any]:
    """Return the source that `config` describes, giving images of this shape. Raises DataError if there are none."""
    opened: ImageSource[Any] = plugins.find("ganformer.data.sources", config.kind).open_source(config, image)
    return opened
