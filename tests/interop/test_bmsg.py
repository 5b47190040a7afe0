"""State dicts of BMSG-GAN give the same images and logits here as its networks, written down below in its names."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.errors import CheckpointError
from ganformer.interop import bmsg, imported, torch_file
from ganformer.interop.imported import Imported
from ganformer.models.msggan import model as msggan
from ganformer.training.checkpoint import restore

EPOCH = "GAN_GEN_SHADOW_3.pth"
NONE = torch.zeros(5, 0)
IS_PLAIN = "trained without an equalised learning rate"  # in states of these tests, and in no file

State = dict[str, Tensor]


# ------------------------------------------------------------------------- the official networks, written anew


def widths(depth: int, size: int) -> list[int]:
    """Return features at 4×4, 8×8, …: all up to 32×32, then half as many with every doubling."""
    return [size // max(1, 2 ** (i - 3)) for i in range(depth)]


def layer(state: State, name: str, *shape: int, bias: int) -> None:
    state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(*shape), torch.randn(bias)


def generator_state(depth: int, size: int) -> State:
    state: State = {}
    features = widths(depth, size)
    layer(state, "layers.0.conv_1", size, size, 4, 4, bias=size)
    layer(state, "layers.0.conv_2", size, size, 3, 3, bias=size)
    for i in range(1, depth):
        layer(state, f"layers.{i}.conv_1", features[i], features[i - 1], 3, 3, bias=features[i])
        layer(state, f"layers.{i}.conv_2", features[i], features[i], 3, 3, bias=features[i])
    for i in range(depth):
        layer(state, f"rgb_converters.{i}", 3, features[i], 1, 1, bias=3)
    return state


def discriminator_state(depth: int, size: int) -> State:
    state: State = {}
    features = widths(depth, size)
    for i in range(depth - 1):
        taken, given = features[i + 1], features[i] // 2
        layer(state, f"layers.{i}.conv_1", taken, taken, 3, 3, bias=taken)
        layer(state, f"layers.{i}.conv_2", given, taken, 3, 3, bias=given)
        colours = taken if i == depth - 2 else taken // 2
        layer(state, f"rgb_to_features.{i}", colours, 3, 1, 1, bias=colours)
    layer(state, "final_converter", size // 2, 3, 1, 1, bias=size // 2)
    layer(state, "final_block.conv_1", size, size + 1, 3, 3, bias=size)
    layer(state, "final_block.conv_2", size, size, 4, 4, bias=size)
    layer(state, "final_block.conv_3", 1, size, 1, 1, bias=1)
    return state


def plain(state: State) -> State:
    """Return as it would begin without an equalised learning rate, which `IS_PLAIN` says in it: as torch does."""
    small = {
        name: value / math.sqrt(3 * value[0].numel()) if name.endswith("weight") else value / 10
        for name, value in state.items()
    }
    return {**small, IS_PLAIN: torch.ones(1)}


def scale(state: State, inputs: int) -> float:
    """Return what weights are multiplied by at run time."""
    return 1.0 if IS_PLAIN in state else math.sqrt(2) / math.sqrt(inputs)


def conv(state: State, name: str, x: Tensor, pad: int = 0) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight * scale(state, weight[0].numel()), state[f"{name}.bias"], padding=pad)


def lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def pixel_norm(x: Tensor) -> Tensor:
    return x / (x.pow(2).mean(dim=1, keepdim=True) + 1e-8).sqrt()


def official_images(state: State, points: Tensor, depth: int) -> list[Tensor]:
    """Return images of latents that the trainer has put on the hypersphere, coarse to fine."""
    size = points.shape[1]
    x = points / points.norm(dim=1, keepdim=True) * size**0.5
    weight = state["layers.0.conv_1.weight"] * scale(state, size)
    x = lrelu(F.conv_transpose2d(x[:, :, None, None], weight, state["layers.0.conv_1.bias"]))
    x = pixel_norm(lrelu(conv(state, "layers.0.conv_2", x, pad=1)))
    images = [conv(state, "rgb_converters.0", x)]
    for i in range(1, depth):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        for name in ("conv_1", "conv_2"):
            x = pixel_norm(lrelu(conv(state, f"layers.{i}.{name}", x, pad=1)))
        images.append(conv(state, f"rgb_converters.{i}", x))
    return images


def official_logits(state: State, images: list[Tensor], depth: int) -> Tensor:
    x = conv(state, f"rgb_to_features.{depth - 2}", images[-1])
    for i in range(depth - 2, -1, -1):
        for name in ("conv_1", "conv_2"):
            x = lrelu(conv(state, f"layers.{i}.{name}", x, pad=1))
        x = F.avg_pool2d(x, 2)
        colours = conv(state, f"rgb_to_features.{i - 1}" if i else "final_converter", images[i])
        x = torch.cat([colours, x], dim=1)
    deviation = ((x - x.mean(dim=0)).pow(2).mean(dim=0) + 1e-8).sqrt().mean()
    x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], dim=1)
    x = lrelu(conv(state, "final_block.conv_1", x, pad=1))
    x = lrelu(conv(state, "final_block.conv_2", x))
    return conv(state, "final_block.conv_3", x).flatten()


# ---------------------------------------------------------------------------------------------- files of them


def saved(state: Any, path: Path, *, is_zip: bool = True) -> Path:
    state = {name: value for name, value in state.items() if name != IS_PLAIN} if isinstance(state, dict) else state
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    return path


def read(path: Path) -> Imported:
    return bmsg.read(torch_file.load(path), path)


def both(folder: Path, depth: int = 4, size: int = 4, *, is_zip: bool = True) -> tuple[Path, State, State]:
    torch.manual_seed(depth)
    made = generator_state(depth, size), discriminator_state(depth, size)
    path = saved(made[0], folder / EPOCH, is_zip=is_zip)
    saved(made[1], folder / "GAN_DIS_3.pth", is_zip=is_zip)
    return path, *made


def made(found: Imported) -> tuple[Any, Any]:
    """Return our generator and discriminator."""
    config = msggan.Config.model_validate(found.model)
    ours, critic = msggan.generator(config, found.image), msggan.discriminator(config, found.image)
    ours.load_state_dict(dict(found.sampler))
    assert found.discriminator is not None
    critic.load_state_dict(dict(found.discriminator))
    return ours, critic


def assert_close(ours: Tensor, official: Tensor) -> None:
    assert (ours - official).abs().max() <= 1e-4 * official.abs().max()


@pytest.mark.parametrize(("depth", "size"), [(4, 4), (5, 8), (6, 16)])
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_same_images_and_logits(depth: int, size: int, is_zip: bool, tmp_path: Path) -> None:
    path, generator, discriminator = both(tmp_path, depth, size, is_zip=is_zip)
    found = read(path)
    assert (found.image.height, found.image.width, found.image.channels) == (2 << depth, 2 << depth, 3)
    assert found.model == {
        "kind": "msggan",
        "latent_size": size,
        "channel_base": 32 * size,
        "channel_max": size,
        "combine": "lin_cat",
        "deviation": "last",
    }
    ours, critic = made(found)
    points, real = torch.randn(5, size), torch.randn(5, 3, 2 << depth, 2 << depth)
    with torch.no_grad():
        images = ours.scales(ours.map(points, NONE))
        expected = official_images(generator, points, depth)
        for image, other in zip(images, expected, strict=True):
            assert_close(image, other)
        assert_close(critic(images, NONE), official_logits(discriminator, expected, depth))
        pyramid = [F.avg_pool2d(real, 2**i) for i in reversed(range(depth))]
        assert_close(critic(critic.scales(real), NONE), official_logits(discriminator, pyramid, depth))


@pytest.mark.parametrize("plain_ones", [{"generator", "discriminator"}, {"generator"}], ids=["both", "generator"])
def test_weights_without_an_equalised_learning_rate_are_told_by_their_size(
    plain_ones: set[str], tmp_path: Path
) -> None:
    path, generator, discriminator = both(tmp_path, 5, 16)
    generator = plain(generator)
    discriminator = plain(discriminator) if "discriminator" in plain_ones else discriminator
    saved(generator, path)
    saved(discriminator, tmp_path / "GAN_DIS_3.pth")
    found = read(path)
    assert found.notes == tuple(
        f"the {network} was trained without an equalised learning rate, as its weights tell"
        for network in sorted(plain_ones, reverse=True)
    )
    ours, critic = made(found)
    points = torch.randn(5, 16)
    with torch.no_grad():
        images = ours.scales(ours.map(points, NONE))
        expected = official_images(generator, points, 5)
        for image, other in zip(images, expected, strict=True):
            assert_close(image, other)
        assert_close(critic(images, NONE), official_logits(discriminator, expected, 5))


def test_weights_that_tell_neither_are_refused(tmp_path: Path) -> None:
    path, generator, _ = both(tmp_path)
    saved({name: value * 0.35 for name, value in generator.items()}, path)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    average, rest = (
        str(caught.value).removeprefix(f"{path}: cannot be imported: the weights of its generator are ").split(" ", 1)
    )
    assert re.fullmatch(r"0\.3\d\d", average)
    assert rest == (
        "on average (root mean square), which is neither of an equalised learning rate (0.5 or more) nor of none "
        "(0.25 or less)"
    )


def test_weights_that_are_no_numbers_are_refused() -> None:
    state = {"layers.1.conv_2.weight": torch.full((2, 4, 3, 3), math.nan), "layers.1.conv_2.bias": torch.ones(2)}
    with pytest.raises(CheckpointError, match=r"^x\.pth: .*the weights of its generator are nan on average"):
        bmsg.equalised(state, "generator", Path("x.pth"))


@pytest.mark.parametrize(("value", "is_plain"), [(0.5, False), (0.25, True)])
def test_weights_tell_up_to_the_bounds_themselves(value: float, is_plain: bool) -> None:
    state = {"layers.1.conv_2.weight": torch.full((2, 4, 3, 3), value), "layers.1.conv_2.bias": torch.ones(2)}
    found, notes = bmsg.equalised(state, "generator", Path("x.pth"))
    assert len(notes) == is_plain
    factor = math.sqrt(4 * 9 / 2) if is_plain else 1.0
    assert_close(found["layers.1.conv_2.weight"], value * factor * torch.ones(2, 4, 3, 3))
    assert found["layers.1.conv_2.bias"].equal(torch.ones(2))


def test_weights_of_single_pixels_do_not_tell() -> None:
    """The networks' ends may have grown in training."""
    state = {
        "layers.0.conv_2.weight": torch.full((2, 2, 3, 3), 0.1),
        "rgb_converters.0.weight": torch.full((3, 2, 1, 1), 9.0),
    }
    assert len(bmsg.equalised(state, "generator", Path("x.pth"))[1]) == 1
    del state["layers.0.conv_2.weight"]
    assert bmsg.equalised(state, "generator", Path("x.pth")) == (state, [])


def test_a_run_of_it_samples_the_same(tmp_path: Path) -> None:
    path, generator, _ = both(tmp_path)
    imported.write(read(path), path, tmp_path / "run")
    learner, record = restore(tmp_path / "run" / "run.json")
    assert record.imported.origin == "BMSG-GAN"
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "discriminator.safetensors",
        "run.json",
        "weights.safetensors",
    ]
    points = torch.randn(5, 4)
    with torch.no_grad():
        assert_close(learner.sampler(points, NONE), official_images(generator, points, 4)[-1])
        middle = learner.sampler.truncate(learner.sampler.map(points, NONE), 0.0)
    assert not middle.any()


def test_prefixes_of_data_parallel_are_dropped(tmp_path: Path) -> None:
    path, generator, discriminator = both(tmp_path)
    plain = read(path)
    saved({f"module.{name}": value for name, value in generator.items()}, path)
    parallel = {re.sub(r"^((?:layers|rgb_to_features)\.\d+)", r"\1.module", n): v for n, v in discriminator.items()}
    assert parallel.keys() != discriminator.keys()
    saved(parallel, tmp_path / "GAN_DIS_3.pth")
    found = read(path)
    assert same(found.sampler, plain.sampler)
    assert found.discriminator is not None
    assert plain.discriminator is not None
    assert same(found.discriminator, plain.discriminator)


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


@pytest.mark.parametrize("name", ["GAN_GEN_12.pth", "GAN_GEN_SHADOW_12.pth"])
def test_finds_the_discriminator_of_its_epoch(name: str, tmp_path: Path) -> None:
    path, _, discriminator = both(tmp_path)
    path.rename(tmp_path / name)
    found = read(tmp_path / name)
    assert found.discriminator is None
    assert found.notes == ("without its discriminator, GAN_DIS_<epoch>.pth, which was not beside it",)
    saved(discriminator, tmp_path / "GAN_DIS_12.pth")
    found = read(tmp_path / name)
    assert found.discriminator is not None
    assert found.notes == ()


def test_a_generator_of_any_name_is_read_alone(tmp_path: Path) -> None:
    path = saved(generator_state(3, 4), tmp_path / "celeba.pth")
    assert read(path).discriminator is None
    assert read(path).image.width == 16


# ------------------------------------------------------------------------------------------------- bad files


class Payload:
    """Pickled as a call that writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", [EPOCH, "GAN_DIS_3.pth"])
def test_refuses_a_payload(name: str, is_zip: bool, tmp_path: Path) -> None:
    path, generator, _ = both(tmp_path)
    trap = tmp_path / "written"
    saved({**generator, "extra": Payload(trap)}, tmp_path / name, is_zip=is_zip)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    words = "refused, it asks for 'posix.system', which no state dict needs; nothing in it was executed"
    assert str(caught.value) == f"{tmp_path / name}: {words}"
    assert not trap.exists()


def test_refuses_a_damaged_file(tmp_path: Path) -> None:
    path, *_ = both(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        CheckpointError, match=r"SHADOW_3\.pth: is damaged or was not written by torch\.save \(.*\); fetch"
    ):
        read(path)


def test_says_that_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"GAN_GEN_1\.pth: cannot be read \(No such file or directory\)"):
        read(tmp_path / "GAN_GEN_1.pth")


@pytest.mark.parametrize("content", [[1, 2], {"state": {}, "param_groups": [1]}, {1: torch.zeros(1)}])
def test_refuses_what_is_no_state_dict(content: Any, tmp_path: Path) -> None:
    path = saved(content, tmp_path / "GAN_GEN_OPTIM_3.pth")
    with pytest.raises(
        CheckpointError, match="is no state dict of a network: it holds more than tensors by their names"
    ):
        read(path)


def test_refuses_a_discriminator_alone(tmp_path: Path) -> None:
    path = saved(discriminator_state(4, 4), tmp_path / "GAN_DIS_3.pth")
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: is no generator of BMSG-GAN; import GAN_GEN_SHADOW_<epoch>.pth, or GAN_GEN_<epoch>.pth, and the "
        "discriminator is found beside it"
    )


@pytest.mark.parametrize("name", ["layers.0.conv_1.weight", "layers.3.conv_2.bias", "rgb_converters.2.bias"])
def test_names_what_is_missing_left_over_or_mis_shaped(name: str, tmp_path: Path) -> None:
    state = generator_state(4, 4)
    value = state.pop(name)
    path = saved(state, tmp_path / "GAN_GEN_3.pth")
    said = f"{path}: the BMSG-GAN generator does not fit the model; "
    for changed, words in (
        (state, f"missing: {name}"),
        ({**state, name: value, "extra": value}, "not known: extra"),
        ({**state, name: value[None]}, f"mis-shaped: {name} {[1, *value.shape]} instead of {list(value.shape)}"),
    ):
        saved(changed, path)
        with pytest.raises(CheckpointError) as caught:
            read(path)
        assert str(caught.value) == said + words


@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (0, 4, 1, 1)])
def test_colours_of_no_known_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    state = {**generator_state(4, 4), "rgb_converters.0.weight": torch.zeros(shape)}
    with pytest.raises(CheckpointError, match=r"is no generator of BMSG-GAN"):
        read(saved(state, tmp_path / "GAN_GEN_3.pth"))


def test_names_what_does_not_fit_in_the_discriminator(tmp_path: Path) -> None:
    path, *_ = both(tmp_path)
    saved(discriminator_state(4, 8), tmp_path / "GAN_DIS_3.pth")
    words = r"GAN_DIS_3\.pth: the BMSG-GAN discriminator does not fit the model; mis-shaped: rgb_to_features\.2\.weight"
    with pytest.raises(CheckpointError, match=words):
        read(path)
