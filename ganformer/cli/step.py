"""Commands that the workflow calls, one for each of its steps."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ganformer import artifacts, config, plugins
from ganformer.cli.common import (
    AS_JSON,
    CheckData,
    Count,
    Data,
    Evaluating,
    Files,
    Gpus,
    OutFile,
    Run,
    Threads,
    group,
    mapping,
    of_kind,
    parsed,
    read,
)

Configuration = Annotated[
    str, typer.Option("--config", help="The whole configuration as JSON, or a JSON or YAML file that holds it.")
]
Command = Annotated[str, typer.Option(help="Call that makes a table or figure again; {} stands for its name.")]

app = group("Steps of the workflow, which calls them itself.")


@app.command()
def weights(evaluation: Evaluating) -> None:
    """Fetch missing weights of extractors."""
    for part in parsed(config.Evaluation, evaluation, "evaluation").parts().values():
        if part.extractor.inputs:
            plugins.find("ganformer.metrics.extractors", part.extractor.kind).fetch(part.extractor)
        else:
            print(f"{part.extractor.kind} needs no weights")


@app.command()
def reference(
    evaluation: Evaluating,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write; it gets a file for each extractor.")],
    threads: Threads = 1,
    gpus: Gpus = 0,
    check_data: CheckData = False,
) -> None:
    """Compute the statistics of real images."""
    from ganformer.metrics import evaluate as metrics

    settings = parsed(config.Evaluation, evaluation, "evaluation")
    metrics.reference(settings, data, out, threads=threads, gpus=gpus, check_data=check_data)


@app.command("metrics")
def measure(
    evaluation: Evaluating,
    run: Run,
    data: Data,
    reference: Annotated[Path, typer.Option(help="Folder that `step reference` wrote.")],
    out: OutFile,
    step: Annotated[int | None, typer.Option(min=1, help="Step of the snapshot. Default: the last.")] = None,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="Allow a run that was trained on another pack.")
    ] = False,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Measure a run's images against a pack's."""
    from ganformer.metrics import evaluate as metrics

    settings = parsed(config.Evaluation, evaluation, "evaluation")
    job = metrics.Job(settings, run, step, data, reference, other_data)
    metrics.evaluate(job, out, threads=threads, gpus=gpus)


@app.command()
def parser(
    parsing: Annotated[str, typer.Option(help="Parser of objects in images: its name, JSON, or a file with it.")],
    dataset: Annotated[str, typer.Option(help=f"Settings of an entry of the section datasets{AS_JSON}")],
    out: Annotated[Path, typer.Option(help="Folder for parser.json and the weights.")],
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Make the parser of objects in images of a data set."""
    from ganformer.analysis import readers

    settings = of_kind("ganformer.analysis.parsers", parsing, "parsing")
    chosen = config.parse(config.Parsers, {"parser": settings}, "parsing").parser
    readers.prepare(chosen, parsed(config.Dataset, dataset, "dataset"), out, threads=threads, gpus=gpus)


@app.command()
def best(
    by: Annotated[str, typer.Option(help="Name in metrics.json of the value that decides.")],
    run: Run,
    out: OutFile,
    metrics: Files,
) -> None:
    """Choose the best snapshot of a run."""
    from ganformer.report.best import best as choose

    choose(by, run, metrics, out)


@app.command()
def reals(data: Data, count: Count, out: OutFile) -> None:
    """Copy real images for a figure."""
    from ganformer.analysis.stored_images import reals as take

    take(data, count, out)


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
    parser: Annotated[Path | None, typer.Option(help="parser.json that `step parser` wrote.")] = None,
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
    """Compute images, maps and statistics that exhibits show of a run.

    samples: the images. scales: the images at every scale of a multi-scale model. attention: the images with their
    attention maps. scene-statistics (--data, --parser): distances of their properties from real images'.
    disentanglement (--parser): DCI of the latents. attention-segmentation (--parser): overlap of attention with
    segments. copies (--data, --evaluation, --pairs, also --held-out): the nearest training images.
    """
    options = {"data": data, "parser": parser, "evaluation": evaluation, "pairs": pairs, "held_out": held_out}
    chosen = ANALYSES[kind]
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        if value is None and name in chosen.needs:
            raise typer.BadParameter(f"{kind}: needs {word}")
        if value is not None and name not in (*chosen.needs, *chosen.takes):
            raise typer.BadParameter(f"{kind}: does not take {word}; leave it out")
    given: dict[str, Any] = {name: options[name] for name in (*chosen.needs, *chosen.takes)}
    if evaluation is None:
        given["images"] = images
    else:
        settings = {**mapping(evaluation, "evaluation"), "images": images}
        given["evaluation"] = config.parse(config.Evaluation, settings, "evaluation")
    compute = getattr(importlib.import_module(f"ganformer.analysis.{chosen.module}"), chosen.function)
    compute(run=run, out=out, **given, threads=threads, gpus=gpus)


@app.command()
def look(
    look: Annotated[str, typer.Option(help=f"Kind of the look and its settings{AS_JSON}")],
    run: Run,
    out: OutFile,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Look at a run, for a figure."""
    from ganformer.analysis.looking import store

    settings = config.parse(config.Looking, {"look": read(look, "look")}, "look").look
    store(settings, run, out, threads=threads, gpus=gpus)


@app.command()
def page(
    configuration: Configuration,
    out: OutFile,
    files: Files,
    command: Command = "snakemake --cores all {}",
) -> None:
    """Write the report page."""
    from ganformer.report.check import check as compare
    from ganformer.report.page import page as write

    settings = config.load(read(configuration, "config"), "--config")
    findings = compare(settings, artifacts.placed(Path("results")))
    write(settings, files, out, command, findings)


@app.command()
def publish(
    configuration: Configuration,
    template: Annotated[Path, typer.Option(help="Markdown with Jinja expressions: text, tables, figures and numbers.")],
    out: Annotated[Path, typer.Option(help="Folder to write: index.md, csv and pictures.")],
    files: Files,
    command: Command = "snakemake --cores all {}",
) -> None:
    """Write a page of the documentation about finished tables and figures."""
    from ganformer.report.publish import publish as write

    write(config.load(read(configuration, "config"), "--config"), template, files, out, command)


@app.command()
def export(
    by: Annotated[str, typer.Option(help="Name in metrics.json of the value that decides.")],
    out: Annotated[Path, typer.Option(help="Folder to write: weights, records and a model card.")],
    files: Files,
) -> None:
    """Copy the weights of the best seed of a model."""
    from ganformer.records.run import RUN_FILE
    from ganformer.report.pretrained import export as copy

    runs = [file for file in files if file.name == RUN_FILE]
    copy(by, runs, [file for file in files if file.name != RUN_FILE], out)


@app.command()
def schema(out: Annotated[Path | None, typer.Option(help="File to write; printed if not given.")] = None) -> None:
    """Write the JSON schema of config.yaml, for editors."""
    if out is None:
        print(config.schema_text(), end="")
    else:
        artifacts.write_text(out, config.schema_text())
