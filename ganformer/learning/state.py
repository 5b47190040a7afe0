"""Loading saved state only where it fits, and saying exactly where it does not."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Adam

from ganformer.errors import CheckpointError, listed

Shapes = Mapping[str, tuple[int, ...]]


def load_module(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Copy `state` into `module`; CheckpointError, with nothing copied, names missing, extra and mis-shaped tensors."""
    refuse_misfit(shapes(module.state_dict()), shapes(state), where)
    module.load_state_dict(state)


def load_adam(optimiser: Adam, state: Mapping[str, Any], where: str) -> None:
    """Continue an optimiser; CheckpointError if the state is of other parameters."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    expected = {f"moments of parameter {i}": tuple(p.shape) for i, p in enumerate(parameters)}
    found = {name: expected.get(name, ()) for name in (f"moments of parameter {i}" for i in numbers)}
    found |= {
        f"moments of parameter {i}": tuple(state["state"][i]["exp_avg"].shape) for i in numbers if i in state["state"]
    }
    refuse_misfit(expected, found, where)
    optimiser.load_state_dict(dict(state))


def shapes(state: Mapping[str, Tensor]) -> Shapes:
    """Return the shape of every tensor."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def refuse_misfit(expected: Shapes, found: Shapes, where: str) -> None:
    """Raise CheckpointError if the two differ in names or shapes; its message begins with `where`."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    misshaped = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    problems = {"missing": missing, "not known": extra, "mis-shaped": misshaped}
    found_problems = [f"{kind}: {listed(names)}" for kind, names in problems.items() if names]
    if found_problems:
        raise CheckpointError(f"{where} does not fit the model; {'; '.join(found_problems)}")
