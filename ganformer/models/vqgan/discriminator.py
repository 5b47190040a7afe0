"""PatchGAN's discriminator (Isola et al. 2017, section 3.2): one logit for each of many overlapping patches."""

from itertools import pairwise

from torch import Tensor, nn

MAX_WIDENING = 8  # times the first layer's channels
SLOPE = 0.2  # slope of the leaky rectifier


class PatchDiscriminator(nn.Module):
    """Images [B, colours, H, W] → logits [B, h, w], h and w as `patches` says.

    `layers` convolutions that halve, and two that do not; all 4×4, with batch normalisation except in the first and the
    last. Weights begin as normal numbers of standard deviation 0.02.
    """

    def __init__(self, colours: int, channels: int, layers: int) -> None:
        super().__init__()
        widths = [channels * min(2**i, MAX_WIDENING) for i in range(layers + 1)]
        self.main = nn.Sequential(nn.Conv2d(colours, channels, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE))
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            stride = 2 if i < layers - 1 else 1
            self.main.append(nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False))
            self.main.append(nn.BatchNorm2d(outputs))
            self.main.append(nn.LeakyReLU(SLOPE))
        self.main.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.main(images).squeeze(1)
        return logits


def _initialise(part: nn.Module) -> None:
    if isinstance(part, nn.Conv2d):
        nn.init.normal_(part.weight, 0.0, 0.02)
    elif isinstance(part, nn.BatchNorm2d):
        nn.init.normal_(part.weight, 1.0, 0.02)
