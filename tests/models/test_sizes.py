"""Every kind of model fits all resolutions with its own defaults; only shapes are computed, which takes no time."""

from typing import Any

import pytest
import torch

from ganformer import plugins
from ganformer.config import ImageSpec, TrainingSettings
from tests.variants import PACKAGE, label, variants

pytestmark = pytest.mark.slow

CHOSEN = ("kind", "attention")  # all other settings are the defaults
SIZES = [(32, 32), (256, 256), (512, 1024), (768, 1024), (1024, 512), (1024, 1024)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("model", list(variants(adversarial_only=True)), ids=label)
def test_networks_fit(model: dict[str, Any], size: tuple[int, int]) -> None:
    image = ImageSpec(height=size[0], width=size[1], classes=2)
    module = plugins.find(PACKAGE, model["kind"])
    config = module.Config(**{name: value for name, value in model.items() if name in CHOSEN})
    assert list(config.problems(image, TrainingSettings())) == []
    with torch.device("meta"):
        network = module.build(config, image).network
        labels = torch.ones(2, 2)
        scales = network.generator.scales(network.generator.map(network.generator.latents(2), labels))
        assert scales[-1].shape == (2, 3, *size)
        assert network.discriminator(scales, labels).shape == (2,)


@pytest.mark.parametrize("size", [(256, 256), (128, 256), (1024, 1024)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_vqgan_fits(size: tuple[int, int]) -> None:
    image = ImageSpec(height=size[0], width=size[1])
    module = plugins.find(PACKAGE, "vqgan")
    config = module.Config(kind="vqgan").resolved(TrainingSettings())
    assert list(config.problems(image, TrainingSettings())) == []
    with torch.device("meta"):
        network = module.build(config, image).network
        images, quantised = network.autoencoder(torch.ones(1, 3, *size))
        assert images.shape == (1, 3, *size)
        assert quantised.codes.shape == (1, size[0] // 16, size[1] // 16)
        assert network.discriminator(images).shape[0] == 1
