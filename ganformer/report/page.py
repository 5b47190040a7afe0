"""The report: one page that holds everything, readable offline."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from ganformer import artifacts
from ganformer.errors import DataError
from ganformer.report import drawing, formatting, html, pictures, records
from ganformer.report.check import Finding

HERO, SHOWN = 14, 12  # real images in the head of the page, and beside each data set
DIGITS = 12  # of a digest in tables
SHORT_KIMG = 1000  # below this a training is called short
COMMAND = "snakemake --cores all {}"
INTRO = (
    "The GANformer of Hudson and Zitnick (ICML 2021) and the models it is compared with, trained and measured from "
    "scratch. Every table and figure on this page was made by one graph of plain commands, from the images to this "
    "file, and can be made again by name."
)
REFERENCE = (
    "Drew A. Hudson and C. Lawrence Zitnick. Generative Adversarial Transformers. Proceedings of the 38th "
    "International Conference on Machine Learning, PMLR 139:4487–4499, 2021. arXiv:2103.01209."
)


@dataclass(frozen=True)
class Inputs:
    """What the page is made from."""

    config: Mapping[str, Any]
    exhibits: Sequence[Mapping[str, Any]]
    runs: pd.DataFrame
    packs: Mapping[str, Mapping[str, Any]]
    """Manifests by their sha256."""
    reals: Mapping[str, Mapping[str, Any]]
    """Real images by the sha256 of their manifest."""
    command: str = COMMAND
    """Call that makes a table or figure again; `{}` stands for its name."""
    findings: Sequence[Finding] = ()
    """State of every result beside the configuration."""


def page(
    config: Mapping[str, Any],
    files: Sequence[Path],
    out: Path,
    command: str = COMMAND,
    findings: Sequence[Finding] = (),
) -> None:
    """Writes the report as one HTML file without outside references.

    `config`: the whole configuration; `command`, `findings`: as in `Inputs`. `files`, told apart by their names:
    `run.json` of all runs, `manifest.json` of all packs, `reals-*.npz` with a few real images, and the `.json` of each
    table and figure in the order to be shown; a figure's `.png` lies beside it. Raises DataError where one cannot be
    read, or an experiment, a run's pack or its images are not among them.
    """
    inputs = replace(_gathered(config, files), command=command, findings=findings)
    body = "\n".join([_header(inputs), _nav(inputs), _main(inputs), _footer(inputs)])
    css = resources.files("ganformer.report").joinpath("page.css").read_text(encoding="utf-8")
    artifacts.write_text(
        out,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        f"<title>Generative Adversarial Transformers, reproduced</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n",
    )


# ------------------------------------------------------------------------------------------------- inputs


def _gathered(config: Mapping[str, Any], files: Sequence[Path]) -> Inputs:
    runs = records.runs(path for path in files if path.name == "run.json")
    manifests = [artifacts.read_json(path) for path in files if path.name == "manifest.json"]
    packs = {found["content"]: found for found in manifests}
    reals = pictures.real(path for path in files if path.suffix == ".npz")
    exhibits = _exhibits(
        config, [p for p in files if p.suffix == ".json" and p.name not in ("run.json", "manifest.json")]
    )
    inputs = Inputs(config, exhibits, runs, packs, reals)
    for _, run in runs.iterrows():
        digest = run["record"]["data"]["data_sha256"]
        if digest not in packs or digest not in reals:
            lacking = "manifest.json" if digest not in packs else "file of real images"
            raise DataError(
                f"the report needs the {lacking} of the pack that {run['file']} was trained on (data "
                f"{digest[:DIGITS]}…); pass it as well, and train again where the pack was made anew"
            )
    return inputs


def _exhibits(config: Mapping[str, Any], files: Iterable[Path]) -> list[Mapping[str, Any]]:
    """Tables and figures in the order of the files, figures with their picture."""
    found = {}
    for path in files:
        exhibit = artifacts.read_json(path)
        if exhibit["exhibit"] == "figure":
            exhibit["png"] = _bytes(path.with_suffix(".png"))
            exhibit["has_numbers"] = path.with_suffix(".csv").exists()
        found[exhibit["target"]] = exhibit
    missing = [name for name in config["experiments"] if name not in found]
    if missing:
        raise DataError(f"the report needs the .json of {formatting.listing(missing)}; make them and pass them as well")
    return list(found.values())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); draw the figure again") from error


# --------------------------------------------------------------------------------------------------- head


def _header(inputs: Inputs) -> str:
    return f"""<a class="skip" href="#results">Skip to the results</a>
<header class="wide">
<p class="eyebrow">Reproduction report</p>
<h1>Generative Adversarial Transformers, reproduced</h1>
<p class="intro">{escape(INTRO)}</p>
{_strip(inputs)}
<dl class="facts">{html.definitions(_facts(inputs))}</dl>
</header>"""


def _strip(inputs: Inputs) -> str:
    """Real images of all data sets side by side."""
    images = [image for found in inputs.reals.values() for image in found["images"][: HERO // len(inputs.reals)]]
    width = max(64, *(image.shape[1] for image in images))
    return html.picture(html.png(drawing.mosaic([images], width)), "Real images of the data sets", "strip")


def _facts(inputs: Inputs) -> Iterable[tuple[str, str]]:
    found = list(inputs.runs["record"])
    seeds = inputs.runs["seed"].nunique()
    yield "Data sets", formatting.listing(_names(inputs, "dataset"))
    yield "Models", str(len(_names(inputs, "model")))
    yield "Runs", f"{len(found)}, with {formatting.plural(seeds, 'seed')}"
    yield (
        "Training of a run",
        f"{formatting.listing(_unique(formatting.kimg(r['kimg']) for r in found))} thousand images",
    )
    yield "Training in all", formatting.duration(sum(record["wall_seconds"] for record in found))
    yield "Computed on", formatting.listing(_unique(formatting.device(record["hardware"]) for record in found))
    yield "Code", formatting.listing(_unique(_version(record["code"]) for record in found))


def _names(inputs: Inputs, column: str) -> list[str]:
    return _unique(inputs.runs[column])


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _version(code: Mapping[str, Any]) -> str:
    if "commit" not in code:
        return str(code["ganformer"])
    return f"{code['ganformer']} ({code['commit']}{', with changes' if code.get('dirty') else ''})"


def _nav(inputs: Inputs) -> str:
    links = [
        ("run", "What was run"),
        *((e["target"], e["title"]) for e in inputs.exhibits),
        ("provenance", "Provenance"),
    ]
    items = "".join(f'<li><a href="#{target}">{escape(title)}</a></li>' for target, title in links)
    return f'<nav aria-label="Contents"><ul class="wide">{items}</ul></nav>'


# --------------------------------------------------------------------------------------------------- body


def _main(inputs: Inputs) -> str:
    return f"""<main class="wide">
{_note(inputs)}
{_stale(inputs)}
<section id="run">
<h2>What was run</h2>
{_data_sets(inputs)}
{_models(inputs)}
</section>
<section id="results">
<h2>Results</h2>
<p class="lead">The command below each table or figure makes it again, with all that it needs and only that.</p>
{"".join(_exhibit(exhibit, inputs.command) for exhibit in inputs.exhibits)}
</section>
{_provenance(inputs)}
</main>"""


def _note(inputs: Inputs) -> str:
    paragraphs = "".join(f"<p>{escape(sentence)}</p>" for sentence in _cautions(inputs))
    return f'<aside class="note"><h2>How to read the numbers</h2>{paragraphs}</aside>'


def _stale(inputs: Inputs) -> str:
    """A warning that names every result that is not as the configuration has it."""
    wrong = [finding for finding in inputs.findings if not finding.is_current]
    if not wrong:
        return ""
    items = "".join(f"<li>{escape(str(finding))}</li>" for finding in wrong)
    return f'<aside class="note"><h2>Not as the configuration has it</h2><ul>{items}</ul></aside>'


def _cautions(inputs: Inputs) -> Iterable[str]:
    """What keeps a reader from comparing what cannot be compared."""
    evaluation = inputs.config["evaluation"]
    network = evaluation.get("extractors", {}).get("frechet", evaluation["extractor"])
    extractor, images = network["kind"], evaluation["images"]
    if extractor != "inception-2015":
        yield (
            f"The distances here (FD) are not FID. They compare {formatting.count(images)} generated images with the "
            f"real ones on features of {extractor}, not of the Inception network of 2015. They rank models that were "
            "measured alike; none can be set beside a published FID, and neither can IS, precision or recall."
        )
    elif images != 50_000:
        yield (
            f"FID is measured on {formatting.count(images)} generated images. It falls with their number, so it cannot "
            "be set beside a published FID, which takes 50,000."
        )
    if network.get("resize") == "clean":
        yield (
            "Images are resized for the network as in clean-fid (Parmar et al. 2022), so these distances compare with "
            "those that clean-fid gives, not with other published FIDs."
        )
    if inputs.runs["record"].map(lambda record: record["kimg"]).max() < SHORT_KIMG:
        yield (
            "This is a small-scale run: fewer images, smaller pictures and far shorter training than in the paper, "
            "whose models saw millions of images. It shows that everything works and how it compares at this scale."
        )
    if inputs.runs["seed"].nunique() == 1:
        yield "Every model was trained with a single seed, so small differences between models may be chance."
    if any(experiment.get("published") for experiment in inputs.config["experiments"].values()):
        yield (
            "Published numbers are quoted as they were printed, with their source, in columns of their own. The "
            "heading of each column says which data set, size and number of images its numbers are of."
        )


def _data_sets(inputs: Inputs) -> str:
    cards = []
    for name, rows in inputs.runs.groupby("dataset", sort=False):
        record = rows["record"].iloc[0]
        digest = record["data"]["data_sha256"]
        pack, images = inputs.packs[digest], inputs.reals[digest]["images"]
        grid = drawing.mosaic(drawing.batched(list(images[:SHOWN]), 6), max(64, images.shape[2]))
        size = f"{pack['image']['width']} × {pack['image']['height']} pixels"
        size += {1: ", grey", 3: "", 4: ", with opacity"}[pack["image"]["channels"]]
        classes = f"<p>Classes: {escape(', '.join(pack['class_names']))}</p>" if pack["class_names"] else ""
        mirrored = ", mirrored at random" if record["spec"]["mirror"] else ""
        cards.append(
            f'<div class="card">{html.picture(html.png(grid), f"Real images of {name}")}<div>'
            f"<h3>{escape(str(name))}</h3><p>{formatting.count(pack['count'])} images of {size}{mirrored}</p>"
            f"<p>Source: {escape(pack['source']['kind'])}; stored as {escape(pack['format'])}</p>{classes}</div></div>"
        )
    return "".join(cards)


def _models(inputs: Inputs) -> str:
    """One row a model, with its settings in its first run."""
    models = {
        str(name): runs["record"].iloc[0]["spec"]["model"] for name, runs in inputs.runs.groupby("model", sort=False)
    }
    colours = drawing.colours(list(models))
    rows = "".join(
        f'<tr><th scope="row"><span class="dot" style="background:{colours[name]}"></span>'
        f"{escape(formatting.model(name))}</th><td><code>{escape(name)}</code></td>"
        f"<td>{_settings(model, models)}</td></tr>"
        for name, model in models.items()
    )
    head = '<th scope="col">Model</th><th scope="col">Entry</th><th scope="col">Settings</th>'
    return (
        f'<div class="exhibit"><h3>Models</h3><div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def _settings(model: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """What tells a model from others of its kind, and behind it, folded, all of its own settings."""
    own = {key: value for key, value in model.items() if not isinstance(value, Mapping | None)}
    alike = [other for other in models.values() if other["kind"] == model["kind"]]
    telling = [key for key in own if key == "kind" or any(other.get(key) != own[key] for other in alike)]
    short, full = ", ".join(f"{key} {own[key]}" for key in telling), ", ".join(f"{key} {own[key]}" for key in own)
    return f'<details class="settings"><summary>{escape(short)}</summary><p>{escape(full)}</p></details>'


def _exhibit(exhibit: Mapping[str, Any], command: str) -> str:
    is_table = exhibit["exhibit"] == "table"
    content = _table(exhibit) if is_table else _figure(exhibit)
    figure = "csv, png and pdf" if exhibit.get("has_numbers") else "png and pdf"
    forms = "csv, md and tex in results/tables" if is_table else f"{figure} in results/figures"
    return f"""<article class="exhibit" id="{escape(exhibit["target"])}">
<h3>{escape(exhibit["title"])}</h3>
{content}
<p class="command"><code>{escape(command.replace("{}", exhibit["target"]))}</code><span>{forms}</span></p>
</article>
"""


def _table(exhibit: Mapping[str, Any]) -> str:
    return f'<p class="caption">{escape(exhibit["caption"])}</p>{"".join(map(html.block, exhibit["blocks"]))}'


def _figure(exhibit: Mapping[str, Any]) -> str:
    picture = html.picture(exhibit["png"], exhibit["alt"])
    caption = f"<figcaption>{escape(exhibit['caption'])}</figcaption>"
    return f'<figure><div class="image" tabindex="0">{picture}</div>{caption}</figure>'


# --------------------------------------------------------------------------------------------- provenance


def _provenance(inputs: Inputs) -> str:
    runs = "".join(_run(run) for _, run in inputs.runs.iterrows())
    return f"""<section id="provenance">
<h2>Provenance</h2>
<p class="lead">Every number above comes from one of these runs. A run is fixed by its settings, its seed and its pack;
the digests tell them apart, and its run.json says all that is known about it.{_checked(inputs)}</p>
{runs}
</section>"""


def _checked(inputs: Inputs) -> str:
    """Says how many results were found to be as the configuration has them, by their checksums."""
    if not inputs.findings:
        return ""
    good = sum(finding.is_current for finding in inputs.findings)
    return (
        f" When this page was made, {good} of {formatting.plural(len(inputs.findings), 'result')} were as the "
        "configuration has them, by their checksums; <code>ganformer check</code> compares them again."
    )


def _run(run: pd.Series) -> str:
    record = run["record"]
    name = f"{run['dataset']} / {run['model']} / seed {run['seed']}"
    cost = f"{formatting.kimg(record['kimg'])} kimg in {formatting.duration(record['wall_seconds'])}"
    pairs = [
        ("Record", run["file"]),
        ("Settings", f"sha256 {record['spec_sha256']}"),
        ("Weights", f"sha256 {record['weights_sha256']}"),
        ("Data", f"sha256 {record['data']['data_sha256']}, {formatting.count(record['data']['count'])} images"),
        ("Code", _version(record["code"])),
        ("Libraries", ", ".join(f"{library} {version}" for library, version in record["libraries"].items())),
        ("Computed on", f"{formatting.device(record['hardware'])}; {record['hardware']['system']}"),
        ("Trained", f"{record['started']} to {record['finished']}, {formatting.plural(record['sessions'], 'session')}"),
    ]
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in pairs)
    settings = escape(json.dumps(record["spec"], indent=2, ensure_ascii=False))
    digests = f"settings {record['spec_sha256'][:DIGITS]}, weights {record['weights_sha256'][:DIGITS]}"
    return (
        f"<details><summary>{escape(name)} <span>– {cost}, {digests}</span></summary>"
        f"<dl>{terms}</dl><pre>{settings}</pre></details>"
    )


def _footer(inputs: Inputs) -> str:
    versions = formatting.listing(_unique(_version(record["code"]) for record in inputs.runs["record"]))
    return (
        f'<footer class="wide"><p>The paper: {escape(REFERENCE)}</p>'
        f"<p>Made with ganformer {escape(versions)}. To cite the software see CITATION.cff.</p></footer>"
    )
