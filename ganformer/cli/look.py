"""Commands that show what a model has learned, one for each file in `ganformer/looks`."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ganformer import config, plugins
from ganformer.cli.common import (
    Commands,
    Film,
    Gpus,
    Step,
    Threads,
    Weights,
    group,
    option,
    setting_options,
    with_options,
)
from ganformer.config.base import plug_in

PACKAGE = "ganformer.looks"
Folder = Annotated[
    Path | None, typer.Option(help="Folder to write. Default: looks/ and the run's name and the look's.")
]
Singly = Annotated[bool, typer.Option("--singly", help="Also write each picture as a file.")]


def _look(kind: str) -> Callable[..., None]:
    """Return the command of one kind of looks; its options are the settings of that kind."""
    settings = plug_in(PACKAGE, kind)

    def command(
        weights: Path,
        out: Path | None,
        step: int | None,
        film: Literal["mp4", "gif"],
        singly: bool,
        threads: int,
        gpus: int,
        **given: Any,
    ) -> None:
        from ganformer.analysis.looking import look

        chosen = {name: value for name, value in given.items() if value is not None}
        checked = config.parse(settings, {"kind": kind, **chosen}, f"look {kind}")
        assert isinstance(checked, config.Look)
        name = (weights if weights.is_dir() else weights.parent).resolve().name
        folder = Path("looks", f"{name}-{kind}") if out is None else out
        look(checked, weights, folder, step=step, film=film, singly=singly, threads=threads, gpus=gpus)

    parameters = [option("weights", Weights), *setting_options(settings), option("out", Folder, None)]
    parameters += [option("step", Step, None), option("film", Film, "mp4"), option("singly", Singly, False)]
    parameters += [option("threads", Threads, 1), option("gpus", Gpus, 0)]
    return with_options(command, parameters, settings.__doc__)


class Looks(Commands):
    """Commands of all kinds of looks, made when they are first asked for: their settings take long to import."""

    @property
    def commands(self) -> dict[str, Any]:
        """Commands by the names of their kinds."""
        return _commands()

    @commands.setter
    def commands(self, given: object) -> None:
        """Ignore the commands that typer knows of, which are none."""


@cache
def _commands() -> dict[str, Any]:
    found = {}
    for kind in plugins.names(PACKAGE):
        alone = group("")
        alone.command(kind)(_look(kind))
        found[kind] = typer.main.get_group(alone).commands[kind]
    return found


app = group("Look inside a model: its latents, components, layers, attention and codes.", Looks)
