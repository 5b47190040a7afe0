"""Buffers that a step changes: ranks share them, and the moving average copies them."""

import pytest
import torch
from torch import nn

from ganformer.training.buffers import ChangedBuffers
from ganformer.training.learner import Reals
from tests.training.test_precision import batch, learner


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("written", torch.zeros(2))
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("constant", torch.ones(2))


def test_what_is_written_or_replaced_has_changed() -> None:
    network = Counter()
    changed = ChangedBuffers(network)
    assert [name for name, _ in changed()] == ["written", "replaced", "constant"]
    assert list(changed()) == []
    network.written[0] = 1.0
    network.replaced = torch.ones(2)
    assert [name for name, _ in changed()] == ["written", "replaced"]
    for _ in range(100):  # memory of the one before may serve the next
        network.replaced = torch.ones(2)
        assert [name for name, _ in changed()] == ["replaced"]
    network.written.add_(1)
    changed.settle()
    assert list(changed()) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("duplex", {"generator.w_average", "sampler.w_average"}),
        ("stylegan2", {"generator.w_average", "sampler.w_average", "path_length_mean"}),
    ],
)
def test_a_step_changes_few_buffers(model: str, expected: set[str]) -> None:
    made = learner(model, "float32")
    changed = ChangedBuffers(made.network)
    made.step(batch(0), 0)
    list(changed())
    made.step(batch(1), 4)
    assert {name for name, _ in changed()} == expected
    assert made.network.sampler.w_average.equal(made.network.generator.w_average)


def test_the_moving_average_has_all_buffers_of_the_generator() -> None:
    made = learner("sagan", "float32")
    for step in range(2):
        made.step([Reals(torch.rand(4, 3, 16, 16) * 2 - 1, torch.zeros(4, 0))], step)
    buffers = dict(made.network.sampler.named_buffers())
    assert all(buffer.equal(buffers[name]) for name, buffer in made.network.generator.named_buffers())
