"""Commands, Python, YAML and links of the README and of docs/, tried as they are printed."""

import importlib.util
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
import yaml

from ganformer import plugins
from ganformer.cli import app
from tests.plug_ins import install

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> Iterator[tuple[str, str]]:
    """Yield title and text of every block of code in a language."""
    for found, title, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield title, text


def calls(text: str) -> Iterator[list[str]]:
    """Yield the words of every call in lines of a shell."""
    for line in text.replace("\\\n", " ").splitlines():
        call: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word in ("&&", "|", ";"):
                yield from [call] if call else []
                call = []
            else:
                call.append(word)


PRINTED = [(page.name, call) for page in PAGES for _, text in blocks(page, "sh") for call in calls(text)]  # whole calls
NAMED = [
    (page.name, call)
    for page in PAGES
    for text in re.findall(r"(?<!`)`((?:ganformer|snakemake) [^`]+)`", page.read_text(encoding="utf-8"))
    for call in calls(text)
]  # within sentences, perhaps without required options


def told(cases: list[tuple[str, list[str]]], program: str) -> pytest.MarkDecorator:
    """Return the parametrisation of a test by the calls of a program."""
    chosen = [(page, call[1:]) for page, call in cases if call[0] == program]
    assert chosen
    return pytest.mark.parametrize("call", [call for _, call in chosen], ids=[f"{p}:{' '.join(c)}" for p, c in chosen])


def resolve(call: list[str]):
    """Return the command that is called, its context's parent, its name and the rest of the words."""
    command, context, name, words = typer.main.get_command(app), None, "ganformer", list(call)
    while hasattr(command, "commands"):
        context = command.context_class(command, info_name=name, parent=context)
        values, rest, _ = command.make_parser(context).parse_args(words)
        if values.get("help") or not rest:
            return None, context, name, []
        at = words.index(rest[0])
        name, command, words = command.resolve_command(context, words[at:])
    return command, context, name, words


@told(PRINTED, "ganformer")
def test_printed_calls_are_complete(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # options may look at the files that they name
    command, context, name, words = resolve(call)
    assert command is not None
    with suppress(typer.Exit):  # --list ends at once
        command.make_context(name, list(words), parent=context)


@told(NAMED, "ganformer")
def test_named_commands_and_options_exist(call):
    command, context, name, words = resolve(call)
    if command is not None:
        own = command.context_class(command, info_name=name, parent=context)
        command.make_parser(own).parse_args(list(words))


@pytest.mark.parametrize(
    ("call", "message"),
    [(["pakc"], "No such command"), (["train", "--speck", "x"], "No such option"), (["cost"], "is now")],
)
def test_a_wrong_call_would_be_seen(call, message):
    with pytest.raises(Exception, match=message):
        test_named_commands_and_options_exist(call)


@told([*PRINTED, *NAMED], "snakemake")
def test_calls_of_snakemake_are_right(call):
    from snakemake.cli import get_argument_parser

    found = get_argument_parser().parse_args([re.sub(r"=N$", "=1", word) for word in call])
    for file in (*(found.configfile or ()), *filter(None, [found.workflow_profile])):
        assert str(file) == "mine.yaml" or (ROOT / file).exists(), f"there is no {file}"


def test_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        extra
        for page in PAGES
        for names in re.findall(r"pip install [^\n`]*'\.\[([\w,-]+)\]'", page.read_text(encoding="utf-8"))
        for extra in names.split(",")
    }
    assert {"test", "docs", "slurm"} <= named <= set(extras)


# --------------------------------------------------------------------------------------- Python and YAML

PROGRAM = """
import json, runpy, sys
from pathlib import Path
import numpy as np
from PIL import Image
import ganformer
from ganformer import config
from ganformer.training import loop

root, pages = Path(sys.argv[1]), json.loads(sys.argv[2])
Path("pretrained").symlink_to(root / "pretrained")
Path("pictures").mkdir()
for number in range(60):
    pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(f"pictures/{number}.png")
pack = ganformer.pack("pictures", "packs/mine", resolution=16)
model = {"kind": "ganformer", "attention": "duplex", "channel_base": 64, "latent_size": 32, "components": 4}
spec = {"image": pack.image.model_dump(), "mirror": False, "model": model, "training": {"kimg": 0.02, "batch": 10}}
spec = config.parse(config.Spec, {**spec, "seed": 0}, "spec")
out = Path("results/runs/scenes/duplex/seed0")
loop.train(spec, pack.manifest, out, names={"dataset": "scenes", "model": "duplex"}, threads=1, gpus=0)
for page, content in pages.items():
    for text in content["yaml"]:
        Path("block.yaml").write_text(text)
        files = [root / "config.yaml", *(root / file for file in content["over"]), Path("block.yaml")]
        loaded = config.merged(files)
        if "streets" in loaded.get("parsing", ()):
            loaded["datasets"]["streets"] = {"source": {"kind": "scenes"}}
        config.load(loaded, page)
    exec(compile("\\n".join(content["python"]), page, "exec"), {"__name__": page})
    print("ran", page)
"""
AFTER_COMMANDS = {"exporting.md"}  # pages whose programs need files of their commands; they have tests of their own
OVER = {"your-pictures.md": ["workflow/presets/own_images.yaml"]}


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """Return a folder in which all blocks of all pages have run in the places that they name, and these pages.

    Kinds of tutorials are installed there as packages; the pack, the run and its training are tiny.
    """
    folder, pages = tmp_path_factory.mktemp("tried"), {}
    site, work = folder / "site", folder / "work"
    site.mkdir()
    work.mkdir()
    for page in PAGES:
        is_run = page.name not in AFTER_COMMANDS
        python = [text for title, text in blocks(page, "python") if not title and is_run]
        settings = [text for _, text in blocks(page, "yaml")]
        if python or settings:
            pages[page.name] = {"python": python, "yaml": settings, "over": OVER.get(page.name, [])}
        if any(title == "pyproject.toml" for title, _ in blocks(page, "toml")):
            package = folder / page.stem
            package.mkdir()
            for title, text in (*blocks(page, "toml"), *blocks(page, "python")):
                if title:
                    (package / title).write_text(text, encoding="utf-8")
            install(package, site)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-c", PROGRAM, str(ROOT), json.dumps(pages)]
    said = subprocess.run(call, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr[-4000:]
    return work, set(re.findall(r"^ran (\S+)$", said.stdout, re.MULTILINE))


@pytest.mark.slow
def test_python_and_yaml_run_as_printed(tried):
    work, pages = tried
    assert {"README.md", "python.md", "new-model.md", "new-table.md", "your-pictures.md"} <= pages
    assert "| generator |" in (work / "sizes.md").read_text()
    assert (work / "runs/dense/weights.safetensors").exists()


@pytest.mark.slow
def test_python_is_formatted_as_wide_as_pages_are(tmp_path):
    """Files to copy pass the linters of the repository, too."""
    files, snippets = tmp_path / "files", tmp_path / "snippets"
    for page in PAGES:
        for number, (title, text) in enumerate(blocks(page, "python")):
            if title.endswith(".py") or not title:
                path = files / title if title else snippets / f"{page.stem}-{number}.py"
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    assert len(list(files.iterdir())) == 2
    settings = ["--config", str(ROOT / "pyproject.toml"), "--line-length", "88"]
    for words in (["check", *settings, str(files)], ["format", "--check", *settings, str(tmp_path)]):
        said = subprocess.run([sys.executable, "-m", "ruff", *words], capture_output=True, text=True, timeout=60)
        assert said.returncode == 0, said.stdout


# --------------------------------------------------------------------------------------------------- site


class Loaded(HTMLParser):
    """Addresses that a page loads, ids, and addresses that it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.update(filter(None, [values.get("id")]))
        if tag in ("script", "img", "iframe", "source"):
            self.loads.update(filter(None, [values.get("src")]))
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.loads.update(filter(None, [values.get("href")]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    """Return the pages of the built site by name."""
    for module in ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers.python"):
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"needs the module {module}: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    pages = {}
    for path in folder.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<!-- (generated|fields): ", text)
        assert path.name not in ("settings.html", "command-line.html", "formats.html") or "\\|" not in text
        pages[path.name] = Loaded()
        pages[path.name].feed(text)
    return pages


@pytest.mark.slow
def test_site_has_every_page_and_loads_nothing_from_elsewhere(site):
    wanted = {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} | {"contributing.html", "changelog.html"}
    assert wanted <= set(site)
    assert {address for page in site.values() for address in page.loads if "//" in address} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "place"),
    [
        ("ganformer.models", "models-name"),
        ("ganformer.data.sources", "datasets-name-source"),
        ("ganformer.metrics.extractors", "evaluation-extractor"),
        ("ganformer.analysis.parsers", "parsing-name"),
        ("ganformer.exhibits", "experiments-name"),
    ],
)
def test_site_has_the_settings_of_every_kind(site, package, place):
    assert {f"{place}-kind-{name}" for name in plugins.names(package)} <= site["settings.html"].ids


@pytest.mark.slow
def test_site_has_the_whole_command_line_and_api(site):
    import ganformer

    def commands(command, path):
        inside = getattr(command, "commands", {})
        yield from [path] if not inside else []
        for name, each in inside.items():
            yield from [] if each.hidden else commands(each, f"{path}-{name}")

    assert set(commands(typer.main.get_command(app), "ganformer")) <= site["command-line.html"].ids
    names = {name for name in ganformer.__all__ if not name.startswith("_")}
    assert {f"ganformer.api.{name}" for name in names} <= site["python.html"].ids
    assert {"ganformer.api.Run.sample", "ganformer.api.Pack.labels"} <= site["python.html"].ids


def test_navigation_names_every_page():
    class Loader(yaml.SafeLoader):
        """Loader that passes over tags."""

    nav = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]

    def names(entries):
        for entry in entries:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else names(value)

    docs = ROOT / "docs"
    there = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")} | {"contributing.md", "changelog.md"}
    assert sorted(names(nav)) == sorted(there)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=lambda page: page.stem)
def test_code_fits_on_a_page(page):
    long = [
        line
        for language, _, text in BLOCK.findall(page.read_text(encoding="utf-8"))
        if language not in ("mermaid", "text")
        for line in text.splitlines()
        if len(line) > 100
    ]
    assert long == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_no_line_within_a_sentence_begins_as_a_list(page):
    """Python-Markdown takes "40. One" at the beginning of a line for an entry of a list, unlike GitHub."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ *\d+\. .*$", text, re.MULTILINE) == []


def test_keys_of_files_have_the_meaning_of_their_fields() -> None:
    pytest.importorskip("mkdocs", reason="needs mkdocs: pip install -e '.[docs]'")
    table = runpy.run_path(str(ROOT / "docs/hooks.py"))["fields"]("ganformer.records.manifest.Manifest")
    assert "| `content` | text | sha256 of shape, pixels and labels" in table


def test_parts_of_pages_are_made_in_place_of_their_marks() -> None:
    pytest.importorskip("mkdocs", reason="needs mkdocs: pip install -e '.[docs]'")
    hooks = runpy.run_path(str(ROOT / "docs/hooks.py"))
    hooks["GENERATED"]["settings"] = lambda: "all settings"
    graph = "```mermaid\nflowchart LR\n    pack --> train\n    train --> evaluate\n```"
    page = f"before\n{graph}\nbetween\n<!-- fields: ganformer.records.manifest.Manifest -->\nbehind\n"
    found = hooks["on_page_markdown"](page + "<!-- generated: settings -->")
    assert "mermaid" not in found
    assert "<!--" not in found
    assert hooks["graph_table"]("flowchart LR\n    pack --> train\n    train --> evaluate\n") in found
    assert hooks["fields"]("ganformer.records.manifest.Manifest") in found
    assert found.endswith("\nall settings")
    assert found.startswith("before\n")
