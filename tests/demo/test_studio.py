"""Pictures of the demo: latents of several seeds, components left out, regions, and the command that makes the same."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.analysis import explorer
from ganformer.demo.studio import Recipe, Studio, as_npz, as_png, command, strongest
from tests.analysis.untrained import open_untrained


def test_latents_of_several_seeds() -> None:
    studio = Studio(open_untrained("duplex"))
    w = studio.latents(Recipe((0, 5, 0, 7, 3), truncation=0.5))
    with explorer.looking(studio.run, 1):
        zero, three, five, seven = studio.run.of_seeds([0, 3, 5, 7], 0.5).w
    assert studio.slots == 5
    for slot, expected in enumerate((zero, five, zero, seven, three)):
        assert torch.equal(w[0, :, slot], expected[:, slot])


def test_the_picture_of_one_seed_is_that_of_generate() -> None:
    for name in ("duplex", "kgan", "stylegan2"):
        studio = Studio(open_untrained(name))
        w = studio.latents(Recipe((9,) * studio.slots))
        expected = studio.sample(9, 0.7, None).astype(int)
        assert np.abs(studio.picture(w) - expected).max() <= 1


def test_saved_latents_are_sources_as_well() -> None:
    studio = Studio(open_untrained("kgan"))
    saved = studio.latents(Recipe((4, 4)))
    studio.saved["A"] = saved
    w = studio.latents(Recipe((1, "A"), truncation=0.2))
    assert torch.equal(w[:, :, 1], saved[:, :, 1])
    assert torch.equal(studio.latents(Recipe(("A", "A"), truncation=0.2)), saved)


def test_removed_components() -> None:
    studio = Studio(open_untrained("duplex"))
    w = studio.latents(Recipe((2,) * 5))
    with explorer.looking(studio.run, 1):
        images = studio.run.composed.synthesise_without(w.repeat(8, 1, 1, 1), [1, 3])
    assert np.abs(studio.picture(w, [3, 1]).astype(int) - explorer.coloured(images)[0]).max() <= 1


@pytest.mark.parametrize("name", ["duplex", "kgan", "gan"])
def test_a_picture_and_its_regions_at_once(name: str) -> None:
    studio = Studio(open_untrained(name))
    w = studio.latents(Recipe((2,) * studio.slots))
    for absent in ([], [1]) if studio.components else ([],):
        picture, regions = studio.seen(w, absent)
        assert np.array_equal(picture, studio.picture(w, absent))
        expected = studio.regions(w)
        assert regions.keys() == expected.keys()
        assert all(np.array_equal(regions[title], shares) for title, shares in expected.items())


@pytest.mark.parametrize(
    ("name", "components", "slots", "titles"),
    [
        ("duplex", 4, 5, ["component 0", "component 3", "global"]),
        ("kgan", 2, 2, ["component 0", "component 1"]),
        ("gan", 0, 1, []),
    ],
)
def test_latents_have_names(name: str, components: int, slots: int, titles: list[str]) -> None:
    studio = Studio(open_untrained(name))
    assert (studio.components, studio.slots) == (components, slots)
    numbers = [0, *range(max(0, components - 1), slots)] if components > 2 else range(len(titles))
    assert [studio.title(slot) for slot in numbers][: len(titles)] == titles
    assert studio.has_latents


def test_a_model_of_codes_has_samples_only() -> None:
    studio = Studio(open_untrained("vqgan"))
    assert (studio.has_latents, studio.components, studio.slots) == (False, 0, 1)
    assert studio.sample(3, 1.0, None).shape == (16, 16, 3)


def test_classes_have_names_or_numbers() -> None:
    assert Studio(open_untrained("gan", counts=(3, 4))).classes == ["0", "1"]
    assert Studio(open_untrained("gan")).classes == []


def test_regions_are_attention_or_alpha() -> None:
    duplex = Studio(open_untrained("duplex"))
    w = duplex.latents(Recipe((2,) * 5))
    regions = duplex.regions(w)
    assert next(iter(regions)) == "layer 0, 4×4"
    assert all(np.allclose(shares.sum(axis=1), 1, atol=1e-5) for shares in regions.values())
    masks = duplex.masks(regions)
    assert all(mask.shape == (2, 16, 16) and mask.dtype == np.uint8 for mask in masks.values())
    shares = regions["layer 0, 4×4"]
    assert masks["layer 0, 4×4"][1, 7, 15] == shares[1, :, 1, 3].argmax()
    kgan = Studio(open_untrained("kgan"))
    (alpha,) = kgan.regions(kgan.latents(Recipe((2, 2)))).values()
    assert alpha.shape == (1, 2, 8, 8)
    assert np.allclose(alpha.sum(axis=1), 1, atol=1e-5)
    plain = Studio(open_untrained("gan"))
    assert plain.regions(plain.latents(Recipe((1,)))) == {}


def test_colours_are_laid_over_the_picture() -> None:
    studio = Studio(open_untrained("kgan"))
    picture, mask = np.full((2, 2, 3), 100, np.uint8), np.array([[0, 1], [0, 1]], np.uint8)
    assert np.array_equal(studio.overlay(picture, mask, 0), picture)
    covered, half = studio.overlay(picture, mask, 1), studio.overlay(picture, mask, 0.5)
    assert np.array_equal(covered[0, 0], covered[1, 0])
    assert not np.array_equal(covered[0, 0], covered[0, 1])
    assert np.abs(half - (100.0 + covered) / 2).max() <= 1


@pytest.mark.parametrize(
    ("box", "component"),
    [
        ((0.0, 0.0, 0.1, 0.1), 2),  # the place at the top left
        ((0.9, 0.9, 1.0, 1.0), 1),
        ((1.0, 1.0, 1.0, 1.0), 1),  # a point on the edge
        ((0.1, 0.1, 0.0, 0.0), 2),  # drawn backwards
        ((0.0, 0.0, 1.0, 1.0), 0),
        ((0.0, 0.0, 0.25, 0.25), 2),  # ends at the border of a place
        ((-0.5, -0.5, 0.1, 0.1), 2),  # begins outside
    ],
)
def test_the_strongest_component_of_a_box(box: tuple[float, float, float, float], component: int) -> None:
    shares = np.zeros((1, 3, 4, 4), np.float32)
    shares[0, 0] = 1
    shares[0, :, 0, 0], shares[0, :, 3, 3] = (0, 0, 1), (0, 1, 0)
    assert strongest(shares, box) == component


def test_heads_are_averaged() -> None:
    shares = np.zeros((2, 2, 1, 1), np.float32)
    shares[:, :, 0, 0] = [[0.4, 0.6], [0.9, 0.1]]
    assert strongest(shares, (0, 0, 1, 1)) == 0


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe((7, 7), truncation=0.65), "generate --weights w --seed 7 --images-num 1 --truncation-psi 0.65"),
        (Recipe((7, 7), label="cat"), "generate --weights w --seed 7 --images-num 1 --truncation-psi 0.7 --label cat"),
        (Recipe((7, 8)), "look latents --weights w --latents latents.npz"),
        (Recipe(("A", "A")), "look latents --weights w --latents latents.npz"),
        (Recipe((7, 7), frozenset({1})), "look latents --weights w --latents latents.npz --absent 1"),
    ],
)
def test_the_command_that_makes_the_same(recipe: Recipe, words: str) -> None:
    assert command(Path("w"), recipe) == f"ganformer {words}"


def test_files_to_download() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(as_png(picture)))), picture)
    with np.load(io.BytesIO(as_npz({"layer_0": picture}))) as found:
        assert np.array_equal(found["layer_0"], picture)


def test_fields_of_a_recipe() -> None:
    found: Any = Recipe((1,))
    assert (found.absent, found.truncation, found.label) == (frozenset(), 0.7, None)
