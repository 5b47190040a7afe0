"""Built-in scenes in the manner of CLEVR: a few simple solids on a plane, with everything about them known.

After Johnson et al. 2017, CLEVR, section 3: its shapes, colours, sizes and materials, a jittered camera and key light,
and no object hidden behind others. Every image is a function of (seed, index, shape of the image).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from ganformer.config import ImageSpec, Source
from ganformer.data.images import in_channels
from ganformer.data.source import ImageSource, Sample, Scene
from ganformer.errors import DataError
from ganformer.scenes.renderer import Frame, Objects, Vector, Views, aim, project, render
from ganformer.seeds import mix

SHAPES = ("sphere", "cube", "cylinder")
COLOURS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
SIZES = {"large": 0.75, "small": 0.42}
MATERIALS = ("rubber", "metal")

EYE, TARGET, LIGHT = (np.array(v, np.float32) for v in ((0, -8.3, 5.9), (0, 0.25, 0.2), (0.62, -0.5, 1.15)))
EYE_JITTER, LIGHT_JITTER = np.float32(0.5), np.float32(0.18)
GAP = 0.3  # smallest distance between two objects
VISIBLE = 0.4  # smallest visible part of an object
TRIES = 48  # places tried for an object before the scene is drawn anew
ATTEMPTS = 500  # scenes drawn for an image
CHUNK_PIXELS = 1 << 17  # pixels rendered at a time


class Config(Source):
    """Rendered scenes of spheres, cubes and cylinders, with masks and the place and looks of each object."""

    kind: Literal["scenes"] = "scenes"

    channels = 3

    images: PositiveInt = 10_000
    """Number of images."""
    seed: NonNegativeInt = 0
    """Seed of the scenes."""
    min_objects: PositiveInt = 3
    """Fewest objects of a scene."""
    max_objects: int = Field(default=8, ge=1, le=10)
    """Most objects of a scene."""

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        if self.min_objects > self.max_objects:
            raise ValueError(f"min_objects {self.min_objects} is more than max_objects {self.max_objects}")
        return self


class Scenes(ImageSource[int]):
    """A key is the index of a scene.

    The record of a scene: `camera`, the direction `light` of the key light, and `objects` in the order of their numbers
    in the mask, each with `shape`, `colour`, `size`, `material`, `position` of its centre (the ground is z = 0),
    `rotation` about the vertical in degrees, `pixel` of its centre (column and row; the first pixel is [0, 1)) and
    `visible_pixels`. The label of a scene is its number of objects less the fewest there can be.
    """

    has_scenes = True

    def __init__(self, config: Config, image: ImageSpec) -> None:
        self.config, self.frame, self._channels = config, Frame.of(image), image.channels

    @property
    def classes(self) -> int:
        """One for every number of objects."""
        return self.config.max_objects - self.config.min_objects + 1

    def __len__(self) -> int:
        return self.config.images

    def keys(self) -> Iterator[int]:
        return iter(range(len(self)))

    def load(self, keys: Sequence[int]) -> Iterator[Sample]:
        size = max(1, CHUNK_PIXELS // (self.frame.height * self.frame.width))
        for start in range(0, len(keys), size):
            yield from self._render(keys[start : start + size])

    def _render(self, keys: Sequence[int]) -> Iterator[Sample]:
        """Render all scenes, then those again whose objects hide each other, until none is left."""
        done: dict[int, Sample] = {}
        for attempt in range(ATTEMPTS):
            open_keys = [key for key in keys if key not in done]
            if not open_keys:
                break
            drafts = [_draft(self.config, key, attempt) for key in open_keys]
            done.update(_accepted(drafts, self.frame))
        else:
            raise DataError(
                f"scenes: {self.config.max_objects} objects do not fit into an image of {self.frame.width} × "
                f"{self.frame.height} pixels without hiding each other; lower max_objects or min_objects"
            )
        samples = (done[key] for key in keys)
        return (replace(sample, pixels=in_channels(sample.pixels, self._channels)) for sample in samples)


def open_source(config: Config, image: ImageSpec) -> Scenes:
    """Return the scenes of a seed. Raises DataError if black bars are asked for: scenes are rendered in their shape."""
    if image.rows is not None and image.columns is None:
        raise DataError("scenes: are rendered in any ratio, without bars; leave letterbox out")
    return Scenes(config, image)


class Draft(NamedTuple):
    """One try at a scene. K objects, T places tried for each."""

    key: int
    label: int
    shape: NDArray[np.int64]  # K
    colour: NDArray[np.int64]  # K
    size: NDArray[np.int64]  # K
    material: NDArray[np.int64]  # K
    angle: NDArray[np.float32]  # K
    places: NDArray[np.float32]  # K T 2, in [-1, 1]
    eye: NDArray[np.float32]
    light: NDArray[np.float32]


def _draft(config: Config, key: int, attempt: int) -> Draft:
    generator = np.random.Generator(np.random.PCG64(mix(config.seed, "scene", key, attempt)))
    # A scene that is drawn anew keeps its number of objects, else crowded scenes would be rare.
    label = mix(config.seed, "count", key) % (config.max_objects - config.min_objects + 1)
    count = config.min_objects + label
    shape, colour, size, material = (
        generator.integers(0, choices, count) for choices in (len(SHAPES), len(COLOURS), len(SIZES), len(MATERIALS))
    )
    angle, places, eye, light = (
        generator.uniform(-1, 1, size).astype(np.float32) for size in ((count,), (count, TRIES, 2), (3,), (3,))
    )
    return Draft(
        key,
        label,
        shape,
        colour,
        size,
        material,
        angle * np.float32(np.pi),
        places,
        EYE + EYE_JITTER * eye,
        LIGHT + LIGHT_JITTER * light,
    )


def _accepted(drafts: Sequence[Draft], frame: Frame) -> Iterator[tuple[int, Sample]]:
    """Render the drafts that can be placed; return the ones in which every object is visible enough."""
    views = aim(_vectors([draft.eye for draft in drafts]), _vectors([TARGET]), _vectors([d.light for d in drafts]))
    where = _place(drafts, views, frame)
    placed = [i for i, draft in enumerate(drafts) if np.isfinite(where[i, : len(draft.shape)]).all()]
    if not placed:
        return
    drafts, views, where = [drafts[i] for i in placed], views.at(np.array(placed)), where[placed]
    objects = _objects(drafts, where)
    rendered = render(objects, views, frame)
    seen = _visible_pixels(rendered.masks, objects)
    hidden = set(objects.scene[(seen < VISIBLE * rendered.alone) | (seen == 0)].tolist())
    records = _records(drafts, objects, views, frame, seen)
    for i, draft in enumerate(drafts):
        if i not in hidden:
            scene = Scene({**_view(draft, frame), "objects": records[i]}, rendered.masks[i])
            yield draft.key, Sample(f"scene-{draft.key:08d}", rendered.pixels[i], scene, draft.label)


def _place(drafts: Sequence[Draft], views: Views, frame: Frame) -> NDArray[np.float32]:
    """Choose positions of the objects, [N, K, 2]: the first that are in the frame and keep the gap, or NaN."""
    most = max(len(draft.shape) for draft in drafts)
    where = np.full((len(drafts), most, 2), np.nan, np.float32)
    radius = np.zeros((len(drafts), most), np.float32)
    tried = np.full((len(drafts), most, TRIES, 2), np.nan, np.float32)
    for i, draft in enumerate(drafts):
        radius[i, : len(draft.size)] = _RADII[draft.size]
        tried[i, : len(draft.size)] = draft.places * _extent(frame)
    around = views.at(np.arange(len(drafts))[:, None])
    for k in range(most):
        x, y = tried[:, k, :, 0], tried[:, k, :, 1]
        fits = _in_frame(x, y, radius[:, k, None], around, frame)
        for j in range(k):
            apart = (x - where[:, j, 0, None]) ** 2 + (y - where[:, j, 1, None]) ** 2
            fits &= apart > (radius[:, j, None] + radius[:, k, None] + np.float32(GAP)) ** 2
        first = fits.argmax(axis=1)
        chosen = tried[np.arange(len(drafts)), k, first]
        where[:, k] = np.where(fits.any(axis=1, keepdims=True), chosen, np.float32(np.nan))
    return where


def _extent(frame: Frame) -> NDArray[np.float32]:
    """Return half the width and depth of the part of the plane where objects are put."""
    return np.array([min(9.6 * frame.half_width, 8.0), min(9.6 * frame.half_height, 5.0)], np.float32)


def _in_frame(
    x: NDArray[np.float32], y: NDArray[np.float32], radius: NDArray[np.float32], views: Views, frame: Frame
) -> NDArray[np.bool_]:
    right, up, depth = project(Vector(x, y, radius + np.zeros_like(x)), views)
    beside, below = 1.15 * radius / depth, 1.4 * radius / depth  # the foot of a cylinder reaches lowest
    return (np.abs(right) + beside < frame.half_width) & (np.abs(up) + below < frame.half_height)


def _objects(drafts: Sequence[Draft], where: NDArray[np.float32]) -> Objects:
    counts = np.array([len(draft.shape) for draft in drafts])
    scene = np.repeat(np.arange(len(drafts)), counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return Objects(
        scene=scene,
        number=number + 1,
        shape=_joined(drafts, "shape"),
        x=where[scene, number, 0],
        y=where[scene, number, 1],
        radius=_RADII[_joined(drafts, "size")],
        angle=_joined(drafts, "angle"),
        colour=_ALBEDOS[_joined(drafts, "colour")],
        metal=_joined(drafts, "material").astype(np.float32),
    )


def _visible_pixels(masks: NDArray[np.uint8], objects: Objects) -> NDArray[np.int64]:
    """Return the number of visible pixels of each object."""
    scenes = np.arange(len(masks))[:, None, None] * 256
    counts = np.bincount((masks + scenes).ravel(), minlength=256 * len(masks))
    visible: NDArray[np.int64] = counts[objects.scene * 256 + objects.number]
    return visible


def _records(
    drafts: Sequence[Draft], objects: Objects, views: Views, frame: Frame, seen: NDArray[np.int64]
) -> list[list[dict[str, Any]]]:
    """Return a record of each object, as plain JSON, by scene."""
    centre, colour, size = objects.centre, _joined(drafts, "colour"), _joined(drafts, "size")
    right, up, _ = project(centre, views.at(objects.scene))
    column = (right / frame.half_width + 1) * (frame.width / 2)
    row = (1 - up / frame.half_height) * (frame.height / 2)
    records: list[list[dict[str, Any]]] = [[] for _ in drafts]
    for k, scene in enumerate(objects.scene.tolist()):
        record = {
            "shape": SHAPES[objects.shape[k]],
            "colour": tuple(COLOURS)[colour[k]],
            "size": tuple(SIZES)[size[k]],
            "material": MATERIALS[int(objects.metal[k])],
            "position": [_rounded(centre.x[k]), _rounded(centre.y[k]), _rounded(centre.z[k])],
            "rotation": _rounded(np.degrees(objects.angle[k])),
            "pixel": [_rounded(column[k]), _rounded(row[k])],
            "visible_pixels": int(seen[k]),
        }
        records[scene].append(record)
    return records


def _view(draft: Draft, frame: Frame) -> dict[str, Any]:
    """Return camera and key light as plain JSON; `half_view`: half width and height of the view at distance 1."""
    camera = {
        "eye": [_rounded(value) for value in draft.eye],
        "target": [_rounded(value) for value in TARGET],
        "half_view": [_rounded(frame.half_width), _rounded(frame.half_height)],
    }
    return {"camera": camera, "light": [_rounded(value) for value in draft.light]}


def _joined(drafts: Sequence[Draft], attribute: str) -> NDArray[Any]:
    """Return one attribute of all objects of all scenes."""
    return np.concatenate([getattr(draft, attribute) for draft in drafts])


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def _vectors(rows: Sequence[NDArray[np.float32]]) -> Vector:
    return Vector(*np.stack(rows, axis=1))


_RADII = np.array(list(SIZES.values()), np.float32)
_ALBEDOS = (np.array(list(COLOURS.values()), np.float32) / 255) ** np.float32(1.35)
