"""Look at the codes of VQGAN: reconstructions, and pictures of which a region is drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, NonNegativeInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from ganformer.analysis.view import View
from ganformer.config import Ability, ImageSpec, Look
from ganformer.config.look import words
from ganformer.errors import ConfigError, DataError
from ganformer.records import manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ganformer.analysis.explorer import Explorer

LOWER_HALF = (0.0, 0.5, 1.0, 1.0)


def box(value: Any) -> tuple[float, ...]:
    """Return left, top, right and bottom, given as numbers or a text, `0,0.5,1,1`; ValueError if they are no box."""
    parts = words(value)
    try:
        left, top, right, bottom = map(float, parts)
    except (TypeError, ValueError):
        left = top = right = bottom = 0.0
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"{value!r} is no box; write left,top,right,bottom as parts of the width and height from 0 to 1, as in "
            "0.25,0.5,0.75,1"
        )
    return left, top, right, bottom


class Config(Look):
    """Codes of pictures, pictures decoded from them, and regions of them drawn anew by the transformer."""

    kind: Literal["codes"] = "codes"
    needs: ClassVar[Ability] = "codes"

    data: Path | None = None
    """Pack whose pictures are encoded, the ones at the places that `seeds` names. None: pictures of these seeds."""
    image: Path | None = None
    """Picture, or folder of pictures, that is encoded in place of pictures of seeds."""
    region: Annotated[tuple[float, float, float, float], BeforeValidator(box)] | None = None
    """Box of the picture whose codes are drawn anew: left, top, right and bottom as parts of its width and height, as
    in 0.25,0.5,0.75,1. A code belongs to it if its centre does. None: the lower half."""
    completions: NonNegativeInt = 3
    """Pictures in which the codes of the region are drawn, and all others kept."""
    completion_seed: NonNegativeInt = 0
    """Seed of the first of them; the next one has the next."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The pack, or the picture."""
        if self.image is not None:
            return (self.image,)
        return () if self.data is None else (manifest.folder_of(self.data) / "manifest.json",)

    @model_validator(mode="after")
    def _pictures_are_named_once(self) -> Self:
        given = self.model_fields_set - ({"data"} if self.data is None else set())
        others = [name for name in ("data", "seeds") if name in given]
        if self.image is not None and others:
            raise ValueError(f"{others[0]} and image both name the pictures; leave one of them out")
        return self

    # Left out where they are not set, as in records of earlier versions; seeds, where they mean nothing.
    @model_serializer(mode="wrap")
    def _without_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: Mapping[str, Any] = serialise(self)
        absent = {"image": self.image is None, "region": self.region is None, "seeds": self.image is not None}
        absent["completion_seed"] = not self.completion_seed
        return {name: value for name, value in found.items() if not absent.get(name)}


def look(settings: Config, explorer: Explorer) -> View:
    """Show each picture, its codes, the picture decoded from them, and completions.

    Array `codes` int64 [pictures, h, w]; if a region is named also `region`, bool [h, w], and `completions`, int64
    [pictures, completions, h, w]. Shades of codes are their numbers, from black to white. Raises ConfigError if no code
    lies in the region, or pictures of files have no class.
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
    drawn = _drawn(settings, explorer, codes)
    shape = (explorer.record.image.height, explorer.record.image.width)
    shades = enlarged(codes[:, None].float() / max(coder.entries - 1, 1), *shape)[:, 0].cpu().numpy()
    columns = [coloured(images), grey(shades), coloured(coder.decode(codes))]
    numbers = range(settings.completion_seed, settings.completion_seed + settings.completions)
    kept = torch.from_numpy(~drawn)
    completed = [coder.complete(codes, kept, labels, [number] * len(codes)) for number in numbers]
    columns += [coloured(coder.decode(each)) for each in completed]
    picture = explorer.record.image.picture
    cells = np.stack([central(each.transpose(0, 3, 1, 2), *picture).transpose(0, 2, 3, 1) for each in columns], axis=1)
    return View(
        cells=cells,
        rows=names,
        columns=["picture", "codes", "decoded", *(f"completion {number}" for number in numbers)],
        caption="Pictures, the numbers of their codes, what is decoded from them, and "
        f"{'lower halves' if settings.region is None else f'the region {_written(settings.region)}'} drawn anew.",
        arrays={"codes": codes.cpu().numpy()}
        | ({} if settings.region is None else _drawn_codes(drawn, codes, completed)),
    )


def _drawn(settings: Config, explorer: Explorer, codes: Tensor) -> NDArray[np.bool_]:
    """Return which codes are drawn anew, [h, w]; ConfigError if none is."""
    region, (rows, columns), image = settings.region or LOWER_HALF, codes.shape[1:], explorer.record.image
    found = inside(region, (rows, columns), image)
    if not found.any():
        wide, high = image.width / columns / image.picture[1], image.height / rows / image.picture[0]
        raise ConfigError(
            f"region {_written(region)}: the centre of no code lies in it; a code is {wide:.3g} of the picture wide "
            f"and {high:.3g} high, so make the region larger"
        )
    return found


def inside(region: tuple[float, ...], shape: tuple[int, int], image: ImageSpec) -> NDArray[np.bool_]:
    """Return whether the centre of each of `shape` codes lies in a box of the picture, bool [h, w].

    A centre on the left or upper border does, on the right or lower one does not. Codes of the black bars beside the
    picture go with those at its edge.
    """
    import numpy as np

    left, top, right, bottom = (Fraction(str(each)) for each in region)
    rows = _between(top, bottom, shape[0], image.height, image.picture[0])
    columns = _between(left, right, shape[1], image.width, image.picture[1])
    return np.logical_and.outer(rows, columns)


def _between(first: Fraction, last: Fraction, count: int, whole: int, part: int) -> list[bool]:
    """Return for each of `count` codes along `whole` pixels whether its centre is between two places of the picture.

    The picture is the `part` pixels in the middle; `first` and `last` are parts of that.
    """
    margin = (whole - part) // 2
    centres = [(Fraction((2 * number + 1) * whole, 2 * count) - margin) / part for number in range(count)]
    return [first <= max(at, Fraction(0)) and (at < last or last == 1) for at in centres]


def _written(region: tuple[float, ...]) -> str:
    return ",".join(f"{each:g}" for each in region)


def _drawn_codes(drawn: NDArray[np.bool_], codes: Tensor, completed: list[Tensor]) -> dict[str, NDArray[Any]]:
    """Return which codes were drawn, and all codes of the completions [n, completions, h, w]."""
    import numpy as np

    found = [each.cpu().numpy() for each in completed]
    shape = (len(codes), 0, *codes.shape[1:])
    return {"region": drawn, "completions": np.stack(found, axis=1) if found else np.zeros(shape, np.int64)}


def _pictures(settings: Config, explorer: Explorer) -> tuple[Tensor, Tensor, list[str]]:
    """Return images [n, C, H, W] with their bars, labels [n, classes] and names."""
    import numpy as np
    import torch

    from ganformer.data.dataset import Images
    from ganformer.training.samples import normalise

    record, device = explorer.record, explorer.device
    labels = explorer.labels(settings.label)
    if settings.image is not None:
        return _of_files(settings.image, settings.label, explorer)
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


def _of_files(path: Path, label: str | None, explorer: Explorer) -> tuple[Tensor, Tensor, list[str]]:
    import torch

    from ganformer.analysis.projection import targets
    from ganformer.training.samples import normalise

    classes = explorer.record.image.classes
    if classes and label is None:
        raise ConfigError(
            f"image: the model has {classes} classes, and files name none; say the class of the pictures as label"
        )
    found = targets([path], explorer)
    images = torch.stack([normalise(torch.from_numpy(target.pixels.copy())).permute(2, 0, 1) for target in found])
    labels = explorer.labels(label)(range(len(found)))
    return images.to(explorer.device), labels.to(explorer.device), [target.name for target in found]
