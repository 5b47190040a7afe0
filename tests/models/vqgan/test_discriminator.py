"""PatchGAN: how many patches, what each of them sees, how weights begin."""

import pytest
import torch
from torch import nn

from ganformer.models.vqgan.discriminator import PatchDiscriminator
from ganformer.models.vqgan.settings import patches


@pytest.mark.parametrize(("height", "width", "layers"), [(32, 32, 3), (16, 48, 2), (8, 8, 1), (256, 256, 3)])
def test_logits_for_so_many_patches(height: int, width: int, layers: int) -> None:
    logits = PatchDiscriminator(3, 2, layers)(torch.randn(2, 3, height, width))
    assert logits.shape == (2, patches(height, layers), patches(width, layers))


def test_images_can_be_too_small() -> None:
    assert patches(16, 3) == 0
    assert patches(16, 2) == 2


def test_a_logit_sees_70_pixels_of_3_layers() -> None:
    """Isola et al. 2017: the 70×70 PatchGAN."""
    network = PatchDiscriminator(3, 2, 3).eval()
    image = torch.randn(1, 3, 128, 128, requires_grad=True)
    network(image)[0, 7, 7].backward()
    seen = image.grad[0].abs().sum(dim=0)
    assert [int((seen.sum(dim=dim) > 0).sum()) for dim in (0, 1)] == [70, 70]


def test_widths_double_up_to_eight_times() -> None:
    network = PatchDiscriminator(3, 2, 5)
    convolutions = [part for part in network.main if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in convolutions] == [2, 4, 8, 16, 16, 16, 1]
    assert [part.stride[0] for part in convolutions] == [2, 2, 2, 2, 2, 1, 1]
    assert [part.bias is not None for part in convolutions] == [True, False, False, False, False, False, True]
    assert sum(isinstance(part, nn.BatchNorm2d) for part in network.main) == 5


def test_official_size() -> None:
    assert sum(p.numel() for p in PatchDiscriminator(3, 64, 3).parameters()) == 2_765_633


def test_weights_begin_small() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(3, 32, 3)
    assert network.main[2].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert network.main[6].weight.mean().item() == pytest.approx(1.0, abs=0.01)
    assert network.main[6].weight.std().item() == pytest.approx(0.02, rel=0.25)  # of 128 numbers
    assert network.main[-1].weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_rectifiers_leak_a_fifth() -> None:
    rectifiers = [part for part in PatchDiscriminator(3, 2, 3).main if isinstance(part, nn.LeakyReLU)]
    assert [part(torch.tensor(-1.0)).item() for part in rectifiers] == [pytest.approx(-0.2)] * 4
