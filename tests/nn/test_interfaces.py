"""Methods that all generators share."""

import torch
from torch import Tensor

from ganformer.nn.interfaces import Generator


class Identity(Generator):
    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        return z[:, None].expand(-1, 4, -1, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        return w * 2


def test_is_synthesis_of_what_was_mapped() -> None:
    generator = Identity((3, 5), 5)
    z = torch.randn(2, 3, 5)
    assert generator.latent_shape == (3, 5)
    assert generator(z, torch.zeros(2, 0)).equal(z[:, None].expand(-1, 4, -1, -1) * 2)


def test_latents_are_standard_normal_draws_of_the_default_generator() -> None:
    generator = Identity((3, 5), 5)
    torch.manual_seed(0)
    z = generator.latents(1000)
    torch.manual_seed(0)
    assert z.equal(torch.randn(1000, 3, 5))


def test_looks_at_one_scale_unless_told_otherwise() -> None:
    w = torch.randn(2, 4, 3, 5)
    (images,) = Identity((3, 5), 5).scales(w)
    assert images.equal(w * 2)


def test_tracks_one_average_for_everything() -> None:
    generator = Identity((3, 5), 5)
    w = torch.randn(2, 4, 3, 5, requires_grad=True)
    mean = w.detach().mean(dim=(0, 1, 2))
    generator.track(w, 0)
    torch.testing.assert_close(generator.w_average, mean)
    generator.track(3 * w, 1)
    torch.testing.assert_close(generator.w_average, (0.995 * mean + 3 * mean) / 1.995)
    assert not generator.w_average.requires_grad
    assert "w_average" in generator.state_dict()


def test_the_average_is_one_of_equally_old_values_weighted_equally_whatever_the_length() -> None:
    generator = Identity((1, 5), 5)
    batches = torch.randn(700, 2, 1, 1, 5)
    for length in (1, 2, 30, 700):
        for step, w in enumerate(batches[:length]):
            generator.track(w, step)
        weights = 0.995 ** torch.arange(length - 1, -1, -1).double()
        expected = (weights @ batches[:length].mean(dim=1).flatten(1).double()) / weights.sum()
        torch.testing.assert_close(generator.w_average.double(), expected, rtol=1e-4, atol=1e-5)


def test_truncates_towards_the_average() -> None:
    generator = Identity((3, 5), 5)
    generator.w_average.fill_(2.0)
    w = torch.full((1, 4, 3, 5), 4.0)
    assert generator.truncate(w, 1.0).equal(w)
    assert generator.truncate(w, 0.5).unique().tolist() == [3.0]
    assert generator.truncate(w, 0.0).unique().tolist() == [2.0]


def test_truncates_towards_a_mean_of_each_image() -> None:
    generator = Identity((3, 5), 5)
    w = torch.full((2, 4, 3, 5), 4.0)
    mean = torch.tensor([[2.0], [0.0]]).expand(-1, 5)
    assert generator.truncate(w, 1.0, mean).equal(w)
    assert generator.truncate(w, 0.5, mean)[:, 0, 0, 0].tolist() == [3.0, 2.0]
    assert generator.truncate(w, 0.0, mean).equal(mean[:, None, None].expand_as(w))
    assert generator.truncate(w, 0.0, mean[0]).unique().tolist() == [2.0]
