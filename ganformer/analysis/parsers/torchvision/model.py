"""Parser of photographs: one of torchvision's instance segmentors with weights that were trained on COCO.

The only property of an object is its class: a person, a chair, a car. torchvision is not needed for anything else, so
that it is imported when such a parser is made or used.
"""

import importlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganformer import artifacts, plugins
from ganformer.analysis.parsers.torchvision.settings import Config
from ganformer.analysis.readers import Record
from ganformer.config import Dataset, parse
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.metrics import weights
from ganformer.metrics.sets import ImageSet, Picture
from ganformer.records.parser import PARSER_FILE, SegmentorRecord, check_weights
from ganformer.training.state import refuse_misfit

NO_CLASS = {"__background__", "N/A"}  # what some numbers of torchvision's classes stand for
BATCH = 4  # images read at a time; each is enlarged to 800 pixels


def prepare(config: Config, dataset: Dataset, out: Path, *, threads: int, gpus: int) -> None:
    """Write the record of the segmentor of a data set, once it is known to be there and to fit.

    Raises ConfigError if torchvision is missing or has no such class, DataError if there is no file of weights,
    and CheckpointError if it is of another network.
    """
    rows, columns = dataset.image.picture
    _classes(config)
    _network(config)
    record = SegmentorRecord(
        kind=config.kind,
        settings=config.model_dump(mode="json"),
        picture=(rows, columns),
        weights_sha256=artifacts.file_digest(config.file),
        torchvision=_torchvision().__version__,
        code=artifacts.code_version(),
    )
    path = out / PARSER_FILE
    known = {key: value for key, value in record.content().items() if key != "code"}
    if not artifacts.is_kept(path, artifacts.read_existing(path), known):
        record.write(path)


def load(path: Path) -> "Reader":
    """Return the segmentor, on the CPU. Raises as `prepare` does, and CheckpointError if the weights were replaced."""
    record = SegmentorRecord.read(path)
    settings = parse(Config, record.settings, f"{path}: settings")
    network = _network(settings)
    advice = "put the file back, or make the parser again with `ganformer step parser`"
    check_weights(settings.file, record.weights_sha256, path, advice)
    return Reader(settings, network, _categories(settings), record.picture, record.weights_sha256)


class Reader:
    """Reader of images with a segmentor; `categories`: the class of each number."""

    paired = ("class",)
    accuracy: Mapping[str, float] = {}  # on these images nothing is known of it

    def __init__(
        self, settings: Config, network: nn.Module, categories: tuple[str, ...], picture: Picture, sha256: str
    ) -> None:
        self.settings, self.network, self.categories, self.picture = settings, network, categories, picture
        self.attributes = {"class": _classes(settings)}
        self.about = {**settings.model_dump(mode="json"), "weights_sha256": sha256}

    def read(self, images: ImageSet, device: torch.device) -> list[Record]:
        """Return the objects in all images of a set. DataError if they are of another shape than those prepared for."""
        if not images.can_show(self.picture):
            raise self._misfit(images.title, images.picture)
        self.network.to(device)
        batches = (batch.cpu().numpy() for batch in images.batches(self.picture, device))
        return list(itertools.chain.from_iterable(map(self.parse, batches)))

    def parse(self, images: NDArray[np.uint8]) -> list[Record]:
        """Return the objects in images [n, 3, H, W], from the highest score down: `class`, `score`, `visible_pixels`.

        Where masks overlap, a pixel is visible of the object with the highest score, of whatever class it is; of
        objects of which nothing is visible, nothing is said. DataError for images of another shape.
        """
        return self.segment(images)[0]

    def _check(self, images: NDArray[np.uint8]) -> None:
        if images.shape[1:] != (3, *self.picture):
            raise self._misfit("images", (images.shape[2], images.shape[3]))

    def segment(self, images: NDArray[np.uint8]) -> tuple[list[Record], NDArray[np.uint8]]:
        """Return the objects as `parse` does, and the object of each pixel [n, H, W]: 0: none, i: the i-th."""
        self._check(images)
        records: list[Record] = []
        masks = np.zeros((len(images), *self.picture), np.uint8)
        for start in range(0, len(images), BATCH):
            for record, mask in self._segment(images[start : start + BATCH]):
                masks[len(records)] = mask
                records.append(record)
        return records, masks

    def _segment(self, images: NDArray[np.uint8]) -> Iterator[tuple[Record, NDArray[np.uint8]]]:
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            found = self.network(list(torch.from_numpy(images).to(device) / 255))
        return map(self._read, found)

    def _read(self, found: Mapping[str, Tensor]) -> tuple[Record, NDArray[np.uint8]]:
        order = found["scores"].argsort(descending=True, stable=True)
        scores, labels, masks = (found[name][order] for name in ("scores", "labels", "masks"))
        count = int((scores >= self.settings.threshold).sum())
        if not count:
            return [], np.zeros(self.picture, np.uint8)
        covered = masks[:count, 0] >= self.settings.mask_threshold  # objects H W
        owner = torch.where(covered.any(dim=0), covered.byte().argmax(dim=0) + 1, 0)
        areas = torch.bincount(owner.flatten(), minlength=count + 1)[1:].tolist()
        kinds = [self.categories[label] for label in labels[:count].tolist()]
        kept = [i for i in range(count) if areas[i] and kinds[i] in self.attributes["class"]]
        numbers = np.zeros(count + 1, np.uint8)
        numbers[np.array(kept, int) + 1] = np.arange(1, len(kept) + 1)
        of = scores[:count].tolist()
        record = [{"class": kinds[i], "score": of[i], "visible_pixels": areas[i]} for i in kept]
        return record, numbers[owner.cpu().numpy()]

    def _misfit(self, title: str, picture: Picture) -> DataError:
        return DataError(
            f"{title}: {picture[1]}×{picture[0]} pixels, but the parser was made for {self.picture[1]}×"
            f"{self.picture[0]}; make one for these images with `ganformer step parser`"
        )


# ------------------------------------------------------------------------------------------------- torchvision


def _torchvision() -> ModuleType:
    try:
        importlib.import_module("torchvision.models.detection")
        return importlib.import_module("torchvision")
    except ImportError as error:
        raise ConfigError(
            f"parsers of kind 'torchvision' need the package torchvision, which cannot be imported ({error}): pip "
            "install torchvision, or this package with its extra 'segmentation'"
        ) from error


def _published(config: Config) -> Any:
    """Return torchvision's entry of its own weights of a network: `url`, and `meta` with the names of classes."""
    return _torchvision().models.get_model_weights(config.model).COCO_V1


def _categories(config: Config) -> tuple[str, ...]:
    """Return the class of each number that the network gives."""
    return tuple(_published(config).meta["categories"])


def _classes(config: Config) -> tuple[str, ...]:
    """Return the chosen classes, in the network's order; ConfigError if it does not know one."""
    known = [name for name in _categories(config) if name not in NO_CLASS]
    for name in config.classes or ():
        if name not in known:
            raise ConfigError(
                f"parsing.classes: '{name}' is not a class of {config.model}; {plugins.choices(name, known)}"
            )
    return tuple(name for name in known if config.classes is None or name in config.classes)


def _network(config: Config) -> nn.Module:
    """Return the network with its weights, ready to be called."""
    network: nn.Module = getattr(_torchvision().models.detection, config.model)(weights=None, weights_backbone=None)
    state, where = _state(config), f"{config.weights}: the file for {config.model}"
    try:
        # torchvision's own loading knows the older names that tensors have in its files.
        missing, extra = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{where} does not fit the model; {str(error).splitlines()[-1].strip()}") from error
    refuse_misfit(dict.fromkeys(missing, ()), dict.fromkeys(extra, ()), where)
    if config.model == "maskrcnn_resnet50_fpn":
        # It was trained with frozen normalisations that add nothing to variances; torchvision sets this likewise.
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return network.eval().requires_grad_(False)


def _state(config: Config) -> Mapping[str, Tensor]:
    if not config.weights.is_file():
        url = _published(config).url
        raise DataError(
            f"{config.weights}: there is no such file; put the weights of {config.model} there, which torchvision "
            f"publishes as {PurePosixPath(urlsplit(url).path).name} ({url}), or correct parsing.weights"
        )
    return weights.read(config.weights)
