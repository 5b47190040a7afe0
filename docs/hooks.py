"""Parts of the site that MkDocs writes when it builds: settings, command line, fields of files, and files of the root.

A line `<!-- generated: NAME -->` of a page is replaced by the result of `GENERATED[NAME]`, and `<!-- fields: CLASS -->`
by a table of the fields of a pydantic class.
"""

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from ganformer.cli import app
from ganformer.config import Config, docstrings

ROOT = Path(__file__).resolve().parent.parent
INCLUDED = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
Schema = Mapping[str, Any]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are files of the repository's root."""
    for page, name in INCLUDED.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page with its generated parts, and with the workflow's graph as a table.

    The theme would load the program that draws Mermaid graphs from another server.
    """
    markdown = re.sub(r"<!-- generated: ([\w-]+) -->", lambda found: GENERATED[found[1]](), markdown)
    markdown = re.sub(r"<!-- fields: ([\w.]+) -->", lambda found: fields(found[1]), markdown)
    return re.sub(
        r"```mermaid\n(.*?)```",
        lambda found: graph_table(found[1]),
        markdown,
        flags=re.DOTALL,
    )


# ------------------------------------------------------------------------------------------- settings


class Settings:
    """Tables of all settings of a JSON schema; every class of settings once, in the order in which keys name it."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._places: dict[str, tuple[str, str]] = {}  # heading and anchor of every class

    def page(self) -> str:
        """Return a table for the whole, and one for every class of settings that it names, each behind its parent."""
        return "\n\n".join(part for part in self._parts(self._schema, "") if part)

    def _parts(self, schema: Schema, path: str) -> Iterator[str]:
        known = set(self._places)
        yield self._table(schema, path)
        for name in [name for name in self._places if name not in known]:
            heading, anchor = self._places[name]
            inside, _, kind = heading.replace("`", "").partition(", kind ")
            parts = [part for part in inside.split(".") if part != "NAME"]
            label = f"{parts[-1]}: {kind}" if kind else parts[-1]
            yield f"{'#' * min(4, 1 + len(parts))} {heading} {{ #{anchor} data-toc-label='{label}' }}"
            yield self._schema["$defs"][name].get("description", "")
            yield from self._parts(self._schema["$defs"][name], inside)

    def _table(self, schema: Schema, path: str) -> str:
        rows = [
            [
                f"`{key}`",
                self._type(node, f"{path}.{key}" if path else key),
                _default(key, node, schema),
                self._text(node),
            ]
            for key, node in schema.get("properties", {}).items()
            if key != "kind"
        ]
        return table(["setting", "values", "default", "meaning"], rows)

    def _text(self, node: Schema) -> str:
        """Return the docstring of a field, or, if it has none, the first line of that of its class."""
        name = node.get("$ref", "").rpartition("/")[2]
        of_class = self._schema["$defs"].get(name, {}).get("description", "")
        return text(node) or of_class.partition("\n")[0]

    def _type(self, node: Schema, path: str) -> str:
        if "$ref" in node:
            return self._link(node["$ref"], f"`{path}`", path)
        if "anyOf" in node:
            return " or ".join(self._type(option, path) for option in node["anyOf"])
        if "oneOf" in node:
            kinds = node["discriminator"]["mapping"]
            return "one of " + ", ".join(
                self._link(reference, f"`{path}`, kind `{kind}`", kind) for kind, reference in kinds.items()
            )
        if "patternProperties" in node or isinstance(node.get("additionalProperties"), Mapping):
            inside = next(iter(node.get("patternProperties", {}).values()), None) or node["additionalProperties"]
            return f"a mapping; each entry: {self._type(inside, f'{path}.NAME')}"
        if node.get("type") == "array":
            return self._array(node, path)
        return simple(node)

    def _array(self, node: Schema, path: str) -> str:
        if "prefixItems" in node:
            return "a list of " + ", ".join(self._type(item, path) for item in node["prefixItems"])
        few = "not empty" if node.get("minItems") else ""
        return f"a list{f' ({few})' if few else ''} of {self._type(node.get('items', {}), path)}"

    def _link(self, reference: str, heading: str, shown: str) -> str:
        name = reference.rpartition("/")[2]
        if name not in self._places:
            anchor = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
            self._places[name] = (heading, anchor)
        return f"[`{shown}`](#{self._places[name][1]})"


def simple(node: Schema) -> str:
    """Return words for a value without parts."""
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    words = {
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "null",
    }
    kind = words.get(node.get("type", ""), "path" if node.get("format") == "path" else "text")
    signs = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
    }
    limits = ", ".join(f"{sign} {node[key]:g}" for key, sign in signs.items() if key in node)
    return f"{kind} {limits}".strip()


def _default(key: str, node: Schema, schema: Schema) -> str:
    if key in schema.get("required", ()) or "default" not in node:
        return "*required*" if key in schema.get("required", ()) else ""
    value = node["default"]
    if isinstance(value, Mapping) and value:
        return "its defaults"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def text(node: Schema) -> str:
    """Return the docstring of a field on one line."""
    return " ".join(node.get("description", "").split())


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; nothing without rows."""
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(cell: str) -> str:
    """Return a cell with its bars escaped, but for those in code, where the backslash would be seen."""
    return re.sub(r"(`[^`]*`)|\|", lambda found: found[1] or "\\|", cell)


def fields(path: str) -> str:
    """Return a table of the fields of a pydantic class, `module.Class`, and of the classes that they hold."""
    place, _, name = path.rpartition(".")
    module = importlib.import_module(place)
    schema = getattr(module, name).model_json_schema()
    parts = [_field_table(schema, getattr(module, name))]
    for title, inside in schema.get("$defs", {}).items():
        parts += [f"`{title}`: {text(inside)}", _field_table(inside, getattr(module, title, None))]
    return "\n\n".join(part for part in parts if part)


def _field_table(schema: Schema, kind: Any) -> str:
    texts = docstrings(kind) if isinstance(kind, type) else {}
    # Files have aliases of fields as keys.
    texts |= {
        field.alias: texts.get(name, "") for name, field in getattr(kind, "model_fields", {}).items() if field.alias
    }
    rows = [
        [f"`{key}`", _words(node), text(node) or " ".join(texts.get(key, "").split())]
        for key, node in schema.get("properties", {}).items()
    ]
    return table(["field", "type", "meaning"], rows)


def _words(node: Schema) -> str:
    if "$ref" in node:
        return f"`{node['$ref'].rpartition('/')[2]}`"
    if "anyOf" in node:
        return " or ".join(map(_words, node["anyOf"]))
    if node.get("type") == "array":
        return f"list of {_words(node.get('items', {}))}"
    if node.get("type") == "object":
        return "mapping"
    return simple(node)


# --------------------------------------------------------------------------------------- command line


def command_line() -> str:
    """Return a section for every command, with its options as `--help` has them."""
    root = typer.main.get_command(app)
    return "\n\n".join(_commands(root, None, "ganformer"))


def _commands(command: Any, parent: Any, name: str) -> Iterator[str]:
    if command.hidden:
        return
    context = command.context_class(command, info_name=name, parent=parent)
    inside = getattr(command, "commands", {})
    path = context.command_path
    yield f"{'#' * min(3, 1 + len(path.split()))} `{path}`"
    yield (command.help or "").partition("\f")[0]
    if not inside:
        yield f"```text\n{context.command.get_usage(context).removeprefix('Usage: ')}\n```"
    records = [
        parameter.get_help_record(context) for parameter in command.params if not getattr(parameter, "hidden", 0)
    ]
    rows = [
        [f"`{option}`", re.sub(r"\[(.+?)\]", r"*\1*", " ".join(words.split()))]
        for option, words in filter(None, records)
    ]
    if rows:
        yield table(["argument or option", "meaning"], rows)
    for name, each in inside.items():
        yield from _commands(each, context, name)


# ----------------------------------------------------------------------------------------------- graph


def arrows(mermaid: str) -> list[tuple[str, str]]:
    """Return the pairs of a Mermaid graph; `a & b --> c` is two of them."""
    lines = re.findall(r"^\s*([\w &]+?) --> ([\w &]+?)$", mermaid, re.MULTILINE)
    return [(start, end) for starts, ends in lines for start in starts.split(" & ") for end in ends.split(" & ")]


def graph_table(mermaid: str) -> str:
    """Return the rules of a graph, each with the rules whose outputs it reads."""
    pairs = arrows(mermaid)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    rows = [
        [
            f"`{name}`",
            ", ".join(f"`{start}`" for start, end in pairs if end == name) or "–",
        ]
        for name in names
    ]
    return table(["rule", "reads the outputs of"], rows)


GENERATED: Mapping[str, Callable[[], str]] = {
    "settings": lambda: Settings(Config.model_json_schema()).page(),
    "command-line": command_line,
}
