"""What all generators share."""

import torch
from torch import Tensor

from ganformer.nn.generator import Generator


class Identity(Generator):
    def map(self, z: Tensor) -> Tensor:
        return z[:, None].expand(-1, 4, -1, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        return w * 2


def test_is_synthesis_of_what_was_mapped() -> None:
    generator = Identity((3, 5), 5)
    z = torch.randn(2, 3, 5)
    assert generator.latent_shape == (3, 5)
    assert generator(z).equal(z[:, None].expand(-1, 4, -1, -1) * 2)


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
