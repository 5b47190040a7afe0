"""A model that repeats training images is caught, however seldom it does; one that draws its own is not."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from ganformer import artifacts, plugins
from ganformer.analysis import copies
from ganformer.analysis.copies import Sides, copying, expected, find_copies, preference
from ganformer.analysis.stored_images import sample
from ganformer.config import Evaluation, ImageSpec
from ganformer.data.dataset import Images
from ganformer.errors import ConfigError, DataError
from ganformer.metrics.evaluate import load_network
from ganformer.metrics.nearest import Nearest
from ganformer.metrics.sets import Network
from ganformer.records.manifest import Crop, Manifest, Shard
from ganformer.training import checkpoint
from tests.run_records import run_record

pytestmark = pytest.mark.slow

N, H, M, SIZE = 80, 60, 70, 16
Array = np.ndarray[Any, Any]
Find = Callable[..., tuple[dict[str, Any], dict[str, Array]]]


class Learner:
    """Gives the images it was given, each seed its own."""

    network = torch.nn.Identity()

    def __init__(self, images: Array) -> None:
        self.images = images

    def sample(self, labels: torch.Tensor, seeds: range, truncation: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(self.images[np.array(seeds) % len(self.images)]).float() / 127.5 - 1


def draw(count: int, seed: int) -> Array:
    """Return two boxes of random colours on a random ground, lighter to the right, uint8 [count, 3, SIZE, SIZE]."""
    random = np.random.default_rng(seed)
    ground = random.integers(0, 196, (count, 3, 1, 1)) + np.arange(0, 4 * SIZE, 4)
    images = np.broadcast_to(ground, (count, 3, SIZE, SIZE)).astype(np.uint8)
    for image in images:
        for _ in range(2):
            top, left = random.integers(0, SIZE - 5, 2)
            image[:, top : top + 6, left : left + 6] = random.integers(0, 256, (3, 1, 1))
    return images


def packed(images: Array, folder: Path) -> Path:
    """Return manifest.json of a pack of these images."""
    folder.mkdir(parents=True)
    layout = plugins.find("ganformer.data.formats", "npy")
    path, shape = folder / f"images-00000{layout.SUFFIX}", ImageSpec(height=images.shape[2], width=images.shape[3])
    with layout.Writer(path, shape) as writer:
        writer.append(images)
    shard = Shard(file=path.name, count=len(images), sha256=artifacts.file_digest(path))
    facts = {"count": len(images), "image": shape, "format": "npy", "source": {}, "crop": Crop(ratio=1.0)}
    Manifest(**facts, shards=[shard], duplicates=0, content=shard.sha256).write(folder / "manifest.json")
    return folder / "manifest.json"


def settings(images: int = M) -> Evaluation:
    return Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, "images": images})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("provenance"))), arrays


@pytest.fixture(scope="module")
def training() -> Array:
    return draw(N, seed=1)


@pytest.fixture(scope="module")
def trained_on(training: Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(training, tmp_path_factory.mktemp("data") / "training")


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(draw(H, seed=2), tmp_path_factory.mktemp("data") / "held-out")


@pytest.fixture(scope="module")
def network() -> Network:
    """Use the extractor with a few of its features, of which Fréchet distances take no time."""
    whole = load_network(settings().extractor, torch.device("cpu"))

    def look(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, logits = whole(images)
        return features[:, ::8], logits

    return look


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch, trained_on: Path, held_out: Path, network: Network, tmp_path: Path) -> Find:
    """Look for copies among these images, which a run gives; return what was written."""
    monkeypatch.setattr(copies, "load_network", lambda extractor, device: network)

    def run(images: Array, mirror: bool = False, held_out: Path | None = held_out, count: int = 4, **data: str) -> Any:
        record = {
            "run": {"dataset": "boxes", "model": "duplex", "seed": 3},
            "spec": {"image": {"height": SIZE, "width": images.shape[3], "channels": 3}, "mirror": mirror},
            "spec_sha256": "5" * 64,
            "data": {"data_sha256": Images(trained_on).digest, "label_counts": [], **data},
            "steps": 8,
            "kimg": 1.0,
            "weights_sha256": "a" * 64,
            "snapshots": [{"step": 8, "kimg": 1.0, "file": "eight", "sha256": "a" * 64}],
        }
        monkeypatch.setattr(checkpoint, "restore", lambda run: (Learner(images), run_record(record)))
        out = tmp_path / "copies.npz"
        find_copies(settings(len(images)), tmp_path / "run.json", trained_on, held_out, count, out, threads=1, gpus=0)
        return read(out)

    return run


def numbers(provenance: dict[str, Any]) -> dict[str, float]:
    return {key: entry["value"] for key, entry in provenance["values"].items()}


def test_deviations_are_over_200_bootstrap_samples_of_both_kinds_of_distances() -> None:
    samples, held_out = np.array([1.0, 2.0, 5.0, 7.0]), np.array([1.5, 3.0, 6.0])
    random, nearer = np.random.default_rng(0), []
    for _ in range(200):
        some, others = random.choice(samples, 4), random.choice(held_out, 3)
        nearer.append((some < np.median(others)).mean())
    assert copying(samples, held_out)["nearer_std"] == pytest.approx(np.std(nearer))


# ------------------------------------------------------------------------------------------------- models


def test_a_model_that_repeats_training_images_is_caught(find: Find, training: Array) -> None:
    chosen = np.random.default_rng(0).permutation(N)[:M]
    provenance, arrays = find(training[chosen])
    values = numbers(provenance)
    np.testing.assert_allclose(arrays["samples_to_training"], 0, atol=1e-4)
    assert arrays["held_out_to_training"].min() > 0.01
    assert arrays["training_numbers"].tolist() == chosen.tolist()
    assert (values["nearer"], values["much_nearer"], values["copying"]) == (1, 1, 1)
    assert values["copying_z"] < -8
    assert values["preference"] - 0.5 > 4 * values["preference_std"]
    assert values["fd_training"] < 0.5 * values["fd_held_out"]
    assert 0 < values["fd_held_out_std"] < values["fd_held_out"]


def test_a_model_that_draws_its_own_is_not(find: Find) -> None:
    provenance, arrays = find(draw(M, seed=3), mirror=True)
    values = numbers(provenance)
    assert arrays["samples_to_training"].min() > 0.01
    for key in ("nearer", "copying", "preference"):
        assert abs(values[key] - 0.5) < 3 * values[f"{key}_std"]
        assert 0.01 < values[f"{key}_std"] < 0.15
    assert abs(values["copying_z"]) < 3
    assert values["fd_training"] == pytest.approx(values["fd_held_out"], rel=0.3)
    assert provenance["expected"] == expected(H)


def test_mirror_images_of_training_images_are_training_images(find: Find, training: Array) -> None:
    mirrored = training[:M, ..., ::-1]
    _, arrays = find(mirrored, mirror=True)
    np.testing.assert_allclose(arrays["samples_to_training"], 0, atol=1e-4)
    assert arrays["training_numbers"].tolist() == list(range(N, N + M))
    np.testing.assert_array_equal(arrays["first_training"], arrays["first_samples"])
    _, arrays = find(mirrored, mirror=False)
    assert np.median(arrays["samples_to_training"]) > 0.01
    assert arrays["training_numbers"].max() < N


def test_poor_samples_that_seldom_repeat(find: Find, training: Array) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (M, 3, SIZE, SIZE), np.uint8)
    samples[10:20] = training[10:20]
    provenance, arrays = find(samples)
    values = numbers(provenance)
    assert values["copying_z"] > 3  # by all samples taken together nothing is suspicious
    assert values["much_nearer"] == pytest.approx(10 / M)
    assert provenance["expected"]["much_nearer"] == pytest.approx(1 / (H + 1))
    assert sorted(arrays["nearest_numbers"].tolist()) == sorted(set(arrays["nearest_numbers"]) & set(range(10, 20)))


def test_noisy_copies_are_found_by_preference(find: Find, training: Array) -> None:
    noise = np.random.default_rng(0).integers(-46, 47, (M, 3, SIZE, SIZE))
    values = numbers(find((training[:M] + noise).clip(0, 255).astype(np.uint8))[0])
    assert values["copying_z"] > 0
    assert values["preference"] - 0.5 > 2.5 * values["preference_std"]


def test_bland_samples_have_no_preference(find: Find) -> None:
    values = numbers(find(draw(M, seed=3) // 2 + 64)[0])
    assert values["copying_z"] < -5
    assert abs(values["preference"] - 0.5) < values["preference_std"]


# ----------------------------------------------------------------------------------------------- the file


def test_the_file_holds_the_pairs(find: Find, trained_on: Path, training: Array) -> None:
    samples = draw(M, seed=3)
    samples[[40, 7]] = training[[2, 5]]
    provenance, arrays = find(samples, count=3)
    distances, places = arrays["samples_to_training"], arrays["training_numbers"]
    assert set(arrays["nearest_numbers"][:2]) == {7, 40}
    assert arrays["nearest_numbers"].tolist() == np.argsort(distances)[:3].tolist()
    for name, chosen in (("nearest", arrays["nearest_numbers"]), ("first", np.arange(3))):
        np.testing.assert_array_equal(arrays[f"{name}_samples"], samples[chosen].transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(arrays[f"{name}_training"], training[places[chosen]].transpose(0, 2, 3, 1))
    assert distances.shape == places.shape == arrays["samples_to_held_out"].shape == (M,)
    assert arrays["held_out_to_training"].shape == (H,)
    assert (arrays["samples_to_as_many_training"] >= distances).all()
    assert provenance["run"] == {"dataset": "boxes", "model": "duplex", "seed": 3}
    assert provenance["training_data_sha256"] == Images(trained_on).digest
    assert provenance["values"]["copying"]["name"] == "copying_random_vgg16"
    assert (provenance["step"], provenance["kimg"], provenance["weights_sha256"]) == (8, 1.0, "a" * 64)
    assert provenance["recipe"] == {
        "extractor": settings().extractor.model_dump(mode="json"),
        "pairs": 3,
        "images": M,
        "seed": 0,
        "training_images": N,
        "held_out_images": H,
        "compared": H,
        "mirrored": False,
        "image": {"height": SIZE, "width": SIZE, "channels": 3},
        "picture": [SIZE, SIZE],
        "truncation": None,
    }


def test_distances_are_those_of_the_features(find: Find, training: Array, network: Network) -> None:
    samples = draw(M, seed=3)
    _, arrays = find(samples, mirror=True)
    both = np.concatenate([training, training[..., ::-1]])
    with torch.inference_mode():
        seen, reals = (network(torch.from_numpy(images.copy()))[0].numpy() for images in (samples, both))
    distances = np.linalg.norm(seen[:, None] - reals[None], axis=2)
    np.testing.assert_allclose(arrays["samples_to_training"], distances.min(axis=1), rtol=1e-3)
    np.testing.assert_array_equal(arrays["training_numbers"], distances.argmin(axis=1))


def test_the_size_of_the_parts_does_not_matter(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = draw(M, seed=3)
    _, whole = find(samples, mirror=True)
    monkeypatch.setattr(copies, "BLOCK", 7)
    _, parts = find(samples, mirror=True)
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, rtol=1e-4)


def test_without_held_out_images_there_are_no_numbers(find: Find) -> None:
    provenance, arrays = find(draw(M, seed=3), held_out=None)
    assert provenance["values"] == provenance["expected"] == {}
    assert provenance["held_out_data_sha256"] is None
    assert (provenance["recipe"]["held_out_images"], provenance["recipe"]["compared"]) == (0, 0)
    assert "samples_to_training" in arrays
    assert not [name for name in arrays if "held_out" in name]


def test_a_trained_run(runs: dict[str, Path], pack: Path, tmp_path: Path) -> None:
    run, others = runs["duplex"], packed(draw(10, seed=2), tmp_path / "others")
    for name in "ab":
        find_copies(settings(40), run, pack, others, 2, tmp_path / f"{name}.npz", threads=1, gpus=0)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    provenance, arrays = read(tmp_path / "a.npz")
    sample(run, 40, tmp_path / "samples.npz", threads=1, gpus=0)
    images = np.load(tmp_path / "samples.npz")["images"]
    np.testing.assert_array_equal(arrays["first_samples"], images[:2])
    np.testing.assert_array_equal(arrays["nearest_samples"], images[arrays["nearest_numbers"]])
    assert provenance["step"] == 2

    before = (tmp_path / "a.npz").stat().st_mtime_ns
    find_copies(settings(40), run, pack, others, 2, tmp_path / "a.npz", threads=1, gpus=0)
    assert (tmp_path / "a.npz").stat().st_mtime_ns == before
    find_copies(settings(40), run, pack, others, 3, tmp_path / "a.npz", threads=1, gpus=0)
    assert len(read(tmp_path / "a.npz")[1]["first_samples"]) == 3


# ---------------------------------------------------------------------------------------------- by hand


def test_shares_by_hand() -> None:
    held_out = np.array([1.0, 2, 3, 4, 5])
    values = copying(np.array([0.5, 2.5, 3.0, 9.0]), held_out)
    assert values["nearer"] == 2 / 4
    assert values["much_nearer"] == 1 / 4
    assert values["copying"] == pytest.approx((5 + 3 + 2.5 + 0) / 20)
    assert expected(5)["much_nearer"] == pytest.approx(1 / 6)
    assert expected(5) == {
        "nearer": 0.5,
        "much_nearer": expected(5)["much_nearer"],
        "copying": 0.5,
        "copying_z": 0,
        "preference": 0.5,
    }
    assert expected(199)["much_nearer"] == pytest.approx(2 / 200)


def test_distances_that_are_equal_are_not_nearer() -> None:
    held_out = np.array([1.0, 2.0, 3.0])
    assert copies._shares(np.array([2.0]), held_out) == {"nearer": 0.0, "much_nearer": 0.0, "copying": 0.5}
    assert copies._shares(np.array([1.0]), held_out) == {
        "nearer": 1.0,
        "much_nearer": 0.0,
        "copying": pytest.approx(2.5 / 3),
    }


def test_z_is_that_of_mann_and_whitney() -> None:
    random = np.random.default_rng(0)
    samples, held_out = random.integers(0, 9, 40).astype(float), random.integers(2, 12, 30).astype(float)
    values = copying(samples, held_out)
    test = stats.mannwhitneyu(samples, held_out, use_continuity=False, method="asymptotic")
    assert values["copying_z"] < 0
    assert 2 * stats.norm.cdf(values["copying_z"]) == pytest.approx(test.pvalue)
    assert values["copying"] == pytest.approx(1 - test.statistic / (40 * 30))
    assert copying(held_out, held_out)["copying_z"] == pytest.approx(0, abs=1e-9)
    assert copying(np.ones(4), np.ones(5))["copying_z"] == 0


def test_deviations_are_those_of_other_images() -> None:
    random = np.random.default_rng(0)
    drawn = [(random.gamma(3, size=200), random.gamma(3, size=100)) for _ in range(300)]
    stated = copying(*drawn[0])
    values = [copies._shares(*pair) for pair in drawn]
    for key in ("nearer", "copying"):
        assert stated[f"{key}_std"] == pytest.approx(np.std([one[key] for one in values]), rel=0.25)
        assert np.mean([one[key] for one in values]) == pytest.approx(0.5, abs=0.01)
    shares = [one["much_nearer"] for one in values]
    assert np.mean(shares) == pytest.approx(expected(100)["much_nearer"], rel=0.25)


def test_preference_against_every_way_to_choose_who_was_trained_on() -> None:
    random = np.random.default_rng(0)
    distances = random.random((12, 6))  # of 12 samples to 6 images
    shares = []
    for chosen in itertools.combinations(range(6), 3):
        others = [i for i in range(6) if i not in chosen]
        sides = Sides(*(Nearest(d.argmin(axis=1), d.min(axis=1)) for d in (distances[:, chosen], distances[:, others])))
        values = preference(sides, 3)
        shares.append(values["preference"])
        assert values["preference_std"] == pytest.approx(preference(sides, 3)["preference_std"])
    assert np.mean(shares) == pytest.approx(0.5)
    assert values["preference_std"] == pytest.approx(np.std(shares))


def test_an_image_and_its_mirror_image_are_one_choice() -> None:
    training = Nearest(np.array([0, 2, 4, 1]), np.array([1.0, 1, 1, 9]))  # of 2 images: 0 and 2 are the same one
    held_out = Nearest(np.array([0, 0, 0, 3]), np.array([2.0, 2, 1, 3]))
    values = preference(Sides(training, held_out), 2)
    assert values["preference"] == (1 + 1 + 0.5 + 0) / 4
    variance = 2 / 6 * ((3 - 1) ** 2 + 1 + 1 + 0)  # 3 samples next to image 0, 0 to 1, 0 and 1 to the held-out ones
    assert values["preference_std"] == pytest.approx(np.sqrt(variance) / 4)


# ---------------------------------------------------------------------------------------------- refused


def refused(
    find: Find, tmp_path: Path, message: str, *images: Array, error: type[Exception] = DataError, **more: Any
) -> None:
    with pytest.raises(error, match=message):
        find(*images, **more)
    assert not list(tmp_path.glob("*.npz"))


def test_held_out_images_that_were_trained_on(find: Find, training: Array, tmp_path: Path) -> None:
    others = draw(10, seed=7)
    others[3], others[8] = training[60], training[11, ..., ::-1]
    found = packed(others, tmp_path / "others")
    once = r"others: 1 of 10 images are byte for byte images of \S+training, which were trained on; leave them out, or"
    refused(find, tmp_path, once, draw(M, seed=3), held_out=found)
    twice = r"others: 2 of 10 images are byte for byte images of \S+training or their mirror images, which were"
    refused(find, tmp_path, twice, draw(M, seed=3), held_out=found, mirror=True)


def test_held_out_images_of_another_shape(find: Find, tmp_path: Path) -> None:
    wide = packed(np.zeros((5, 3, SIZE, 32), np.uint8), tmp_path / "wide")
    message = r"wide: holds images of 32×16 pixels, but the training images in \S+training are of 16×16 pixels; pack"
    refused(find, tmp_path, message, draw(M, seed=3), held_out=wide)


def test_one_held_out_image(find: Find, tmp_path: Path) -> None:
    one = packed(draw(1, seed=8), tmp_path / "one")
    refused(find, tmp_path, "a covariance needs at least 2 images, there are 1", draw(M, seed=3), held_out=one)


def test_too_few_samples(find: Find, tmp_path: Path) -> None:
    refused(find, tmp_path, "19 images are too few for the error of the Fréchet distance", draw(19, seed=3))


def test_a_pack_that_was_not_trained_on(find: Find, tmp_path: Path) -> None:
    message = (
        r"training: holds the data \w{12}…, but \S+run\.json was trained on the data eeeeeeeeeeee…; "
        r"copies are looked for among training images: name the pack of the run"
    )
    refused(find, tmp_path, message, draw(M, seed=3), data_sha256="e" * 64)


def test_a_run_of_another_shape(find: Find, tmp_path: Path) -> None:
    wide = np.zeros((M, 3, SIZE, 32), np.uint8)
    message = r"training: holds images of 16×16 pixels, but \S+run\.json makes 32×16 pixels; name a pack of that shape"
    refused(find, tmp_path, message, wide, data_sha256=None)


def test_all_samples_may_be_shown(find: Find) -> None:
    _, arrays = find(draw(M, seed=3), count=M, held_out=None)
    assert sorted(arrays["nearest_numbers"]) == list(range(M))
    assert len(arrays["first_samples"]) == M


def test_more_pictures_than_samples(find: Find, tmp_path: Path) -> None:
    message = r"^pairs 71: only 70 images are generated to look for copies; set images to at least 71, or pairs to at"
    refused(find, tmp_path, message, draw(M, seed=3), count=71, error=ConfigError)


def test_images_that_are_not_finite(find: Find, tmp_path: Path) -> None:
    images = draw(M, seed=3).astype(np.float32)
    images[9, 0, 0, 0] = np.nan
    refused(find, tmp_path, "generated images hold NaN or infinity, so the training diverged", images)
