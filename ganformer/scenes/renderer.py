"""Ray casting of spheres, cubes and cylinders that stand on a plane, many scenes at once.

Lengths are in units of the plane, colours are linear light until the end. All arithmetic is elementwise, so an image is
the same alone and among others. Each pixel is sampled on a `GRID` × `GRID` raster where objects are; ground and shadows
are smooth and sampled once. Shadows are soft and exact up to the shape of their edge: every caster has a closed form.
"""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ganformer.config import ImageSpec

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

SPHERE, CUBE, CYLINDER = range(3)
GRID = 3  # odd: the middle sample is the pixel's centre
SAMPLES = GRID * GRID
SPREAD = 0.373  # tangent of half the view angle of a square image: CLEVR's 35 mm lens on the same image area
BEVEL = 0.12  # radius of rounded edges, relative to the object's
HALF_CUBE = 0.5**0.5 * 1.06  # half the side of a cube of radius 1

GROUND = (0.60, 0.59, 0.575)
BACKDROP = (0.25, 0.25, 0.255)
FILL_LIGHT = (-0.66, -0.55, 0.51)
BACK_LIGHT = (0.25, 0.86, 0.44)


class Vector(NamedTuple):
    """Three arrays of one shape: the components of vectors."""

    x: Floats
    y: Floats
    z: Floats

    def at(self, index: NDArray[Any]) -> "Vector":
        """Return the vectors at some indices."""
        return Vector(self.x[index], self.y[index], self.z[index])

    def dot(self, other: "Vector") -> Floats:
        """Return scalar products."""
        return self.x * other.x + self.y * other.y + self.z * other.z

    def plus(self, other: "Vector", scale: Floats | float = 1.0) -> "Vector":
        """Return self + scale · other."""
        return Vector(self.x + scale * other.x, self.y + scale * other.y, self.z + scale * other.z)

    def unit(self) -> "Vector":
        """Return the same directions with length 1."""
        scale = 1 / np.sqrt(self.dot(self))
        return Vector(self.x * scale, self.y * scale, self.z * scale)

    def turned(self, cosine: Floats, sine: Floats) -> "Vector":
        """Return a copy turned about the vertical axis."""
        return Vector(cosine * self.x - sine * self.y, sine * self.x + cosine * self.y, self.z)


@dataclass(frozen=True)
class Objects:
    """Objects of many scenes, one array entry each, sorted by scene."""

    scene: Integers
    """Number of the scene it belongs to."""
    number: Integers
    """Its number in the scene, from 1."""
    shape: Integers
    """SPHERE, CUBE or CYLINDER."""
    x: Floats
    y: Floats
    radius: Floats
    """Half the height of spheres and cylinders."""
    angle: Floats
    """Turn about the vertical axis in radians."""
    colour: Floats
    """Linear light [M, 3]."""
    metal: Floats
    """1: metal, 0: rubber."""

    def at(self, index: Integers) -> Self:
        """Return some of the objects."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def half_height(self) -> Floats:
        """Height of the centre above the plane."""
        return np.where(self.shape == CUBE, np.float32(HALF_CUBE), np.float32(1)) * self.radius

    @property
    def centre(self) -> Vector:
        """Centres of the objects."""
        return Vector(self.x, self.y, self.half_height)


@dataclass(frozen=True)
class Views:
    """Camera and key light of each scene."""

    eye: Vector
    forward: Vector
    right: Vector
    up: Vector
    light: Vector
    """Direction to the key light, length 1."""

    def at(self, index: NDArray[Any]) -> "Views":
        """Return views of some scenes."""
        return Views(*(getattr(self, field.name).at(index) for field in fields(self)))


class Frame(NamedTuple):
    """The image plane: its pixels, and half its extent at distance 1 from the eye."""

    height: int
    width: int
    half_height: float
    half_width: float

    @classmethod
    def of(cls, image: ImageSpec) -> "Frame":
        """Return the frame of an image; its area does not depend on its ratio."""
        ratio = (image.height / image.width) ** 0.5
        return cls(image.height, image.width, SPREAD * ratio, SPREAD / ratio)


class Rendered(NamedTuple):
    """Pixels uint8 [B, H, W, 3], masks uint8 [B, H, W], and for each object its pixels with nothing in front of it."""

    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    alone: Integers


def render(objects: Objects, views: Views, frame: Frame) -> Rendered:
    """Render the scenes of `views`; a pixel's mask is the number of the object that is seen at its centre."""
    canvas = _Canvas(len(views.eye.x), frame)
    alone = np.zeros(len(objects.scene), np.int64)
    for group in _groups(objects):
        some = objects.at(group)
        _cast_shadow(canvas, some, views.at(some.scene))
        alone[group] = _draw(canvas, some, views.at(some.scene))
    return Rendered(canvas.pixels(_ground(canvas, views)), canvas.masks(), alone)


def aim(eye: Vector, target: Vector, light: Vector) -> Views:
    """Return views from `eye` to `target`, upright."""
    forward = target.plus(eye, -1.0).unit()
    right = Vector(forward.y, -forward.x, np.zeros_like(forward.z)).unit()
    return Views(eye, forward, right, _cross(right, forward), light.unit())


def project(points: Vector, views: Views) -> tuple[Floats, Floats, Floats]:
    """Project points to the image: right, up (both at distance 1 from the eye) and depth."""
    seen = points.plus(views.eye, -1.0)
    depth = seen.dot(views.forward)
    return seen.dot(views.right) / depth, seen.dot(views.up) / depth, depth


class _Canvas:
    """Samples of all images: the nearest object, its colour, and the share of light on each pixel of the ground.

    P = B·H·W pixels in order; sample s of pixel p is at [s, p].
    """

    def __init__(self, images: int, frame: Frame) -> None:
        self.frame, self.images = frame, images
        count = images * frame.height * frame.width
        self.depth = np.full(SAMPLES * count, np.inf, np.float32)
        self.number = np.zeros(SAMPLES * count, np.uint8)
        self.colour = np.zeros((3, SAMPLES * count), np.float32)
        self.sun = np.ones(count, np.float32)
        self.sky = np.ones(count, np.float32)

    def pixel(self, scene: Integers, row: Integers, column: Integers) -> Integers:
        """Return numbers of pixels."""
        return (scene * self.frame.height + row) * self.frame.width + column

    def masks(self) -> NDArray[np.uint8]:
        """Return numbers of the objects at the pixels' centres, uint8 [B, H, W]."""
        middle = self.number.reshape(SAMPLES, -1)[SAMPLES // 2]
        images: NDArray[np.uint8] = middle.reshape(self.images, self.frame.height, self.frame.width)
        return images

    def pixels(self, ground: Floats) -> NDArray[np.uint8]:
        """Return means of the samples over the ground, linear [3, P], as displayed: uint8 [B, H, W, 3]."""
        free = (self.number.reshape(SAMPLES, -1) == 0).sum(axis=0, dtype=np.float32)
        total = self.colour.reshape(3, SAMPLES, -1).sum(axis=1) + ground * free
        levels = _DISPLAY[np.minimum(total * ((len(_DISPLAY) - 1) / SAMPLES), len(_DISPLAY) - 1).astype(np.int32)]
        return np.ascontiguousarray(levels.T).reshape(self.images, self.frame.height, self.frame.width, 3)


def _display_table(size: int) -> NDArray[np.uint8]:
    """Return sRGB values of `size` steps of linear light."""
    light = np.linspace(0, 1, size)
    table: NDArray[np.uint8] = np.rint(
        255 * np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    ).astype(np.uint8)
    return table


_DISPLAY = _display_table(8192)


def _groups(objects: Objects) -> list[Integers]:
    """Return indices of objects of one shape, at most one a scene in each group, so that no pixel is written twice."""
    groups = []
    for shape in (SPHERE, CUBE, CYLINDER):
        same = np.flatnonzero(objects.shape == shape)
        scenes = objects.scene[same]
        rank = np.arange(len(same)) - np.searchsorted(scenes, scenes)
        groups += [same[rank == i] for i in range(rank.max(initial=-1) + 1)]
    return groups


def _cover(
    frame: Frame, left: Floats, right: Floats, bottom: Floats, top: Floats
) -> tuple[Integers, Integers, Integers]:
    """Return all pixels of the rectangles, one after another: owner, row and column."""

    def limits(low: Floats, high: Floats, count: int) -> tuple[Integers, Integers]:
        first = np.clip(np.floor((low + 1) * (count / 2)), 0, count).astype(np.int64)
        last = np.clip(np.ceil((high + 1) * (count / 2)), 0, count).astype(np.int64)
        return first, last - first

    column, columns = limits(left / frame.half_width, right / frame.half_width, frame.width)
    row, rows = limits(-top / frame.half_height, -bottom / frame.half_height, frame.height)
    sizes = columns * rows
    owner = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    down = within // columns[owner]
    return owner, row[owner] + down, column[owner] + within - down * columns[owner]


def _plane(frame: Frame, row: NDArray[Any], column: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return right and up of points of the image plane given in pixels; the first pixel's centre is (0, 0)."""
    right = ((column + 0.5) * (2 / frame.width) - 1) * frame.half_width
    up = (1 - (row + 0.5) * (2 / frame.height)) * frame.half_height
    return right.astype(np.float32), up.astype(np.float32)


# ----------------------------------------------------------------------------------------------- objects


def _draw(canvas: _Canvas, objects: Objects, views: Views) -> Integers:
    """Draw a group of one shape; returns how many pixels of each object would be seen alone."""
    owner, row, column = _cover(canvas.frame, *_silhouette(objects, views))
    grid = (np.arange(GRID) - GRID // 2) / GRID
    right, up = _plane(canvas.frame, row + np.repeat(grid, GRID)[:, None], column + np.tile(grid, GRID)[:, None])
    cosine, sine = np.cos(objects.angle), np.sin(objects.angle)
    eye, forward, across, upward = (
        axis.turned(cosine, -sine).at(owner)
        for axis in (views.eye.plus(objects.centre, -1.0), views.forward, views.right, views.up)
    )
    ray = forward.plus(across, right).plus(upward, up)  # in the objects' own axes, [SAMPLES, pixels]
    intersect, normal_at = _SHAPES[int(objects.shape[0])]
    depth = intersect(eye, ray, objects.radius[owner])
    alone = np.bincount(owner, weights=np.isfinite(depth[SAMPLES // 2]), minlength=len(objects.scene))

    pixel = canvas.pixel(objects.scene[owner], row, column)
    sample = pixel + np.arange(SAMPLES)[:, None] * len(canvas.sun)
    place = np.nonzero(depth < canvas.depth[sample])
    sample, depth, owner, ray = sample[place], depth[place], owner[place[1]], Vector(*(axis[place] for axis in ray))
    point = eye.at(place[1]).plus(ray, depth)
    some, cosine, sine = objects.at(owner), cosine[owner], sine[owner]
    normal = normal_at(point, some.radius).unit().turned(cosine, sine)
    canvas.depth[sample] = depth
    canvas.number[sample] = some.number
    canvas.colour[:, sample] = _shade(some, normal, ray.turned(cosine, sine).unit(), point.z, views.light.at(owner))
    return alone.astype(np.int64)


def _silhouette(objects: Objects, views: Views) -> tuple[Floats, Floats, Floats, Floats]:
    """Return rectangles on the image plane around the objects: left, right, bottom, top."""
    if objects.shape[0] == SPHERE:
        return _sphere_silhouette(objects.centre, objects.radius, views)
    half = objects.radius * np.where(objects.shape == CUBE, np.float32(HALF_CUBE), np.float32(1))
    cosine, sine = np.cos(objects.angle), np.sin(objects.angle)
    corners = []
    for dx in (-1, 1):
        for dy in (-1, 1):
            for height in (0, 2):
                corner = Vector(half * dx, half * dy, half * height).turned(cosine, sine)
                corners.append(project(Vector(objects.x + corner.x, objects.y + corner.y, corner.z), views)[:2])
    right, up = (np.stack(values) for values in zip(*corners, strict=True))
    return right.min(axis=0), right.max(axis=0), up.min(axis=0), up.max(axis=0)


def _sphere_silhouette(centre: Vector, radius: Floats, views: Views) -> tuple[Floats, Floats, Floats, Floats]:
    right, up, depth = project(centre, views)
    bounds = []
    for value in (right, up):
        middle, half = np.arctan(value), np.arcsin(radius / (depth * np.sqrt(1 + value * value)))
        bounds += [np.tan(middle - half), np.tan(middle + half)]
    return bounds[0], bounds[1], bounds[2], bounds[3]


def _meet_sphere(eye: Vector, ray: Vector, radius: Floats) -> Floats:
    a, b, c = ray.dot(ray), eye.dot(ray), eye.dot(eye) - radius * radius
    root = b * b - a * c
    return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.float32(np.inf))


def _meet_cube(eye: Vector, ray: Vector, radius: Floats) -> Floats:
    half = radius * np.float32(HALF_CUBE)
    near, far = np.full_like(ray.x, -np.inf), np.full_like(ray.x, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):  # rays along a face
        for start, direction in zip(eye, ray, strict=True):
            slope = 1 / direction
            middle, reach = -start * slope, half * np.abs(slope)
            near, far = np.maximum(near, middle - reach), np.minimum(far, middle + reach)
        return np.where(near < far, near, np.float32(np.inf))


def _meet_cylinder(eye: Vector, ray: Vector, radius: Floats) -> Floats:
    a, b = ray.x * ray.x + ray.y * ray.y, eye.x * ray.x + eye.y * ray.y
    root = b * b - a * (eye.x * eye.x + eye.y * eye.y - radius * radius)
    side = (-b - np.sqrt(np.maximum(root, 0))) / a
    side = np.where((root > 0) & (np.abs(eye.z + side * ray.z) <= radius), side, np.float32(np.inf))
    top = (radius - eye.z) / np.minimum(ray.z, np.float32(-1e-6))  # the eye is above
    x, y = eye.x + top * ray.x, eye.y + top * ray.y
    return np.where(x * x + y * y <= radius * radius, top, side)


def _sphere_normal(point: Vector, radius: Floats) -> Vector:
    return point


def _cube_normal(point: Vector, radius: Floats) -> Vector:
    flat = radius * np.float32(HALF_CUBE - BEVEL)
    return Vector(*(np.copysign(np.maximum(np.abs(value) - flat, 0), value) for value in point))


def _cylinder_normal(point: Vector, radius: Floats) -> Vector:
    flat = radius * np.float32(1 - BEVEL)
    distance = np.maximum(np.sqrt(point.x * point.x + point.y * point.y), np.float32(1e-6))
    out = np.maximum(distance - flat, 0) / distance
    return Vector(point.x * out, point.y * out, np.copysign(np.maximum(np.abs(point.z) - flat, 0), point.z))


_SHAPES = {
    SPHERE: (_meet_sphere, _sphere_normal),
    CUBE: (_meet_cube, _cube_normal),
    CYLINDER: (_meet_cylinder, _cylinder_normal),
}


def _shade(objects: Objects, normal: Vector, ray: Vector, height: Floats, light: Vector) -> Floats:
    """Return linear light [3, N]: Lambert and a faint sheen for rubber; studio reflection and highlight for metal.

    `height` is measured from the object's centre.
    """
    half = objects.half_height
    raised = np.minimum((height + half) / half, 1)
    ambient = (0.22 + 0.12 * normal.z) * (0.4 + 0.6 * raised * (2 - raised))
    direct = 0.85 * np.maximum(normal.dot(light), 0)
    direct += 0.22 * np.maximum(_along(normal, FILL_LIGHT), 0) + 0.16 * np.maximum(_along(normal, BACK_LIGHT), 0)

    facing = normal.dot(ray)
    mirrored = ray.plus(normal, -2 * facing)
    key = np.maximum(mirrored.dot(light), 0)
    sheen = key * key
    sheen *= sheen
    spot = sheen * sheen
    spot *= spot
    spot *= spot
    rim = (1 + facing) ** 2
    # A dark horizon between bright ground and sky is what makes metal look like metal.
    above, below = np.clip(1.6 * mirrored.z - 0.1, 0, 1), np.clip(-2.2 * mirrored.z - 0.1, 0, 1)
    studio = 0.10 + 0.62 * above + 0.42 * below * raised + 1.1 * sheen
    for lamp in (FILL_LIGHT, BACK_LIGHT):
        studio += 0.8 * np.maximum(_along(mirrored, lamp), 0) ** 8

    tinted = np.where(objects.metal > 0, 0.25 * (ambient + direct) + 0.85 * studio, ambient + direct)
    white = np.where(objects.metal > 0, 1.3 * spot + 0.08 * rim, 0.10 * sheen + 0.05 * rim)
    colours: Floats = objects.colour.T * tinted + white
    return colours


def _along(vectors: Vector, direction: tuple[float, float, float]) -> Floats:
    x, y, z = (np.float32(value) for value in direction)
    products: Floats = vectors.x * x + vectors.y * y + vectors.z * z
    return products


def _cross(a: Vector, b: Vector) -> Vector:
    return Vector(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)


# ------------------------------------------------------------------------------------- ground and shadows


def _ground(canvas: _Canvas, views: Views) -> Floats:
    """Return linear light [3, P] of the ground, which fades into a backdrop far away."""
    frame = canvas.frame
    right, _ = _plane(frame, np.zeros(1), np.arange(frame.width))
    _, up = _plane(frame, np.arange(frame.height), np.zeros(1))
    shaped = [Vector(*(part[:, None, None] for part in axis)) for axis in (views.forward, views.right, views.up)]
    ray = shaped[0].plus(shaped[1], right[None, None, :]).plus(shaped[2], up[None, :, None])
    distance = views.eye.z[:, None, None] / np.maximum(-ray.z, np.float32(1e-3))
    x = views.eye.x[:, None, None] + distance * ray.x - 2 * views.light.x[:, None, None]
    y = views.eye.y[:, None, None] + distance * ray.y - 2 * views.light.y[:, None, None]
    away = x * x + y * y
    pool = 1 / (1 + away / 110)
    far = away / (away + 500)
    shade = (pool * (0.27 * canvas.sky.reshape(pool.shape) + 0.66 * canvas.sun.reshape(pool.shape))).reshape(-1)
    far = far.reshape(-1)
    return np.stack([shade * (g * (1 - far)) + b * far for g, b in zip(GROUND, BACKDROP, strict=True)]).astype(
        np.float32
    )


def _cast_shadow(canvas: _Canvas, objects: Objects, views: Views) -> None:
    """Take light from the ground: the key's, the softer the higher its caster, and the sky's near the object."""
    height = 2 * objects.half_height
    slide_x = -views.light.x / views.light.z * height  # where the shadow of the top lies
    slide_y = -views.light.y / views.light.z * height
    owner, row, column = _cover(canvas.frame, *_shadow_bounds(objects, views, slide_x, slide_y))
    right, up = _plane(canvas.frame, row, column)
    view = views.at(owner)
    ray = view.forward.plus(view.right, right).plus(view.up, up)
    onto = ray.z < -0.02
    owner, ray, view, row, column = owner[onto], ray.at(onto), view.at(onto), row[onto], column[onto]
    distance = -view.eye.z / ray.z
    some = objects.at(owner)
    x = view.eye.x + distance * ray.x - some.x
    y = view.eye.y + distance * ray.y - some.y
    edge, lift, base = _CASTERS[int(objects.shape[0])](some, x, y, slide_x[owner], slide_y[owner], view.light)
    soft = some.radius * (0.08 + 0.5 * lift)
    pixel = canvas.pixel(some.scene, row, column)
    canvas.sun[pixel] *= 1 - _smooth(0.5 - edge / (2 * soft))
    near = np.maximum(base, 0) / some.radius
    canvas.sky[pixel] *= 1 - 0.75 * np.maximum(1 - near / 1.1, 0) ** 2


def _shadow_bounds(
    objects: Objects, views: Views, slide_x: Floats, slide_y: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return rectangles on the image plane around everything that an object darkens."""
    reach = 2.1 * objects.radius
    flat = np.zeros_like(reach)
    points = []
    for dx in (-1, 1):
        for dy in (-1, 1):
            for slide in (0, 1):
                x = objects.x + dx * reach + slide * slide_x
                y = objects.y + dy * reach + slide * slide_y
                points.append(project(Vector(x, y, flat), views)[:2])
    right, up = (np.stack(values) for values in zip(*points, strict=True))
    return right.min(axis=0), right.max(axis=0), up.min(axis=0), up.max(axis=0)


# A caster gives, at points (x, y) relative to the object: the distance from the edge of its shadow (negative inside),
# the height of the edge that casts it there in [0, 1], and the distance from its foot.


def _sphere_shadow(
    objects: Objects, x: Floats, y: Floats, slide_x: Floats, slide_y: Floats, light: Vector
) -> tuple[Floats, Floats, Floats]:
    radius = objects.radius
    along = -x * light.x - y * light.y + radius * light.z  # to the point of the light's ray that is nearest the centre
    off = np.sqrt(np.maximum(x * x + y * y + radius * radius - along * along, 0))
    lift = np.clip(along * light.z / (2 * radius), 0, 1)
    edge = np.where(along > 0, off - radius, radius)
    return edge, lift, np.sqrt(x * x + y * y) - 0.45 * radius


def _cylinder_shadow(
    objects: Objects, x: Floats, y: Floats, slide_x: Floats, slide_y: Floats, light: Vector
) -> tuple[Floats, Floats, Floats]:
    lift = np.clip((x * slide_x + y * slide_y) / (slide_x * slide_x + slide_y * slide_y), 0, 1)
    from_x, from_y = x - lift * slide_x, y - lift * slide_y
    return (
        np.sqrt(from_x * from_x + from_y * from_y) - objects.radius,
        lift,
        np.sqrt(x * x + y * y) - objects.radius,
    )


def _cube_shadow(
    objects: Objects, x: Floats, y: Floats, slide_x: Floats, slide_y: Floats, light: Vector
) -> tuple[Floats, Floats, Floats]:
    half = objects.half_height
    cosine, sine = np.cos(objects.angle), np.sin(objects.angle)
    x, y = cosine * x + sine * y, cosine * y - sine * x
    slide_x, slide_y = cosine * slide_x + sine * slide_y, cosine * slide_y - sine * slide_x
    length = np.sqrt(slide_x * slide_x + slide_y * slide_y)
    across = np.abs(x * slide_y - y * slide_x) - half * (np.abs(slide_x) + np.abs(slide_y))
    edge = np.maximum(
        np.maximum(
            np.abs(x - slide_x / 2) - np.abs(slide_x / 2) - half, np.abs(y - slide_y / 2) - np.abs(slide_y / 2) - half
        ),
        across / length,
    )
    lift = np.clip((x * slide_x + y * slide_y) / (length * length), 0, 1)
    beyond_x, beyond_y = np.maximum(np.abs(x) - half, 0), np.maximum(np.abs(y) - half, 0)
    return edge, lift, np.sqrt(beyond_x * beyond_x + beyond_y * beyond_y)


_CASTERS = {SPHERE: _sphere_shadow, CUBE: _cube_shadow, CYLINDER: _cylinder_shadow}


def _smooth(value: Floats) -> Floats:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)
