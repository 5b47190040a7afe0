"""Perceptual distances: what they are made of, what is printed, and what files are refused."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.config import parse
from ganformer.errors import CheckpointError, ConfigError
from ganformer.metrics.extractors.vgg16 import model as vgg16
from ganformer.perceptual import vgg16 as vgg
from ganformer.perceptual.distance import (
    CONVOLUTIONS,
    PUBLISHED,
    NoPerceptual,
    RandomPerceptual,
    TrainedPerceptual,
    distance,
    load,
)

CPU = torch.device("cpu")
BLOCKS = (2, 2, 3, 3, 3)


def images(count: int = 2, width: int = 16) -> Tensor:
    return torch.rand(count, 3, width, width, generator=torch.Generator().manual_seed(count)) * 2 - 1


def by_hand(one: Tensor, other: Tensor, weights: list[Tensor], biases: list[Tensor], judgement: list[Tensor]) -> Tensor:
    """Compute LPIPS step by step, with the constants of its code."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = (((image - shift[:, None, None]) / scale[:, None, None]).double() for image in (one, other))
    total, layer = torch.zeros(len(one)).double(), 0
    for number, count in enumerate(BLOCKS):
        if number:
            x, y = F.max_pool2d(x, 2), F.max_pool2d(y, 2)
        for _ in range(count):
            weight, bias = weights[layer].double(), biases[layer].double()
            x, y = (F.relu(F.conv2d(z, weight, bias, padding=1)) for z in (x, y))
            layer += 1
        unit = [z / z.pow(2).sum(dim=1, keepdim=True).sqrt().clamp(min=1e-10) for z in (x, y)]
        squares = (unit[0] - unit[1]).pow(2) * judgement[number].double()[:, None, None]
        total += squares.sum(dim=1).mean(dim=(1, 2))
    return total.mean()


# -------------------------------------------------------------------------------------------------- without files


def test_random_weights_are_of_3_by_3_pixels_and_keep_the_size_of_activations() -> None:
    ((first, second),) = vgg.random_weights(np.random.PCG64(0), ((32, 64),))
    assert (first.shape, second.shape) == ((32, 3, 3, 3), (64, 32, 3, 3))
    for weight in (first, second):
        assert weight.var().item() == pytest.approx(2 / weight[0].numel(), rel=0.1)


def test_none_is_nothing_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert distance(NoPerceptual(), CPU)(images(), -images()).item() == 0
    assert capsys.readouterr().out == "perceptual loss: none, images are compared by their pixels only\n"


def test_random_weights_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    distance(RandomPerceptual(channels=4), CPU)
    said = "perceptual loss: VGG16 with random weights (seed 1) in the place of the published LPIPS\n"
    assert capsys.readouterr().out == said


def test_the_first_block_of_random_weights_is_as_wide_as_asked_for() -> None:
    measure = load(RandomPerceptual(channels=8), CPU, "model.perceptual")
    widths = [[len(weight) for weight, _ in block] for block in measure.layers]
    assert widths == [[8, 8], [16, 16], [32] * 3, [64] * 3, [64] * 3]
    assert [judged.tolist() for judged in measure.judgement] == [[1.0] * width for width in (8, 16, 32, 64, 64)]


def test_random_weights_are_those_of_the_seed() -> None:
    pair = images(), images(3)[:2]
    found = [distance(RandomPerceptual(channels=4, seed=seed), CPU)(*pair).item() for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert distance(RandomPerceptual(channels=4, weight=3.0), CPU)(*pair).item() == pytest.approx(3 * found[0])


def test_distance_is_zero_for_the_same_and_grows_with_blur() -> None:
    measure = distance(RandomPerceptual(channels=8), CPU)
    sharp = images()
    blurred = [F.avg_pool2d(sharp, size, stride=1, padding=size // 2) for size in (1, 3, 7)]
    found = [measure(sharp, other).item() for other in blurred]
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert 0 < found[1] < found[2]


def test_every_pair_has_its_distance_and_the_mean_is_the_loss() -> None:
    settings = RandomPerceptual(channels=4, weight=3.0)
    ones, others = images(3), images(4)[:3]
    network = load(settings, CPU, "here")
    alone = [network(ones[i : i + 1], others[i : i + 1]).item() for i in range(3)]
    np.testing.assert_allclose(network.each(ones, others), alone, rtol=1e-5)
    np.testing.assert_allclose(distance(settings, CPU)(ones, others), 3 * np.mean(alone), rtol=1e-5)


def test_the_published_convolutions_are_those_that_are_fetched() -> None:
    assert vgg16.published().files[0].sha256 == PUBLISHED["network_sha256"]


def test_gradients_reach_the_images() -> None:
    one = images().requires_grad_()
    distance(RandomPerceptual(channels=4), CPU)(one, images(3)[:2]).backward()
    assert one.grad is not None
    assert one.grad.any(dim=1).all()


def test_images_may_be_smaller_than_the_network_halves_them() -> None:
    measure = distance(RandomPerceptual(channels=4), CPU)
    assert measure(images(width=8), -images(width=8)).item() > 0


# -------------------------------------------------------------------------------------------------- trained weights


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[list[Tensor]]]:
    """Provide files as torchvision and LPIPS have them, with other numbers, and what is in them."""
    folder = tmp_path_factory.mktemp("weights")
    generator, inputs, parts = torch.Generator().manual_seed(0), 3, [[], [], []]
    network: dict[str, Tensor] = {"classifier.0.bias": torch.zeros(3)}
    numbers = iter((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))
    for width, count in zip((64, 128, 256, 512, 512), BLOCKS, strict=True):
        for _ in range(count):
            weight = torch.randn(width, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            bias = torch.randn(width, generator=generator) / 10
            number = next(numbers)
            network |= {f"features.{number}.weight": weight, f"features.{number}.bias": bias}
            parts[0].append(weight)
            parts[1].append(bias)
            inputs = width
        parts[2].append(torch.rand(width, generator=generator))
    judgement = {f"lin{i}.model.1.weight": values[None, :, None, None] for i, values in enumerate(parts[2])}
    settings: dict[str, Any] = {"kind": "vgg16"}
    for name, state in (("network", network), ("judgement", judgement)):
        path = folder / f"{name}.pth"
        torch.save(state, path)
        settings |= {name: path, f"{name}_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return settings, parts


def test_trained_weights_give_lpips(files: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings, parts = files
    one, other = images(width=32), images(3, width=32)[:2]
    found = distance(TrainedPerceptual(**settings, weight=2.0), CPU)(one, other)
    np.testing.assert_allclose(found.item(), 2 * by_hand(one, other, *parts).item(), rtol=1e-4)
    assert capsys.readouterr().out == ""


def test_files_among_the_results_are_where_these_are_kept(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = files
    monkeypatch.setenv("GANFORMER_RESULTS", str(settings["network"].parent))
    placed = {name: Path("results") / settings[name].name for name in ("network", "judgement")}
    one, other = images(width=32), images(3, width=32)[:2]
    found, expected = (distance(TrainedPerceptual(**each), CPU)(one, other) for each in (settings | placed, settings))
    assert torch.equal(found, expected)


def test_the_convolutions_are_those_of_torchvision() -> None:
    """Every block ends with a pooling, every convolution is followed by a rectifier."""
    numbers, place = [], 0
    for count in BLOCKS:
        for _ in range(count):
            numbers.append(place)
            place += 2
        place += 1
    assert tuple(numbers) == CONVOLUTIONS


def test_a_missing_file_is_named(files: Any) -> None:
    settings = TrainedPerceptual(**{**files[0], "network": Path("/nowhere/vgg16.pth")})
    with pytest.raises(CheckpointError) as caught:
        distance(settings, CPU)
    assert str(caught.value) == (
        "/nowhere/vgg16.pth: weights of the perceptual distance cannot be read (No such file or directory); correct "
        "model.perceptual, or choose its kind random-vgg16, which needs no file"
    )


def test_another_file_is_refused(files: Any) -> None:
    settings = TrainedPerceptual(**{**files[0], "judgement_sha256": "0" * 64})
    with pytest.raises(CheckpointError, match=r"judgement\.pth: sha256 is .*… but model\.perceptual says 0{12}…; put"):
        distance(settings, CPU)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS in place of the file itself"),
        (b"\x1f\x8b\x08" + bytes(20), "is compressed by gzip; unpack it first"),
        (b"<!DOCTYPE html>", "is a web page, as servers send where a file is not to be had"),
    ],
)
@pytest.mark.parametrize("is_expected", [True, False], ids=["its checksum", "another checksum"])
def test_what_is_no_file_of_weights_is_named(
    files: Any, content: bytes, words: str, is_expected: bool, tmp_path: Path
) -> None:
    path = tmp_path / "judgement.pth"
    path.write_bytes(content)
    changes = {"judgement": path, "judgement_sha256": hashlib.sha256(content).hexdigest() if is_expected else "0" * 64}
    with pytest.raises(CheckpointError) as caught:
        distance(TrainedPerceptual(**{**files[0], **changes}), torch.device("cpu"))
    assert str(caught.value).startswith(f"{path}: {words}")


def test_a_file_of_another_network_is_refused(files: Any) -> None:
    settings = TrainedPerceptual(
        **{**files[0], "network": files[0]["judgement"], "network_sha256": files[0]["judgement_sha256"]}
    )
    with pytest.raises(CheckpointError, match=r"the file does not fit the model; missing: features\.0\.weight, "):
        distance(settings, CPU)


def test_a_checksum_is_checked_as_a_setting(files: Any) -> None:
    with pytest.raises(ConfigError, match="network_sha256: String should match pattern"):
        parse(TrainedPerceptual, {**files[0], "network_sha256": "abc"}, "perceptual")
