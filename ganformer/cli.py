"""The command line: one subcommand per artefact. It parses, calls one function and exits; nothing else does.

torch is imported by the subcommands that need it, so that tables and figures are made where it is not installed.
"""

import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TextIO

import typer
import typer.core
import yaml

from ganformer import artifacts, config, plugins
from ganformer.errors import ConfigError, DataError, UserError

RENAMED = {
    "sample": "analyse samples",
    "scales": "analyse scales",
    "attend": "analyse attention",
    "scene-statistics": "analyse scene-statistics",
    "disentanglement": "analyse disentanglement",
    "attention-segments": "analyse attention-segmentation",
    "find-copies": "analyse copies",
    "parsed": "draw",
    **dict.fromkeys(
        (
            "comparison",
            "cost",
            "learning-curves",
            "data-efficiency",
            "ablation",
            "samples",
            "attention",
            "attention-segmentation",
            "memorisation",
        ),
        "draw",
    ),
}
"""Commands by their old names."""


class Commands(typer.core.TyperGroup):
    """Commands; an old name is answered with the new one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; raise UsageError (exit status 2) with the new name for an old one."""
        if args and args[0] in RENAMED and args[0] not in self.commands:
            ctx.fail(f"'{args[0]}' is now '{RENAMED[args[0]]}'; see ganformer {RENAMED[args[0]]} --help")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 110},
)

Out = Annotated[Path, typer.Option(help="What is written.")]
OutFile = Annotated[Path, typer.Option(help="File that is written.", callback=lambda path: _writable(path))]
Threads = Annotated[int, typer.Option(min=1, help="Processor threads.")]


def _gpus(value: str | int) -> int:
    """The number of GPUs that was asked for; of `auto`, 1 where there is one, else 0."""
    if value == "auto":
        from ganformer import devices

        return devices.present()
    if not str(value).isdecimal():
        raise typer.BadParameter(f"'{value}' is neither a number from 0 nor auto")
    return int(value)


Gpus = Annotated[
    int,
    typer.Option(parser=_gpus, metavar="N|auto", help="GPUs to use; 0: the processor, auto: a GPU where there is one."),
]
Count = Annotated[int, typer.Option(min=1, help="Number of images.")]
Data = Annotated[Path, typer.Option(help="manifest.json of a pack.")]
Run = Annotated[Path, typer.Option(help="run.json of a trained run.")]
Settings = Annotated[str, typer.Option(help="Settings as JSON, or a JSON or YAML file that holds them.")]
CheckData = Annotated[bool, typer.Option("--check-data", help="Compare shards with their checksums when first read.")]
Files = Annotated[list[Path], typer.Argument(help="What it is made from.")]


def _own_record(path: Path | None) -> Path | None:
    """The path of what `evaluate` found; a file that is something else is not replaced."""
    if path is not None:
        _writable(path)
        if path.exists() and not artifacts.agrees(artifacts.read_existing(path), {"values": {}, "recipe": {}}):
            raise DataError(
                f"{path}: is there already and holds no numbers of an evaluation, which would replace it; name another "
                "file, or move it away"
            )
    return path


def _writable(path: Path) -> Path:
    """The path of a file, once it is known that it can be written: before the work whose result it is to hold."""
    artifacts.check_file(path)
    return path


class Log:
    """A file that gets a copy of all messages; unbuffered, so that nothing is left to be written at the end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".log" and path.is_file() and path.stat().st_size:
            raise DataError(f"--log {path}: is there already and not called .log; name another file, which is replaced")
        self.path, self._file = path, path.open("wb", buffering=0)
        self._is_full = False

    def write(self, text: str) -> None:
        """Writes it all. Raises the first OSError that there is, after which nothing is written any more."""
        rest = text.encode(errors="backslashreplace")
        try:
            while rest and not self._is_full:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._is_full, error.filename = True, str(self.path)
            raise


class Tee:
    """Writes to a stream and the log; a terminal keeps its progress lines while the log gets everything too."""

    def __init__(self, stream: TextIO, log: Log) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        self.log.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def main() -> NoReturn:
    """Runs the command line. Exit status: 0 done, 1 an error that the message explains, 2 a wrong call, 3 a bug."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # done work must not fail for want of a letter
    try:
        app(standalone_mode=True)
    except UserError as error:
        _say(f"ganformer: {type(error).__name__}: {error}\n")
        sys.exit(1)
    except Exception as error:
        if isinstance(error, OSError) and (reason := artifacts.refusal(error)):
            file = f"{error.filename}: " if error.filename else ""
            _say(f"ganformer: {file}cannot be written ({reason}); make room there and run again\n")
            sys.exit(1)
        _say(traceback.format_exc())
        sys.exit(3)
    sys.exit(0)


def _say(text: str) -> None:
    """Prints on standard error; where the log takes no more, all the same."""
    try:
        sys.stderr.write(text)
    except OSError:
        sys.stderr.write(text)
    sys.stderr.flush()


@app.callback()
def options(
    log: Annotated[Path | None, typer.Option(help="File that gets a copy of all messages.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder that `results` in settings stands for.")] = None,
) -> None:
    """Generative Adversarial Transformers: data, training, evaluation, tables and figures."""
    if results is not None:
        os.environ[artifacts.RESULTS] = str(results)
    if log is not None:
        with artifacts.may_write(log):
            file = Log(log)
        sys.stdout, sys.stderr = Tee(sys.stdout, file), Tee(sys.stderr, file)


@app.command()
def download(
    name: Annotated[
        str, typer.Argument(help="Data set, as in clevr, clevr-original or lsun-cat; all if not given.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder that data sets are kept in.")] = Path("results/downloads"),
) -> None:
    """Fetch a published data set, or go on with it; without a name, list them."""
    from ganformer.data.fetching import catalogue

    if name:
        catalogue.download(catalogue.named(name), out)
    else:
        print(catalogue.listing())


@app.command()
def pack(
    out: Out,
    source: Annotated[
        str | None, typer.Option(help="Images: a path, a data set's name, tfds:NAME, or its settings as JSON.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Width in pixels; a power of two. Default: 256.")] = None,
    ratio: Annotated[
        float | None, typer.Option(help="Height over width to crop to. Default: the data set's, or 1.")
    ] = None,
    layout: Annotated[str | None, typer.Option("--format", help="png, npy, hdf5 or lmdb. Default: npy.")] = None,
    shards_num: Annotated[
        int | None, typer.Option(help="Number of shards. Default: one for every 10,000 images.")
    ] = None,
    max_images: Annotated[int | None, typer.Option(help="Take at most so many. Default: all.")] = None,
    on_error: Annotated[str | None, typer.Option(help="What bad images do: fail or skip. Default: fail.")] = None,
    letterbox: Annotated[bool | None, typer.Option("--letterbox", help="Squares with black bars.")] = None,
    crop_margin: Annotated[float | None, typer.Option(help="Part to store beyond the crop, for random crops.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes, to keep labels. Default: 0.")] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 grey, 3 colour, 4 with opacity. Default: as the images have them.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Where labels are, if not where they usually are.")] = None,
    dataset: Annotated[str | None, typer.Option(help="All of this as JSON, or a file that holds it.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that load images. Default: all cores.")] = None,
) -> None:
    """Crop, resize and store images as a pack."""
    from ganformer.data.manifest import other_files
    from ganformer.data.packing.detect import recognise
    from ganformer.data.packing.pack import pack as make

    given = {
        "resolution": resolution,
        "ratio": ratio,
        "format": layout,
        "shards": shards_num,
        "max_images": max_images,
        "on_error": on_error,
        "letterbox": letterbox,
        "crop_margin": crop_margin,
        "classes": classes,
        "channels": channels,
    }
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if (source is None) == (dataset is None) or (dataset is not None and (settings or labels)):
        raise ConfigError("give the images as --source, with the options that follow it, or everything as --dataset")
    if source is not None:
        found = recognise(source)
        if (
            labels is not None
            and "labels" not in plugins.find("ganformer.data.sources", found["kind"]).Config.model_fields
        ):
            raise ConfigError(
                f"--labels {labels}: {source} is of kind '{found['kind']}', which has its labels in itself if it has "
                "any; leave --labels out"
            )
        settings["source"] = {**found, **({} if labels is None else {"labels": labels})}
    chosen = (
        config.parse(config.Dataset, settings, "pack")
        if dataset is None
        else _parse(config.Dataset, dataset, "dataset")
    )
    written = make(chosen, out, workers or _cores())
    colours = {1: "grey", 3: "colour", 4: "colour with opacity"}[written.image.channels]
    shape = f"{written.image.width}×{written.image.height} pixels, {colours}"
    rejected = f"; {len(written.rejected)} unusable (see manifest.json)" if written.rejected else ""
    others = f"; left out: {other_files(written.left_out)}" if written.left_out else ""
    print(f"{out}: {written.count} images of {shape}{rejected}{others}")


@app.command()
def info(
    pack: Annotated[Path, typer.Argument(help="Folder or manifest.json of a pack.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures. Default: that of the pack.")] = None,
) -> None:
    """Say what is in a pack, and draw a contact sheet and the mean image."""
    from ganformer.data.info import info as look

    look(pack, out)


@app.command()
def verify(pack: Annotated[Path, typer.Argument(help="Folder or manifest.json of a pack.")]) -> None:
    """Compare every byte of a pack with what was packed."""
    from ganformer.data.dataset import verify as compare

    compare(pack)
    print(f"{pack}: every file is as it was packed")


@app.command()
def weights(evaluation: Settings) -> None:
    """Fetch the weights that extractors of features need, where they are missing."""
    for part in _parse(config.Evaluation, evaluation, "evaluation").parts().values():
        if part.extractor.inputs:
            plugins.find("ganformer.metrics.extractors", part.extractor.kind).fetch(part.extractor)
        else:
            print(f"{part.extractor.kind} needs no weights")


@app.command()
def reference(
    evaluation: Settings,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder; there is a file for each network that looks at the images.")],
    threads: Threads = 1,
    gpus: Gpus = 0,
    check_data: CheckData = False,
) -> None:
    """Measure the real images that generated ones are compared with."""
    from ganformer.metrics import evaluate as metrics

    settings = _parse(config.Evaluation, evaluation, "evaluation")
    metrics.reference(settings, data, out, threads=threads, gpus=gpus, check_data=check_data)


@app.command()
def train(
    spec: Settings,
    data: Data,
    out: Out,
    dataset: Annotated[str, typer.Option(help="Name of the data set, for the record.")],
    model: Annotated[str, typer.Option(help="Name of the model, for the record.")],
    threads: Threads = 1,
    gpus: Gpus = 0,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Time between checkpoints.")] = 5.0,
    check_data: CheckData = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Train from the first step, and delete the checkpoints of this run.")
    ] = False,
) -> None:
    """Train one run, or go on with it where it was stopped."""
    from ganformer.training.loop import train as run

    run(
        _parse(config.Spec, spec, "spec"),
        data,
        out,
        names={"dataset": dataset, "model": model},
        threads=threads,
        gpus=gpus,
        checkpoint_minutes=checkpoint_minutes,
        check_data=check_data,
        restart=restart,
    )


@app.command()
def measure(
    evaluation: Settings,
    run: Run,
    data: Data,
    reference: Annotated[Path, typer.Option(help="Folder that `reference` wrote.")],
    out: OutFile,
    step: Annotated[int | None, typer.Option(min=1, help="Which snapshot; the end if not given.")] = None,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="The run was trained on another pack, and this is meant so.")
    ] = False,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Measure a run's generated images against the real ones of a pack."""
    from ganformer.metrics import evaluate as metrics

    settings = _parse(config.Evaluation, evaluation, "evaluation")
    job = metrics.Job(settings, run, step, data, reference, other_data)
    metrics.evaluate(job, out, threads=threads, gpus=gpus)


@app.command()
def evaluate(
    real: Annotated[
        str,
        typer.Option(help="Real images: what `pack --source` takes, JSON too; or a pack, a run, or statistics."),
    ],
    fake: Annotated[str, typer.Option(help="Images that are measured; any of these too.")],
    extractor: Annotated[
        str, typer.Option(help="Network that turns images into features: its name, JSON, or a file that holds it.")
    ] = "random-vgg16",
    metrics: Annotated[
        str | None,
        typer.Option(help="Comma-separated, as in fid,is,pr,kid; if not given, all usual ones that can be measured."),
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="How many images of a run; 50,000 if not given.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Which images of a run: those of seeds from seed × images on.")
    ] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Which snapshot of a run; the end if not given.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file for the numbers and how they were measured.", callback=_own_record),
    ] = None,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Measure any two sets of images against each other, as they are."""
    from ganformer.metrics import compare as sets

    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    if names == []:
        raise ConfigError("--metrics: names no metric; leave it out to have the usual ones, or say fid,is,pr,kid")
    given = {
        "extractor": _of_kind("ganformer.metrics.extractors", extractor, "extractor"),
        "metrics": names,
        "images": images,
        "seed": seed,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    evaluation = config.parse(config.Evaluation, settings, "evaluate")
    measured = sets.compare(evaluation, real, fake, step=step, threads=threads, gpus=gpus)
    print(sets.summary(measured), flush=True)
    if out is not None:
        measured.write(out)


@app.command()
def parser(
    parsing: Annotated[str, typer.Option(help="What reads objects in images: its name, JSON, or a file with it.")],
    dataset: Settings,
    out: Annotated[Path, typer.Option(help="Folder for parser.json and the weights.")],
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Make what reads objects in images of a data set, and measure how well it does where that can be known."""
    from ganformer.analysis import readers

    settings = _of_kind("ganformer.analysis.parsers", parsing, "parsing")
    chosen = config.parse(config.Parsers, {"parser": settings}, "parsing").parser
    readers.prepare(chosen, _parse(config.Dataset, dataset, "dataset"), out, threads=threads, gpus=gpus)


@app.command()
def best(
    by: Annotated[str, typer.Option(help="The value that tells, as it is called in metrics.json.")],
    run: Run,
    out: OutFile,
    metrics: Files,
) -> None:
    """Say which snapshot of a run is the best one."""
    from ganformer.report.best import best as choose

    choose(by, run, metrics, out)


@app.command()
def reals(data: Data, count: Count, out: OutFile) -> None:
    """Take real images for a figure."""
    from ganformer.analysis.stored_images import reals as take

    take(data, count, out)


@app.command()
def generate(
    weights: Annotated[Path, typer.Option(help="A trained or imported run: its folder, run.json or weights.")],
    out: Annotated[Path, typer.Option(help="Folder that the images are written to.")],
    images_num: Annotated[int, typer.Option(min=1, help="Number of images.")] = 32,
    truncation_psi: Annotated[
        float, typer.Option(min=0, help="ψ. Less than 1: less variety, better images, nearer to the mean; 0: the mean.")
    ] = 0.7,
    truncation_mean: Annotated[
        Literal["class", "global"], typer.Option(help="Whether that is the mean of an image's own class or of all.")
    ] = "class",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first image; the next one has the next.")] = 0,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images at a time, in whole eights up to 256×256; no bit of them depends on it.")
    ] = 8,
    label: Annotated[
        str | None, typer.Option(help="Class of all images, by name or number; as in the data if not given.")
    ] = None,
    noise: Annotated[bool, typer.Option(help="Fresh noise in every image; else the same in all of them.")] = False,
    grid: Annotated[bool, typer.Option("--grid", help="One picture with all images, instead of one each.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="One array arr_0 of all images, for other evaluations.")] = False,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Generate images with a trained or imported run."""
    from ganformer.analysis import generate as images

    request = images.Request(images_num, seed, batch_size, truncation_psi, label, noise, truncation_mean)
    images.generate(weights, request, out, as_grid=grid, as_npz=npz, threads=threads, gpus=gpus)


@dataclass(frozen=True)
class Analysis:
    """A kind of `analyse`: its function in a module of `ganformer.analysis`, and the options that it takes."""

    module: str
    function: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


ANALYSES = {
    "samples": Analysis("stored_images", "sample"),
    "scales": Analysis("scales", "sample_scales"),
    "attention": Analysis("attention_maps", "attend"),
    "scene-statistics": Analysis("chi_square", "measure_run", ("data", "parser")),
    "disentanglement": Analysis("dci", "measure_run", ("parser",)),
    "attention-segmentation": Analysis("segments", "measure_run", ("parser",)),
    "copies": Analysis("copies", "find_copies", ("data", "evaluation", "pairs"), ("held_out",)),
}


def _analysis(kind: str) -> str:
    if kind not in ANALYSES:
        raise typer.BadParameter(f"'{kind}' is unknown; {plugins.choices(kind, list(ANALYSES))}")
    return kind


@app.command()
def analyse(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", callback=_analysis, help=f"One of {', '.join(ANALYSES)}."),
    ],
    images: Count,
    run: Run,
    out: OutFile,
    data: Annotated[Path | None, typer.Option(help="manifest.json of a pack of real images.")] = None,
    parser: Annotated[Path | None, typer.Option(help="parser.json that `parser` wrote.")] = None,
    evaluation: Annotated[
        str | None, typer.Option(help="Network that compares images and their seed, as JSON or a file that holds it.")
    ] = None,
    pairs: Annotated[int | None, typer.Option(min=1, help="Pairs of a sample and its nearest training image.")] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="manifest.json of a pack of images that the run was not trained on.")
    ] = None,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Compute what tables and figures show of images of a run.

    samples: the images. scales: the images at every scale of a multi-scale model. attention: the images with their
    attention maps. scene-statistics (--data, --parser): distances of their properties from those of real images.
    disentanglement (--parser): DCI of the latents. attention-segmentation (--parser): overlap of attention with
    segments. copies (--data, --evaluation, --pairs, also --held-out): the nearest training images.
    """
    options = {"data": data, "parser": parser, "evaluation": evaluation, "pairs": pairs, "held_out": held_out}
    chosen = ANALYSES[kind]
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        if value is None and name in chosen.needs:
            raise typer.BadParameter(f"analyse {kind} needs {word}")
        if value is not None and name not in (*chosen.needs, *chosen.takes):
            raise typer.BadParameter(f"analyse {kind} does not take {word}; leave it out")
    given: dict[str, Any] = {name: options[name] for name in (*chosen.needs, *chosen.takes)}
    if evaluation is None:
        given["images"] = images
    else:
        settings = {**_mapping(evaluation, "evaluation"), "images": images}
        given["evaluation"] = config.parse(config.Evaluation, settings, "evaluation")
    compute = getattr(importlib.import_module(f"ganformer.analysis.{chosen.module}"), chosen.function)
    compute(run=run, out=out, **given, threads=threads, gpus=gpus)


@app.command()
def draw(
    experiment: Settings,
    out: Annotated[Path, typer.Option(help="Path of the files that are written, without suffix.")],
    files: Files,
) -> None:
    """Draw a table or figure of any kind."""
    from ganformer.report.check import sign

    settings = config.parse_experiment(_read(experiment, "experiment"), "experiment")
    plugins.find("ganformer.exhibits", settings.kind).draw(settings, files, out)
    sign(out, settings.json(), files)


@app.command()
def check(
    configfiles: Annotated[list[Path] | None, typer.Argument(help="YAML files. Default: config.yaml.")] = None,
    extended: Annotated[bool, typer.Option("--extended", help="Also what `snakemake extended` makes.")] = False,
) -> None:
    """Compare every run, measurement, table and figure with the configuration, and say which are stale or missing.

    By the checksums that they carry, so also after copies and moves. Later files win over earlier ones. Exit status 1
    where something is not as it should be.
    """
    from ganformer.report.check import check as compare

    files = configfiles or [Path("config.yaml")]
    settings = config.load(config.merged(files), " + ".join(map(str, files)))
    findings = compare(settings if extended else settings.usual(), artifacts.placed(Path("results")))
    for finding in findings:
        print(finding)
    good = sum(finding.is_current for finding in findings)
    print(f"{good} of {len(findings)} are as the configuration has them")
    raise typer.Exit(int(good < len(findings)))


@app.command()
def page(
    configuration: Annotated[
        str, typer.Option("--config", help="The whole configuration as JSON, or a JSON or YAML file that holds it.")
    ],
    out: OutFile,
    files: Files,
    command: Annotated[
        str, typer.Option(help="Call that makes a table or figure again; {} stands for its name.")
    ] = "snakemake --cores all {}",
) -> None:
    """Put tables, figures and what was run on one page."""
    from ganformer.report.check import check as compare
    from ganformer.report.page import page as write

    settings = config.load(_read(configuration, "config"), "--config")
    findings = compare(settings, artifacts.placed(Path("results")))
    write(settings.model_dump(mode="json"), files, out, command, findings)


@app.command("import")
def import_(
    snapshot: Annotated[
        str,
        typer.Argument(help="File (.pkl, .pt, .pth, .ckpt), or name of a published one: gdrive:clevr-snapshot.pkl."),
    ],
    out: Out,
    sha256: Annotated[str | None, typer.Option(help="Checksum that the file must have.")] = None,
    cache: Annotated[Path, typer.Option(help="Where published ones are kept.")] = Path("results/weights"),
) -> None:
    """Turn a snapshot of the official code into a run that can be sampled; nothing in it is executed."""
    from ganformer.interop.published import located
    from ganformer.interop.snapshot import import_snapshot

    imported = import_snapshot(located(snapshot, cache), out, sha256)
    print(f"{out}: {imported.origin}, images of {imported.image.width}×{imported.image.height} pixels", flush=True)
    for note in imported.notes:
        print(f"  note: {note}", flush=True)


@app.command()
def schema(out: Annotated[Path | None, typer.Option(help="File to write; printed if not given.")] = None) -> None:
    """Write the JSON schema of config.yaml, for editors."""
    if out is None:
        print(config.schema_text(), end="")
    else:
        artifacts.write_text(out, config.schema_text())


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parse(kind: type[config.S], settings: str, where: str) -> config.S:
    return config.parse(kind, _read(settings, where), where)


def _of_kind(package: str, settings: str, where: str) -> Any:
    """Settings of a part of `package`: its name alone, JSON text, or the content of a file."""
    names = plugins.names(package)
    if settings in names:
        return {"kind": settings}
    try:
        return _read(settings, where)
    except ConfigError as error:
        if Path(settings).suffix or "/" in settings or settings.lstrip().startswith("{"):
            raise
        raise ConfigError(f"--{where}: '{settings}' is unknown; {plugins.choices(settings, names)}") from error


def _mapping(settings: str, where: str) -> Mapping[str, Any]:
    content = _read(settings, where)
    if not isinstance(content, Mapping):
        raise ConfigError(f"--{where}: holds {type(content).__name__} instead of a mapping of settings")
    return content


def _read(settings: str, where: str) -> Any:
    """JSON text, or the content of the JSON or YAML file it names."""
    try:
        if settings.lstrip().startswith("{"):
            return json.loads(settings)
        return yaml.safe_load(Path(settings).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--{where}: {settings!r} is neither JSON nor a readable file ({error.strerror})") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--{where}: is not valid JSON or YAML ({error})") from error
