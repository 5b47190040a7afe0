"""Statements of the README and the pages of docs/ about graph, targets, paths and data sets, held to the code."""

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from ganformer import plugins
from ganformer.data.fetching import catalogue

ROOT = Path(__file__).resolve().parent.parent
PAGES = {path.relative_to(ROOT): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
by_page = pytest.mark.parametrize("page", PAGES.values(), ids=map(str, PAGES))


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def arrows(mermaid):
    """Return pairs of rules from a Mermaid graph, by name; `a --> b & c` is two of them."""
    names = dict(re.findall(r"^\s*(\w+)\[(\w+)\]", mermaid, re.MULTILINE))
    lines = re.findall(r"^\s*([\w &]+?) --> ([\w &]+?)$", mermaid, re.MULTILINE)
    return {
        (names.get(start, start), names.get(end, end))
        for starts, ends in lines
        for start in starts.split(" & ")
        for end in ends.split(" & ")
    }


@pytest.mark.slow
def test_graph_is_the_workflows():
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shown = re.search(r"```mermaid\n(.*?)```", read("docs/workflow.md"), re.DOTALL)[1]
    assert arrows(shown) == {pair for pair in arrows(drawn) if pair[1] != "all"}


def test_every_target_is_named():
    targets = set(yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"])
    assert {f"| `{target}` |" for target in targets} <= set(re.findall(r"\| `\w+` \|", read("docs/index.md")))


@by_page
def test_every_linked_file_is_there(page):
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", read(page)) if "://" not in link]
    generated = {"contributing.md", "changelog.md"}
    assert [link for link in links if link and link not in generated and not (page.parent / link).exists()] == []


def test_readme_leads_to_every_tutorial_and_guide():
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", read("README.md")))
    written_when_built = {"settings.md", "command-line.md"}
    named_by_others = {"what-is-read.md"}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - written_when_built - named_by_others <= linked


@by_page
def test_every_path_named_is_there(page):
    paths = re.findall(r"`((?:ganformer|ops|workflow|profiles|envs|tests|benchmarks|docs)/[\w/.-]*)`", read(page))
    examples = {"ganformer/models/dense_gan.py", "ganformer/exhibits/part_sizes.py", "workflow/report/KIND.rst"}
    assert [path for path in paths if path not in examples and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["ffhq", "clevr", "cityscapes", "bedrooms"])
def test_facts_of_the_papers_data_sets_are_the_catalogues(name):
    known = catalogue.named(name)
    row = next(line for line in read("docs/data-sets.md").splitlines() if line.startswith(f"| `{name}`"))
    count, crop, gamma = (cell.strip() for cell in row.split("|")[2:5])
    assert int(count.replace(",", "")) == known.facts.counts[0]
    assert float(Fraction(crop)) == known.crop_ratio
    assert float(gamma) == known.r1_gamma


def test_metrics_and_networks_are_all_named():
    named = set(re.findall(r"`([a-z0-9-]+)`", read("docs/measures.md")))
    assert {*plugins.names("ganformer.metrics.measures"), *plugins.names("ganformer.metrics.extractors")} <= named


def test_kinds_of_sources_are_all_named():
    named = set(re.findall(r"`([a-z0-9-]+)`", read("docs/data-sets.md")))
    assert set(plugins.names("ganformer.data.sources")) <= named


def test_models_are_all_named():
    named = set(re.findall(r"^\| `(\w+)` \|", read("docs/index.md"), re.MULTILINE))
    assert set(plugins.names("ganformer.models")) <= named


def test_readme_is_short():
    assert len(read("README.md").splitlines()) <= 130
