"""Looks: pictures of what a run has learned, as numbers, as a figure and as a film."""

from pathlib import Path
from typing import Any, Literal

from ganformer import artifacts, plugins
from ganformer.analysis import explorer
from ganformer.analysis.explorer import Explorer
from ganformer.analysis.stored_images import provenance
from ganformer.analysis.view import View
from ganformer.config import Look
from ganformer.data.film import write_film
from ganformer.data.pictures import save_picture
from ganformer.errors import ConfigError
from ganformer.records.npz import LatentsFile, LookedAt
from ganformer.records.run import Run
from ganformer.report import drawing, sheet

STORED = "look.npz"
LATENTS = "latents.npz"


def take(settings: Look, opened: Explorer, threads: int = 1) -> View:
    """Return what a look at a run shows.

    Raises ConfigError if models of its kind cannot be looked at in this way or a setting does not fit the run.
    """
    if settings.needs is not None:
        explorer.require(opened.path, opened.record.kind, settings.needs)
    with explorer.looking(opened, threads):
        view: View = plugins.find("ganformer.looks", settings.kind).look(settings, opened)
    return view


def store(settings: Look, run: Path, out: Path, *, threads: int, gpus: int) -> None:
    """Write what a look at a run shows into an npz file, for figures; `run`: its run.json."""
    opened = explorer.opened(run, gpus=gpus)
    view = take(settings, opened, threads)
    facts(settings, view, opened.record).write(out, {"cells": view.cells, **view.arrays})


def facts(settings: Look, view: View, record: Run) -> LookedAt:
    """Return the facts about the pictures of a look."""
    return LookedAt(
        **provenance(record),
        code=artifacts.code_version(),
        look=settings.model_dump(mode="json"),
        rows=view.rows,
        columns=view.columns,
        caption=view.caption,
    )


def look(
    settings: Look,
    weights: Path,
    out: Path,
    *,
    step: int | None = None,
    film: Literal["mp4", "gif"] = "mp4",
    singly: bool = False,
    threads: int = 1,
    gpus: int = 0,
) -> None:
    """Write what a look at a run shows into the folder `out`.

    `look.npz`: pictures and the numbers behind them; `look.png`: the figure; `latents.npz`: latents, of the look of
    that name; `film.mp4` or `film.gif` where there is a film; with `singly` each picture as `pictures/rR-cC.png`.
    Raises ConfigError if the folder holds anything but what the same look at the same weights wrote before, if there is
    no run, or as `take` does; CheckpointError if the run cannot be read.
    """
    _refuse_others(out)
    opened = explorer.opened(weights, step, gpus=gpus)
    record = opened.record
    _refuse_another(out, settings, record)
    view = take(settings, opened, threads)
    about = facts(settings, view, record)
    about.write(out / STORED, {"cells": view.cells, **view.arrays})
    if view.latents is not None:
        write_latents(out / LATENTS, view.latents, view.names, record)
    with drawing.style():
        figure = sheet.draw([sheet.Part("", view.cells, view.rows, view.columns)])
        drawing.write_png(figure, out / "look.png")
    if singly:
        for row, cells in enumerate(view.cells):
            for column, cell in enumerate(cells):
                save_picture(out / "pictures" / f"r{row:02d}-c{column:02d}.png", cell)
    if view.frames is not None:
        write_film(out / "film", view.frames, film)
    print(f"{out}: {view.caption}", flush=True)


def write_latents(path: Path, w: Any, names: Any, record: Run) -> None:
    """Write latents w float32 [n, L, …, D] of images of these names."""
    LatentsFile(**provenance(record), names=names, code=artifacts.code_version()).write(path, {"w": w})


def _refuse_others(out: Path) -> None:
    """Raise ConfigError if the folder has files, but none of a look."""
    found = sorted(path.name for path in out.iterdir() if path.name[0] != ".") if out.is_dir() else []
    if found and not (out / STORED).exists():
        raise ConfigError(f"{out}: has {found[0]}, which no look wrote; choose a new or an empty folder")


def _refuse_another(out: Path, settings: Look, record: Run) -> None:
    """Raise ConfigError if the folder holds another look."""
    if not (out / STORED).exists():
        return
    before, wanted = LookedAt.find(out / STORED), settings.model_dump(mode="json")
    if before is None:
        raise ConfigError(f"{out / STORED}: is no file of a look; choose a new or an empty folder")
    if (before.look, before.weights_sha256) != (wanted, record.weights_sha256):
        keys = [key for key in {**before.look, **wanted} if before.look.get(key) != wanted.get(key)]
        differing = ", ".join(f"{key} {before.look.get(key)}, now {wanted.get(key)}" for key in keys)
        raise ConfigError(f"{out}: holds another look ({differing or 'at other weights'}); choose another folder")
