"""Fréchet distance of a run while it trains: for its log only, so that its weights and its record stay as they are."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ganformer import devices
from ganformer.config import Evaluation, parse
from ganformer.data.dataset import Images
from ganformer.errors import DataError
from ganformer.metrics.evaluate import load_network
from ganformer.metrics.measures import frechet
from ganformer.metrics.reference import Reference
from ganformer.metrics.sets import ALL, ImageSet, Look, Packed, Picture, Share, generated, look_at
from ganformer.metrics.statistics import Observed
from ganformer.records.metrics import ComparedSet
from ganformer.training.learner import Learner
from ganformer.training.samples import draw_labels

NAME = "fd_random_vgg16"
EVALUATION = {"extractor": {"kind": "random-vgg16"}, "metrics": ["frechet"]}


class Distance:
    """Fréchet distance between `count` samples and the images of a pack, by VGG16 with random weights.

    The value is that of `ganformer evaluate` for the same weights and number of images. Statistics of the real images
    are kept in `folder`, so that they are computed once. One process computes everything, on `device`.
    """

    def __init__(self, images: Images, count: int, folder: Path, threads: int, device: torch.device) -> None:
        self.images, self.count, self.threads, self.device = images, count, threads, device
        self.evaluation = parse(Evaluation, {**EVALUATION, "images": count}, "evaluation")
        ((name, _),) = self.evaluation.parts().items()
        self._path = folder / f"{name}.npz"
        self._kept: tuple[Look, Observed] | None = None

    def measure(self, learner: Learner) -> float:
        """Return the distance of samples of a learner; DataError if one is not finite.

        No random number of the training is drawn.
        """
        on_gpu = [self.device] if self.device.type == "cuda" else []
        # Not in inference mode: tensors that a network makes once in it could not be trained with afterwards.
        with torch.random.fork_rng(devices=on_gpu), devices.reproducible(self.threads), torch.no_grad():
            look, reals = self._looked()
            samples = Samples(learner, self.images, self.count)
            return frechet.compute(reals, self._observe(samples, look))["fd"]

    def _looked(self) -> tuple[Look, Observed]:
        """Return the network, and the statistics of the real images from their file, which is written if need be."""
        if self._kept is None:
            look = Look(load_network(self.evaluation.extractor, self.device), frechet.FAKE)
            self._kept = look, self._reals(look)
        return self._kept

    def _reals(self, look: Look) -> Observed:
        extractor = self.evaluation.extractor.model_dump(mode="json")
        try:
            found = Reference.read(self._path, self.device)
            found.check(self._path, extractor, False, self.images.digest, frechet.REAL)
        except DataError:  # not there, or of another version
            real = self._observe(Packed(self.images), look)
            Reference(real, extractor, False, self.images.digest).write(self._path)
            return real
        return found.observed

    def _observe(self, images: ImageSet, look: Look) -> Observed:
        picture = self.images.image.picture
        return look_at({"": look}, images, picture, self.device, f"measure {images.title}")[""].observed()


class Samples(ImageSet):
    """The first `count` images of a learner in training, one for each seed from 0 on, of the classes of its images."""

    title = "samples"

    def __init__(self, learner: Learner, images: Images, count: int) -> None:
        self.learner, self.canvas, self.count = learner, images.image.canvas, count
        self.picture = images.image.picture
        self.labels = partial(draw_labels, images.manifest.label_counts)
        self.about = ComparedSet(kind="samples", images=count)

    def __len__(self) -> int:
        return self.count

    def batches(self, picture: Picture, device: torch.device, share: Share = ALL) -> Iterator[Tensor]:
        return generated(self.learner, self.canvas, self.labels, range(self.count), picture, self.title, share)
