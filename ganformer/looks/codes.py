"""Look at the codes of VQGAN: reconstructions, and completions of half pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt

from ganformer.analysis.view import View
from ganformer.config import Ability, Look
from ganformer.errors import DataError
from ganformer.records import manifest

if TYPE_CHECKING:
    from torch import Tensor

    from ganformer.analysis.explorer import Explorer


class Config(Look):
    """Codes of pictures, pictures decoded from them, and lower halves drawn anew by the transformer."""

    kind: Literal["codes"] = "codes"
    needs: ClassVar[Ability] = "codes"

    data: Path | None = None
    """Pack whose pictures are encoded, the ones at the places that `seeds` names. None: pictures of these seeds."""
    completions: NonNegativeInt = 3
    """Pictures whose upper half of the codes is kept, and the rest drawn."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The pack."""
        return () if self.data is None else (manifest.folder_of(self.data) / "manifest.json",)


def look(settings: Config, explorer: Explorer) -> View:
    """Show each picture, its codes, the picture decoded from them, and completions.

    Array `codes` int64 [pictures, h, w]. Shades of codes are their numbers, from black to white.
    """
    import numpy as np
    import torch

    from ganformer.analysis.explorer import coloured, enlarged, grey
    from ganformer.data.images import central
    from ganformer.training.learner import Coder

    coder = explorer.learner
    assert isinstance(coder, Coder)
    images, labels, names = _pictures(settings, explorer)
    codes = coder.encode(images)
    kept = torch.zeros(codes.shape[1:], dtype=torch.bool)
    kept[: codes.shape[1] // 2] = True
    shape = (explorer.record.image.height, explorer.record.image.width)
    shades = enlarged(codes[:, None].float() / max(coder.entries - 1, 1), *shape)[:, 0].cpu().numpy()
    columns = [coloured(images), grey(shades), coloured(coder.decode(codes))]
    for number in range(settings.completions):
        seeds = [number] * len(codes)
        columns.append(coloured(coder.decode(coder.complete(codes, kept, labels, seeds))))
    picture = explorer.record.image.picture
    cells = np.stack([central(each.transpose(0, 3, 1, 2), *picture).transpose(0, 2, 3, 1) for each in columns], axis=1)
    return View(
        cells=cells,
        rows=names,
        columns=["picture", "codes", "decoded", *(f"completion {number}" for number in range(settings.completions))],
        caption="Pictures, the numbers of their codes, what is decoded from them, and lower halves drawn anew.",
        arrays={"codes": codes.cpu().numpy()},
    )


def _pictures(settings: Config, explorer: Explorer) -> tuple[Tensor, Tensor, list[str]]:
    """Return images [n, C, H, W] with their bars, labels [n, classes] and names."""
    import numpy as np
    import torch

    from ganformer.data.dataset import Images
    from ganformer.training.samples import normalise

    record, device = explorer.record, explorer.device
    labels = explorer.labels(settings.label)
    if settings.data is None:
        made = explorer.canvases(settings.seeds, settings.label)
        return made, labels(settings.seeds).to(device), [f"seed {seed}" for seed in settings.seeds]
    pack = Images(settings.data)
    if max(settings.seeds) >= len(pack):
        last = max(settings.seeds)
        raise DataError(f"{settings.data}: has images 0 to {len(pack) - 1} but {last} was asked for; name others")
    record.check_pack(explorer.path, pack.folder, pack.manifest, "", other_data=True)
    places = np.array(settings.seeds)
    images = normalise(torch.from_numpy(pack.read(places))).to(device)
    return images, torch.from_numpy(pack.labels(places)).float().to(device), [f"image {place}" for place in places]
