"""Portions are of as many images as fit, and what is seen of them keeps its order."""

import pytest
import torch

from ganformer.metrics import batching


def counts(parts):
    return [len(part) for part in parts]


@pytest.mark.parametrize(
    ("size", "expected"), [((32, 32), [64]), ((256, 256), [8] * 8), ((256, 512), [4] * 16), ((1024, 1024), [1] * 64)]
)
def test_the_larger_images_are_the_fewer_are_in_a_portion(size, expected):
    images = torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(64, 3, *size)
    assert counts(batching.of_pixels(images)) == expected


@pytest.mark.parametrize(("size", "expected"), [(256, [64]), (1024, [8] * 8), (4096, [1] * 64)])
def test_other_devices_hold_more(size, expected):
    assert counts(batching.of_pixels(torch.empty(64, 3, size, size, device="meta"))) == expected


def test_so_many_images_are_for_processors_only():
    assert counts(batching.of_images(torch.zeros(7, 3, 2, 2), 3)) == [3, 3, 1]
    assert counts(batching.of_images(torch.empty(7, 3, 2, 2, device="meta"), 3)) == [7]


def test_what_is_seen_keeps_its_order():
    images = torch.arange(5.0)[:, None]
    features, logits = batching.see_all(lambda part: (part + 1, part * 2), images.split(2))
    assert features.flatten().tolist() == [1, 2, 3, 4, 5]
    assert logits.flatten().tolist() == [0, 2, 4, 6, 8]
