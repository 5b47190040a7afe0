"""Training with features in bfloat16 and float16: near float32, in float32 where it matters, as reproducible."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from ganformer import devices
from ganformer.config import ImageSpec, Spec
from ganformer.config.base import parse
from ganformer.errors import TrainingError
from ganformer.nn.layers import Clamped, ModulatedConvolution
from ganformer.nn.resampling import Convolve, Operation, use_dtype
from ganformer.training.checkpoint import build
from ganformer.training.learner import Learner, Reals
from ganformer.training.update import Update

SMALL = {"channel_base": 128, "channel_max": 16, "latent_size": 16}
MODELS = {
    "gan": SMALL,
    "kgan": {**SMALL, "components": 2, "merge_resolution": 8},
    "sagan": {**SMALL, "attention_resolutions": [8]},
    "stylegan2": {**SMALL, "adversarial": {"path_length_weight": 2}},
    "msggan": SMALL,
    "simplex": {**SMALL, "kind": "ganformer", "components": 4, "attention": "simplex", "integration": "both"},
    "duplex": {
        **SMALL,
        "kind": "ganformer",
        "components": 4,
        "attention": "duplex",
        "iterations": 2,
        "image_gate": True,
    },
    "centroid": {
        **SMALL,
        "kind": "ganformer",
        "components": 4,
        "attention": "centroid",
        "iterations": 2,
        "carried_centroids": True,
        "discriminator_components": 2,
    },
    "vqgan": {
        "channels": 8,
        "channel_multipliers": [1, 2],
        "groups": 4,
        "latent_channels": 8,
        "codes": 16,
        "code_size": 8,
        "attention_downsampling": [],
        "perceptual": {"kind": "none"},
        "discriminator": {"channels": 8, "layers": 1},
        "transformer": {"layers": 1, "heads": 2, "width": 16},
    },
}


TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def learner(model: str, precision: str, **training: Any) -> Learner:
    settings = {
        "image": ImageSpec(height=16, width=16).model_dump(),
        "mirror": False,
        "seed": 0,
        "training": {"kimg": 1, "batch": 4, "precision": precision, **training},
        "model": {"kind": model, **MODELS[model]},
    }
    return build(parse(Spec, settings, "spec"))


def batch(seed: int) -> list[Reals]:
    generator = torch.Generator().manual_seed(seed)
    return [Reals(torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1, torch.zeros(4, 0))]


def trained(model: str, precision: str, steps: range = range(3)) -> Learner:
    learner_ = learner(model, precision)
    with devices.reproducible(1):
        for step in steps:
            torch.manual_seed(step)
            scalars = learner_.step(batch(step), step)
            assert all(torch.as_tensor(value).isfinite() for value in scalars.values())
    return learner_


def images(learner_: Learner) -> Tensor:
    return learner_.sample(torch.zeros(4, 0), [1, 2, 3, 4])


@pytest.mark.slow
@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_near_float32(model: str, precision: str) -> None:
    wide, narrow = trained(model, "float32"), trained(model, precision)
    assert {value.dtype for value in narrow.network.state_dict().values()} <= {torch.float32, torch.int64}
    first, second = (torch.cat([p.flatten() for p in each.network.parameters()]) for each in (wide, narrow))
    assert not first.equal(second)
    assert (first - second).norm() < 0.2 * first.norm()
    shown = images(narrow)
    assert shown.dtype == torch.float32
    assert shown.isfinite().all()


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.05), ("float16", 0.005)])
def test_the_first_images_are_near_those_of_float32(model: str, precision: str, tolerance: float) -> None:
    expected, found = images(learner(model, "float32")), images(learner(model, precision))
    assert not found.equal(expected)
    assert (found - expected).norm() < tolerance * expected.norm()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_same_bits_come_of_the_same_steps(model: str) -> None:
    one, other = (trained(model, "bfloat16", range(2)).network.state_dict() for _ in range(2))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
@pytest.mark.parametrize("precision", TYPES)
def test_features_are_narrow_and_what_is_delicate_is_not(model: str, precision: str) -> None:
    network = learner(model, precision).network
    operations = [part for part in network.modules() if isinstance(part, Operation)]
    assert operations
    assert {part.dtype for part in operations} == {TYPES[precision]}
    generator, discriminator = network.generator, network.discriminator
    w = generator.map(generator.latents(4), torch.zeros(4, 0))
    scales = generator.scales(w)
    logits = discriminator(scales, torch.zeros(4, 0))
    assert {w.dtype, logits.dtype, *(scale.dtype for scale in scales)} == {torch.float32}


def clamps(network: nn.Module) -> list[tuple[float | None, float]]:
    return [(part.clamp, part.gain) for part in network.modules() if isinstance(part, Clamped)]


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
def test_layers_are_limited_in_float16_only(model: str) -> None:
    assert {clamp for clamp, _ in clamps(learner(model, "bfloat16").network)} == {None}
    limits = clamps(learner(model, "float16").network)
    assert limits
    assert all(clamp == 256 * gain for clamp, gain in limits)


def test_limit_that_was_set_stays() -> None:
    settings = {**SMALL, "activation_clamp": 100.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "stylegan2", settings)
        limits = clamps(learner("stylegan2", "float16").network)
    assert all(clamp == 100 * gain for clamp, gain in limits)


def test_large_styles_of_large_features_are_within_float16() -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(32, 16, 8, Convolve())
    with torch.no_grad():
        layer.affine.bias.mul_(torch.linspace(100, 3000, 32))
    x, style = 100 * torch.randn(2, 32, 8, 8), torch.randn(2, 8)
    expected = layer(x, style)
    use_dtype(layer, torch.float16)
    found = layer(x, style)
    assert found.dtype == torch.float16
    assert (found.float() - expected).norm() < 2e-3 * expected.norm()


def test_styles_in_float16_are_divided_by_the_size_of_the_largest() -> None:
    layer = ModulatedConvolution(2, 16, 1, Convolve()).requires_grad_(False)
    layer.affine.weight.zero_()
    layer.affine.bias.copy_(torch.tensor([-4.0, 2.0]))
    x, style = torch.randn(3, 2, 8, 8), torch.zeros(3, 1)
    scaled = x * torch.tensor([-1.0, 0.5])[:, None, None]
    expected = torch.nn.functional.conv2d(scaled, layer.weight * layer.scale, padding=1)
    use_dtype(layer, torch.float16)
    torch.testing.assert_close(layer.undemodulated(x, style)[0].float(), expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("repairs", [True, False])
def test_gradients_beyond_float16_are_repaired(repairs: bool) -> None:
    parameter = nn.Parameter(torch.ones(3))
    update = Update("generator", [parameter], SGD([parameter], lr=1.0), repairs=repairs)
    factors = torch.tensor([2.0, 1.0, -1.0])

    def loss(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        root = (parameter[1:] - 1).abs().sqrt()  # its gradient at 0 is not finite
        return parameter[0] * factors[0] + (root * factors[1:]).sum() + x.sum(), {}

    if repairs:
        update.minimise(loss, [(torch.zeros(1),)])
        assert parameter[0] == -1
        assert parameter.isfinite().all()
    else:
        with pytest.raises(TrainingError, match="the generator's gradient has the norm nan"):
            update.minimise(loss, [(torch.zeros(1),)])


@pytest.mark.parametrize(("wrong", "repaired"), [(torch.nan, 0.0), (torch.inf, 1e5), (-torch.inf, -1e5)])
def test_values_of_repaired_gradients(wrong: float, repaired: float) -> None:
    parameter = nn.Parameter(torch.zeros(1))
    parameter.register_hook(lambda gradient: torch.full_like(gradient, wrong))
    Update("generator", [parameter], SGD([parameter], lr=1.0), repairs=True).minimise(
        lambda: (parameter.sum(), {}), [()]
    )
    assert parameter.item() == -repaired


def test_tf32_is_used_where_it_is_asked_for_and_nowhere_else() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    for asked in (True, False):
        with devices.reproducible(1, tf32=asked):
            assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (asked, asked)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
