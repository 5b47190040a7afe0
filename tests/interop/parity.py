"""What the tests of all official snapshots compare with."""

import torch
from official import PROTOCOLS

from ganformer.config import Spec, parse
from ganformer.interop import snapshot
from ganformer.learning.checkpoint import read_weights


def one_hot(classes, count):
    return torch.eye(classes)[torch.arange(count) % classes] if classes else torch.zeros(count, 0)


def relative_error(found, expected):
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / expected.abs().max()).item()


def assert_protocols_agree(write):
    """What is read is the same in whichever protocol a snapshot was pickled; `write` writes it in one."""
    first, *others = (snapshot.read(write(protocol)) for protocol in PROTOCOLS)
    for other in others:
        assert (other.model, other.image, other.notes) == (first.model, first.image, first.notes)
        for one, same in ((first.sampler, other.sampler), (first.discriminator, other.discriminator)):
            assert (one or {}).keys() == (same or {}).keys()
            assert all(value.equal(same[name]) for name, value in (one or {}).items())


def discriminator_of(learner, out, record):
    """The imported discriminator."""
    read_weights(out / "discriminator.safetensors", learner.network.discriminator, parse(Spec, record["spec"], "spec"))
    return learner.network.discriminator
