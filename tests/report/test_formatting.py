"""Formatting of quantities."""

import csv
from typing import Any

import pandas as pd
import pytest

from ganformer.config import ImageSpec
from ganformer.records.metrics import Recipe
from ganformer.report import compared, formatting, published


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (5, "5 s"), (75, "1 min 15 s"), (3600, "1 h"), (93_784, "1 d 2 h"), (7261, "2 h 1 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0.00"), (0.0123, "0.0123"), (1.2, "1.20"), (12.34, "12.3"), (1234.5, "1,234"), (-5, "-5.00")],
)
def test_quantity(number: float, text: str) -> None:
    assert formatting.quantity(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999"), (1000, "1.00 k"), (1_000_000, "1.00 M"), (845_000, "845 k"), (30_903_632, "30.9 M")],
)
def test_millions(number: float, text: str) -> None:
    assert formatting.millions(number) == text


@pytest.mark.parametrize(("number", "text"), [("50000", "50k"), ("1500", "1500"), ("100", "100")])
def test_thousands(number: str, text: str) -> None:
    assert formatting.thousands(number) == text


@pytest.mark.parametrize(("number", "text"), [(16.0, "16"), (0.064, "0.064"), (25_000.0, "25,000")])
def test_kimg(number: float, text: str) -> None:
    assert formatting.kimg(number) == text


@pytest.mark.parametrize(
    ("items", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listing(items: list[str], text: str) -> None:
    assert formatting.listing(items) == text


@pytest.mark.parametrize(("name", "title"), [("fd_random_vgg16", "FD ↓"), ("fid50k", "FID ↓")])
def test_only_what_is_named_fid_is_called_fid(name: str, title: str) -> None:
    assert formatting.metric("fd", name).heading == title


def test_model_names_are_spelt_as_usual() -> None:
    assert [formatting.model(name) for name in ("k-GAN", "kgan", "msg_gan", "mine")] == [
        "k-GAN",
        "k-GAN",
        "MSG-GAN",
        "mine",
    ]


def test_conditions_of_oblong_images() -> None:
    recipe = Recipe(extractor={}, image=ImageSpec(height=24, width=32), images=50_000)
    assert formatting.conditions("clevr", recipe, "inception-2015") == "clevr 32×24, inception-2015, 50k"


def test_bars_do_not_count_to_the_size():
    recipe = Recipe(extractor={}, image=ImageSpec(height=192, width=256, rows=188), images=50_000)
    assert formatting.conditions("bedrooms", recipe, "vgg16") == "bedrooms 256×188, vgg16, 50k"


def test_every_value_of_a_measure_has_words():
    known = {"fd", "rfd", "sfd", "fd_infinity", "fd_bias", "is", "kid", "precision", "recall", "density", "coverage"}
    assert {key for key in formatting.METRICS if not key.startswith(("chi2_", "dci_", "ppl_"))} == known
    assert formatting.metric("fd_infinity", "fid_infinity").title == "FID∞"


def test_units_and_better_directions_of_measures() -> None:
    kinds = {
        ("low", 1): {"fd", "rfd", "sfd", "fd_infinity"},
        ("low", 1000): {"kid"},
        ("high", 1): {"is", "density"},
        ("high", 100): {"precision", "recall", "coverage"},
        (None, 1): {"fd_bias"},
    }
    for (better, scale), keys in kinds.items():
        assert {(formatting.METRICS[key].better, formatting.METRICS[key].scale) for key in keys} == {(better, scale)}
    prefixes = {"chi2_": "low", "ppl_": "low", "dci_": "high"}
    for key, metric in formatting.METRICS.items():
        expected = next((better for prefix, better in prefixes.items() if key.startswith(prefix)), metric.better)
        assert (metric.better, metric.scale if key.startswith(tuple(prefixes)) else 1) == (expected, 1)


HEADINGS = {
    "fd": "FD ↓",
    "rfd": "rFD ↓",
    "sfd": "sFD ↓",
    "fd_infinity": "FD∞ ↓",
    "fd_bias": "FD − FD∞",
    "kid": "KID × 10³ ↓",
    "is": "IS ↑",
    "precision": "Precision % ↑",
    "recall": "Recall % ↑",
    "density": "Density ↑",
    "coverage": "Coverage % ↑",
    "ppl_z_full": "PPL z, full ↓",
    "ppl_z_end": "PPL z, end ↓",
    "ppl_w_full": "PPL w, full ↓",
    "ppl_w_end": "PPL w, end ↓",
    "chi2_object_area": "Object area ↓",
    "chi2_object_number": "Object number ↓",
    "chi2_co_occurrence": "Co-occurrence ↓",
    "chi2_shape": "Shape ↓",
    "chi2_size": "Size ↓",
    "chi2_material": "Material ↓",
    "chi2_colour": "Colour ↓",
    "chi2_class": "Class ↓",
    "dci_disentanglement": "Disentanglement ↑",
    "dci_modularity": "Modularity ↑",
    "dci_completeness": "Completeness ↑",
    "dci_informativeness": "Informativeness ↑",
    "dci_informativeness_prime": "Informativeness′ ↑",
}


def test_headings_and_decimals_of_measures() -> None:
    """Scores have as many decimals as the paper prints; others as many as three digits need."""
    assert {key: formatting.metric(key, f"{key}_vgg16").heading for key in formatting.METRICS} == HEADINGS
    decimals = {key: metric.decimals for key, metric in formatting.METRICS.items() if metric.decimals is not None}
    dci = {key: 3 for key in HEADINGS if key.startswith("dci_")}
    assert decimals == {"is": 2, "precision": 1, "recall": 1, "density": 3, "coverage": 1, **dci}
    assert formatting.metric("second_precision", "precision_x") == formatting.metric("precision", "precision_x")
    assert formatting.metric("mine", "mine50k").heading == "mine"


def test_published_names_of_measures_are_in_the_table_of_published_numbers() -> None:
    with published.PUBLISHED.open(encoding="utf-8") as file:
        there = {row["metric"] for row in csv.DictReader(file)}
    named = {name for metric in formatting.METRICS.values() for name in metric.published}
    assert named <= there
    shown = {"FID": "FID ↓", "IS": "IS ↑"}
    shown |= {f"{name}{unit}": f"{name}{sign} ↑" for name in ("Precision", "Recall") for unit, sign in UNITS}
    assert shown == formatting.PUBLISHED
    assert len(named) == len(shown) + 8 + 5  # of tables 1, 2 and 3


UNITS = (("", ""), ("_pct", " %"))


def test_models_of_the_paper_have_the_names_of_their_papers() -> None:
    names = {
        "gan": "GAN",
        "kgan": "k-GAN",
        "sagan": "SAGAN",
        "stylegan2": "StyleGAN2",
        "stylegan2-released": "StyleGAN2 (released)",
        "msggan": "MSG-GAN",
        "vqgan": "VQGAN",
        "simplex": "GANformer (simplex)",
        "duplex": "GANformer (duplex)",
        "centroid": "GANformer (centroid)",
    }
    assert {name: formatting.model(name) for name in names} == names


@pytest.mark.parametrize(
    ("number", "noun", "text"), [(0, "seed", "0 seeds"), (1, "run", "1 run"), (2000, "run", "2,000 runs")]
)
def test_plurals(number: int, noun: str, text: str) -> None:
    assert formatting.plural(number, noun) == text


@pytest.mark.parametrize(("number", "decimals"), [(0, 2), (1e-9, 6), (-0.5, 3), (9.99, 2), (10, 1), (100, 0), (1e6, 0)])
def test_decimals_show_three_digits_but_at_most_six(number: float, decimals: int) -> None:
    assert formatting.decimals(number) == decimals


@pytest.mark.parametrize(
    ("hardware", "words"),
    [
        ({"device": "cpu", "device_name": "Example(R) CPU(TM)", "threads": 1, "gpus": 0}, "Example CPU, 1 thread"),
        ({"device": "cuda", "device_name": "GPU", "threads": 4, "gpus": 1}, "GPU"),
        ({"device": "cuda", "device_name": "GPU", "threads": 4, "gpus": 8}, "8 × GPU"),
    ],
)
def test_devices(hardware: dict[str, Any], words: str) -> None:
    assert formatting.device(hardware) == words


def test_other_resizing_is_told() -> None:
    assert formatting.metric("fd", "clean_fid50k").title == "FID (clean)"
    assert formatting.metric("fd", "fid50k_pytorch").title == "FID (pytorch-fid)"
    assert formatting.metric("fd", "fid50k").title == "FID"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "2,000 generated images, features of a network."),
        ({"real_images": 4000}, "2,000 generated against 4,000 real images, features of a network."),
        ({"repeats": 3}, "2,000 generated images, 3 times, features of a network."),
        ({"accuracy": {}}, "2,000 generated images, read by a parser (scenes; how well is not known)."),
    ],
    ids=["plain", "real images", "repeats", "parser"],
)
def test_protocol_says_how_numbers_were_measured(settings: dict[str, Any], words: str) -> None:
    measured = pd.DataFrame({"kimg": [10.0, 10.0], "by": ["a network", "a network"], "diverged": [None, None]})
    recipe = Recipe(extractor={"kind": "scenes"}, images=2000, **settings)
    assert compared.protocol("clevr", measured, recipe) == f"Measured on clevr after 10 kimg: {words}"


def test_protocol_names_lengths_networks_and_runs_that_diverged() -> None:
    rows = [("a", 0, 16.0, None), ("duplex", 1, 4.0, 3.5), ("duplex", 1, 4.0, 3.5), ("gan", 0, 8.0, 0.064)]
    measured = pd.DataFrame(rows, columns=["model", "seed", "kimg", "diverged"])
    measured = measured.assign(by=["one", "other", "one", "one"], dataset="clevr")
    assert compared.protocol("clevr", measured, Recipe(extractor={}, images=1000)) == (
        "Measured on clevr after 4, 8 and 16 kimg: 1,000 generated images, features of one and other. Diverged: "
        "GANformer (duplex) with seed 1 after 3.5 kimg and GAN with seed 0 after 0.064 kimg; values of such runs are "
        "of the snapshot before."
    )
