"""Speed of the network behind FID beside the same network in other packages, with the same weights."""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from comparisons import print_table
from measure import Result, Side, in_turn
from torch import Tensor

from ganformer.metrics import evaluate, weights
from ganformer.metrics.extractors.inception_2015 import model as inception_2015
from ganformer.metrics.extractors.inception_random import model as inception_random

See = Callable[[Tensor], Tensor]  # images [n, 3, H, W] -> features [n, 2048]

OURS = "ganformer"
# The modules that hold their networks.
RIVALS = {
    "torch-fidelity": "torch_fidelity.feature_extractor_inceptionv3",
    "pytorch-fid": "pytorch_fid.inception",
}


class Bench:
    """Images a second of each network. The weights are drawn: their values do not change the time."""

    def __init__(
        self, folder: Path, image_size: int, image_count: int, batch: int, repeats: int, cores: int, device: str
    ) -> None:
        self.folder, self.size, self.count, self.batch = folder, image_size, image_count, batch
        self.repeats, self.cores, self.device = repeats, cores, torch.device(device)
        self.weights = folder / "weights.pth"
        torch.save(dict(inception_random.draw(np.random.PCG64(0))), self.weights)

    def print_all(self) -> None:
        """Print the table."""
        rivals = {package: _imported(package) for package in RIVALS}
        builders = {"torch-fidelity": self._torch_fidelity, "pytorch-fid": self._pytorch_fid}
        sides: dict[str, Side] = {OURS: self._ours}
        for package, module in rivals.items():
            if isinstance(module, ModuleType):
                sides[package] = partial(self._theirs, package, partial(builders[package], module))
        results = in_turn(sides, self.repeats, cores=self.cores)
        rows = [self._row(name, results) for name in results]
        rows += [{"": name, "images/s": why} for name, why in rivals.items() if isinstance(why, str)]
        where = f"{self.cores} cores" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        what = f"{self.count} images of {self.size} × {self.size}, {self.batch} at a time"
        print_table(f"Inception network of 2015, {what}, {where}", rows)
        print("\nOff: relative difference of features from torch-fidelity's; pytorch-fid resizes in another way.")

    def _row(self, name: str, results: Mapping[str, Result]) -> dict[str, str]:
        rate = {"": name, "images/s": f"{results[name].rate:.2f}"}
        ratios = {f"× {rival}": _ratio(results, name, rival) for rival in RIVALS}
        return rate | ratios | {"memory MB": f"{results[name].memory:.0f}", "off": self._difference(name)}

    def _difference(self, name: str) -> str:
        """Return between features of this side and torch-fidelity's."""
        true = self._features("torch-fidelity")
        if name != OURS or not true.exists():
            return "–"
        expected = np.load(true)
        return f"{np.abs(np.load(self._features(name)) - expected).max() / np.abs(expected).max():.0e}"

    def _features(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _images(self) -> Tensor:
        shape = (self.count, 3, self.size, self.size)
        return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    def _ours(self) -> Callable[[], int]:
        network = inception_2015.network(weights.read(self.weights), self.device)
        images = self._images()

        def work() -> int:
            with evaluate.computing(self.cores):
                return self._look(OURS, lambda batch: network(batch)[0], images)

        with evaluate.computing(self.cores):
            network(images[:1].to(self.device))
        return work

    def _theirs(self, name: str, build: Callable[[], tuple[See, Tensor]]) -> Callable[[], int]:
        torch.set_num_threads(self.cores)
        see, images = build()

        def work() -> int:
            with torch.no_grad():
                return self._look(name, see, images)

        with torch.no_grad():
            see(images[:1].to(self.device))
        return work

    def _torch_fidelity(self, module: ModuleType) -> tuple[See, Tensor]:
        """Return its extractor, as its measures call it for FID and the inception score.

        And images as it takes them.
        """
        wanted = ["2048", "logits_unbiased"]
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", wanted, str(self.weights)).to(self.device)
        return lambda batch: network(batch)[0], self._images()

    def _pytorch_fid(self, module: ModuleType) -> tuple[See, Tensor]:
        """Return its network, which has no logits, and images as it takes them, in [0, 1]."""
        state = torch.load(self.weights, weights_only=True)
        module.load_state_dict_from_url = lambda *_, **__: state  # type: ignore[attr-defined]
        network = module.InceptionV3().to(self.device).eval()
        return lambda batch: network(batch)[0].flatten(1), self._images() / 255

    def _look(self, name: str, see: See, images: Tensor) -> int:
        seen = [see(batch.to(self.device)).cpu().numpy() for batch in images.split(self.batch)]
        np.save(self._features(name), np.concatenate(seen))
        return len(images)


def _imported(package: str) -> ModuleType | str:
    """Return the module that holds the package's network, or why it is not measured."""
    try:
        return importlib.import_module(RIVALS[package])
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        return f"not measured, {missing} is not installed (pip install {package})"
    except Exception as error:  # whatever importing a package that does not fit to another one comes to
        return f"not measured, cannot be imported: {error} (pip install {package} and what it needs)"


def _ratio(results: Mapping[str, Result], name: str, other: str) -> str:
    """Return how many times as fast as the other one."""
    return f"{results[name].rate / results[other].rate:.2f}" if other in results else "–"
