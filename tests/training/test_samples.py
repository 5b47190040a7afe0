"""Between bytes and what networks see."""

import pytest
import torch

from ganformer.config import ImageSpec
from ganformer.training.samples import (
    aligned,
    batches,
    block_size,
    draw_labels,
    in_colours,
    latents,
    make,
    normalise,
    pixels,
    quantise,
)


def test_black_and_white_are_the_ends_of_the_range():
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_bytes_survive_the_way_there_and_back():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(normalise(values)), values)


def test_pixels_are_clipped_and_channels_come_last():
    images = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0, 0.5]).view(1, 3, 1, 2)
    assert pixels(images).tolist() == [[[[0, 128, 255], [0, 255, 191]]]]


def test_grey_is_repeated_and_what_is_not_opaque_is_laid_on_white():
    grey = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    assert in_colours(grey).equal(grey.repeat(1, 3, 1, 1))
    colours = torch.tensor([10, 200, 255, 20], dtype=torch.uint8).view(1, 4, 1, 1)  # opacity 20 of 255
    # 255 − (255 − c) · 20 / 255, rounded: 235.8, 250.7, 255
    assert in_colours(colours).flatten().tolist() == [236, 251, 255]
    assert in_colours(colours[:, :3]).equal(colours[:, :3])
    floats = torch.tensor([-1.0, 0.0, 1.0, -0.5]).view(1, 4, 1, 1)  # a quarter opaque
    assert in_colours(floats).flatten().tolist() == [0.5, 0.75, 1.0]


def test_batches_end_with_a_smaller_one():
    assert list(batches(range(70))) == [range(32), range(32, 64), range(64, 70)]
    assert list(batches([3, 1, 2], 2)) == [[3, 1], [2]]


# ------------------------------------------------------------------------------------------------ labels


def test_labels_of_two_equal_classes_are_drawn_equally_often():
    assert draw_labels([1, 1], range(4000)).mean(dim=0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)


def test_without_classes_labels_have_no_columns():
    assert draw_labels([], range(3)).shape == (3, 0)
    assert draw_labels([0, 5, 0], range(3)).tolist() == [[0, 1, 0]] * 3


def test_latents_of_seeds_stay_what_they_are():
    """The first numbers of NumPy's generator of 1995, as in StyleGAN2-ADA's code."""
    found = latents((2,), [0, 1])
    assert found.flatten().tolist() == pytest.approx([1.7640523, 0.4001572, 1.6243454, -0.6117564])
    assert found.dtype == torch.float32


def test_labels_of_seeds_stay_what_they_are():
    assert draw_labels([3, 1, 4], range(12)).argmax(dim=1).tolist() == [2, 2, 1, 2, 0, 1, 2, 2, 0, 0, 1, 0]


@pytest.mark.slow
def test_labels_do_not_depend_on_the_latents_of_the_same_seeds():
    seeds = range(4000)
    label, latent = draw_labels([500, 500], seeds)[:, 1], latents((1,), seeds)[:, 0]
    assert abs(torch.corrcoef(torch.stack([label, latent]))[0, 1]) < 0.05


# ------------------------------------------------------------------------------------------------ blocks of seeds


@pytest.mark.parametrize(("width", "size"), [(16, 8), (256, 8), (512, 2), (1024, 1)])
def test_the_larger_images_are_the_fewer_are_computed_together(width, size):
    assert block_size(ImageSpec(height=width, width=width)) == size


def test_seeds_are_cut_at_multiples():
    assert list(aligned(range(5, 21), 8)) == [range(5, 8), range(8, 16), range(16, 21)]
    assert list(aligned(range(8, 16), 8)) == [range(8, 16)]
    assert list(aligned(range(9, 11), 8)) == [range(9, 11)]


class Learner:
    """Gives images that tell seed, label, and which seeds were asked for together."""

    def __init__(self):
        self.asked = []

    def sample(self, labels, seeds, truncation=1.0):
        self.asked.append(list(seeds))
        together = [seeds[0], len(seeds), truncation]
        return torch.tensor([[seed, label, *together] for seed, label in zip(seeds, labels, strict=True)])


def test_whole_blocks_are_computed_and_what_was_not_asked_for_is_left_out():
    learner = Learner()
    found = make(learner, ImageSpec(height=16, width=16), lambda seeds: [-seed for seed in seeds], range(6, 17), 0.5)
    assert found[:, 0].tolist() == list(range(6, 17))
    assert torch.equal(found[:, 1], -found[:, 0])
    assert found[:, 2].tolist() == [0] * 2 + [8] * 8 + [16]
    assert found[:, 3:].unique(dim=0).tolist() == [[8, 0.5]]
    assert learner.asked == [list(range(8)), list(range(8, 16)), list(range(16, 24))]
