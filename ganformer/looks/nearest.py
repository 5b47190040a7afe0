"""Look at the training pictures that are nearest to pictures of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveInt

from ganformer.analysis.view import View
from ganformer.config import Ability, Evaluation, Look, parse
from ganformer.errors import DataError
from ganformer.records import manifest

if TYPE_CHECKING:
    from ganformer.analysis.explorer import Explorer


class Config(Look):
    """Training pictures nearest to those of the model, by features of a network."""

    kind: Literal["nearest"] = "nearest"
    needs: ClassVar[Ability | None] = None

    data: Path
    """Pack of the training: its folder or manifest.json."""
    count: PositiveInt = 4
    """Nearest training pictures of each picture."""
    truncation: NonNegativeFloat = 1.0
    """ψ, from 0 to 1."""
    extractor: str = "random-vgg16"
    """Network whose features are compared by their Euclidean distance: a kind of the section evaluation."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The pack."""
        return (manifest.folder_of(self.data) / "manifest.json",)


def look(settings: Config, explorer: Explorer) -> View:
    """Show each picture and the nearest training pictures, the nearest first.

    Arrays: `places` int64 [pictures, count], numbers of the images in the pack; `distances` float32, of features.
    """
    import numpy as np
    import torch

    from ganformer.analysis.copies import Part, read
    from ganformer.analysis.explorer import coloured
    from ganformer.data.dataset import Images
    from ganformer.data.images import in_colours
    from ganformer.metrics.evaluate import load_network
    from ganformer.metrics.sets import ALL

    pack = Images(settings.data)
    explorer.record.check_pack(explorer.path, pack.folder, pack.manifest, "", other_data=True)
    if settings.count > len(pack):
        raise DataError(f"{settings.data}: has {len(pack)} images, but count is {settings.count}; look for fewer")
    extractor = parse(Evaluation, {"extractor": {"kind": settings.extractor}}, "look nearest").extractor
    network = load_network(extractor, explorer.device)
    pictures = coloured(explorer.samples(settings.seeds, settings.label, settings.truncation))
    wanted = network(torch.from_numpy(pictures).permute(0, 3, 1, 2).to(explorer.device))[0].double()
    images = Part(pack, np.arange(len(pack)))
    batches = images.batches(images.picture, explorer.device, ALL)
    found = [torch.cdist(wanted, network(batch)[0].double()) for batch in batches]
    distances, places = torch.cat(found, dim=1).topk(settings.count, dim=1, largest=False)
    numbers = places.cpu().numpy()
    near = in_colours(read(pack, numbers.ravel()), axis=1).transpose(0, 2, 3, 1)
    near = near.reshape(*numbers.shape, *near.shape[1:])
    return View(
        cells=np.concatenate([pictures[:, None], near], axis=1),
        rows=[f"seed {seed}" for seed in settings.seeds],
        columns=["picture", *(f"nearest {number + 1}" for number in range(settings.count))],
        caption=f"Training pictures whose features ({settings.extractor}) are nearest.",
        arrays={"places": numbers, "distances": distances.cpu().numpy().astype(np.float32)},
    )
