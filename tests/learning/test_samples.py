"""Between bytes and what networks see."""

import torch

from ganformer.learning.samples import normalise, quantise


def test_black_and_white_are_the_ends_of_the_range():
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_bytes_survive_the_way_there_and_back():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(normalise(values)), values)
