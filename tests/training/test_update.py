"""One optimiser's step: microbatches, what is moved, and what is refused."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from ganformer.errors import TrainingError
from ganformer.training.update import Update, frozen


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4, dtype=torch.float64), nn.Tanh(), nn.Linear(4, 1, dtype=torch.float64))


def updated(microbatches: Sequence[Tensor]) -> tuple[nn.Module, Tensor]:
    network = model()
    update = Update("model", network.parameters(), torch.optim.SGD(network.parameters(), lr=0.1))
    total, _ = update.minimise(
        lambda inputs: (network(inputs).square().mean(), {}), [(inputs,) for inputs in microbatches]
    )
    return network, total


def test_portions_add_up_to_the_whole_batch() -> None:
    inputs = torch.randn(12, 3, dtype=torch.float64)
    whole, loss = updated([inputs])
    parts, loss_of_parts = updated(inputs.split(4))
    torch.testing.assert_close(loss_of_parts, loss)
    torch.testing.assert_close(dict(parts.named_parameters()), dict(whole.named_parameters()))
    assert not torch.equal(next(whole.parameters()), next(model().parameters()))


def test_gradients_reach_its_own_parameters_only() -> None:
    mine, other = model(), model()
    update = Update("model", mine.parameters(), torch.optim.SGD(mine.parameters(), lr=0.1))
    inputs = torch.randn(2, 3, dtype=torch.float64)
    update.minimise(lambda x: ((mine(x) * other(x)).mean(), {}), [(inputs,)])
    assert all(p.grad is None for p in other.parameters())


def test_gradients_of_earlier_steps_are_forgotten() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    update = Update("model", [parameter], torch.optim.SGD([parameter], lr=1.0))
    for _ in range(2):
        update.minimise(lambda slope: (slope * parameter.sum(), {}), [(torch.tensor(1.0),)])
    assert parameter.item() == -2.0


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    parameter = nn.Parameter(torch.ones(1))
    update = Update("generator", [parameter], torch.optim.SGD([parameter], lr=1.0))
    with pytest.raises(TrainingError, match="the generator's loss is inf"):
        update.minimise(lambda big: (big * parameter.sum(), {}), [(torch.tensor(torch.inf),)])
    assert parameter.item() == 1.0


def test_a_loss_that_is_not_finite_is_seen_where_its_gradient_is() -> None:
    parameter = nn.Parameter(torch.ones(1))
    update = Update("generator", [parameter], torch.optim.SGD([parameter], lr=1.0))
    with pytest.raises(TrainingError, match="the generator's loss is inf"):
        update.minimise(lambda big: (big + parameter.sum(), {}), [(torch.tensor(torch.inf),)])
    assert parameter.item() == 1.0


def test_a_loss_that_cannot_be_replayed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    parameter = nn.Parameter(torch.ones(1))
    update = Update("generator", [parameter], torch.optim.SGD([parameter], lr=0.0), replays=True)

    def waits(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return parameter.sum() * float(x), {}

    for _ in range(4):
        update.minimise(waits, [(torch.tensor(1.0),)])
    assert capsys.readouterr().out.startswith("the generator's loss is computed in Python, slower, as ")


def test_constants_stay_constants_when_a_network_is_no_longer_frozen() -> None:
    network = model()
    network[0].bias.requires_grad_(False)
    with frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["0.bias"]


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    update = Update("discriminator", [parameter], torch.optim.SGD([parameter], lr=1.0))
    with pytest.raises(TrainingError, match="the discriminator's gradient has the norm inf"):
        update.minimise(lambda: (parameter.sqrt().sum(), {}), [()])
    assert parameter.item() == 0.0


def test_other_values_are_those_of_each_microbatch_without_gradients() -> None:
    parameter = nn.Parameter(torch.ones(1))
    update = Update("model", [parameter], torch.optim.SGD([parameter], lr=1.0))
    parts = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    _, others = update.minimise(
        lambda x: ((x * parameter).sum(), {"doubled": 2 * x * parameter}), [(x,) for x in parts]
    )
    assert [value.tolist() for value in others["doubled"]] == [[2.0, 4.0], [6.0, 8.0]]
    assert not any(value.requires_grad for value in others["doubled"])


def test_a_parameter_that_the_loss_does_not_use_stays() -> None:
    used, unused = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    update = Update("model", [unused, used], torch.optim.SGD([unused, used], lr=1.0))
    update.minimise(lambda x: (x * used.sum(), {}), [(torch.tensor(1.0),), (torch.tensor(3.0),)])
    assert (unused.item(), used.item(), unused.grad) == (0.0, -2.0, None)
