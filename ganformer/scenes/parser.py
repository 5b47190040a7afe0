"""Small network that reads built-in scenes: number, positions and attributes of the objects in an image.

Objects are peaks of a heat map of centres, and everything else is read off where a centre is (Zhou et al. 2019,
"Objects as points"). Every pixel says whether it belongs to an object, and how far away the centre of that object is:
it is of the object whose centre is nearest to there (Kendall, Gal & Cipolla 2018, section 3.2; Cheng et al. 2020,
"Panoptic-DeepLab"). The network learns from scenes that are rendered for it, not in any data set, and its
accuracy is measured on scenes that it was not trained on.
"""

# B images, K objects of an image at most, M objects of several images, R rows and C columns of cells

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from ganformer import artifacts, config, devices
from ganformer.config import ImageSpec
from ganformer.errors import CheckpointError, DataError
from ganformer.metrics.sets import ImageSet
from ganformer.progress import Progress
from ganformer.records.parser import PARSER_FILE, SceneParserRecord, check_weights
from ganformer.scenes import source as scenes
from ganformer.scenes.parser_settings import Settings
from ganformer.scenes.renderer import HALF_CUBE, Frame, Vector, aim
from ganformer.seeds import mix
from ganformer.training.samples import normalise
from ganformer.training.state import load_module

WEIGHTS = "parser.safetensors"

Object = Mapping[str, Any]
Record = list[dict[str, Any]]  # the objects of an image

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": scenes.SHAPES,
    "colour": tuple(scenes.COLOURS),
    "size": tuple(scenes.SIZES),
    "material": scenes.MATERIALS,
}
CLASSES = [len(values) for values in ATTRIBUTES.values()]
NUMBERS = 3  # place within the cell (column, row), root of the visible area in units of SCALE cells
PIXEL_NUMBERS = 3  # logit of being of an object; columns and rows to its centre in units of SCALE cells
SCALE = 4.0

GRID = 32  # most columns of cells
INNER = 4  # layers at half the resolution of the cells
SPREAD = 0.7  # standard deviation of a centre on the heat map, in cells
NUMBERS_WEIGHT = 2.0  # of numbers in the loss, beside centres and attributes
PIXELS_WEIGHT = 4.0  # of pixels in the loss
WARM_UP = 0.1  # part of the training in which the learning rate rises
THRESHOLD = 0.35  # least probability of a centre
HORIZON = -0.05  # least slope of a ray towards the ground
REACH = 1 / 16  # an object is found where one is seen at most this part of the width away
BATCH = 64  # images parsed at a time
MAX_OBJECTS = 255  # objects of an image that can have a mask


class Network(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] → what cells are, and what pixels are.

    Cells are of `stride` × `stride` pixels: [B, 1 + sum of CLASSES + NUMBERS, R, C]; pixels: [B, PIXEL_NUMBERS, H, W].
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        halvings = stride.bit_length() - 1
        coarser = [_convolution(channels, channels, 2) for _ in range(halvings)]
        self.stem = nn.Sequential(_convolution(5, channels), *coarser)
        self.down = _convolution(channels, 2 * channels, 2)
        self.inner = nn.ModuleList(_convolution(2 * channels, 2 * channels) for _ in range(INNER))
        self.up = nn.Sequential(nn.Conv2d(2 * channels, 4 * channels, 1), nn.PixelShuffle(2))
        self.joined = _convolution(channels, channels)
        self.cells = _convolution(channels, channels)
        self.heads = nn.Conv2d(channels, 1 + sum(CLASSES) + NUMBERS, 1)
        assert self.heads.bias is not None
        with torch.no_grad():
            self.heads.bias[0] = -4.0  # centres are rare
        narrow = -(-channels // 2)
        self.pixels = nn.Sequential(
            _convolution(channels, narrow),
            nn.Conv2d(narrow, PIXEL_NUMBERS * stride**2, 1),
            nn.PixelShuffle(stride),
        )

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of coarse cells [B, 2 · channels, ~R/2, ~C/2], and of cells [B, channels, R, C]."""
        fine = self.stem(_with_places(images))
        coarse = self.down(fine)
        for layer in self.inner:
            coarse = coarse + layer(coarse)
        enlarged = self.up(coarse)[:, :, : fine.shape[2], : fine.shape[3]]
        return coarse, self.joined(fine + enlarged)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        _, joined = self.features(images)
        return self.heads(self.cells(joined)), self.pixels(joined)[:, :, : images.shape[2], : images.shape[3]]


def _convolution(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def _with_places(images: Tensor) -> Tensor:
    """Append two channels, column and row from -1 to 1: the distance of an object depends on its position."""
    count, _, height, width = images.shape
    column = torch.linspace(-1, 1, width, device=images.device).expand(count, 1, height, width)
    row = torch.linspace(-1, 1, height, device=images.device)[:, None].expand(count, 1, height, width)
    return torch.cat([images, column, row], dim=1)


# ---------------------------------------------------------------------------------------------- reading


class Parser:
    """Trained network and its accuracy on new scenes: see `measure` and `measure_masks`."""

    def __init__(self, settings: Settings, network: Network, accuracy: Mapping[str, float]) -> None:
        self.settings, self.network, self.accuracy = settings, network, accuracy

    @property
    def picture(self) -> tuple[int, int]:
        """Rows and columns of the images that it reads."""
        return self.settings.image.picture

    def parse(self, images: NDArray[np.uint8]) -> list[Record]:
        """Return the objects in images uint8 [n, 3, H, W], as lists of plain JSON, from top to bottom by their centres.

        An object is described as in `scenes.jsonl`, but without `rotation`; `visible_pixels` are estimated, and
        `position` is where it would be if the camera were in the middle of where cameras are. Raises DataError if
        the images are not of the shape that was learnt.
        """
        return [record for records, _ in self._portions(images) for record in records]

    def segment(self, images: NDArray[np.uint8]) -> tuple[list[Record], NDArray[np.uint8]]:
        """Return the same objects, and of which of them each pixel is: uint8 [n, H, W], 0: of none, i: of the i-th one.

        Objects beyond the 255th have no pixels. Raises what `parse` does.
        """
        records, masks = list[Record](), [np.zeros((0, *images.shape[2:]), np.uint8)]
        for found, pixels in self._portions(images):
            records += found
            masks += [_instances(*pair)[None] for pair in zip(found, pixels.cpu().numpy(), strict=True)]
        return records, np.concatenate(masks)

    def _portions(self, images: NDArray[np.uint8]) -> Iterator[tuple[list[Record], Tensor]]:
        image = self.settings.image
        if images.shape[1:] != (3, image.height, image.width):
            raise DataError(
                f"scene parser: reads colour images of {image.width}×{image.height} pixels, not an array of shape "
                f"{list(images.shape)}; train one for these images"
            )
        return (self._read(images[start : start + BATCH]) for start in range(0, len(images), BATCH))

    def read(self, images: ImageSet, device: torch.device) -> list[Record]:
        """Return the objects in all images of a set. DataError if their visible part is not of the learned shape."""
        if not images.can_show(self.picture):
            raise DataError(
                f"{images.title}: holds images of {images.picture[1]}×{images.picture[0]} pixels, but the scene parser "
                f"reads {self.picture[1]}×{self.picture[0]}; train one for these images"
            )
        self.network.to(device)
        batches = (batch.cpu().numpy() for batch in images.batches(self.picture, device))
        return list(itertools.chain.from_iterable(map(self.parse, batches)))

    def _read(self, images: NDArray[np.uint8]) -> tuple[list[Record], Tensor]:
        """Return the objects in each of the images, and what their pixels are [n, PIXEL_NUMBERS, H, W]."""
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            maps, pixels = self.network(normalise(torch.from_numpy(images).to(device)))
            number, row, column = _peaks(maps[:, 0].sigmoid())
            found = maps.permute(0, 2, 3, 1)[number, row, column, 1:]
        *logits, numbers = found.split([*CLASSES, NUMBERS], dim=1)
        classes = torch.stack([values.argmax(dim=1) for values in logits], dim=1)
        cells = torch.stack([column, row], dim=1)
        objects = self._objects(*(part.cpu().numpy() for part in (cells, classes, numbers)))
        ends = torch.bincount(number, minlength=len(images)).cumsum(0).tolist()
        return [objects[start:end] for start, end in itertools.pairwise([0, *ends])], pixels

    def _objects(self, cells: NDArray[Any], classes: NDArray[Any], numbers: NDArray[Any]) -> Record:
        """Return the records of objects: cells [M, 2] as column and row, classes [M, attributes], NUMBERS [M, 3]."""
        image, stride = self.settings.image, _stride(self.settings.image)
        pixels = (stride * (cells + numbers[:, :2])).clip(0, [image.width, image.height])
        areas = np.rint((stride * SCALE * numbers[:, 2].clip(min=0)) ** 2).clip(min=1)
        kinds = [dict(zip(ATTRIBUTES, values, strict=True)) for values in _named(classes)]
        heights = [scenes.SIZES[kind["size"]] * (HALF_CUBE if kind["shape"] == "cube" else 1) for kind in kinds]
        positions = _positions(pixels, np.array(heights), image)
        described = zip(kinds, positions.round(4).tolist(), pixels.round(4).tolist(), areas.tolist(), strict=True)
        return [
            {**kind, "position": position, "pixel": pixel, "visible_pixels": int(area)}
            for kind, position, pixel, area in described
        ]

    def save(self, folder: Path, kind: str = "scenes") -> None:
        """Write `parser.safetensors` and, last, `parser.json`: settings, accuracy and where they came from."""
        state = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        with artifacts.atomic(folder / WEIGHTS) as temporary:
            save_file(state, temporary)
            weights = artifacts.file_digest(temporary)
        record = SceneParserRecord(
            kind=kind,
            settings=self.settings.model_dump(mode="json"),
            accuracy=self.accuracy,
            weights_sha256=weights,
            code=artifacts.code_version(),
        )
        record.write(folder / PARSER_FILE)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote, on the CPU; `path`: its `parser.json`. CheckpointError if files do not fit."""
        record = SceneParserRecord.read(path)
        settings = config.parse(Settings, record.settings, f"{path}: settings")
        network = Network(settings.channels, _stride(settings.image)).eval()
        weights = path.with_name(WEIGHTS)
        load_module(network, _read_weights(weights, record.weights_sha256, path), f"{weights}: the file")
        return cls(settings, network, record.accuracy)


def _read_weights(weights: Path, sha256: str, path: Path) -> dict[str, Tensor]:
    try:
        check_weights(weights, sha256, path, "the file was damaged or replaced, train the scene parser again")
        with safe_open(weights, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights}: cannot be read ({error}); train the scene parser again") from error


def _named(classes: NDArray[Any]) -> Iterator[list[str]]:
    """Return values of the attributes [M, attributes] in words."""
    return ([values[i] for values, i in zip(ATTRIBUTES.values(), row, strict=True)] for row in classes.tolist())


def _positions(pixels: NDArray[Any], heights: NDArray[Any], image: ImageSpec) -> NDArray[Any]:
    """Return points [M, 3] of these heights that a camera in the middle of its jitter sees at pixels [M, 2]."""
    frame = Frame.of(image)
    view = aim(*(Vector(*vector[:, None]) for vector in (scenes.EYE, scenes.TARGET, scenes.LIGHT)))
    right = (2 * pixels[:, 0] / image.width - 1) * frame.half_width
    up = (1 - 2 * pixels[:, 1] / image.height) * frame.half_height
    ray = view.forward.plus(view.right, right).plus(view.up, up)
    depth = (heights - view.eye.z) / np.minimum(ray.z, HORIZON)
    point = view.eye.plus(ray, depth)
    return np.stack([point.x, point.y, heights], axis=1)


def _instances(record: Sequence[Object], pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the object of each pixel, uint8 [H, W], from its PIXEL_NUMBERS [3, H, W]."""
    height, width = pixels.shape[1:]
    mask = np.zeros((height, width), np.uint8)
    if record:
        row, column = np.nonzero(pixels[0] > 0)
        unit = SCALE * _stride(ImageSpec(height=height, width=width))
        places = np.stack([column, row]) + 0.5 + unit * pixels[1:, row, column]
        centres = np.array([thing["pixel"] for thing in record[:MAX_OBJECTS]]).T
        mask[row, column] = np.linalg.norm(places[:, :, None] - centres[:, None], axis=0).argmin(axis=1) + 1
    return mask


def _stride(image: ImageSpec) -> int:
    """Return side of a cell in pixels, a power of two."""
    stride = 1
    while image.width > GRID * stride:
        stride *= 2
    return stride


def _peaks(heat: Tensor) -> tuple[Tensor, ...]:
    """Return image, row and column of every cell of [B, R, C] above the threshold and highest among its neighbours."""
    highest = F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]
    return torch.where((heat == highest) & (heat > THRESHOLD))


# --------------------------------------------------------------------------------------------- learning


def train(settings: Settings, *, threads: int = 1, gpus: int = 0) -> Parser:
    """Render scenes, trains a network on them and measures it on others; a function of the settings.

    On a GPU and with other numbers of threads sums are rounded differently. Raises DataError if scenes of these
    settings cannot be rendered.
    """
    device = devices.acquire(gpus)
    with devices.reproducible(threads), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(mix(settings.seed, "parser", "network"))
        network = Network(settings.channels, _stride(settings.image)).to(device)
        _learn(network, settings, device)
        parser = Parser(settings, network.eval().requires_grad_(False), {})
        images, truth, masks = _scenes(settings, "held out", settings.held_out)
        found, seen = parser.segment(images)
        width = settings.image.width
        parser.accuracy = {**measure(found, truth, width), **measure_masks(found, truth, seen, masks, width)}
    return parser


def _learn(network: Network, settings: Settings, device: torch.device) -> None:
    lessons = Lessons.of(*_scenes(settings, "training", settings.scenes), _stride(settings.image)).to(device)
    per_epoch = -(-settings.scenes // settings.batch)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / (settings.epochs * per_epoch)))
    random = torch.Generator().manual_seed(mix(settings.seed, "parser", "order"))
    with Progress("scene parser", settings.epochs * settings.scenes) as progress:
        for _ in range(settings.epochs):
            for numbers in torch.randperm(settings.scenes, generator=random).split(settings.batch):
                batch = lessons.take(numbers.to(device), torch.rand(len(numbers), generator=random).to(device) < 0.5)
                maps, pixels = network(normalise(batch.images))
                loss = _loss(maps, pixels, batch)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                progress.update(len(numbers), {"loss": loss.item()})


def _rate(done: float) -> float:
    """Return the factor of the learning rate: linear warm-up, cosine decay. `done`: fraction of training, in [0, 1)."""
    return min(done / WARM_UP + 0.01, 0.5 + 0.5 * float(np.cos(np.pi * done)))


def _scenes(
    settings: Settings, purpose: str, count: int
) -> tuple[NDArray[np.uint8], list[Sequence[Object]], NDArray[np.uint8]]:
    """Render images uint8 [count, 3, H, W] for this purpose alone; return them, their objects, masks [count, H, W]."""
    seed = mix(settings.seed, "parser", purpose)
    source = scenes.Config(
        kind="scenes", images=count, seed=seed, min_objects=settings.min_objects, max_objects=settings.max_objects
    )
    samples = list(scenes.open_source(source, settings.image.with_channels(3)).load(range(count)))
    images = np.stack([sample.pixels for sample in samples]).transpose(0, 3, 1, 2)
    truth = [sample.scene for sample in samples if sample.scene]
    records = [scene.record["objects"] for scene in truth]
    return np.ascontiguousarray(images), records, np.stack([scene.mask for scene in truth])


@dataclass(frozen=True)
class Lessons:
    """Images uint8 [B, 3, H, W] with their content; K objects, fewer are filled up with absent ones."""

    images: Tensor
    centres: Tensor
    """[B, K, 2]: column and row in cells; the first cell is [0, 1)."""
    roots: Tensor
    """[B, K, 1]: root of the visible area in cells, divided by SCALE."""
    classes: Tensor
    """[B, K, attributes], -1 where an object is absent."""
    masks: Tensor
    """uint8 [B, H, W]: 0: of no object, i: of the i-th one."""
    stride: int
    """Side of a cell in pixels."""

    @classmethod
    def of(
        cls, images: NDArray[np.uint8], records: Sequence[Sequence[Object]], masks: NDArray[np.uint8], stride: int
    ) -> Self:
        """Return lessons from rendered scenes."""
        most = max(map(len, records))
        centres, roots = (np.zeros((len(records), most, numbers), np.float32) for numbers in (2, 1))
        classes = np.full((len(records), most, len(ATTRIBUTES)), -1)
        for i, record in enumerate(records):
            for k, thing in enumerate(record):
                centres[i, k] = np.array(thing["pixel"]) / stride
                roots[i, k] = thing["visible_pixels"] ** 0.5 / (stride * SCALE)
                classes[i, k] = [values.index(thing[name]) for name, values in ATTRIBUTES.items()]
        pixels, places, sizes, kinds, owners = map(torch.from_numpy, (images, centres, roots, classes, masks))
        return cls(pixels, places, sizes, kinds, owners, stride)

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        images, centres, roots, classes, masks = (
            part.to(device) for part in (self.images, self.centres, self.roots, self.classes, self.masks)
        )
        return type(self)(images, centres, roots, classes, masks, self.stride)

    def take(self, numbers: Tensor, flips: Tensor) -> Self:
        """Return some of the images, mirrored left to right by `flips` [B]."""
        images, centres, masks = self.images[numbers], self.centres[numbers], self.masks[numbers]
        images = torch.where(flips[:, None, None, None], images.flip(3), images)
        masks = torch.where(flips[:, None, None], masks.flip(2), masks)
        columns = images.shape[3] / self.stride
        centres[..., 0] = torch.where(flips[:, None], columns - centres[..., 0], centres[..., 0])
        return type(self)(images, centres, self.roots[numbers], self.classes[numbers], masks, self.stride)


def _loss(maps: Tensor, pixels: Tensor, batch: Lessons) -> Tensor:
    """Return the loss of what cells and pixels are said to be."""
    return _cell_loss(maps, batch) + PIXELS_WEIGHT * _pixel_loss(pixels, batch)


def _cell_loss(maps: Tensor, batch: Lessons) -> Tensor:
    """Return focal loss of the heat map; cross-entropies and a robust distance at the cells of centres."""
    present = batch.classes[..., 0] >= 0
    image, k = torch.where(present)
    last = torch.tensor([maps.shape[3] - 1, maps.shape[2] - 1], device=maps.device)
    cells = batch.centres.long().minimum(last)  # B K 2
    column, row = cells[image, k].unbind(1)
    *logits, numbers = maps.permute(0, 2, 3, 1)[image, row, column, 1:].split([*CLASSES, NUMBERS], dim=1)
    wanted = torch.cat([batch.centres - cells, batch.roots], dim=2)[image, k]
    loss = _focal(maps[:, 0], cells, present) / len(image)
    loss = loss + NUMBERS_WEIGHT * F.smooth_l1_loss(numbers, wanted, beta=0.1)
    for scores, classes in zip(logits, batch.classes[image, k].unbind(1), strict=True):
        loss = loss + F.cross_entropy(scores, classes)
    return loss


def _pixel_loss(pixels: Tensor, batch: Lessons) -> Tensor:
    """Return the cross-entropy of belonging to an object, plus a robust distance from the way to its centre."""
    image, row, column = torch.where(batch.masks > 0)
    centres = batch.centres[image, batch.masks[image, row, column].long() - 1]
    wanted = (centres - (torch.stack([column, row], dim=1) + 0.5) / batch.stride) / SCALE
    ways = F.smooth_l1_loss(pixels.permute(0, 2, 3, 1)[image, row, column, 1:], wanted, beta=0.1)
    return F.binary_cross_entropy_with_logits(pixels[:, 0], (batch.masks > 0).float()) + ways


def _focal(heat: Tensor, cells: Tensor, present: Tensor) -> Tensor:
    """Return the focal loss of logits [B, R, C] (Law & Deng 2018, eq. 1, α 2 and β 4), smaller near a centre."""
    column, row = (cells[..., i, None, None] for i in range(2))  # B K 1 1
    across, down = (torch.arange(side, device=heat.device) for side in (heat.shape[2], heat.shape[1]))
    away = (down[:, None] - row) ** 2 + (across - column) ** 2  # B K R C
    target = (torch.exp(-away / (2 * SPREAD**2)) * present[..., None, None]).amax(dim=1)
    p = heat.sigmoid()
    at_centres = (1 - p) ** 2 * F.logsigmoid(heat)
    elsewhere = (1 - target) ** 4 * p**2 * F.logsigmoid(-heat)
    return -torch.where(target == 1, at_centres, elsewhere).sum()


# -------------------------------------------------------------------------------------------- accuracy


def measure(found: Sequence[Sequence[Object]], truth: Sequence[Sequence[Object]], width: int) -> dict[str, float]:
    """Measure a parser by the objects found in images and the true ones.

    An object is found if one is seen at most `REACH` × `width` pixels from its centre; every object is found once, in
    the pairing with the smallest sum of distances.

    - `precision`: fraction of seen objects that exist; `recall`: fraction of existing objects that are seen - `count`:
    fraction of images with the right number of objects - `shape`, `colour`, `size`, `material`: fraction of found
    objects whose attribute is right - `position_error`: mean distance from the true positions of found objects, in
    units of the ground, over which they are   spread for 7 in an image as wide as high; `area_error`: mean error of
    their visible pixels, relative to the true ones - `objects`, `images`: number of each
    """
    pairs = [
        (seen[i], there[j])
        for seen, there in zip(found, truth, strict=True)
        for i, j in _pairs(seen, there, REACH * width)
    ]
    seen, there = sum(map(len, found)), sum(map(len, truth))
    shifts = [np.subtract(a["position"], b["position"])[:2] for a, b in pairs]
    return {
        "precision": len(pairs) / max(seen, 1),
        "recall": len(pairs) / max(there, 1),
        "count": _mean([len(a) == len(b) for a, b in zip(found, truth, strict=True)]),
        **{name: _mean([a[name] == b[name] for a, b in pairs]) for name in ATTRIBUTES},
        "position_error": _mean([float(np.hypot(*shift)) for shift in shifts]),
        "area_error": _mean([abs(a["visible_pixels"] / b["visible_pixels"] - 1) for a, b in pairs]),
        "objects": there,
        "images": len(truth),
    }


def measure_masks(
    found: Sequence[Sequence[Object]],
    truth: Sequence[Sequence[Object]],
    seen: NDArray[np.uint8],
    there: NDArray[np.uint8],
    width: int,
) -> dict[str, float]:
    """Measure the overlap of masks [n, H, W] of the found objects with the true ones.

    - `mask_iou`: intersection over union of each object's mask with the mask of the one found for it (see `measure`),
      or 0
    if   none was; the mean over all objects - `foreground_iou`: intersection over union of the pixels of all objects
    with those predicted as such
    """
    overlaps = [
        _overlap(a == i + 1, b == j + 1)
        for one, other, a, b in zip(found, truth, seen, there, strict=True)
        for i, j in _pairs(one, other, REACH * width)
    ]
    return {
        "mask_iou": sum(overlaps) / max(sum(map(len, truth)), 1),
        "foreground_iou": _overlap(seen > 0, there > 0),
    }


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return intersection over union; 0 if both are empty."""
    return float(np.sum(one & other)) / max(int(np.sum(one | other)), 1)


def _pairs(seen: Sequence[Object], there: Sequence[Object], reach: float) -> list[tuple[int, int]]:
    """Return places in both of the objects that are paired."""
    if not seen or not there:
        return []
    a, b = (np.array([thing["pixel"] for thing in things]) for things in (seen, there))
    distance = np.linalg.norm(a[:, None] - b, axis=2)
    # Pairs beyond the reach count alike, lest they push near ones apart.
    chosen = linear_sum_assignment(np.where(distance <= reach, distance, 1e6))
    return [(i, j) for i, j in np.transpose(chosen).tolist() if distance[i, j] <= reach]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
