"""Measures compute on the device of the features: no operation mixes devices, and values do not depend on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ganformer import plugins
from ganformer.metrics import neighbours
from ganformer.metrics.nearest import nearest
from ganformer.metrics.statistics import Observed, Observer, joined
from tests.metrics.pretended import CPU, GPU, PretendedGpu, device_of

MEASURES = plugins.names("ganformer.metrics.measures")
COUNTS = (90, 70)
PRODUCTS = {
    "precision-recall": {"addmm", "topk"},
    "density-coverage": {"addmm", "topk"},
    "frechet": {"linalg_eigvalsh"},
    "spatial-frechet": {"linalg_eigvalsh"},
    "frechet-error": {"linalg_eigvalsh", "addmm_"},
    "frechet-infinity": {"linalg_eigvalsh", "addmm_"},
}
"""Operations of the measures that take long."""


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Features of two sets with common images, over several tiles and pairs, which float32 cannot always tell apart."""
    monkeypatch.setattr(neighbours, "TILE", 32)
    monkeypatch.setattr(neighbours, "PAIRS", 16)
    random = np.random.default_rng(0)
    real, fake = (
        random.normal(mean, 1, (count, 6)).astype(np.float32) for mean, count in zip((3, 3.3), COUNTS, strict=True)
    )
    fake[:20], real[40:45], real[50:60] = real[:20], real[40], real[20:30] + np.float32(1e-6)
    return [real, fake]


def observed(features: list[np.ndarray], device: torch.device) -> list[Observed]:
    found = []
    for each in features:
        observer = Observer("images", {"mean", "covariance", "features", "logits"}, device)
        for some in np.split(each, [25, 50]):
            observer.update(some, some)
        found.append(observer.observed())
    return found


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("held", [0, neighbours.HELD], ids=["copied", "held"])
def test_measures_compute_on_the_device_of_the_features(name, held, features, monkeypatch):
    monkeypatch.setattr(neighbours, "HELD", held)
    module = plugins.find("ganformer.metrics.measures", name)
    expected = module.compute(*observed(features, CPU))
    with PretendedGpu() as gpu:
        sets = observed(features, GPU)
        gpu.seen.clear()
        found = module.compute(*sets)
    assert gpu.seen >= PRODUCTS.get(name, set())
    is_exact = name in ("precision-recall", "density-coverage")
    assert found == (expected if is_exact else pytest.approx(expected, rel=1e-9))


def test_scatter_is_summed_on_the_device_and_leaves_it_for_other_ranks(features):
    real, fake = features
    expected = observed([np.concatenate([real, fake])], CPU)[0]
    with PretendedGpu() as gpu:
        parts = [Observer("images", {"mean", "covariance"}, GPU) for _ in range(2)]
        for part, each in zip(parts, features, strict=True):
            part.update(each, each)
        assert "addmm_" in gpu.seen
        for part in parts:
            state = part.statistics.__getstate__()
            assert device_of(state["_scatter"]) == state["device"] == CPU
            part.statistics.__dict__.update(state)
        whole = joined(parts).observed()
    assert whole.device == GPU
    np.testing.assert_allclose(whole.arrays["covariance"], expected.arrays["covariance"], rtol=1e-9)


def test_nearest_images_are_found_on_the_device(features):
    real, fake = observed(features, CPU)
    expected = nearest(real, fake)
    with PretendedGpu() as gpu:
        found = nearest(*(replace(each, device=GPU) for each in (real, fake)))
    assert {"addmm", "argmin"} <= gpu.seen
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)


def test_radii_of_reals_are_computed_once(features, monkeypatch):
    counted = []
    distances = neighbours._distances
    monkeypatch.setattr(
        neighbours, "_distances", lambda points, *more: counted.append(len(points)) or distances(points, *more)
    )
    (real, fake), (_, other) = observed(features, CPU), observed(features, CPU)
    for generated in (fake, other):  # two rounds
        for name in ("precision-recall", "density-coverage"):
            plugins.find("ganformer.metrics.measures", name).compute(real, generated)
    assert sorted(counted) == [70, 70, 90]


def test_the_pretended_gpu_refuses_what_one_would():
    with PretendedGpu():
        here, there = torch.ones(3), torch.ones(3).to(GPU)
        assert (here.device, there.device, there[1:].device, (there + 1).cpu().device) == (CPU, GPU, GPU, CPU)
        with pytest.raises(AssertionError, match="operands are on cpu and cuda:0"):
            torch.add(here, there)
        with pytest.raises(TypeError, match="can't convert"):
            there.numpy()
