"""Path lengths: of generators whose lengths are known, defined as in the published code, of every model with paths."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import geometric_slerp
from torch import Tensor, nn

from ganformer import plugins
from ganformer.config import AdversarialSettings, ImageSpec, parse
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.metrics import path_length
from ganformer.metrics.path_length import PathLength, face, measure, points, shrunk, slerp, spaces, trimmed_mean
from ganformer.models.ganformer.parts import present
from ganformer.nn.interfaces import Discriminator, Generator
from ganformer.nn.layers import Noise
from ganformer.perceptual import distance as perceptual
from ganformer.records.run import Run
from ganformer.training import distribution
from ganformer.training.adversarial import Adversarial
from ganformer.training.samples import draw_labels, latents
from tests.run_records import run_record
from tests.variants import variants

CPU = torch.device("cpu")
SIDE = 8
SHAPE = (3, SIDE, SIDE)
SIZE = 3 * SIDE * SIDE  # of a latent: as many values as an image
PAIRS = 40  # more than are compared at a time
KINDS = {model["kind"]: model for model in variants()}


class DrawingGenerator(Generator):
    """Images are what `draw` makes of w, which is z, times 1 or more where there are labels."""

    def __init__(self, draw: Any) -> None:
        super().__init__((SIZE,), SIZE)
        self.draw = draw
        self.unused = nn.Parameter(torch.zeros(()))
        self.noise = Noise(SIDE, SIDE)

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        return (z * (1 + labels.argmax(dim=1, keepdim=True) if labels.shape[1] else 1))[:, None]

    def synthesise(self, w: Tensor) -> Tensor:
        images: Tensor = self.draw(w[:, 0].unflatten(1, SHAPE))
        return images + self.noise(images)


class Critic(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: Any, labels: Tensor) -> Tensor:
        return images[-1].mean(dim=(1, 2, 3))


def new_learner(draw: Any = lambda w: w, noise: float = 0.0) -> Adversarial:
    generator = DrawingGenerator(draw)
    with torch.no_grad():
        generator.noise.strength.fill_(noise)
    return Adversarial(generator, Critic(), AdversarialSettings())


def built(kind: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    module = plugins.find("ganformer.models", kind)
    return module.build(parse(module.Config, {**KINDS[kind], **changes}, "model"), ImageSpec(height=16, width=16))


def record(kind: str = "stylegan2", label_counts: Any = ()) -> Run:
    return run_record(
        {
            "run": {"dataset": "scenes", "model": "tiny", "seed": 0},
            "spec": {"model": {"kind": kind}},
            "data": {"label_counts": list(label_counts)},
        }
    )


def settings(**changes: Any) -> PathLength:
    network = {"kind": "random-vgg16", "channels": 4}
    return parse(PathLength, {"network": network, "images": PAIRS, **changes}, "path_length")


@pytest.fixture
def squares(monkeypatch):
    """Compare by the mean square of what differs."""

    def each(images, others):
        return (images - others).square().mean(dim=(1, 2, 3))

    monkeypatch.setattr(perceptual, "load", lambda *_: SimpleNamespace(each=each))


def lengths(learner: Adversarial, picture: tuple[int, int] = (SIDE, SIDE), seed: int = 0, **changes: Any) -> Any:
    known = record(label_counts=changes.pop("label_counts", ()))
    return measure(settings(**changes), learner, known, picture, CPU, seed)


def pairs(count: int = PAIRS, first: int = 0) -> tuple[Any, Any]:
    """Return both latents [n, SIZE] of the pairs of these seeds."""
    z = latents((2, SIZE), range(first, first + count)).double().numpy()
    return z[:, 0], z[:, 1]


def angles(start: Any, goal: Any) -> Any:
    cosines = (start * goal).sum(axis=1) / np.linalg.norm(start, axis=1) / np.linalg.norm(goal, axis=1)
    return np.arccos(cosines)


# ------------------------------------------------------------------------------------------------- known lengths


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
def test_in_w_a_linear_generator_has_the_length_of_the_chord(squares, epsilon):
    start, goal = pairs()
    squared = np.square(3 * (goal - start)).mean(axis=1)
    found = lengths(new_learner(lambda w: 3 * w), spaces=["w"], epsilon=epsilon, outliers=0)
    assert found.keys() == {"ppl_w_full", "ppl_w_full_std", "ppl_w_end", "ppl_w_end_std"}
    for sampling in ("full", "end"):
        assert found[f"ppl_w_{sampling}"] == pytest.approx(squared.mean(), rel=1e-3)
        assert found[f"ppl_w_{sampling}_std"] == pytest.approx(squared.std(ddof=1) / PAIRS**0.5, rel=0.02)


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
def test_in_z_a_linear_generator_has_the_angle_as_its_length(squares, epsilon):
    squared = np.square(2 * np.sin(epsilon * angles(*pairs()) / 2) / epsilon)  # on the unit circle, a chord
    found = lengths(new_learner(), spaces=["z"], epsilon=epsilon, outliers=0)
    assert found["ppl_z_full"] == pytest.approx(squared.mean(), rel=1e-3)
    assert found["ppl_z_end"] == pytest.approx(squared.mean(), rel=1e-3)


def test_full_is_anywhere_and_end_is_the_beginning(squares):
    """If images are squares of w, their lengths depend on the place."""
    start, goal = pairs()
    t = points(range(PAIRS)).numpy()[:, None]
    found = lengths(new_learner(lambda w: w**2), spaces=["w"], outliers=0)
    for sampling, w in (("full", start + (goal - start) * t), ("end", start)):
        expected = np.square(2 * w * (goal - start)).mean()
        assert found[f"ppl_w_{sampling}"] == pytest.approx(expected, rel=1e-2), sampling
    assert found["ppl_w_end"] > 1.2 * found["ppl_w_full"]


def test_points_are_uniform():
    t = points(range(2000))
    assert t.dtype == torch.float64
    np.testing.assert_allclose(np.quantile(t, [0, 0.25, 0.5, 0.75, 1]), [0, 0.25, 0.5, 0.75, 1], atol=0.04)


def test_points_are_other_numbers_than_those_of_latents_and_labels():
    drawn = [np.random.RandomState([seed, 2]).random_sample() for seed in (0, 123_456)]
    np.testing.assert_array_equal(points([0, 123_456]), drawn)
    np.testing.assert_allclose(drawn, [0.0114511, 0.2563243], atol=1e-7)


def test_images_with_opacity_are_compared_on_white(squares):
    start, goal = (z.reshape(PAIRS, *SHAPE)[:, :2] for z in pairs())  # two of three channels: grey and opacity of each

    def painted(w):
        return torch.cat([w[:, :1].expand(-1, 3, -1, -1), w[:, 1:2]], dim=1)

    def grey(w):  # of 255, on white, in [-1, 1]
        part = (w[:, 1] + 1) / 2
        return w[:, 0] * part + 1 - part

    epsilon = 1e-4
    squared = np.square((grey(start + epsilon * (goal - start)) - grey(start)) / epsilon).mean(axis=(1, 2))
    found = lengths(new_learner(painted), spaces=["w"], outliers=0)
    assert found["ppl_w_end"] == pytest.approx(squared.mean(), rel=1e-2)


def test_noise_is_the_same_for_both_images(squares):
    values = lengths(new_learner(noise=5.0), outliers=0)
    for name, value in lengths(new_learner(), outliers=0).items():
        assert values[name] == pytest.approx(value, rel=0.02)


def test_labels_are_those_of_the_seeds_for_both_images(squares):
    start, goal = pairs()
    factors = 1 + draw_labels([3, 1, 4], range(PAIRS)).argmax(dim=1).numpy()
    expected = np.square(factors[:, None] * (goal - start)).mean()
    found = lengths(new_learner(), spaces=["w"], outliers=0, label_counts=[3, 1, 4])
    assert found["ppl_w_full"] == pytest.approx(expected, rel=1e-3)


def test_a_path_begins_at_the_latent_of_its_image():
    np.testing.assert_array_equal(pairs(4, first=7)[0], latents((SIZE,), range(7, 11)))


def test_seed_chooses_the_next_pairs(squares):
    start, goal = pairs(6, first=12)
    found = lengths(new_learner(), spaces=["w"], images=6, seed=2, outliers=0)
    assert found["ppl_w_end"] == pytest.approx(np.square(goal - start).mean(), rel=1e-3)


def test_outliers_are_left_out(squares):
    start, goal = pairs()
    squared = np.sort(np.square(goal - start).mean(axis=1))
    found = lengths(new_learner(), spaces=["w"], outliers=10)
    assert found["ppl_w_end"] == pytest.approx(squared[3:-3].mean(), rel=1e-3)


def test_only_the_picture_is_compared(squares):
    """Not what moves in the bars above and below it."""
    rows = torch.arange(SIDE)
    in_bars = ((rows < 2) | (rows >= 6)).float()[:, None]
    found = lengths(new_learner(lambda w: w * (1 + 9 * in_bars)), picture=(4, SIDE), spaces=["w"], outliers=0)
    start, goal = (z.reshape(PAIRS, *SHAPE)[:, :, 2:6] for z in pairs())
    assert found["ppl_w_end"] == pytest.approx(np.square(goal - start).mean(), rel=1e-3)


def test_crop_is_where_faces_are(squares):
    found = lengths(new_learner(), spaces=["w"], outliers=0, crop=True)
    start, goal = (z.reshape(PAIRS, *SHAPE)[:, :, 3:7, 2:6] for z in pairs())
    assert found["ppl_w_end"] == pytest.approx(np.square(goal - start).mean(), rel=1e-3)


def test_several_processes_find_the_same(squares, monkeypatch, capsys):
    alone, kept = lengths(new_learner(), images=70), []
    assert "path lengths" in "".join(capsys.readouterr())
    monkeypatch.setattr(distribution, "ranks", lambda: 2)
    monkeypatch.setattr(distribution, "rank", lambda: 1)
    monkeypatch.setattr(distribution, "gather", lambda found: kept.append(found) or [])
    assert lengths(new_learner(), images=70) == {}
    assert capsys.readouterr() == ("", "")  # one process says how far all are
    monkeypatch.setattr(distribution, "rank", lambda: 0)
    monkeypatch.setattr(distribution, "gather", lambda found: [found, *kept])
    assert sum(part.shape[1] for part in kept[0]) == 32
    assert lengths(new_learner(), images=70) == alone


# ------------------------------------------------------------------------------------------------- its parts


def test_slerp_is_scipys():
    draw = np.random.RandomState(0)
    start, goal = draw.standard_normal((2, 5, 7))
    t = draw.random_sample((5, 1))
    found = slerp(*map(torch.from_numpy, (start, goal, t))).numpy()
    units = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (start, goal)]
    expected = [geometric_slerp(*ends, float(part[0])) * 7**0.5 for *ends, part in zip(*units, t, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_slerp_by_hand():
    start, goal = torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 0.1]])
    middle = slerp(start, goal, torch.tensor([[0.5]]))
    np.testing.assert_allclose(middle, [[1, 1]], rtol=1e-6)  # on the circle of radius √2
    np.testing.assert_allclose(slerp(start, goal, torch.tensor([[0.0]])), [[2**0.5, 0]], rtol=1e-6)
    np.testing.assert_allclose(slerp(start, start, torch.tensor([[0.3]])), [[2**0.5, 0]], rtol=1e-6)


def test_every_component_has_its_own_circle():
    start, goal = torch.randn(2, 4, 3, 6, generator=torch.Generator().manual_seed(0)).double()
    t = torch.rand(4, 1, 1, dtype=torch.float64)
    whole = slerp(start, goal, t)
    for component in range(3):
        one = slerp(start[:, component], goal[:, component], t[:, 0])
        torch.testing.assert_close(whole[:, component], one)
    torch.testing.assert_close(whole.norm(dim=-1), torch.full((4, 3), 6**0.5, dtype=torch.float64))


def test_large_images_are_averaged_over_squares():
    image = torch.rand(1, 3, 512, 768)
    assert shrunk(image).shape == (1, 3, 170, 256)
    square = torch.rand(1, 3, 512, 512)
    np.testing.assert_allclose(shrunk(square), square.reshape(1, 3, 256, 2, 256, 2).mean((3, 5)), rtol=1e-5)
    assert shrunk(square[..., :256, :300]).shape == (1, 3, 256, 300)


def test_faces_are_in_the_middle():
    columns = torch.arange(16.0).expand(1, 1, 16, 16)
    assert face(columns)[0, 0, 0].tolist() == list(range(4, 12))
    assert face(columns.transpose(2, 3))[0, 0, :, 0].tolist() == list(range(6, 14))


def test_trimmed_mean_by_hand():
    values = np.arange(101.0) ** 2
    kept, moved = values[1:100], np.clip(values, 1, 99**2)
    mean, error = trimmed_mean(values, 1.0)
    assert mean == kept.mean()
    assert error == pytest.approx(moved.std(ddof=1) / (99 / 101) / 101**0.5)
    assert trimmed_mean(values, 0.0) == pytest.approx((values.mean(), values.std(ddof=1) / 101**0.5))


def test_trimmed_mean_rejects_what_the_published_code_does():
    values = np.random.RandomState(0).lognormal(size=1037)
    low, high = np.percentile(values, 1, method="lower"), np.percentile(values, 99, method="higher")
    assert trimmed_mean(values, 1.0)[0] == np.extract((low <= values) & (values <= high), values).mean()


def test_its_error_is_that_of_other_draws():
    draws = np.random.RandomState(0).lognormal(sigma=1.5, size=(400, 1000))
    found = np.array([trimmed_mean(values, 1.0) for values in draws])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)


# ------------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"vqgan"}))
def test_every_model_with_paths_is_measured(kind):
    learner = built(kind)
    chosen = {"spaces": spaces(learner), "images": 4}
    found = measure(settings(**chosen), learner, record(kind), (16, 16), CPU)
    assert found.keys() == {
        f"ppl_{space}_{sampling}{ending}"
        for space in spaces(learner)
        for sampling in ("full", "end")
        for ending in ("", "_std")
    }
    assert all(np.isfinite(value) and value > 0 for value in found.values())
    assert measure(settings(**chosen), learner, record(kind), (16, 16), CPU) == found


def test_no_component_is_absent_from_paths():
    learner = built("ganformer", component_dropout=0.5)
    walk = path_length.Walk(settings(), learner.sampler, [], (16, 16), lambda *_: torch.zeros(4), "", CPU)
    for space in ("z", "w"):
        for w in walk._ends(range(4), space, "full"):
            assert present(w).all()


def test_memory_bounds_the_pairs_that_are_compared_at_a_time():
    def at_a_time(rows, columns):
        return path_length.Walk(settings(), new_learner().sampler, [], (rows, columns), None, "", CPU).pairs

    assert [at_a_time(*side) for side in ((16, 16), (128, 128), (256, 256), (192, 256), (1024, 1024))] == [
        32,
        32,
        8,
        10,
        8,
    ]


# ------------------------------------------------------------------------------------------------- bad input


def test_models_without_paths_are_refused():
    learner = built("vqgan")
    assert spaces(learner) == ()
    with pytest.raises(ConfigError) as caught:
        measure(settings(), learner, record("vqgan"), (16, 16), CPU)
    assert str(caught.value) == (
        "evaluation.path_length: vqgan makes no images of latents in one go, so that there are no paths to measure; "
        "leave it out, or measure one of gan, ganformer, kgan, msggan, sagan, stylegan2"
    )


def test_models_without_a_mapping_network_have_no_w():
    with pytest.raises(ConfigError) as caught:
        measure(settings(), built("msggan"), record("msggan"), (16, 16), CPU)
    assert str(caught.value) == (
        "evaluation.path_length.spaces: msggan has no mapping network, so that there are no paths in w; set it to [z]"
    )


def test_one_pair_is_too_few():
    with pytest.raises(DataError) as caught:
        lengths(new_learner(), images=1)
    assert str(caught.value) == (
        "scenes/tiny: 1 pair of images is too few for path lengths, whose error is measured, too; set "
        "evaluation.path_length.images to at least 2"
    )


def test_faces_are_cut_out_of_squares_only():
    with pytest.raises(ConfigError) as caught:
        lengths(new_learner(), picture=(6, 8), crop=True)
    assert str(caught.value) == (
        "evaluation.path_length.crop: is of faces in the middle of square images, but images of scenes/tiny are 8×6; "
        "set it to false"
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_refused(squares, bad):
    with pytest.raises(DataError) as caught:
        lengths(new_learner(lambda w: w * bad))
    assert str(caught.value) == (
        "scenes/tiny: images on the paths between latents hold NaN or infinity, so the training diverged; a smaller "
        "learning rate or a larger r1_gamma often helps"
    )


def test_a_missing_network_is_named_by_its_setting():
    network = {
        "kind": "vgg16",
        "network": "/nowhere/vgg16.pth",
        "judgement": "/nowhere/vgg.pth",
        **perceptual.PUBLISHED,
    }
    chosen = settings(network=network)
    assert chosen.inputs == (Path("/nowhere/vgg16.pth"), Path("/nowhere/vgg.pth"))
    assert settings().inputs == ()
    with pytest.raises(CheckpointError) as caught:
        measure(chosen, new_learner(), record(), (SIDE, SIDE), CPU)
    assert str(caught.value) == (
        "/nowhere/vgg16.pth: weights of the perceptual distance cannot be read (No such file or directory); correct "
        "evaluation.path_length.network, or choose its kind random-vgg16, which needs no file"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outliers": 50}, "outliers: Input should be less than 50"),
        ({"epsilon": 0}, "epsilon: Input should be greater than 0"),
        ({"spaces": []}, "spaces: Tuple should have at least 1 item"),
        ({"spaces": ["v"]}, r"spaces.0\]?: 'v' is not"),
        ({"network": {"kind": "none"}}, "network.*'none'"),
        ({"network": {"kind": "random-vgg16", "weight": 2}}, "network.*weight: unknown key"),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(**changes)
