"""Operators of whole training steps, as a GPU without compiled operations would run them, seen on the CPU."""

import re
from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ganformer import devices
from ganformer.nn.resampling import Operation
from ganformer.ops import compiled, convolution
from ganformer.training.loop import check_finite
from ganformer.training.update import Update
from tests.training.test_precision import MODELS, batch, learner

# Of these CUDA has no deterministic algorithm, in part in the backward pass only (torch.use_deterministic_algorithms).
NOT_DETERMINISTIC = re.compile(
    r"(_?adaptive_(avg|max)_pool.d_backward|avg_pool3d_backward|fractional_max_pool.*backward|max_unpool.*"
    r"|_?upsample_(linear1d|bilinear2d|bicubic2d|trilinear3d)(_aa)?_backward|reflection_pad.*_backward|nll_loss2d.*"
    r"|_ctc_loss_backward|put_?|histc|kthvalue|median|nanmedian|grid_sampler_.d_backward|cumsum|cumprod)\."
)
SUMS_AT_PLACES = re.compile(r"(scatter_add|scatter_reduce|index_add|_?index_put(_impl)?|embedding_dense_backward)_?\.")
WIDEST_KERNEL = 8
# A plain step, of the batch in one microbatch: operators that compute or copy, not views and new memory.
LAUNCHES = {"gan": 820, "sagan": 950, "stylegan2": 1070, "simplex": 1980, "duplex": 2520, "centroid": 2720}
VIEWS = re.compile(
    r"(view|_unsafe_view|permute|t|transpose|unsqueeze|squeeze|expand|slice|select|detach|as_strided|split|unbind|alias"
    r"|split_with_sizes|diagonal|narrow|lift_fresh|unfold|(new_)?empty(_like|_strided)?)\."
)


class Seen(TorchDispatchMode):
    """Operators by name, and kernels of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.kernels: list[torch.Size] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators[function.__name__] += 1
        if function.__name__.startswith("convolution"):
            self.kernels.append(args[1 + function.__name__.startswith("convolution_backward")].shape[2:])
        return function(*args, **(kwargs or {}))

    @property
    def launches(self) -> int:
        return sum(count for name, count in self.operators.items() if not VIEWS.match(name))


def stepped(model: str, step: int) -> Seen:
    """Return what a step does when all that is made once has been made."""
    made = learner(model, "float32")
    with devices.reproducible(1):
        made.step(batch(0), 0)
        torch.manual_seed(0)
        with Seen() as seen:
            check_finite(made.step(batch(1), step))
    return seen


@pytest.fixture(autouse=True)
def without_compiled_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "library", lambda *_: None)


@pytest.mark.parametrize("model", MODELS)
def test_every_operator_has_a_deterministic_algorithm_on_gpus(model: str) -> None:
    seen = stepped(model, 0)  # with all regularisation
    assert [name for name in seen.operators if NOT_DETERMINISTIC.match(name)] == []


@pytest.mark.parametrize(
    ("augmentation", "most"),
    [({"kind": "diffaugment"}, 0), ({"kind": "ada", "transforms": ["blitting", "geometry", "colour", "filter"]}, 4)],
)
def test_gradients_of_augmented_images_sort_few_places(
    augmentation: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In deterministic mode a GPU sorts the places of a sum. ADA has two in each of two passes, of fakes and of R1."""
    settings = {**MODELS["stylegan2"], "kind": "stylegan2"}
    monkeypatch.setitem(MODELS, "augmented", {**settings, "adversarial": {"augmentation": augmentation}})
    seen = stepped("augmented", 0).operators
    sums = {name: count for name, count in seen.items() if SUMS_AT_PLACES.match(name)}
    assert sums.keys() <= {"scatter_add.default"}
    assert sum(sums.values()) <= most


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
def test_no_kernel_is_as_large_as_the_image(model: str) -> None:
    """The second derivative of a filter needs none; that of a layer has one for its weight."""
    seen = stepped(model, 1)
    assert max(max(kernel) for kernel in seen.kernels) <= WIDEST_KERNEL


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
def test_a_step_waits_for_the_device_only_to_check_what_is_finite(model: str) -> None:
    """For both updates before they change a weight."""
    seen = stepped(model, 1)
    assert seen.operators["_local_scalar_dense.default"] <= 2
    assert seen.operators["nonzero.default"] == 0


@pytest.mark.parametrize("model", LAUNCHES)
def test_a_plain_step_has_so_many_launches_at_most(model: str) -> None:
    assert stepped(model, 1).launches <= LAUNCHES[model]


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
def test_no_gradient_of_the_opponent_is_computed(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An autograd function in Python computes a gradient for each argument that requires one, wanted or not."""
    counted: Counter[str] = Counter()
    original = convolution._WeightGradient.forward

    def forward(ctx: Any, x: Any, grad: Any, weight: Any, geometry: Any) -> Any:
        counted[str(updated[-1])] += 1
        return original(ctx, x, grad, weight, geometry)

    updated: list[str] = []
    minimise = Update.minimise
    monkeypatch.setattr(convolution._WeightGradient, "forward", staticmethod(forward))
    monkeypatch.setattr(
        Update, "minimise", lambda self, *options: updated.append(self.name) or minimise(self, *options)
    )
    made = learner(model, "float32")
    with devices.reproducible(1):
        made.step(batch(0), 1)
    networks = made.network
    for name in ("generator", "discriminator"):
        layers = sum(isinstance(part, Operation) for part in getattr(networks, name).modules())
        passes = 2 if name == "discriminator" else 1  # of real and of generated images
        assert 0 < counted[name] <= passes * layers
