"""Captions of Snakemake's own report: there for every kind of table and figure, and without a slip in their markup."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from docutils.core import publish_parts
from docutils.writers import get_writer_class
from jinja2 import Environment, StrictUndefined

from ganformer import plugins
from ganformer.workflow import caption

ROOT = Path(__file__).parents[2]
CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.rst"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def test_every_kind_has_a_caption() -> None:
    kinds = {f"{name}.rst" for name in plugins.names("ganformer.exhibits")}
    assert kinds | {"workflow.rst", "page.rst"} == {path.name for path in CAPTIONS}
    assert {caption(path.removesuffix(".rst")) for path in kinds} == {f"../report/{path}" for path in kinds}


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
