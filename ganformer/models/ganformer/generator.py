"""Generator whose latents are components that features attend to."""

# B batch, L layers, m components, k latents (components, then the global one if there is one), D size of a latent

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ganformer.models.ganformer.attention import AttendedLayer
from ganformer.models.ganformer.components import AttendedLatents, ComponentState
from ganformer.models.ganformer.parts import Change, Integration, present, skipping_absent
from ganformer.nn.interfaces import Generator
from ganformer.nn.mapping import AttendedMapping, Mapping
from ganformer.nn.synthesis import Ladder, additions


@dataclass(frozen=True)
class GeneratorParts:
    """Shape of the latents, number of components, and modules of a generator."""

    latent_shape: tuple[int, int]
    components: int
    local_mapping: AttendedMapping
    global_mapping: Mapping
    ladder: Ladder


class ComponentGenerator(Generator):
    """Local components that features attend to and, behind them, one global latent that modulates, or none.

    z [B, components + 1 or 0, size] → w [B, layers, as before, size] → images. `positions` [components, size] belongs
    to the components in the mapping network and in every attention. It is the only parameter that can be without use:
    with `centroid` attention if neither the components attend to anything nor gates use them.
    """

    def __init__(self, parts: GeneratorParts) -> None:
        size = parts.latent_shape[1]
        super().__init__(parts.latent_shape, size)
        self.components = parts.components
        self.positions = nn.Parameter(torch.rand(parts.components, size))
        self.local_mapping = parts.local_mapping
        self.global_mapping = parts.global_mapping
        self.synthesis = parts.ladder

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        local = self.local_mapping(z[:, : self.components], labels, self.positions)
        w = torch.cat([local, self.global_mapping(z[:, self.components :], labels)], dim=1)
        return w[:, None].expand(-1, self.synthesis.layers, -1, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        latents = [
            AttendedLatents(layer[:, self.components :].flatten(1), layer[:, : self.components], self.positions)
            for layer in w.unbind(1)
        ]
        images: Tensor = self.synthesis(latents, ComponentState())
        return images

    def synthesise_without(self, w: Tensor, absent: Sequence[int]) -> Tensor:
        """Return images of w without some components: no pixel and no other component attends to them.

        So component dropout leaves them out in training; models that were trained without it have not learned that.
        """
        kept = w.clone()
        kept[:, :, list(absent)] = 0
        with skipping_absent(self.synthesis):
            return self.synthesise(kept)

    def additions(self, w: Tensor) -> dict[str, Tensor]:
        return additions(self.synthesis, partial(self.synthesise, w))

    def attention_maps(self, w: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return images of w, and the map of every attention, from coarse to fine.

        A map is [B, heads, components, height, width] with sum 1 over the components, or less with gates
        (in evaluation, without dropout); of several iterations it is the last.
        """
        layers = [part for part in self.synthesis.modules() if isinstance(part, AttendedLayer)]
        weights: dict[AttendedLayer, Tensor] = {}
        hooks = [layer.attention.integration.register_forward_hook(partial(_keep, weights, layer)) for layer in layers]
        try:
            images = self.synthesise(w)
        finally:
            for hook in hooks:
                hook.remove()
        return images, [layer.as_maps(weights[layer]) for layer in layers]


def _keep(
    weights: dict[AttendedLayer, Tensor],
    layer: AttendedLayer,
    integration: Integration,
    given: tuple[Tensor, Change],
    out: tuple[Tensor, Tensor],
) -> None:
    change, found = given[1], out[1]
    found = found if change.factor is None else found * change.factor
    weights[layer] = found.unflatten(1, (change.heads, -1))


class DroppingGenerator(ComponentGenerator):
    """Generator that leaves out some components in training, each with probability `dropout`, but never all.

    One mask serves everything: absent components are zero in z, hence in w, and every softmax skips them.
    Latents to sample with are not drawn here, so nothing is absent from them.
    """

    def __init__(self, parts: GeneratorParts, dropout: float) -> None:
        super().__init__(parts)
        self.dropout = dropout

    def latents(self, count: int) -> Tensor:
        z = super().latents(count)
        chances = torch.rand(count, self.components, 1, device=z.device)
        kept = (chances >= self.dropout) | (chances == chances.amax(dim=1, keepdim=True))
        return torch.cat([z[:, : self.components] * kept, z[:, self.components :]], dim=1)

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        return super().map(z, labels) * present(z)[:, None, :, None]

    def track(self, w: Tensor, step: int) -> None:
        super().track(w / present(w).to(w.dtype).mean(), step)  # the mean over present components
