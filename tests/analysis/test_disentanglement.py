"""DCI of matrices and codes for which it is known, and trees held against a plain implementation."""

import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ganformer import artifacts
from ganformer.analysis import dci as module
from ganformer.analysis import readers
from ganformer.analysis.dci import areas, boost, completeness, dci, disentanglement, measure_run, modularity
from ganformer.analysis.parsers.scenes.model import Reader
from ganformer.config import ImageSpec
from ganformer.errors import ConfigError, DataError
from ganformer.scenes.parser import Settings
from ganformer.training.checkpoint import restore
from ganformer.training.samples import latents as z_of
from tests.run_records import run_record

NAMES = ["disentanglement", "modularity", "completeness", "informativeness", "informativeness_prime"]
ONE_EACH = np.diag(5 * np.ones(5))
MATRICES = {
    "importance = diag(5), 5 codes 5 factors": ONE_EACH,
    "importance = zeros 10x10": np.zeros((10, 10)),
    "one code two factors: diag(5) hstacked, 5x10": np.hstack([ONE_EACH, ONE_EACH]),
    "redundant codes: diag(5) vstacked, 10x5": np.vstack([ONE_EACH, ONE_EACH]),
}


# -------------------------------------------------------------------------------------- given importances


def published():
    table = pd.read_csv(Path(__file__).parents[2] / "ganformer/report/published.csv")
    rows = table[table["table"].str.startswith("DCI analytic unit tests")]
    return [(row.model, row.metric, row.value) for row in rows.itertuples()]


@pytest.mark.parametrize(("matrix", "metric", "value"), published())
def test_published_values_of_given_importances(matrix, metric, value):
    measure = {"DCI_Disentanglement": disentanglement, "DCI_Completeness": completeness}[metric]
    assert measure(MATRICES[matrix]) == pytest.approx(float(value), abs=1e-10)


def test_there_are_published_values():
    assert len(published()) == 6
    assert {value for *_, value in published()} == {0.0, 1.0, 0.69897000433}


def test_entropies_by_hand():
    # Rows of a half each and of ¼ and ¾: 1 bit and 0.811 bits; the second row has twice the weight.
    matrix = np.array([[1.0, 1.0], [1.0, 3.0]])
    entropy = 0.25 * 2 + 0.75 * np.log2(4 / 3)
    assert disentanglement(matrix) == pytest.approx((1 - entropy) * 2 / 3)
    # Columns of a half each, and of ¼ and ¾, likewise.
    assert completeness(matrix) == pytest.approx((1 - entropy) * 2 / 3)


def test_a_code_of_no_importance_has_no_weight():
    assert disentanglement(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])) == 1
    assert completeness(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])) == 1


@pytest.mark.parametrize(
    ("matrix", "value"),
    [
        (ONE_EACH, 1),
        (np.zeros((10, 10)), 0),
        (np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), 2 / 3),  # the third is important for nothing
        (np.hstack([ONE_EACH, ONE_EACH]), 1 - 1 / 9),
        (np.array([[2.0, 1.0, 1.0]]), 1 - (1 + 1) / (4 * 2)),
        (np.ones((3, 4)), 0),
    ],
)
def test_modularity_by_hand(matrix, value):
    assert modularity(matrix) == pytest.approx(value)


# -------------------------------------------------------------------------------------------------- trees


def plain_tree(codes, residual, depth):
    """Return a tree as a function, and the gains of its splits, as defined."""
    error = ((residual - residual.mean()) ** 2).sum()
    gains = np.zeros(codes.shape[1])
    best = (0.0, None, None)
    for code in range(codes.shape[1]) if depth else ():
        for value in np.unique(codes[:, code])[:-1]:
            left = codes[:, code] <= value
            rest = sum(((part - part.mean()) ** 2).sum() for part in (residual[left], residual[~left]))
            if error - rest > best[0] + 1e-9:
                best = (error - rest, code, value)
    gain, code, value = best
    if code is None:
        return (lambda row: residual.mean()), gains
    gains[code] = gain
    left = codes[:, code] <= value
    (low, low_gains), (high, high_gains) = (plain_tree(codes[s], residual[s], depth - 1) for s in (left, ~left))
    return (lambda row: low(row) if row[code] <= value else high(row)), gains + low_gains + high_gains


def plain_boost(codes, factor, other, trees):
    prediction, seen, gains = np.full(len(factor), factor.mean()), np.full(len(other), factor.mean()), 0
    for _ in range(trees):
        tree, gain = plain_tree(codes, factor - prediction, 3)
        prediction = prediction + 0.1 * np.array([tree(row) for row in codes])
        seen = seen + 0.1 * np.array([tree(row) for row in other])
        gains = gains + gain
    return gains / gains.sum(), prediction, seen


def r_squared(factor, prediction):
    return 1 - ((factor - prediction) ** 2).sum() / ((factor - factor.mean()) ** 2).sum()


def test_trees_are_those_of_the_definition(monkeypatch):
    monkeypatch.setattr(module, "TREES", 4)
    random = np.random.default_rng(1)
    codes = random.integers(0, 8, (160, 3)).astype(float)  # so few values that each has a bin of its own
    factor = codes[:, 0] * (codes[:, 1] > 3) + random.normal(size=160)
    found = boost(codes[:80], factor[:80], codes[80:], factor[80:])
    importances, prediction, seen = plain_boost(codes[:80], factor[:80], codes[80:], 4)
    assert found.importances == pytest.approx(importances, abs=1e-9)
    assert found.fitted == pytest.approx(r_squared(factor[:80], prediction))
    assert found.held_out == pytest.approx(r_squared(factor[80:], seen))
    assert importances[2] < 0.1 < min(importances[:2])


def test_a_step_is_learnt_by_one_split_in_every_tree():
    codes = np.stack([np.arange(64.0), np.zeros(64)], axis=1)
    factor = (codes[:, 0] > 31.5).astype(float)
    found = boost(codes, factor, codes, factor)
    assert found.importances.tolist() == [1, 0]
    assert found.fitted == found.held_out == pytest.approx(1 - 0.9**200)  # a tenth of what is left, 100 times


def test_a_code_at_an_edge_is_in_the_bin_below():
    codes, edges = np.array([[0.0, 10.0], [1.0, 12.0], [2.0, 15.0]]), np.array([[1.0, 10.0], [1.5, 15.0]])
    assert module._binned(codes, edges).tolist() == [[0, 32], [0, 32 + 1], [2, 32 + 1]]


def test_codes_are_put_into_32_bins_of_equally_many(monkeypatch):
    """Each bin has two of 64 numbers, and values of other images may be beyond the ends."""
    seen = []
    grow = module._grow
    monkeypatch.setattr(module, "TREES", 1)
    monkeypatch.setattr(module, "_grow", lambda *given: seen.append((given[0], given[2])) or grow(*given))
    codes = np.random.default_rng(0).permutation(64.0 * np.ones(64) + np.arange(64))[:, None].repeat(2, axis=1)
    boost(codes, codes[:, 0], np.array([[-9.0, 999.0]]), np.zeros(1))
    ((cells, others),) = seen
    assert cells[np.argsort(codes[:, 0])].tolist() == [[i // 2, 32 + i // 2] for i in range(64)]
    assert others.tolist() == [[0, 63]]


def test_measures_are_means_over_five_random_halvings(monkeypatch):
    halves = []
    values = dict.fromkeys(NAMES, 0.5)
    monkeypatch.setattr(module, "_measure", lambda codes, factors, *given: halves.append(given) or values)
    dci(latents(41), latents(41))
    random = np.random.default_rng(0)
    expected = [random.permutation(41) for _ in range(5)]
    assert [fitted.tolist() for fitted, _ in halves] == [order[:21].tolist() for order in expected]
    assert [held_out.tolist() for _, held_out in halves] == [order[21:].tolist() for order in expected]


def test_what_cannot_be_split_has_no_importance():
    found = boost(np.zeros((20, 3)), np.arange(20.0), np.zeros((20, 3)), np.arange(20.0))
    assert found.importances.tolist() == [0, 0, 0]
    assert found.fitted == found.held_out == pytest.approx(0, abs=1e-12)


def test_a_factor_that_does_not_vary_is_not_predicted():
    codes = np.random.default_rng(0).normal(size=(40, 3))
    found = boost(codes, np.full(40, 7.0), codes, np.full(40, 7.0))
    assert (found.fitted, found.held_out, found.importances.sum()) == (0, 0, 0)


# ----------------------------------------------------------------------------------------------------- DCI


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "TREES", 50)


def latents(count=300, codes=6, seed=0):
    return np.random.default_rng(seed).normal(size=(count, codes))


def test_one_code_for_each_factor(quick):
    codes = latents(codes=4)
    found = dci(codes, np.maximum(codes, 0))
    assert list(found) == [key for name in NAMES for key in (name, f"{name}_std")]
    assert all(found[name] > 0.9 for name in NAMES)
    assert all(0 <= found[f"{name}_std"] < 0.02 for name in NAMES)


def test_deviation_is_that_of_a_sample_of_halvings(monkeypatch):
    each = [0.1 * i for i in range(module.HALVINGS)]
    values = iter(each)
    monkeypatch.setattr(module, "modularity", lambda importances: next(values))
    random = np.random.default_rng(0)
    found = dci(random.normal(size=(40, 2)), random.integers(0, 3, (40, 2)).astype(float))
    assert found["modularity"] == pytest.approx(statistics.mean(each))
    assert found["modularity_std"] == pytest.approx(statistics.stdev(each))


@pytest.mark.slow
def test_turned_codes_stand_for_nothing_alone(quick):
    codes = latents()
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
    straight, turned = dci(codes, codes), dci(codes @ turn, codes)
    for name in ("disentanglement", "completeness"):
        assert turned[name] < 0.6 < 0.9 < straight[name]
    assert turned["informativeness_prime"] < straight["informativeness_prime"] - 0.1


def test_noise_informs_of_nothing(quick):
    found = dci(latents(), latents(codes=3, seed=1))
    assert found["informativeness_prime"] < 0.05 < found["informativeness"]
    assert found["disentanglement"] < 0.3


def test_it_is_a_function_of_its_arguments(quick):
    codes, factors = latents(60), latents(60, codes=2, seed=1)
    assert dci(codes, factors) == dci(codes.copy(), factors.copy())


def test_factors_that_hardly_differ_are_left_out(quick):
    codes = latents(100)
    rare = np.zeros((100, 2))
    rare[:4, 0] = 50.0
    assert dci(codes, np.hstack([codes[:, :2], rare])) == dci(codes, codes[:, :2])
    rare[:5, 0] = 50.0
    assert dci(codes, np.hstack([codes[:, :2], rare])) != dci(codes, codes[:, :2])


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (latents(39), latents(39), r"39 images are too few; take at least 40, the paper has 1,000$"),
        (latents(40), latents(41), r"there are codes of 40 images, but factors of 41$"),
        (latents(40, codes=1), latents(40), r"needs at least 2 codes, there are 1$"),
        (latents(40) * np.inf, latents(40), r"codes or factors are not finite, so the training diverged; train again$"),
        (latents(40), np.zeros((40, 6)), r"0 of 6 factors differ between the images, and 2 are needed; a model whose"),
    ],
)
def test_what_cannot_be_measured_is_refused(codes, factors, message):
    with pytest.raises(DataError, match=rf"^disentanglement: {message}"):
        dci(codes, factors)


# ------------------------------------------------------------------------------------------------- factors


def test_areas_by_hand():
    red = {"shape": "cube", "colour": "red", "size": "small", "material": "metal", "visible_pixels": 7}
    blue = {**red, "colour": "blue", "visible_pixels": 5}
    found = areas([[red, blue], [], [blue]], Reader.attributes)
    assert found.shape == (3, 15)
    names = [value for values in Reader.attributes.values() for value in values]
    named = {value: found[:, i].tolist() for i, value in enumerate(names)}
    assert named["red"] == [7, 0, 0]
    assert named["blue"] == [5, 0, 5]
    assert named["cube"] == named["small"] == named["metal"] == [12, 0, 5]
    others = set(named) - {"red", "blue", "cube", "small", "metal"}
    assert len(others) == 10
    assert all(named[value] == [0, 0, 0] for value in others)


def test_areas_of_classes():
    cat, dog = ({"class": kind, "score": 0.9, "visible_pixels": area} for kind, area in (("cat", 7), ("dog", 5)))
    found = areas([[cat, dog, cat], [dog], []], {"class": ("bird", "cat", "dog")})
    assert found.tolist() == [[0, 14, 5], [0, 0, 5], [0, 0, 0]]


# ---------------------------------------------------------------------------------------------------- runs


class Guesser(Reader):
    """Takes the brightness of an image for the area of an object of one of four colours."""

    def __init__(self):
        super().__init__(Settings(image=ImageSpec(height=16, width=16)), None, {"recall": 0.5})

    def read(self, images, device):
        batches = torch.cat(list(images.batches((16, 16), device))).double().mean(dim=(1, 2, 3)).tolist()
        kinds = {"shape": "cube", "size": "small", "material": "metal"}
        colours = ["red", "blue", "green", "cyan"]
        return [[{**kinds, "colour": colours[i % 4], "visible_pixels": bright}] for i, bright in enumerate(batches)]


@pytest.mark.parametrize(("model", "codes"), [("stylegan2", 16), ("duplex", 4 * (4 + 1))])
def test_latents_of_a_run_are_measured(monkeypatch, watched, quick, runs, tmp_path: Path, model, codes):
    seen = {}

    def noted(codes, factors):
        seen.update(codes=codes, factors=factors)
        return dci(codes, factors)

    watched(module)
    monkeypatch.setattr(module, "dci", noted)
    monkeypatch.setattr(readers, "load", lambda path: Guesser())
    measure_run(40, runs[model], tmp_path / "p.json", tmp_path / "out.json", threads=1, gpus=0)
    content = json.loads((tmp_path / "out.json").read_text())

    sampler = restore(runs[model])[0].sampler
    with torch.no_grad():
        w = sampler.map(z_of(sampler.latent_shape, range(40)), torch.zeros(40, 0))
    assert np.allclose(seen["codes"], w[:, 0].reshape(40, -1).numpy(), atol=1e-6)
    assert seen["codes"].shape == (40, codes)
    assert (seen["factors"] > 0).sum() == 40 * 4
    expected = dci(**seen)
    assert {key: entry["value"] for key, entry in content["values"].items()} == {
        f"dci_{name}": value for name, value in expected.items()
    }
    assert content["run"] == artifacts.read_json(runs[model])["run"]
    assert content["seconds"] == 2.5
    assert (content["step"], content["kimg"]) == (2, artifacts.read_json(runs[model])["kimg"])
    assert content["recipe"] == {
        "images": 40,
        "image": artifacts.read_json(runs[model])["spec"]["image"],
        "extractor": {"kind": "scenes", **Guesser().settings.model_dump(mode="json")},
        "accuracy": {"recall": 0.5},
    }


def test_models_without_latents_are_refused(monkeypatch, runs, tmp_path: Path):
    record = run_record({"spec": {"model": {"kind": "vqgan"}}})
    monkeypatch.setattr(module.checkpoint, "restore", lambda run: (SimpleNamespace(sampling_generator=None), record))
    with pytest.raises(
        ConfigError,
        match=r"run\.json: models of kind 'vqgan' have no latents w; take a run of a model that plays a game",
    ):
        measure_run(40, runs["duplex"], tmp_path / "p.json", tmp_path / "out.json", threads=1, gpus=0)
    assert not (tmp_path / "out.json").exists()
