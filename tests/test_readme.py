"""The README says what is so: its commands, its paths, its graph."""

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
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
    shown = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)[1]
    assert arrows(shown) == {pair for pair in arrows(drawn) if pair[1] != "all"}


def test_every_target_is_named():
    targets = set(yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"])
    assert {f"| `{target}` |" for target in targets} <= set(re.findall(r"\| `\w+` \|", README))


def test_every_linked_file_is_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_folder_named_is_there():
    folders = re.findall(r"`((?:ganformer|ops|workflow|profiles|envs|tests)/[\w/.]*)`", README)
    assert [folder for folder in folders if not (ROOT / folder).exists()] == []


@pytest.mark.parametrize("name", ["ffhq", "clevr", "cityscapes", "bedrooms"])
def test_facts_of_the_papers_data_sets_are_the_catalogues(name):
    known = catalogue.named(name)
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}`"))
    count, crop, gamma = (cell.strip() for cell in row.split("|")[2:5])
    assert int(count.replace(",", "")) == known.facts.counts[0]
    assert float(Fraction(crop)) == known.crop_ratio
    assert float(gamma) == known.r1_gamma


def test_metrics_and_networks_are_all_named():
    section = README[README.index("## What is measured") : README.index("## Pictures from a model")]
    named = set(re.findall(r"`([a-z0-9-]+)`", section))
    assert {*plugins.names("ganformer.metrics.measures"), *plugins.names("ganformer.metrics.extractors")} <= named


def test_kinds_of_sources_are_all_named():
    described = README[README.index("## The paper's data sets") :]
    named = set(re.findall(r"`([a-z0-9-]+)`", described)) | {"lsun", "scenes"}
    assert set(plugins.names("ganformer.data.sources")) <= named
