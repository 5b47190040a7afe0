"""Comparisons that the tests of all official snapshots share."""

import torch

from ganformer.training.checkpoint import read_weights


def one_hot(classes, count):
    return torch.eye(classes)[torch.arange(count) % classes] if classes else torch.zeros(count, 0)


def relative_error(found, expected):
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / expected.abs().max()).item()


def discriminator_of(learner, out, record):
    """Return the imported discriminator."""
    read_weights(out / "discriminator.safetensors", learner.network.discriminator, record.spec)
    return learner.network.discriminator
