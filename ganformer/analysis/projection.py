"""Search for latents whose pictures are like given ones: gradient descent in w (StyleGAN2, appendix D).

Beside the mean of w, where StyleGAN2's search begins, the nearest of many random latents are improved, all in one
batch. Of each start the nearest latents are kept, and of these the best ones are the result.
"""

# S starts, L layers, k components, D size of a latent

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Adam

from ganformer import artifacts
from ganformer.analysis import explorer
from ganformer.analysis.explorer import Explorer, coloured, grey
from ganformer.analysis.stored_images import provenance
from ganformer.config.projection import Projection
from ganformer.data.decoding import EXTENSIONS, UnreadableImageError
from ganformer.data.film import write_film
from ganformer.data.images import Pixels, central, read_image
from ganformer.data.pictures import save_picture
from ganformer.errors import ConfigError, DataError, StoppedError
from ganformer.perceptual import distance as perceptual
from ganformer.progress import Progress
from ganformer.records.npz import Projected
from ganformer.report import drawing, sheet
from ganformer.training.samples import in_colours, normalise
from ganformer.training.stop import Stop

LATENTS, STATE, FOUND = "latents.npz", "state.pt", "found"
DRAWN = 4096  # latents whose mean and deviation the search uses
AT_A_TIME = 256  # latents mapped, and candidates whose pictures are made
FRAMES = 100  # pictures of the way of each search, about
SAVED = 200  # steps between two states on the disk
RAMP_UP, RAMP_DOWN, EXPLORED = 0.05, 0.25, 0.75  # parts of the steps (StyleGAN2, appendix D)


class Target(NamedTuple):
    """Picture to be found: its name, pixels uint8 [H, W, C], and the sha256 of its file."""

    name: str
    pixels: Pixels
    sha256: str


@dataclass
class Found:
    """Result of one search."""

    w: Tensor
    """[L, …, D]."""
    picture: Pixels
    """uint8 [h, w, 3]."""
    distance: float
    distances: list[float]
    """Distances of all starts when they were nearest."""
    frames: list[Pixels] = field(default_factory=list)
    """Pictures of the best start on its way."""
    noises: list[Tensor] = field(default_factory=list)
    """Optimised noise of every layer, [1, 1, h, w]."""


def targets(paths: Sequence[Path], run: Explorer) -> list[Target]:
    """Read pictures, or all pictures of folders in the order of their names, in the shape of a run's images.

    They are cropped and resized as `data pack` does. Raises DataError if there is none, or one cannot be read.
    """
    files = [file for path in paths for file in (_pictures_in(path) if path.is_dir() else [path])]
    found = []
    for file in files:
        try:
            with file.open("rb") as opened:
                picture = read_image(opened, run.record.image)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror}); name a picture or a folder of them") from error
        except UnreadableImageError as error:
            raise DataError(f"{file}: is no picture that can be read ({error}); name another one") from error
        rows, columns = run.record.image.picture
        if picture.size != (rows, columns):
            print(
                f"{file}: {picture.size[1]}×{picture.size[0]} pixels, cropped and resized to {columns}×{rows}",
                flush=True,
            )
        found.append(Target(file.stem, picture.pixels, artifacts.file_digest(file)))
    names = [target.name for target in found]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{doubles[0]}: two pictures have this name; rename one, or project them into two folders")
    return found


def _pictures_in(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.name[0] != ".")
    if not files:
        raise DataError(f"{folder}: has no pictures ({', '.join(EXTENSIONS)}); name another folder")
    return files


# ------------------------------------------------------------------------------------------------ search


class Search:
    """Search for the latents of one picture; `step` improves all starts once.

    `spread`: result of `spread_of`. Used within `explorer.looking`.
    """

    def __init__(
        self,
        run: Explorer,
        settings: Projection,
        target: Target,
        distance: perceptual.FeatureDistance,
        spread: tuple[Tensor, float],
    ) -> None:
        self.run, self.settings, self.distance = run, settings, distance
        image = normalise(torch.from_numpy(target.pixels.copy())).permute(2, 0, 1)[None].to(run.device)
        self.target = in_colours(central(image, *run.record.image.picture))
        with torch.no_grad():
            self.features = [part.detach() for part in distance.features(self.target)]
        self.random = torch.Generator().manual_seed(settings.seed)
        mean, self.deviation = spread
        self.layers = mean.shape[1]
        self.noises: list[Tensor] = []
        self.w = self._starts(mean).requires_grad_()
        if settings.noise == "optimised":
            self.noises = self._own_noises()
        self.adam = Adam([self.w, *self.noises], lr=settings.learning_rate, betas=(0.9, 0.999))
        self.done = 0
        self.frames: list[Pixels] = []
        with torch.no_grad():
            self.best = self.measure(self.images(self.w))
        self.kept = [each.detach().clone() for each in (self.w, *self.noises)]

    def _starts(self, mean: Tensor) -> Tensor:
        """Return w [S, 1 or L, …, D]: the mean [1, L, …, D], then the nearest of random latents."""
        settings, starts = self.settings, [mean]
        count = min(settings.starts - 1, settings.candidates)
        if count:
            seeds = torch.randint(2**31, (settings.candidates,), generator=self.random).tolist()
            drawn, found = [], []
            for first in range(0, len(seeds), AT_A_TIME):
                z, labels = self.run.drawn(seeds[first : first + AT_A_TIME], settings.label)
                w = self.run.generator.map(z, labels)
                drawn.append(w)
                found.append(self.measure(self.images(w)))
            nearest = torch.cat(found).argsort(stable=True)[:count]
            starts.append(torch.cat(drawn)[nearest])
        starts.append(mean.expand(settings.starts - 1 - count, *mean.shape[1:]))
        w = torch.cat(starts).detach()
        return w[:, :1].clone() if settings.space == "w" else w.clone()

    def _own_noises(self) -> list[Tensor]:
        """Return noise [S, 1, h, w] of every layer for each start, which begins as the layer's constant."""
        count = len(self.w)
        return [layer.constant.repeat(count, 1, 1, 1).requires_grad_() for layer in self.run.noises]

    def step(self) -> None:
        """Improve all starts once."""
        settings, progress = self.settings, self.done / self.settings.steps
        for group in self.adam.param_groups:
            group["lr"] = settings.learning_rate * _rate(progress)
        noise = torch.randn(self.w.shape, generator=self.random).to(self.w)
        amount = self.deviation * settings.exploration * max(0.0, 1 - progress / EXPLORED) ** 2
        images = self.images(self.w + amount * noise)
        distances = self.measure(images)
        if not amount:
            self._keep(distances.detach())
        loss = distances.sum()
        if self.noises:
            loss = loss + settings.noise_weight * sum(correlation(each).sum() for each in self.noises)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            for each in self.noises:
                each.sub_(each.mean(dim=(2, 3), keepdim=True))
                each.mul_(each.square().mean(dim=(2, 3), keepdim=True).rsqrt())
        self.done += 1
        if self.done % max(1, settings.steps // FRAMES) == 0:
            self.frames.append(coloured(images.detach()[:1]))

    def _keep(self, distances: Tensor) -> None:
        """Keep latents and noise of the starts that are nearer than ever before; distances [S] of all."""
        is_nearer = distances < self.best
        self.best = torch.where(is_nearer, distances, self.best)
        for kept, each in zip(self.kept, (self.w, *self.noises), strict=True):
            kept[is_nearer] = each.detach()[is_nearer]

    def images(self, w: Tensor) -> Tensor:
        """Return images [S, 3, h, w] of w [S, 1 or L, …, D], without bars."""
        generator = self.run.generator
        with _noises(self.run, self.noises):
            made: Tensor = generator.synthesise(w.expand(-1, self.layers, *w.shape[2:]))
        return in_colours(central(made, *self.run.record.image.picture))

    def measure(self, images: Tensor) -> Tensor:
        """Return distances [S] of images [S, 3, h, w] from the target."""
        features = [part.expand(len(images), -1, -1, -1) for part in self.features]
        apart = self.distance.apart(self.distance.features(images), features)
        if not self.settings.pixel_weight:
            return apart
        return apart + self.settings.pixel_weight * (images - self.target).square().mean(dim=(1, 2, 3))

    def found(self) -> Found:
        """Return the best of all starts, as it was when it was nearest."""
        with torch.no_grad():
            self._keep(self.measure(self.images(self.w)))
            best = int(self.best.argmin())
            w, *noises = (each[best : best + 1].clone() for each in self.kept)
            self.noises = [each.detach() for each in noises]
            image = self.images(w)
        return Found(
            w=w[0].expand(self.layers, *w.shape[2:]).clone(),
            picture=coloured(image)[0],
            distance=float(self.best[best]),
            distances=self.best.tolist(),
            frames=[frame[0] for frame in self.frames],
            noises=noises,
        )

    def save(self) -> dict[str, Any]:
        """Return all state to go on from."""
        return {
            "now": [each.detach() for each in (self.w, *self.noises)],
            "kept": self.kept,
            "best": self.best,
            "adam": self.adam.state_dict(),
            "random": self.random.get_state(),
            "done": self.done,
            "frames": [torch.from_numpy(frame) for frame in self.frames],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from the result of `save`."""
        with torch.no_grad():
            for own, saved in zip((self.w, *self.noises), state["now"], strict=True):
                own.copy_(saved)
        self.kept, self.best = [each.to(self.w) for each in state["kept"]], state["best"].to(self.w)
        self.adam.load_state_dict(state["adam"])
        self.random.set_state(state["random"])
        self.done = state["done"]
        self.frames = [frame.numpy() for frame in state["frames"]]


def spread_of(run: Explorer, label: str | None) -> tuple[Tensor, float]:
    """Return the mean of w [1, L, …, D] over random latents, and the root mean square distance from it."""
    everything = torch.randn(DRAWN, *run.generator.latent_shape, generator=torch.Generator().manual_seed(0))
    _, labels = run.drawn(range(DRAWN), label)
    found = [
        run.generator.map(z.to(run.device), some)[:, :1]
        for z, some in zip(everything.split(AT_A_TIME), labels.split(AT_A_TIME), strict=True)
    ]
    w = torch.cat(found)
    mean = w.mean(dim=0, keepdim=True)
    deviation = float((w - mean).flatten(1).square().sum(dim=1).mean().sqrt())
    return mean.expand(-1, run.mean().shape[1], *mean.shape[2:]), deviation


def _rate(progress: float) -> float:
    """Return the factor of the learning rate at a part of the steps (StyleGAN2, appendix D)."""
    falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - progress) / RAMP_DOWN))
    return falling * min(1.0, progress / RAMP_UP)


def correlation(noise: Tensor) -> Tensor:
    """Return the correlations [S] of noise [S, 1, h, w] with itself one pixel further, squared and added up.

    Of the noise and of means of 2×2 pixels of it, down to 8 pixels (StyleGAN2, equation 5).
    """
    total = noise.new_zeros(len(noise))
    while True:
        for dim in (2, 3):
            total = total + (noise * noise.roll(1, dims=dim)).mean(dim=(1, 2, 3)).square()
        if min(noise.shape[2:]) <= 8:
            return total
        noise = F.avg_pool2d(noise, 2)


@contextmanager
def _noises(run: Explorer, noises: Sequence[Tensor]) -> Iterator[None]:
    """Let layers add this noise inside the context; without any, their constants."""
    layers = run.noises if noises else []
    before = [layer.constant for layer in layers]
    try:
        for layer, noise in zip(layers, noises, strict=True):
            layer.constant = noise
        yield
    finally:
        for layer, constant in zip(layers, before, strict=True):
            layer.constant = constant


# ------------------------------------------------------------------------------------------------- files


def find(run: Explorer, settings: Projection, chosen: Sequence[Target], out: Path | None, threads: int) -> list[Found]:
    """Search for the latents of all pictures, one after the other, and return the results in their order.

    With a folder `out` the state is saved there, and a search that was stopped goes on. StoppedError after SIGTERM or
    SIGINT.
    """
    explorer.require(run.path, run.record.kind, "latents")
    distance = perceptual.load(settings.distance, run.device, "distance")
    identity = _identity(run, settings, chosen)
    results, state = _begun(out, identity)
    with explorer.looking(run, threads):
        spread = spread_of(run, settings.label)
    title, done = f"project {run.record.run}", len(results) * settings.steps
    with Stop() as stop, Progress(title, len(chosen) * settings.steps, unit="steps", done=done) as progress:
        for target in chosen[len(results) :]:
            with explorer.looking(run, threads):
                search = Search(run, settings, target, distance, spread)
                if state is not None:
                    search.load(state)
                    progress.update(search.done)
                    state = None
                while search.done < settings.steps:
                    with torch.enable_grad():
                        search.step()
                    progress.update(1)
                    if stop.name is not None or search.done % SAVED == 0:
                        _save(out, identity, results, search)
                    if stop.name is not None:
                        raise StoppedError(f"stopped by {stop.name} at step {search.done}; run again to resume")
                results.append(search.found())
                _save(out, identity, results, None)
    return results


def _identity(run: Explorer, settings: Projection, chosen: Sequence[Target]) -> str:
    return artifacts.digest(
        {
            "weights": run.record.weights_sha256,
            "settings": settings.model_dump(mode="json"),
            "pictures": [[target.name, target.sha256] for target in chosen],
        }
    )


def _begun(out: Path | None, identity: str) -> tuple[list[Found], dict[str, Any] | None]:
    """Return the results so far, and the state of the search that was stopped, of the same call as this one."""
    path = None if out is None else out / STATE
    if path is None or not path.exists():
        return [], None
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content["identity"] != identity:
        return [], None
    results = [
        Found(**{**each, "picture": each["picture"].numpy(), "frames": [frame.numpy() for frame in each["frames"]]})
        for each in content["results"]
    ]
    return results, content["search"]


def _save(out: Path | None, identity: str, results: Sequence[Found], search: Search | None) -> None:
    if out is None:
        return
    content = {
        "identity": identity,
        "results": [
            {
                **vars(each),
                "picture": torch.from_numpy(each.picture),
                "frames": [torch.from_numpy(frame) for frame in each.frames],
            }
            for each in results
        ],
        "search": None if search is None else search.save(),
    }
    with artifacts.atomic(out / STATE) as temporary:
        torch.save(content, temporary)


def project(
    settings: Projection,
    weights: Path,
    images: Sequence[Path],
    out: Path,
    *,
    step: int | None = None,
    film: Literal["mp4", "gif"] = "mp4",
    threads: int = 1,
    gpus: int = 0,
) -> None:
    """Find latents of pictures, and write the folder `out`.

    `latents.npz`: latents w, distances, pictures, and optimised noise if there is any; `projected.png`: every picture
    beside the one found and their difference; `found/NAME.png`: the pictures found; `found/NAME.mp4` or `.gif`: the way
    of each search. The same call goes on where one was stopped. Raises ConfigError if the folder holds anything else,
    if there is no run or its model has no latents; DataError if a picture cannot be read; StoppedError if it is
    stopped.
    """
    run = explorer.opened(weights, step, gpus=gpus)
    explorer.require(run.path, run.record.kind, "latents")
    chosen = targets(images, run)
    _check_folder(out, _identity(run, settings, chosen))
    results = find(run, settings, chosen, out, threads)
    _write(out, settings, run, chosen, results, film)
    (out / STATE).unlink(missing_ok=True)
    for target, found in zip(chosen, results, strict=True):
        print(f"{out / FOUND / target.name}.png: {settings.distance.kind} distance {found.distance:.4g}", flush=True)


def _check_folder(out: Path, identity: str) -> None:
    """Raise ConfigError if the folder holds files of another call or of somebody else."""
    names = sorted(path.name for path in out.iterdir() if path.name[0] != ".") if out.is_dir() else []
    if not names or STATE in names:
        return
    before = Projected.find(out / LATENTS)
    if before is None:
        raise ConfigError(f"{out}: has {names[0]}, which no projection wrote; choose a new or an empty folder")
    if before.identity != identity:
        raise ConfigError(f"{out}: holds a projection of other pictures, settings or weights; choose another folder")


def _write(
    out: Path,
    settings: Projection,
    run: Explorer,
    chosen: Sequence[Target],
    results: Sequence[Found],
    film: Literal["mp4", "gif"],
) -> None:
    height, width = run.record.image.picture
    wanted = np.stack([central(target.pixels.transpose(2, 0, 1), height, width) for target in chosen])
    originals = coloured(normalise(torch.from_numpy(wanted)))
    pictures = np.stack([found.picture for found in results])
    apart = grey(np.abs(originals.astype(np.float32) - pictures).mean(axis=-1) / 255)
    with drawing.style():
        part = sheet.Part(
            "",
            np.stack([originals, pictures, apart], axis=1),
            [f"{target.name}: {found.distance:.3g}" for target, found in zip(chosen, results, strict=True)],
            ["picture", "found", "difference"],
        )
        drawing.write_png(sheet.draw([part]), out / "projected.png")
    for target, original, found in zip(chosen, originals, results, strict=True):
        save_picture(out / FOUND / f"{target.name}.png", found.picture)
        frames = np.stack([np.concatenate([original, frame], axis=1) for frame in [*found.frames, found.picture]])
        write_film(out / FOUND / target.name, frames, film)
    arrays: dict[str, NDArray[Any]] = {
        "w": torch.stack([found.w for found in results]).cpu().numpy(),
        "distances": np.array([found.distance for found in results]),
        "starts": np.array([found.distances for found in results]),
        "pictures": pictures,
        "targets": originals,
    }
    for number in range(len(results[0].noises)):
        arrays[f"noise_{number}"] = torch.cat([found.noises[number] for found in results]).cpu().numpy()
    Projected(
        **provenance(run.record),
        names=[target.name for target in chosen],
        projection=settings.model_dump(mode="json"),
        identity=_identity(run, settings, chosen),
        code=artifacts.code_version(),
    ).write(out / LATENTS, arrays)
