"""Words of docstrings, of the command line and of the documentation (CONTRIBUTING.md, "Words")."""

import itertools
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from ganformer.cli import app

ROOT = Path(__file__).resolve().parent.parent
CODE = [path for folder in ("ganformer", "benchmarks", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *(ROOT / "workflow/report").glob("*.rst")]
RIDDLE = r"(What|How|Whether|Which|Those|Where|Why|Of|As|From|By|Nothing|Inside,) "
"""Beginnings of sentences in which a relative clause stands for a noun."""


def docstrings(path: Path) -> list[tuple[int, str]]:
    """Return line and text of every string of a file that is a statement of its own."""
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type != tokenize.COMMENT]
    before = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    return [
        (token.start[0], token.string.strip('r"\n '))
        for previous, token in itertools.pairwise(tokens)
        if token.type == tokenize.STRING and previous.type in before and token.string.endswith('"""')
    ]


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[:60]}"
        for path in CODE
        for line, text in docstrings(path)
        if re.match(RIDDLE, text)
    ]
    assert found == []


def test_the_check_sees_riddles(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('x = 1\n"""What it is."""\n\n\ndef f():\n    """How it goes."""\n')
    assert docstrings(tmp_path / "a.py") == [(2, "What it is."), (6, "How it goes.")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_paragraphs_of_pages_begin_with_plain_words(path: Path) -> None:
    paragraphs = re.split(r"\n\s*\n", path.read_text())
    assert [text[:60] for text in paragraphs if re.match(r"(What|How|Whether|Those) [^?|]*\.", text.strip())] == []


def help_texts() -> list[tuple[str, str]]:
    """Return command and help text of every command and option."""

    def below(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
        yield name, command.help or ""
        for parameter in command.params:
            yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
        for part, inner in getattr(command, "commands", {}).items():
            yield from below(inner, f"{name} {part}")

    return list(below(typer.main.get_command(app), "ganformer"))


def test_help_texts_begin_with_a_verb_or_a_noun() -> None:
    texts = help_texts()
    assert len(texts) > 80
    sentences = [(where, part) for where, text in texts for part in re.split(r"(?<=[.:;]) +|\n", text)]
    assert [(where, part) for where, part in sentences if re.match(RIDDLE, part) or "that tells" in part] == []


def test_every_option_has_a_help_text() -> None:
    assert [where for where, text in help_texts() if not text.strip()] == []
