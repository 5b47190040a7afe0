"""What all generators share."""

import torch
from torch import Tensor

from ganformer.nn.players import Generator


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
    generator.track(w)
    torch.testing.assert_close(generator.w_average, 0.005 * mean)
    generator.track(w)
    torch.testing.assert_close(generator.w_average, 0.005 * mean + 0.995 * 0.005 * mean)
    assert not generator.w_average.requires_grad
    assert "w_average" in generator.state_dict()


def test_truncates_towards_the_average() -> None:
    generator = Identity((3, 5), 5)
    generator.w_average.fill_(2.0)
    w = torch.full((1, 4, 3, 5), 4.0)
    assert generator.truncate(w, 1.0).equal(w)
    assert generator.truncate(w, 0.5).unique().tolist() == [3.0]
    assert generator.truncate(w, 0.0).unique().tolist() == [2.0]
