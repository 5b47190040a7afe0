"""docs/recipe.md: every line of its tables names code that is there, and a test or a default that holds it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import BaseModel

from ganformer import plugins
from ganformer.config import AdversarialSettings, Dataset
from ganformer.metrics.evaluate import computing

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/recipe.md").read_text(encoding="utf-8")
HEADINGS = ["What", "There", "Here, and why", "Code", "Held by"]
SECTIONS: dict[str, type[BaseModel]] = {"adversarial": AdversarialSettings, "dataset": Dataset}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


TABLES = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
ROWS = [cells(line) for table in TABLES for line in table.splitlines()[2:]]
by_line = pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])


@cache
def names(path: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Return functions, methods and classes of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def default(setting: str) -> object:
    kind, name = setting.split(".")
    config = SECTIONS.get(kind) or plugins.find("ganformer.models", kind).Config
    assert name in config.model_fields, f"{kind} has no setting {name}"
    return config.model_fields[name].default


def test_tables_have_one_form():
    assert len(TABLES) == PAGE.count("\n## ")
    assert all(cells(table.splitlines()[0]) == HEADINGS for table in TABLES)
    assert len({row[0] for row in ROWS}) == len(ROWS) > 40


@by_line
def test_every_line_says_what_and_why_and_names_its_code(row):
    assert len(row) == len(HEADINGS)
    assert all(row)
    path, name = re.fullmatch(r"`(ganformer/\S+\.py)` `(\w+)`", row[3]).groups()
    assert name in names(path), f"{path} has no {name}"


@by_line
def test_every_line_is_held_by_tests_or_defaults(row):
    held = re.findall(r"`([^`]+)`", row[4])
    assert " ".join(f"`{each}`" for each in held) == row[4]
    for each in held:
        if "::" in each:
            path, name = each.split("::")
            test = names(path).get(name)
            assert test is not None, f"{path} has no test {name}"
            assert not any("skip" in ast.unparse(mark) for mark in test.decorator_list)
        else:
            setting, value = each.split(" = ")
            assert default(setting) == yaml.safe_load(value), each
    assert any("::" in each for each in held)


@pytest.mark.parametrize(
    "said",
    [
        "0.991992",
        "32 times a step",
        "sums the mean losses of microbatches",
        "`latent_normalisation`",
        "Attention in the discriminator",
        "configurations D to F",
        "½ before hinge",
        "Gumbel quantiser",
    ],
)
def test_what_readers_ask_for_is_there(said):
    assert said in " ".join(" ".join(row) for row in ROWS)


def test_measuring_is_in_whole_float32():
    before = torch.backends.cudnn.allow_tf32
    with computing(1):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert (torch.ones(1).sum().dtype, torch.is_grad_enabled()) == (torch.float32, False)
    assert torch.backends.cudnn.allow_tf32 == before


def test_the_readme_leads_to_it():
    assert "docs/recipe.md" in (ROOT / "README.md").read_text(encoding="utf-8")
