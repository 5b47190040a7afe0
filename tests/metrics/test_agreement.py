"""The same features give the same numbers as torch-fidelity, an independent implementation (as of its version 0.4)."""

import numpy as np
import pytest
import torch

from ganformer.metrics import order
from ganformer.metrics.measures import frechet, inception_score, kid, precision_recall
from tests.metrics.other_implementations import rival


@pytest.fixture(scope="module")
def metric():
    """Provide modules of torch-fidelity by their names."""
    return {name: rival(f"torch_fidelity.metric_{name}", "torch-fidelity") for name in ("fid", "isc", "kid", "prc")}


@pytest.fixture(scope="module", params=[(2200, 2000), (2000, 3000)], ids=["more reals", "more fakes"])
def features(request):
    """Provide features as an Inception network gives them: not below 0, few of them large.

    [N, 48] and [M, 48] float32.
    """
    random = np.random.default_rng(0)
    scales = np.arange(1, 49) ** -0.5
    return [
        np.abs(random.normal(shift, scales, (images, 48))).astype(np.float32)
        for images, shift in zip(request.param, (0.0, 0.1), strict=True)
    ]


def test_frechet(metric, features, observe):
    expected = metric["fid"].fid_statistics_to_metric(
        *(metric["fid"].fid_features_to_statistics(torch.from_numpy(x).double()) for x in features), verbose=False
    )
    found = frechet.compute(*(observe(x) for x in features))
    assert found["fd"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-9)


def test_kid(metric, features, observe, monkeypatch):
    monkeypatch.setattr(kid, "SUBSETS", 5)
    features = [x[order.by_value(x)] for x in features]  # torch-fidelity's subsets depend on the order of images
    fake_and_real = (torch.from_numpy(x).double() for x in reversed(features))
    expected = metric["kid"].kid_features_to_metric(*fake_and_real, kid_subsets=5, verbose=False)
    found = kid.compute(*(observe(x) for x in features))
    assert found["kid"] == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-9)
    assert found["kid_std"] == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-9)


def test_precision_and_recall(metric, features, observe):
    fake_and_real = (torch.from_numpy(x).double() for x in reversed(features))
    expected = metric["prc"].prc_features_to_metric(*fake_and_real, verbose=False)
    found = precision_recall.compute(*(observe(x) for x in features))
    assert found["precision"] == pytest.approx(expected["precision"], abs=1e-6)
    assert found["recall"] == pytest.approx(expected["recall"], abs=1e-6)
    assert 0 < found["recall"] < 1


def test_inception_score(metric, features, observe):
    logits = 5 * features[1]
    logits = logits[order.by_value(logits)]
    expected = metric["isc"].isc_features_to_metric(torch.from_numpy(logits), shuffle=True, rng_seed=order.SEED)
    found = inception_score.compute(observe(features[0]), observe(features[1], logits))
    assert found["is"] == pytest.approx(expected["inception_score_mean"], rel=1e-9)
    assert found["is_std"] == pytest.approx(expected["inception_score_std"], rel=1e-9)
