"""Report page: one HTML file that holds all tables and figures, readable offline."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from ganformer import artifacts
from ganformer.config import Config
from ganformer.errors import DataError
from ganformer.records import manifest
from ganformer.records.exhibit import Block, Exhibit
from ganformer.records.run import RUN_FILE, TrainedRun
from ganformer.report import drawing, facts, formatting, pictures, records
from ganformer.report.check import Finding
from ganformer.report.table import groups

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

HEAD_IMAGES, CARD_IMAGES = 14, 12  # real images in the head of the page, and beside each data set
DIGITS = 12  # of a digest in tables
SHORT_KIMG = 1000  # a training of fewer images is called short
FORMS = ("csv", "md", "tex", "png", "pdf")
COMMAND = "snakemake --cores all {}"
REFERENCE = (
    "Drew A. Hudson and C. Lawrence Zitnick. Generative Adversarial Transformers. Proceedings of the 38th "
    "International Conference on Machine Learning, PMLR 139:4487–4499, 2021. arXiv:2103.01209."
)


@dataclass(frozen=True)
class Drawn:
    """Table or figure as it was drawn: its record, the picture of a figure, and its forms."""

    exhibit: Exhibit
    png: bytes
    forms: list[str]


@dataclass(frozen=True)
class Inputs:
    """Content of the page."""

    config: Config
    exhibits: Sequence[Drawn]
    runs: pd.DataFrame
    packs: Mapping[str, manifest.Manifest]
    """Manifests by their sha256."""
    reals: Mapping[str, Mapping[str, Any]]
    """Real images by the sha256 of their manifest."""
    command: str = COMMAND
    """Call that makes a table or figure again; `{}` is replaced by its name."""
    findings: Sequence[Finding] = ()
    """State of every result beside the configuration."""


def page(
    config: Config,
    files: Sequence[Path],
    out: Path,
    command: str = COMMAND,
    findings: Sequence[Finding] = (),
) -> None:
    """Write the report as one HTML file without outside references.

    `config`: the whole configuration; `command`, `findings`: as in `Inputs`. `files`, told apart by their names:
    `run.json` of all runs, `manifest.json` of all packs, `reals-*.npz` with a few real images, and the `.json` of each
    table and figure in the order to be shown; a figure's `.png` is beside it. Raises DataError if one cannot be read,
    or an experiment, a run's pack or its images are not among them.
    """
    inputs = replace(_gathered(config, files), command=command, findings=findings)
    environment = Environment(
        loader=PackageLoader("ganformer.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    artifacts.write_text(out, environment.get_template("page.html").render(_content(inputs)))


def _content(inputs: Inputs) -> Mapping[str, Any]:
    """Return the variables of the template `page.html`."""
    return {
        "css": resources.files("ganformer.report").joinpath("page.css").read_text(encoding="utf-8"),
        "strip": _strip(inputs),
        "facts": list(facts.of_runs(inputs.runs)),
        "links": [
            ("run", "What was run"),
            *((drawn.exhibit.target, drawn.exhibit.title) for drawn in inputs.exhibits),
            ("provenance", "Provenance"),
        ],
        "cautions": list(_cautions(inputs)),
        "stale": [str(finding) for finding in inputs.findings if not finding.is_current],
        "cards": list(_cards(inputs)),
        "models": list(_models(inputs)),
        "exhibits": [_exhibit(drawn, inputs.command) for drawn in inputs.exhibits],
        "results": formatting.plural(len(inputs.findings), "result") if inputs.findings else "",
        "current": sum(finding.is_current for finding in inputs.findings),
        "runs": [_run(run) for _, run in inputs.runs.iterrows()],
        "reference": REFERENCE,
        "versions": facts.each(facts.version(record.code) for record in inputs.runs["record"]),
    }


# ------------------------------------------------------------------------------------------------- inputs


def _gathered(config: Config, files: Sequence[Path]) -> Inputs:
    runs = records.runs(path for path in files if path.name == RUN_FILE)
    manifests = [manifest.read(path)[1] for path in files if path.name == manifest.NAME]
    packs = {found.data_sha256: found for found in manifests}
    reals = pictures.real(path for path in files if path.suffix == ".npz")
    exhibits = _exhibits(config, [p for p in files if p.suffix == ".json" and p.name not in (RUN_FILE, manifest.NAME)])
    inputs = Inputs(config, exhibits, runs, packs, reals)
    for _, run in runs.iterrows():
        digest = run["record"].data.data_sha256
        if digest not in packs or digest not in reals:
            lacking = "manifest.json" if digest not in packs else "file of real images"
            raise DataError(
                f"the report needs the {lacking} of the pack that {run['file']} was trained on (data "
                f"{digest[:DIGITS]}…); pass it as well, and train again where the pack was made anew"
            )
    return inputs


def _exhibits(config: Config, files: Iterable[Path]) -> list[Drawn]:
    """Return tables and figures in the order of the files, figures with their picture."""
    found = {}
    for path in files:
        exhibit = Exhibit.read(path)
        png = _bytes(path.with_suffix(".png")) if exhibit.exhibit == "figure" else b""
        forms = [form for form in FORMS if path.with_suffix(f".{form}").exists()]
        found[exhibit.target] = Drawn(exhibit, png, forms)
    missing = [name for name in config.experiments if name not in found]
    if missing:
        raise DataError(f"the report needs the .json of {formatting.listing(missing)}; make them and pass them as well")
    return list(found.values())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); draw the figure again") from error


# ------------------------------------------------------------------------------------------------ pictures


class Picture(NamedTuple):
    """Image in the page itself: its PNG in base64, and its size."""

    data: str
    width: int
    height: int


def _picture(png: bytes) -> Picture:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
    return Picture(base64.b64encode(png).decode("ascii"), width, height)


def _mosaic(rows: Sequence[Sequence[NDArray[np.uint8]]], width: int) -> Picture:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(drawing.mosaic(rows, width)).save(buffer, format="PNG", optimize=True)
    return _picture(buffer.getvalue())


def _strip(inputs: Inputs) -> Picture:
    """Return real images of all data sets side by side."""
    images = [image for found in inputs.reals.values() for image in found["images"][: HEAD_IMAGES // len(inputs.reals)]]
    return _mosaic([images], max(64, *(image.shape[1] for image in images)))


# -------------------------------------------------------------------------------------------------- words


def _cautions(inputs: Inputs) -> Iterable[str]:
    """Yield warnings about invalid comparisons."""
    evaluation = inputs.config.evaluation
    network, images = evaluation.extractors.get("frechet", evaluation.extractor), evaluation.images
    if network.kind != "inception-2015":
        yield (
            f"The distances here (FD) are not FID. They compare {formatting.count(images)} generated images with the "
            f"real ones on features of {network.kind}, not of the Inception network of 2015. They rank models that "
            "were measured alike; none can be set beside a published FID, and neither can IS, precision or recall."
        )
    elif images != 50_000:
        yield (
            f"FID is measured on {formatting.count(images)} generated images. It falls with their number, so it cannot "
            "be set beside a published FID, which takes 50,000."
        )
    if getattr(network, "resize", None) == "clean":
        yield (
            "Images are resized for the network as in clean-fid (Parmar et al. 2022), so these distances compare with "
            "the values of clean-fid, not with other published FIDs."
        )
    if inputs.runs["record"].map(lambda record: record.kimg).max() < SHORT_KIMG:
        yield (
            "This is a small-scale run: fewer images, smaller pictures and far shorter training than in the paper, "
            "whose models saw millions of images. It shows that everything works and how it compares at this scale."
        )
    if inputs.runs["seed"].nunique() == 1:
        yield "Every model was trained with a single seed, so small differences between models may be chance."
    if any(getattr(experiment, "published", None) for experiment in inputs.config.experiments.values()):
        yield (
            "Published numbers are quoted as they were printed, with their source, in columns of their own. The "
            "heading of each column says which data set, size and number of images its numbers are of."
        )


def _cards(inputs: Inputs) -> Iterable[Mapping[str, Any]]:
    """Yield a card for each data set: real images and facts about them."""
    for name, rows in inputs.runs.groupby("dataset", sort=False):
        record = rows["record"].iloc[0]
        digest = record.data.data_sha256
        pack, images = inputs.packs[digest], inputs.reals[digest]["images"]
        size = f"{pack.image.width} × {pack.image.height} pixels"
        size += {1: ", grey", 3: "", 4: ", with opacity"}[pack.image.channels]
        mirrored = ", mirrored at random" if record.is_mirrored else ""
        yield {
            "name": name,
            "image": _mosaic(drawing.batched(list(images[:CARD_IMAGES]), 6), max(64, images.shape[2])),
            "images": f"{formatting.count(pack.count)} images of {size}{mirrored}",
            "source": f"Source: {pack.source['kind']}; stored as {pack.format}",
            "classes": pack.class_names,
        }


def _models(inputs: Inputs) -> Iterable[Mapping[str, Any]]:
    """Yield each model with its settings in its first run, and the ones in which it differs from others of its kind."""
    models = {str(name): runs["record"].iloc[0].model for name, runs in inputs.runs.groupby("model", sort=False)}
    colours = drawing.colours(list(models))
    for name, model in models.items():
        own = {key: value for key, value in model.items() if not isinstance(value, Mapping | None)}
        alike = [other for other in models.values() if other["kind"] == model["kind"]]
        telling = [key for key in own if key == "kind" or any(other.get(key) != own[key] for other in alike)]
        yield {
            "name": name,
            "title": formatting.model(name),
            "colour": colours[name],
            "telling": ", ".join(f"{key} {own[key]}" for key in telling),
            "settings": ", ".join(f"{key} {own[key]}" for key in own),
        }


def _exhibit(drawn: Drawn, command: str) -> Mapping[str, Any]:
    """Return a table or figure as the template shows it."""
    exhibit = drawn.exhibit
    shown = {
        "target": exhibit.target,
        "title": exhibit.title,
        "caption": exhibit.caption,
        "command": command.replace("{}", exhibit.target),
        "forms": f"{formatting.listing(drawn.forms)} in results/{exhibit.exhibit}s",
    }
    if exhibit.exhibit == "table":
        return {**shown, "blocks": [_block(block) for block in exhibit.blocks]}
    return {**shown, "picture": _picture(drawn.png), "alt": exhibit.alt}


def _block(block: Block) -> Mapping[str, Any]:
    """Return a block of a table with the groups of its columns."""
    spans = groups(block.columns)
    starts, place = set(), 0
    for title, width in spans:
        starts |= {place} if title else set()
        place += width
    columns = [{**asdict(column), "starts_group": i in starts} for i, column in enumerate(block.columns)]
    return {**asdict(block), "columns": columns, "groups": [{"title": title, "width": width} for title, width in spans]}


def _run(run: pd.Series) -> Mapping[str, Any]:
    """Return the provenance of a run."""
    record: TrainedRun = run["record"]
    cost = f"{formatting.kimg(record.kimg)} kimg in {formatting.duration(record.wall_seconds)}"
    digests = f"settings {record.spec_sha256[:DIGITS]}, weights {record.weights_sha256[:DIGITS]}"
    data, sessions = record.data, formatting.plural(record.sessions, "session")
    return {
        "name": f"{run['dataset']} / {run['model']} / seed {run['seed']}",
        "summary": f"{cost}, {digests}",
        "settings": json.dumps(record.spec, indent=2, ensure_ascii=False),
        "facts": [
            ("Record", run["file"]),
            ("Settings", f"sha256 {record.spec_sha256}"),
            ("Weights", f"sha256 {record.weights_sha256}"),
            ("Data", f"sha256 {data.data_sha256}, {formatting.count(data.count)} images"),
            ("Code", facts.version(record.code)),
            ("Libraries", ", ".join(f"{library} {version}" for library, version in record.libraries.items())),
            ("Computed on", f"{formatting.device(record.hardware)}; {record.hardware['system']}"),
            ("Trained", f"{record.started} to {record.finished}, {sessions}"),
        ],
    }
