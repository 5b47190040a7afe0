"""Commands that train, evaluate, generate, import, draw and check."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ganformer import artifacts, config, plugins
from ganformer.cli.common import (
    AS_JSON,
    CheckData,
    Data,
    Files,
    Film,
    Gpus,
    Out,
    Step,
    Threads,
    Weights,
    of_kind,
    option,
    parsed,
    read,
    setting_options,
    with_options,
    writable,
)
from ganformer.errors import ConfigError, DataError
from ganformer.records import manifest
from ganformer.records.metrics import ValuesClaim


def _own_record(path: Path | None) -> Path | None:
    """Return the path of a file of values after checking it; DataError if it is another file, not to be replaced."""
    if path is not None:
        writable(path)
        if path.exists() and ValuesClaim.find(path) is None:
            raise DataError(
                f"{path}: is there already and holds no numbers of an evaluation, which would replace it; name another "
                "file, or move it away"
            )
    return path


def train(
    data: Data,
    out: Out,
    model: Annotated[
        str, typer.Option(help="Entry of the configuration's models, or a kind; with --spec its name in the record.")
    ],
    spec: Annotated[
        str | None,
        typer.Option(help=f"All settings of the run, in place of the next six: image, mirror, model, …{AS_JSON}"),
    ] = None,
    configuration: Annotated[
        Path | None,
        typer.Option("--config", help="Configuration with the model, training, adversarial. Default: config.yaml."),
    ] = None,
    kimg: Annotated[
        float | None, typer.Option(min=0, help="Length of the training in thousands of images. Default: its own.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order and latents. Default: 0.")] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Flip images left to right at random.")] = False,
    initial: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Run whose weights it starts from: its folder or a file in it, or gdrive:… as `import` takes it.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, as adversarial.r1_gamma=auto, training.batch=8 or model.components=4."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name of the data set, for the record. Default: the pack's folder.")
    ] = None,
    threads: Threads = 1,
    gpus: Gpus = 0,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Time between checkpoints.")] = 5.0,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Save and end after this time, with exit status 75: run again to resume."),
    ] = None,
    check_data: CheckData = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Train from the first step, and delete the checkpoints of this run.")
    ] = False,
    evaluate_kimg: Annotated[
        float | None,
        typer.Option(min=0.001, help="Log the Fréchet distance by random-vgg16 every so many thousand images."),
    ] = None,
    evaluate_images: Annotated[
        int | None, typer.Option(min=2, help="Samples for that distance. Default: 1,000.")
    ] = None,
    wandb: Annotated[
        str | None, typer.Option(metavar="PROJECT", help="Log to this project of Weights & Biases, too.")
    ] = None,
    wandb_mode: Annotated[
        Literal["online", "offline", "disabled"] | None,
        typer.Option(help="How. Default: online, or as the section logging of the configuration has it."),
    ] = None,
) -> None:
    """Train one run, or resume it."""
    from ganformer.training.loop import Measured
    from ganformer.training.loop import train as run

    options = {"--config": configuration, "--kimg": kimg, "--seed": seed, "--from": initial, "--set": changes}
    given = [name for name, value in {**options, "--mirror": mirror or None}.items() if value is not None]
    if evaluate_images is not None and evaluate_kimg is None:
        raise ConfigError("--evaluate-images: says of how many samples, not when; give --evaluate-kimg as well")
    if spec is not None and given:
        raise ConfigError(f"give all settings as --spec, or {', '.join(given)}, not both")
    raw = _configuration(configuration) if spec is None else {}
    logging = config.chosen_logging(raw.get("logging"), wandb, wandb_mode)
    if spec is not None:
        resolved = parsed(config.Spec, spec, "spec")
    else:
        from ganformer.data.dataset import Images

        image = Images(data).image.canvas
        more = [] if kimg is None else [f"training.kimg={kimg}"]
        more += [] if initial is None else [f"model.initial={json.dumps(str(initial))}"]
        sections = config.with_settings(config.sections_of(model, raw), [*(changes or []), *more])
        resolved = config.single_run(sections.pop("model"), image, **sections, seed=seed or 0, mirror=mirror)
        print(f"{out}: {resolved.json()}", flush=True)
    if evaluate_kimg is not None and evaluate_kimg > resolved.training.kimg:
        raise ConfigError(
            f"--evaluate-kimg {evaluate_kimg:g}: the training ends at {resolved.training.kimg:g} kimg, so nothing "
            "would be measured; give a smaller number"
        )
    run(
        resolved,
        data,
        out,
        names={"dataset": dataset or manifest.folder_of(data).resolve().name, "model": model},
        threads=threads,
        gpus=gpus,
        checkpoint_minutes=checkpoint_minutes,
        check_data=check_data,
        restart=restart,
        measured=None if evaluate_kimg is None else Measured(evaluate_kimg, evaluate_images or 1000),
        logging=logging,
        max_minutes=max_minutes,
    )


def _configuration(path: Path | None) -> Mapping[str, Any]:
    """Return the content of a configuration; None: of config.yaml, nothing if it is not there."""
    usual = Path("config.yaml")
    if path is None and not usual.exists():
        return {}
    return config.merged([path or usual])


def status(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders with runs below. Default: results.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects, for programs.")] = False,
    watch: Annotated[float | None, typer.Option(min=0.1, metavar="SECONDS", help="Print again so often.")] = None,
) -> None:
    """List runs with their progress: done, training, stopped or diverged."""
    from ganformer.report.status import show

    try:
        show(folders or [artifacts.placed(Path("results"))], as_json=as_json, every=watch)
    except KeyboardInterrupt:  # the usual end of watching
        print(flush=True)


def evaluate(
    real: Annotated[
        str,
        typer.Option(help="Real images: a source as `data pack --source` takes it, a pack, a run, or statistics."),
    ],
    fake: Annotated[str, typer.Option(help="Images to measure; the same forms.")],
    extractor: Annotated[
        str, typer.Option(help="Network that turns images into features: its name, JSON, or a file that holds it.")
    ] = "random-vgg16",
    metrics: Annotated[
        str | None,
        typer.Option(help="Comma-separated, as in fid,is,pr,kid; if not given, all usual ones that can be measured."),
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Number of images of a run; 50,000 if not given.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Offset of a run's images: their seeds begin at seed × images.")
    ] = None,
    step: Step = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file for the numbers and how they were measured.", callback=_own_record),
    ] = None,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Measure one set of images against another."""
    from ganformer.metrics import compare as sets

    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    if names == []:
        raise ConfigError("--metrics: names no metric; leave it out to have the usual ones, or say fid,is,pr,kid")
    given = {
        "extractor": of_kind("ganformer.metrics.extractors", extractor, "extractor"),
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


def _list_pretrained(wanted: bool) -> None:
    """Print the pretrained weights and end, if asked for."""
    if wanted:
        from ganformer.report import pretrained

        print(pretrained.listing(pretrained.find(pretrained.places())), flush=True)
        raise typer.Exit


def generate(
    weights: Weights,
    out: Annotated[
        Path | None, typer.Option(help="Folder that the images are written to. Default: generated/ and the run's name.")
    ] = None,
    images_num: Annotated[int, typer.Option(min=1, help="Number of images.")] = 32,
    truncation_psi: Annotated[
        float, typer.Option(min=0, help="ψ. Less than 1: less variety, better images, nearer to the mean; 0: the mean.")
    ] = 0.7,
    truncation_mean: Annotated[
        Literal["class", "global"], typer.Option(help="That mean: of an image's own class, or of all.")
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
    list_: Annotated[
        bool,
        typer.Option(
            "--list", is_eager=True, callback=_list_pretrained, help="List the pretrained weights, and do nothing else."
        ),
    ] = False,
    threads: Threads = 1,
    gpus: Gpus = 0,
) -> None:
    """Generate images with a trained, imported or pretrained run."""
    from ganformer.analysis import generate as images

    request = images.Request(images_num, seed, batch_size, truncation_psi, label, noise, truncation_mean)
    images.generate(weights, request, out, as_grid=grid, as_npz=npz, threads=threads, gpus=gpus)


def timelapse(
    run: Annotated[Path, typer.Argument(help="A run that was trained here: its folder.")],
    out: Annotated[Path, typer.Option(help="Film to write: .gif, or .mp4 if ffmpeg is installed.", callback=writable)],
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of the film.")] = 10.0,
    label: Annotated[bool, typer.Option("--label", help="Write the thousands of images into a corner.")] = False,
) -> None:
    """Make a film of the samples that a training left."""
    from ganformer.analysis.timelapse import film

    film(run, out, seconds=seconds, is_labelled=label)


def _project() -> Callable[..., None]:
    """Return the command that finds latents of pictures; its options are the settings of a projection."""
    from ganformer.config.projection import Projection

    def command(
        weights: Path,
        image: list[Path],
        out: Path,
        step: int | None,
        film: Literal["mp4", "gif"],
        threads: int,
        gpus: int,
        **given: Any,
    ) -> None:
        from ganformer.analysis.projection import project

        settings = {name: value for name, value in given.items() if value is not None}
        checked = config.parse(Projection, settings, "project")
        project(checked, weights, image, out, step=step, film=film, threads=threads, gpus=gpus)

    pictures = Annotated[list[Path], typer.Option(help="Picture, or folder of pictures; can be given several times.")]
    folder = Annotated[Path, typer.Option(help="Folder to write.")]
    options = [option("weights", Weights), option("image", pictures), option("out", folder)]
    options += [*setting_options(Projection), option("step", Step, None), option("film", Film, "mp4")]
    options += [option("threads", Threads, 1), option("gpus", Gpus, 0)]
    return with_options(command, options, "Find the latents of pictures.")


project = _project()


def demo(
    weights: Annotated[
        list[Path] | None,
        typer.Option(help="Run to begin with; can be given several times. The pretrained ones can always be chosen."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    threads: Threads = 1,
) -> None:
    """Show a page on which pictures are generated, edited and brought in."""
    from ganformer.demo.server import serve

    serve(weights or [], port, threads, is_headless=not browser)


def export(
    weights: Weights,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="onnx, torchscript, stylegan2-ada, ganformer, huggingface, or that of a plug-in.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write; for huggingface a folder.")],
    batch: Annotated[int | None, typer.Option(min=1, help="onnx: images at once. Default: any number.")] = None,
    truncation_mean: Annotated[
        Literal["class", "global"] | None,
        typer.Option(help="onnx, torchscript: mean that ψ moves latents towards. Default: of an image's class."),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="huggingface: measurements for the card. Default: metrics.json beside the run.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="huggingface: licence of the weights, e.g. mit. Default: none is named.")
    ] = None,
    step: Step = None,
    threads: Threads = 1,
) -> None:
    """Write a model in a form that other programs read."""
    from ganformer.analysis import explorer, exporting

    options = {"batch": batch, "truncation_mean": truncation_mean, "metrics": metrics, "licence": licence}
    given = {name: value for name, value in options.items() if value is not None}
    settings = config.parse(config.Exporting, {"export": {"kind": format_, **given}}, "options").export
    exporting.export(settings, explorer.opened(weights, step), out, threads)


def import_(
    snapshot: Annotated[
        str,
        typer.Argument(
            help="File (.pkl, .pt, .pth, .ckpt), gdrive:ID, or the name of a published one: gdrive:clevr-snapshot.pkl."
        ),
    ],
    out: Out,
    sha256: Annotated[str | None, typer.Option(help="Checksum that the file must have.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder for snapshots that are fetched.")] = Path("results/weights"),
) -> None:
    """Import a snapshot of official code as a run, without executing it."""
    from ganformer.interop.snapshot import bring

    for line in bring(snapshot, out, cache, sha256):
        print(line, flush=True)


def draw(
    experiment: Annotated[str, typer.Option(help=f"Settings of an entry of the section experiments{AS_JSON}")],
    out: Annotated[Path, typer.Option(help="Path of the files that are written, without suffix.")],
    files: Files,
) -> None:
    """Draw a table or figure."""
    from ganformer.report.check import sign

    settings = config.parse_experiment(read(experiment, "experiment"), "experiment")
    plugins.find("ganformer.exhibits", settings.kind).draw(settings, files, out)
    sign(out, settings.json(), files)


def check(
    configfiles: Annotated[list[Path] | None, typer.Argument(help="YAML files. Default: config.yaml.")] = None,
    extended: Annotated[bool, typer.Option("--extended", help="Also what `snakemake extended` makes.")] = False,
) -> None:
    """List results that are stale or missing under the configuration.

    Results are compared by the checksums that they carry, so also after copies and moves. Later configuration files
    win over earlier ones. The exit status is 1 if any result is stale or missing.
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
