"""Data sets of TensorFlow Datasets, where that package is installed; TensorFlow itself is not needed to read them."""

import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganformer.config import ImageSpec, Source
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import read_image
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

INSTALL = "pip install 'ganformer[tfds]'"
FORMAT = "array_record"  # can be read at random, unlike the package's default

READABLE = (("Image", np.uint8), ("Image", np.uint16))  # features and their numbers


class Config(Source):
    """A data set of TensorFlow Datasets with a feature `image`, and a class label in a feature `label` if it has one.

    It is downloaded and prepared by that package where it is not yet, as `array_record` files.
    """

    kind: Literal["tfds"] = "tfds"
    name: str
    """Its name there, as in "oxford_flowers102", "lsun/church_outdoor" or "cifar10:3.0.2"."""
    split: str = "train"
    """Part of the data set, in that package's notation, as in "train", "train+test" or "train[:1000]"."""
    data_dir: Path | None = None
    """The folder where that package keeps its data sets; None: its own choice."""


class TensorFlowDataset(ImageSource[int]):
    """A key is the index of an image. The images come as they are stored, encoded, and are decoded like all others."""

    def __init__(self, config: Config, image: ImageSpec) -> None:
        self.config, self.image = config, image

    def __reduce__(self) -> tuple[type["TensorFlowDataset"], tuple[Config, ImageSpec]]:
        return TensorFlowDataset, (self.config, self.image)  # another process opens its own files

    @cached_property
    def builder(self) -> Any:
        """Builder of the prepared data set. Raises DataError if it cannot be loaded."""
        tfds, name = _package(), self.config.name
        with_folder = {} if self.config.data_dir is None else {"data_dir": self.config.data_dir}
        try:
            builder = tfds.builder(name, **with_folder)
            if not builder.is_prepared():
                builder.download_and_prepare(file_format=FORMAT)
        except tfds.core.DatasetNotFoundError as error:
            raise DataError(
                f"tfds: the installed version {tfds.__version__} knows no data set '{name}'; choose one of "
                "https://www.tensorflow.org/datasets/catalog/overview, or correct data_dir"
            ) from error
        except Exception as error:  # every data set prepares itself by code of its own
            raise DataError(
                f"tfds: '{name}' could not be prepared ({_line(error)}); fix that, or prepare it by hand as "
                f"{FORMAT} (some data sets need TensorFlow for that)"
            ) from error
        return builder

    @cached_property
    def records(self) -> Any:
        """The examples, the image of each still encoded: a sequence of mappings."""
        tfds, config = _package(), self.config
        as_stored = {"image": tfds.decode.SkipDecoding()}
        try:
            return self.builder.as_data_source(config.split, decoders=as_stored)
        except NotImplementedError as error:
            raise DataError(
                f"{self.builder.data_path}: these files cannot be read at random; prepare the data set once more in "
                f"another data_dir, as {FORMAT}"
            ) from error
        except ValueError as error:
            splits = ", ".join(self.builder.info.splits)
            raise DataError(
                f"tfds: split '{config.split}' of '{config.name}' cannot be read ({_line(error)}); there are {splits}"
            ) from error

    @property
    def classes(self) -> int:
        """Names of the class label `label`."""
        features = self.builder.info.features
        return getattr(features["label"], "num_classes", None) or 0 if "label" in features else 0

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the class label `label`."""
        features = self.builder.info.features
        return tuple(getattr(features.get("label"), "names", None) or ()) if self.classes else ()

    def __len__(self) -> int:
        return len(self.records)

    def keys(self) -> Iterator[int]:
        return iter(range(len(self)))

    def load(self, keys: Sequence[int]) -> Iterator[Sample | Rejection]:
        has_labels = self.image.classes > 0
        for key, example in zip(keys, self.records.__getitems__(list(keys)), strict=True):
            name = f"{self.config.split}[{key}]"
            try:
                label = int(example["label"]) if has_labels else None
                yield Sample.of(name, read_image(io.BytesIO(example["image"]), self.image), label)
            except UnreadableImageError as error:
                yield Rejection(name, str(error))


def open_source(config: Config, image: ImageSpec) -> TensorFlowDataset:
    """Return the images; DataError if the package is not installed, or has no such images."""
    source = TensorFlowDataset(config, image)
    features = source.builder.info.features
    if "image" not in features or (type(features["image"]).__name__, features["image"].np_dtype) not in READABLE:
        found = ", ".join(f"{key}: {feature}" for key, feature in features.items())
        raise DataError(f"tfds: '{config.name}' has no feature 'image' with images of 8 or 16 bits; it has {found}")
    if not len(source):
        raise DataError(f"tfds: there are no images in split '{config.split}' of '{config.name}'; choose another split")
    return source


def _package() -> Any:
    try:
        import tensorflow_datasets  # only who reads such a data set needs it
    except ImportError as error:
        raise DataError(
            f"the source tfds needs the package tensorflow-datasets, which is not there ({error}): {INSTALL}"
        ) from error
    return tensorflow_datasets


def _line(error: Exception) -> str:
    """Return the first line of what an error says, with its kind."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
