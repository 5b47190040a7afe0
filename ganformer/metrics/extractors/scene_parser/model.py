"""The scene parser as an extractor: features of a small network that was trained to find and name rendered objects.

Untrained networks see edges and textures. This one has learned what distinguishes scenes, from other rendered scenes
than any data set has, so it is an independent second opinion on models of built-in scenes, without a download.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganformer import artifacts
from ganformer.errors import DataError
from ganformer.metrics import batching
from ganformer.metrics.extractors.scene_parser.settings import Config
from ganformer.scenes import parser
from ganformer.training.samples import normalise


@dataclass(frozen=True)
class Network:
    """Network that maps images [n, 3, H, W] uint8 to features [n, 3 · channels] and no logits [n, 0], float32.

    Features are averages over the image of `parser.Network.features`. Raises DataError for images of another size than
    the parser has learned.
    """

    network: parser.Network
    picture: tuple[int, int]

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if tuple(images.shape[2:]) != self.picture:
            rows, columns = self.picture
            raise DataError(
                f"scene-parser: reads images of {columns}×{rows} pixels, not of {images.shape[3]}×{images.shape[2]}; "
                "name the parser of a data set of this size"
            )
        return batching.see_all(self._see, batching.of_pixels(images))

    def _see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.network.features(normalise(images))
        features = torch.cat([each.mean(dim=(2, 3)) for each in maps], dim=1)
        return features, features.new_empty(len(features), 0)


def load(config: Config, device: torch.device) -> Network:
    """Return the network. DataError if there is no parser, CheckpointError if its files do not fit."""
    trained = parser.Parser.load(artifacts.placed(config.parser))
    return Network(trained.network.to(device), trained.picture)
