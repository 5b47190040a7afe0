"""`attend` and `gather`: compiled against composed, first and second derivatives, and properties of the weights."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganformer.ops import bipartite_attention as module
from ganformer.ops import compiled
from ganformer.ops.bipartite_attention import attend, gather

SIZES = [  # images, pixels, channels, components of all heads, heads
    (2, 37, 24, 6, 2),
    (2, 1100, 20, 8, 1),
    (1, 64, 5, 3, 1),
    (1, 2050, 64, 16, 4),
    (3, 1, 16, 1, 1),
    (1, 70, 136, 40, 2),
    (1, 40, 133, 33, 3),
    (1, 33, 8, 64, 1),
]


def given(size: tuple[int, ...], dtype: torch.dtype) -> dict[str, Tensor]:
    images, pixels, channels, components, _ = size
    torch.manual_seed(0)
    shapes = {
        "x": (images, pixels, channels),
        "keys": (images, components, channels),
        "places": (images, components, pixels),
        "values": (images, components, channels),
        "gain": (channels,),
        "factor": (images, components, pixels),
    }
    tensors = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    tensors["keys"] /= channels**0.5
    return {
        name: each.to(dtype if name == "x" or dtype == torch.float64 else torch.float32).requires_grad_()
        for name, each in tensors.items()
    }


def assert_near(one: Tensor, other: Tensor, tolerance: float) -> None:
    assert one.shape == other.shape
    assert (one - other).abs().max() <= tolerance * one.abs().max().clamp(min=1)


@pytest.mark.usefixtures("compiled_backend")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("is_thinned", [True, False])
def test_compiled_attention_is_its_definition(
    size: tuple[int, ...], dtype: torch.dtype, tolerance: float, normalise: bool, is_thinned: bool
) -> None:
    inputs = given(size, dtype)
    if not is_thinned:
        del inputs["factor"]
    results = []
    for function in (module.attend_composed, attend):
        features, weights = function(**inputs, heads=size[4], normalise=normalise)
        above = [torch.linspace(-1, 1, each.numel(), dtype=dtype).view(each.shape) for each in (features, weights)]
        results.append([features, weights, *torch.autograd.grad([features, weights], list(inputs.values()), above)])
    for one, other in zip(*results, strict=True):
        assert_near(one, other, tolerance)


@pytest.mark.usefixtures("compiled_backend")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("has_weights", [True, False])
def test_compiled_gathering_is_its_definition(
    size: tuple[int, ...], dtype: torch.dtype, tolerance: float, has_weights: bool
) -> None:
    inputs = list(given(size, dtype).values())[:3]
    results = []
    for function in (module.gather_composed, gather):
        out = function(*inputs)[: 1 + has_weights]
        above = [torch.linspace(-1, 1, each.numel(), dtype=dtype).view(each.shape) for each in out]
        results.append([*out, *torch.autograd.grad(out, inputs, above)])
    for one, other in zip(*results, strict=True):
        assert_near(one, other, tolerance)


@pytest.mark.usefixtures("compiled_backend")
@pytest.mark.parametrize("size", SIZES)
def test_bfloat16_is_rounded_once(size: tuple[int, ...]) -> None:
    """Only the image is in bfloat16; what is computed from it is what float32 gives, rounded."""
    inputs = given(size, torch.bfloat16)
    wide = {name: each.detach().float() for name, each in inputs.items()}
    features, weights = attend(**inputs, heads=size[4], normalise=True)
    expected, same = attend(**wide, heads=size[4], normalise=True)
    assert features.dtype == torch.bfloat16
    assert features.equal(expected.bfloat16())
    assert weights.equal(same)
    (grad,) = torch.autograd.grad(features, inputs["x"], torch.ones_like(features))
    assert grad.dtype == torch.bfloat16


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize("normalise", [True, False])
def test_attention_has_first_and_second_derivatives(normalise: bool) -> None:
    inputs = given((2, 5, 4, 4, 2), torch.float64)

    def work(*each: Tensor) -> tuple[Tensor, Tensor]:
        return attend(**dict(zip(inputs, each, strict=True)), heads=2, normalise=normalise)

    assert gradcheck(work, list(inputs.values()))
    assert gradgradcheck(lambda *each: work(*each)[0], list(inputs.values()))
    assert gradgradcheck(lambda *each: work(*each)[1], list(inputs.values()))


@pytest.mark.usefixtures("every_backend")
def test_gathering_has_first_and_second_derivatives() -> None:
    inputs = list(given((2, 5, 4, 4, 2), torch.float64).values())[:3]
    assert gradcheck(gather, inputs)
    assert gradgradcheck(lambda *each: gather(*each)[0], inputs)
    assert gradgradcheck(lambda *each: gather(*each)[1], inputs)


@pytest.mark.usefixtures("every_backend")
def test_a_component_that_is_absent_has_no_weight() -> None:
    inputs = given((1, 20, 8, 4, 1), torch.float32)
    inputs["places"].data[:, 1] = -1e4
    _, weights = attend(**inputs, heads=1, normalise=True)
    assert not weights[:, 1].any()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 20))


@pytest.mark.usefixtures("every_backend")
def test_scores_may_be_large() -> None:
    inputs = given((1, 1500, 8, 4, 1), torch.float32)
    inputs["places"].data.mul_(1e4)
    sums, weights = gather(*list(inputs.values())[:3])
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(1, 4))
    assert sums.isfinite().all()


@pytest.mark.usefixtures("every_backend")
def test_scores_may_all_be_far_below_zero() -> None:
    x, keys, places = list(given((1, 1500, 8, 4, 1), torch.float32).values())[:3]
    expected_sums, expected = gather(x, keys, places)
    sums, weights = gather(x, keys, places - 512)
    torch.testing.assert_close(weights, expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(sums, expected_sums, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("every_backend")
def test_what_is_not_a_number_stays_so() -> None:
    inputs = given((1, 40, 8, 4, 1), torch.float32)
    inputs["x"].data[0, 3] = float("nan")
    features, _ = attend(**inputs, heads=1, normalise=True)
    assert features[0, 3].isnan().all()
    assert features[0, 4].isfinite().all()
    sums, _ = gather(*list(inputs.values())[:3])
    assert sums.isnan().all()


@pytest.mark.usefixtures("has_compiler")
def test_threads_change_no_bit() -> None:
    inputs = given((2, 5000, 16, 8, 1), torch.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            features, _ = attend(**inputs, heads=1, normalise=True)
            found.append([features, *torch.autograd.grad(features.sum(), list(inputs.values()))])
    finally:
        torch.set_num_threads(before)
    assert all(one.equal(other) for one, other in zip(*found, strict=True))


def test_other_types_are_composed() -> None:
    inputs = {name: each.detach().half() for name, each in given((1, 4, 4, 2, 1), torch.float32).items()}
    assert not compiled.serves(inputs["x"])
    assert attend(**inputs, heads=1, normalise=True)[0].dtype == torch.float16


def test_more_components_than_a_gpu_has_memory_for_are_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "serves", lambda x: True)

    def is_compiled(device: str, components: int) -> bool:
        return module._is_compiled(*(torch.empty(1, size, 8, device=device) for size in (4, components)))

    with torch._subclasses.FakeTensorMode():
        assert is_compiled("cuda", module.COMPONENTS)
        assert not is_compiled("cuda", module.COMPONENTS + 1)
        assert is_compiled("cpu", module.COMPONENTS + 1)
