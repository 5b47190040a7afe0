"""Options that commands share, and reading of settings."""

import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
import typer.core
import yaml

from ganformer import artifacts, config, plugins
from ganformer.errors import ConfigError

RENAMED = {
    "download": "data download",
    "pack": "data pack",
    "info": "data info",
    "verify": "data verify",
    "weights": "step weights",
    "reference": "step reference",
    "measure": "step metrics",
    "parser": "step parser",
    "best": "step best",
    "reals": "step reals",
    "page": "step page",
    "schema": "step schema",
    "analyse": "step analyse",
    "sample": "step analyse samples",
    "scales": "step analyse scales",
    "attend": "step analyse attention",
    "scene-statistics": "step analyse scene-statistics",
    "disentanglement": "step analyse disentanglement",
    "attention-segments": "step analyse attention-segmentation",
    "find-copies": "step analyse copies",
    "parsed": "draw",
    "comparison": "draw",
    "cost": "draw",
    "learning-curves": "draw",
    "data-efficiency": "draw",
    "ablation": "draw",
    "samples": "draw",
    "attention": "draw",
    "attention-segmentation": "draw",
    "memorisation": "draw",
}
"""Present names of commands by their old ones."""


class Commands(typer.core.TyperGroup):
    """Commands in the order in which they are added; an old name is answered with the present one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; raise UsageError (exit status 2) with the present name for an old one."""
        if args and args[0] in RENAMED and args[0] not in self.commands:
            ctx.fail(f"'{args[0]}' is now '{RENAMED[args[0]]}'; see ganformer {RENAMED[args[0]]} --help")
        return super().resolve_command(ctx, args)


def group(text: str, kind: type[Commands] = Commands) -> typer.Typer:
    """Return an empty group of commands with this help text."""
    return typer.Typer(
        cls=kind,
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": 110},
    )


def gpus_of(value: str | int) -> int:
    """Return the number of GPUs asked for; of `auto`, 1 if there is one, else 0."""
    if value == "auto":
        from ganformer import devices

        return devices.present()
    if not str(value).isdecimal():
        raise typer.BadParameter(f"'{value}' is neither a number from 0 nor auto")
    return int(value)


def writable(path: Path) -> Path:
    """Return the path of a file after checking that it can be written, before the work it is for."""
    artifacts.check_file(path)
    return path


Out = Annotated[Path, typer.Option(help="Folder or file to write.")]
OutFile = Annotated[Path, typer.Option(help="File to write.", callback=lambda path: writable(path))]
Threads = Annotated[int, typer.Option(min=1, help="Processor threads.")]
Gpus = Annotated[
    int,
    typer.Option(parser=gpus_of, metavar="N|auto", help="GPUs to use; 0: the processor, auto: a GPU if there is one."),
]
Weights = Annotated[
    Path,
    typer.Option(help="A trained, imported or pretrained run, or one in training: its folder, run.json or weights."),
]
Step = Annotated[int | None, typer.Option(min=1, help="Step of the snapshot of a run. Default: the last.")]
Film = Annotated[Literal["mp4", "gif"], typer.Option(help="Form of a film, where there is one.")]
Count = Annotated[int, typer.Option(min=1, help="Number of images.")]
Data = Annotated[Path, typer.Option(help="Pack: its folder or manifest.json.")]
Run = Annotated[Path, typer.Option(help="run.json of a trained run.")]
AS_JSON = ", as JSON, or a JSON or YAML file with them."
Evaluating = Annotated[str, typer.Option(help=f"Settings of the section evaluation{AS_JSON}")]
CheckData = Annotated[bool, typer.Option("--check-data", help="Compare shards with their checksums when first read.")]
Files = Annotated[list[Path], typer.Argument(help="Files it is made from.")]


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parsed(kind: type[config.S], settings: str, where: str) -> config.S:
    return config.parse(kind, read(settings, where), where)


def of_kind(package: str, settings: str, where: str) -> Any:
    """Return settings of a plug-in of `package`: its name alone, JSON text, or the content of a file."""
    names = plugins.names(package)
    if settings in names:
        return {"kind": settings}
    try:
        return read(settings, where)
    except ConfigError as error:
        if Path(settings).suffix or "/" in settings or settings.lstrip().startswith("{"):
            raise
        raise ConfigError(f"--{where}: '{settings}' is unknown; {plugins.choices(settings, names)}") from error


def mapping(settings: str, where: str) -> Mapping[str, Any]:
    content = read(settings, where)
    if not isinstance(content, Mapping):
        raise ConfigError(f"--{where}: holds {type(content).__name__} instead of a mapping of settings")
    return content


def read(settings: str, where: str) -> Any:
    """Parse JSON text, or the JSON or YAML file it names."""
    try:
        if settings.lstrip().startswith("{"):
            return json.loads(settings)
        return yaml.safe_load(Path(settings).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--{where}: {settings!r} is neither JSON nor a readable file ({error.strerror})") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--{where}: is not valid JSON or YAML ({error})") from error


# ------------------------------------------------------------------------------------------ settings as options


def option(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """Return a parameter of a command that typer reads as an option; without a default it must be given."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def with_options(
    command: Callable[..., None], options: Sequence[inspect.Parameter], text: str | None
) -> Callable[..., None]:
    """Return the command with these options, whatever its own parameters are, and this help text."""
    vars(command).update(__signature__=inspect.Signature(options))  # read by typer
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in options}
    command.__doc__ = text
    return command


def setting_options(settings: type[config.Strict]) -> Iterator[inspect.Parameter]:
    """Yield an option for every setting but the kind: a text, which is to be checked as the setting is."""
    texts = config.docstrings(settings)
    for name, field in settings.model_fields.items():
        if name == "kind":
            continue
        text = " ".join(texts[name].split())
        if field.is_required():
            annotation: Any = Annotated[str, typer.Option(help=text)]
            yield option(name, annotation)
            continue
        if field.annotation is bool:
            annotation = Annotated[bool, typer.Option(f"--{name.replace('_', '-')}", help=text)]
            yield option(name, annotation, field.default)
            continue
        shown = "" if field.default is None else f" Default: {_written(field.default)}."
        annotation = Annotated[str | None, typer.Option(help=f"{text}{shown}", metavar=_metavar(field.annotation))]
        yield option(name, annotation, None)


def _written(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _metavar(annotation: Any) -> str:
    """Return the words between which a setting chooses, or TEXT."""
    options = [option for option in get_args(annotation) if isinstance(option, str)]
    return f"[{'|'.join(options)}]" if options else "TEXT"
