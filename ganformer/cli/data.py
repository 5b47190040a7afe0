"""Commands that fetch, pack and check images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganformer import config, plugins
from ganformer.cli.common import Out, cores, group, parsed
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from ganformer.records.manifest import Manifest

app = group("Fetch, pack and check images.")


@app.command()
def download(
    name: Annotated[
        str, typer.Argument(help="Data set, as in clevr, clevr-original or lsun-cat; all if not given.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder that data sets are kept in.")] = Path("results/downloads"),
) -> None:
    """Download a published data set, or list them; resumes."""
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
    skip_images: Annotated[int | None, typer.Option(help="Leave out so many at the start. Default: 0.")] = None,
    max_images: Annotated[int | None, typer.Option(help="Take at most so many. Default: all.")] = None,
    on_error: Annotated[str | None, typer.Option(help="Effect of bad images: fail or skip. Default: fail.")] = None,
    letterbox: Annotated[bool | None, typer.Option("--letterbox", help="Squares with black bars.")] = None,
    crop_margin: Annotated[float | None, typer.Option(help="Part to store beyond the crop, for random crops.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes, to keep labels. Default: 0.")] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 grey, 3 colour, 4 with opacity. Default: as the images have them.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Place of the labels, if not the usual one.")] = None,
    dataset: Annotated[str | None, typer.Option(help="All of this as JSON, or a file that holds it.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that load images. Default: all cores.")] = None,
) -> None:
    """Crop, resize and store images as a pack."""
    from ganformer.data.packing.pack import pack as make

    given = {
        "resolution": resolution,
        "ratio": ratio,
        "format": layout,
        "shards": shards_num,
        "skip_images": skip_images,
        "max_images": max_images,
        "on_error": on_error,
        "letterbox": letterbox,
        "crop_margin": crop_margin,
        "classes": classes,
        "channels": channels,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    if (source is None) == (dataset is None) or (dataset is not None and (settings or labels)):
        raise ConfigError("give the images as --source, with the options that follow it, or everything as --dataset")
    if source is not None:
        chosen = config.parse(config.Dataset, {**settings, "source": _source(source, labels)}, "pack")
    else:
        assert dataset is not None
        chosen = parsed(config.Dataset, dataset, "dataset")
    print(f"{out}: {_summary(make(chosen, out, workers or cores()))}")


def _source(source: str, labels: str | None) -> Mapping[str, Any]:
    """Return settings of the source that --source and --labels name; ConfigError if it takes no labels."""
    from ganformer.data.packing.detect import recognise

    found = recognise(source)
    if labels is None:
        return found
    if "labels" not in plugins.find("ganformer.data.sources", found["kind"]).Config.model_fields:
        raise ConfigError(
            f"--labels {labels}: {source} is of kind '{found['kind']}', which has its labels in itself if it has "
            "any; leave --labels out"
        )
    return {**found, "labels": labels}


def _summary(written: "Manifest") -> str:
    """Return number, size and channels of the images of a new pack, and the number of those left out."""
    from ganformer.records.manifest import other_files

    colours = {1: "grey", 3: "colour", 4: "colour with opacity"}[written.image.channels]
    rejected = f"; {len(written.rejected)} unusable (see manifest.json)" if written.rejected else ""
    others = f"; left out: {other_files(written.left_out)}" if written.left_out else ""
    size = f"{written.image.width}×{written.image.height} pixels"
    return f"{written.count} images of {size}, {colours}{rejected}{others}"


@app.command()
def info(
    pack: Annotated[Path, typer.Argument(help="Folder or manifest.json of a pack.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures. Default: the pack's.")] = None,
) -> None:
    """Describe a pack; draw a contact sheet and the mean image."""
    from ganformer.data.info import info as look

    look(pack, out)


@app.command()
def verify(pack: Annotated[Path, typer.Argument(help="Folder or manifest.json of a pack.")]) -> None:
    """Verify every file of a pack by its checksum."""
    from ganformer.data.dataset import verify as compare

    compare(pack)
    print(f"{pack}: every file is as it was packed")
