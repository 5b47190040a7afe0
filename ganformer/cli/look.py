"""Commands that show what a model has learned, one for each file in `ganformer/looks`."""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from ganformer import config, plugins
from ganformer.cli.common import Commands, Gpus, Threads, group
from ganformer.config.base import plug_in

PACKAGE = "ganformer.looks"
Weights = Annotated[Path, typer.Option(help="A trained, imported or pretrained run: its folder, run.json or weights.")]
Folder = Annotated[
    Path | None, typer.Option(help="Folder to write. Default: looks/ and the run's name and the look's.")
]
Step = Annotated[int | None, typer.Option(min=1, help="Step of the snapshot of a run. Default: the last.")]
Film = Annotated[Literal["mp4", "gif"], typer.Option(help="Form of a film, where there is one.")]
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

    parameters = [*_parameters(settings), *_shared()]
    vars(command).update(__signature__=inspect.Signature(parameters))  # read by typer
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = settings.__doc__
    return command


def _shared() -> Iterator[inspect.Parameter]:
    """Yield the options of all looks."""
    options = {"out": (Folder, None), "step": (Step, None), "film": (Film, "mp4"), "singly": (Singly, False)}
    for name, (annotation, default) in {**options, "threads": (Threads, 1), "gpus": (Gpus, 0)}.items():
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _parameters(settings: type[config.Strict]) -> Iterator[inspect.Parameter]:
    """Yield --weights, and an option for every setting but the kind: a text, checked as the setting is."""
    yield inspect.Parameter("weights", inspect.Parameter.KEYWORD_ONLY, annotation=Weights)
    texts = config.docstrings(settings)
    for name, field in settings.model_fields.items():
        if name == "kind":
            continue
        text = " ".join(texts[name].split())
        if field.is_required():
            annotation: Any = Annotated[str, typer.Option(help=text)]
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
            continue
        if field.annotation is bool:
            annotation = Annotated[bool, typer.Option(f"--{name.replace('_', '-')}", help=text)]
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=field.default)
            continue
        shown = "" if field.default is None else f" Default: {_written(field.default)}."
        annotation = Annotated[str | None, typer.Option(help=f"{text}{shown}", metavar=_metavar(field.annotation))]
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=None)


def _written(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _metavar(annotation: Any) -> str:
    """Return the words between which a setting chooses, or TEXT."""
    options = [option for option in get_args(annotation) if isinstance(option, str)]
    return f"[{'|'.join(options)}]" if options else "TEXT"


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
