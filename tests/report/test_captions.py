"""Captions of Snakemake's own report: there for every rule that asks for one, and without a slip in their markup."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from docutils.core import publish_parts
from docutils.writers import get_writer_class
from jinja2 import Environment, StrictUndefined

ROOT = Path(__file__).parents[2]
CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.rst"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def test_every_caption_is_there() -> None:
    rules = (ROOT / "workflow" / "rules" / "report.smk").read_text(encoding="utf-8")
    asked = set(re.findall(r'caption="\.\./report/([\w-]+\.rst)"', rules))
    assert asked
    assert asked | {"workflow.rst"} == {path.name for path in CAPTIONS}


@pytest.mark.parametrize("path", CAPTIONS, ids=lambda path: path.stem)
def test_caption_can_be_shown(path: Path) -> None:
    config = {**CONFIG, "command": "snakemake --cores all {} --configfile mine.yaml"}  # as the workflow adds it
    snakemake = SimpleNamespace(config=config, wildcards=SimpleNamespace(experiment="table1"))
    text = (
        Environment(undefined=StrictUndefined).from_string(path.read_text(encoding="utf-8")).render(snakemake=snakemake)
    )
    html = publish_parts(
        text, writer=get_writer_class("html")(), settings_overrides={"halt_level": 2, "report_level": 2}
    )["html_body"]
    assert "{" not in html
    if "wildcards" in path.read_text(encoding="utf-8"):
        assert "<strong>Table 1: the models compared.</strong>" in html
        assert "snakemake --cores all table1 --configfile mine.yaml" in re.sub(r"<[^>]*>", "", html)
