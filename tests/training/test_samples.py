"""Between bytes and what networks see."""

import pytest
import torch

from ganformer.config import ImageSpec
from ganformer.training.samples import aligned, block_size, draw_labels, latents, make, normalise, quantise


def test_black_and_white_are_the_ends_of_the_range():
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_bytes_survive_the_way_there_and_back():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(normalise(values)), values)


# ------------------------------------------------------------------------------------------------ labels


def test_labels_of_two_equal_classes_are_drawn_equally_often():
    assert draw_labels([1, 1], range(4000)).mean(dim=0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)


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
