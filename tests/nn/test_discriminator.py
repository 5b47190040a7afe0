"""The discriminator's statistics of a batch, and its shapes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganformer.nn.discriminator import DISCRIMINATORS, ClassLogits, LabelProjection, Logit, append_deviation, make_head
from ganformer.nn.synthesis import Resolution


def test_deviation_within_groups_of_four() -> None:
    x = torch.zeros(8, 2, 1, 1)
    x[0::2, 0, 0, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])  # images 0, 2, 4, 6 are one group of two
    y = append_deviation(x)
    assert y.shape == (8, 3, 1, 1)
    assert y[:, :2].equal(x)
    even = (math.sqrt(1.25 + 1e-8) + math.sqrt(1e-8)) / 2  # two channels, one of them constant
    torch.testing.assert_close(y[:, 2, 0, 0], torch.tensor([even, 1e-4] * 4))


@pytest.mark.parametrize(("batch", "group"), [(1, 1), (2, 2), (3, 3), (6, 3), (7, 1), (12, 4)])
def test_groups_divide_any_batch(batch: int, group: int) -> None:
    x = torch.arange(batch, dtype=torch.float32).view(batch, 1, 1, 1)
    deviation = append_deviation(x)[:, 1, 0, 0]
    members = x[:: batch // group, 0, 0, 0]
    torch.testing.assert_close(deviation[0], (members.var(correction=0) + 1e-8).sqrt())


def test_a_single_class_has_a_head_for_classes_as_well() -> None:
    assert type(make_head("logits", 4, 0)) is type(make_head("projection", 4, 0)) is Logit
    for classes in (1, 2):
        assert type(make_head("logits", 4, classes)) is ClassLogits
        assert type(make_head("projection", 4, classes)) is LabelProjection


@pytest.mark.parametrize("architecture", DISCRIMINATORS)
@pytest.mark.parametrize("rows", [1, 4, 7])
def test_gives_one_finite_logit_an_image_and_differentiates_twice(architecture: str, rows: int) -> None:
    resolutions = [Resolution(rows << doubling, 4 << doubling, 4 + doubling) for doubling in range(3)]
    discriminator = DISCRIMINATORS[architecture](resolutions, channels=2, head=Logit(4))
    images = torch.randn(4, 2, 4 * rows, 16, requires_grad=True)
    logits = discriminator([images], torch.zeros(4, 0))
    assert logits.shape == (4,)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    gradient.square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        if name.endswith("weight"):  # biases move kinks, which changes the gradient almost nowhere
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_every_rung_of_the_skip_discriminator_sees_the_image() -> None:
    resolutions = [Resolution(4 << doubling, 4 << doubling, 4) for doubling in range(3)]
    plain, skip = (DISCRIMINATORS[name](resolutions, 3, Logit(4)) for name in ("orig", "skip"))
    count = sum("from_coarse_colours" in name and "weight" in name for name, _ in skip.named_parameters())
    assert count == 2
    skip.load_state_dict(plain.state_dict(), strict=False)
    images, labels = [torch.randn(2, 3, 16, 16)], torch.zeros(2, 0)
    assert not skip(images, labels).allclose(plain(images, labels))
    seen, image = list(skip.pyramid(images)), images[0]
    for block, from_colours, x, following in zip(skip.blocks, skip.from_coarse_colours, seen, seen[1:], strict=False):
        image = skip.downsample(image)
        torch.testing.assert_close(following, block(x) + from_colours(image))
    for name, parameter in skip.named_parameters():
        if "from_coarse_colours" in name:
            torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(skip(images, labels), plain(images, labels))


def test_a_label_picks_its_logit() -> None:
    head, x = ClassLogits(4, classes=3), torch.randn(2, 4)
    expected = (x @ head.layer.weight.T / 2)[[0, 1], [2, 0]]
    torch.testing.assert_close(head(x, torch.eye(3)[[2, 0]]), expected)


def test_projection_multiplies_features_with_an_embedding_of_the_label() -> None:
    head, x = LabelProjection(4, classes=3), torch.randn(3, 4)
    one, other = head(x, torch.eye(3)), head(x, torch.eye(3).roll(1, 0))
    assert not one.allclose(other)
    torch.testing.assert_close(head(2 * x, torch.eye(3)), 2 * one)


def test_the_embedding_of_a_label_is_a_mapping_network_of_eight_slow_layers() -> None:
    head, x, labels = LabelProjection(4, classes=3), torch.randn(3, 4), torch.eye(3)
    u = labels @ head.embedding.weight.T / math.sqrt(3)
    u = u / u.square().mean(dim=1, keepdim=True).sqrt()
    assert len(head.steps) == 8
    for step in head.steps:
        nn.init.normal_(step.layer.bias)
        u = F.leaky_relu(u @ (step.layer.weight * 0.01 / 2).T + step.layer.bias * 0.01, 0.2) * math.sqrt(2)
    features = x @ head.layer.weight.T / 2 + head.layer.bias
    torch.testing.assert_close(head(x, labels), (features * u).sum(dim=1) / 2)  # √4


def test_without_classes_there_is_one_logit() -> None:
    kinds = [type(make_head(kind, 4, classes)) for kind in ("logits", "projection") for classes in (0, 3)]
    assert kinds == [Logit, ClassLogits, Logit, LabelProjection]
