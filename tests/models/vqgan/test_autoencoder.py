"""The autoencoder's parts: shapes, what is normalised and padded, and that attention mixes pixels."""

import pytest
import torch
from torch import nn

from ganformer.models.vqgan.autoencoder import (
    AttentionBlock,
    Autoencoder,
    Decoder,
    Double,
    Encoder,
    Halve,
    Layout,
    Level,
    ResidualBlock,
)
from ganformer.models.vqgan.quantisation import NearestEntry

LAYOUT = Layout([Level(4, False), Level(8, True), Level(8, False)], blocks=2, latent_channels=6, groups=2, dropout=0.0)


def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(Encoder(3, LAYOUT), NearestEntry(5, 3, commitment=0.25, revival=0.0), Decoder(3, LAYOUT))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 32), (12, 4)])
def test_images_become_grids_of_codes_and_images_again(height: int, width: int) -> None:
    images, quantised = autoencoder()(torch.randn(2, 3, height, width))
    assert images.shape == (2, 3, height, width)
    assert quantised.latents.shape == quantised.values.shape == (2, 3, height // 4, width // 4)
    assert quantised.codes.shape == (2, height // 4, width // 4)


@pytest.mark.slow
def test_every_parameter_learns() -> None:
    network = autoencoder()
    images, quantised = network(torch.randn(4, 3, 16, 16))
    (images.square().mean() + quantised.loss).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_decoder_has_one_block_more_at_every_level() -> None:
    network = autoencoder()
    for half, blocks in ((network.encoder, 2), (network.decoder, 3)):
        assert [len(stage.blocks) for stage in half.stages] == [blocks] * 3
    attending = [[type(part) is AttentionBlock for part in stage.attentions] for stage in network.decoder.stages]
    assert attending == [[False] * 3, [True] * 3, [False] * 3]


def test_all_normalisations_have_the_floor_of_the_official_code() -> None:
    """1e-6 is added to a variance of 1e-6."""
    norms = [part for part in autoencoder().modules() if isinstance(part, nn.GroupNorm)]
    assert len(norms) > 20
    for norm in norms:
        x = torch.tensor([-1e-3, 1e-3]).view(1, 1, 1, 2).expand(1, norm.num_channels, 1, 2)
        normed = nn.GroupNorm.forward(norm, x)
        torch.testing.assert_close(normed, x / 1e-3 * 0.5**0.5, rtol=1e-4, atol=0)


def test_paper_sizes() -> None:
    """The model for faces has as many parameters as the official code with its settings."""
    levels = [Level(128 * multiplier, multiplier == 4) for multiplier in (1, 1, 2, 2, 4)]
    layout = Layout(levels, blocks=2, latent_channels=256, groups=32, dropout=0.0)
    with torch.device("meta"):
        halves = Encoder(3, layout), Decoder(3, layout)
    assert [sum(p.numel() for p in half.parameters()) for half in halves] == [29_298_176, 42_449_795]


def test_halving_pads_right_and_below_only() -> None:
    halve = Halve(1)
    nn.init.zeros_(halve.convolution.weight)
    nn.init.zeros_(halve.convolution.bias)
    with torch.no_grad():
        halve.convolution.weight[0, 0, 2, 1] = 1.0  # takes the pixel below the middle one
    x = torch.arange(16.0).reshape(1, 1, 4, 4) + 1
    assert halve(x).tolist() == [[[[10, 12], [0, 0]]]]


def test_doubling_repeats_pixels() -> None:
    double = Double(1)
    nn.init.dirac_(double.convolution.weight)
    nn.init.zeros_(double.convolution.bias)
    assert double(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_a_residual_block_adds_to_its_input() -> None:
    block = ResidualBlock(4, 4, LAYOUT)
    nn.init.zeros_(block.change[-1].weight)
    nn.init.zeros_(block.change[-1].bias)
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(block(x), x)
    assert ResidualBlock(4, 8, LAYOUT)(x).shape == (2, 8, 3, 3)


def test_attention_is_the_softmax_of_products_over_all_pixels() -> None:
    torch.manual_seed(0)
    block, x = AttentionBlock(4, groups=2), torch.randn(1, 4, 2, 3)
    normed = block.norm(x)
    queries, keys, values = (part(normed)[0].flatten(1) for part in (block.queries, block.keys, block.values))  # C n
    weights = (queries.T @ keys / 2).softmax(dim=1)
    expected = x + block.projection((values @ weights.T).reshape(1, 4, 2, 3))
    torch.testing.assert_close(block(x), expected)
