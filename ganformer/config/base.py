"""Base of all settings: strict types, fields that plug-ins fill, and validation errors as sentences."""

import ast
import importlib
import inspect
import itertools
import sys
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, ErrorDetails, SchemaValidator, core_schema

from ganformer import artifacts, plugins
from ganformer.errors import ConfigError

# A name becomes a folder, a wildcard and a target.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Probability = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Base of all settings: unknown keys are refused, values cannot be changed afterwards."""

    # Building late keeps plug-ins out of the import of this module, which they import themselves.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # pydantic's use_attribute_docstrings does it for every class at once, which takes as long as all planning.
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in docstrings(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return schema

    def json(self) -> str:  # type: ignore[override]
        """Return the canonical text: the same for the same settings, however they were written."""
        return artifacts.canonical(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """sha256 (hex) of the canonical text."""
        return artifacts.digest(self.model_dump(mode="json"))


S = TypeVar("S", bound=Strict)


class Plugged:
    """Mark of a field that takes the `Config` of any plug-in of `package`, chosen by its `kind`.

    A plug-in is imported when the first value of its kind is checked, not when this module is.
    """

    def __init__(self, package: str) -> None:
        self.package = package

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Strict:
        if isinstance(value, Strict):
            value = value.model_dump()
        checked: Strict = _union(self.package, plugins.names(self.package)).validate_python(value)
        return checked

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        members = tuple(plug_in(self.package, name) for name in plugins.names(self.package))
        union: Any = members[0] if len(members) == 1 else Union[members]  # noqa: UP007 - built at run time
        schema = handler(TypeAdapter(Annotated[union, Field(discriminator="kind")]).core_schema)
        for option in schema.get("oneOf", [schema]):  # a value names its kind, although each class knows its own
            member = handler.resolve_ref_schema(option)
            member["required"] = list(dict.fromkeys(["kind", *member.get("required", ())]))
        return schema


@cache
def _union(package: str, names: Sequence[str]) -> SchemaValidator:
    """Return the check of values of all plug-ins of a package, which imports one when it meets its name."""
    kinds: dict[Any, CoreSchema] = {
        name: core_schema.no_info_plain_validator_function(partial(_checked, package, name)) for name in names
    }
    return SchemaValidator(core_schema.tagged_union_schema(kinds, discriminator="kind"))


def _checked(package: str, name: str, value: Any) -> Strict:
    return plug_in(package, name).model_validate(value)


def plug_in(package: str, name: str) -> type[Strict]:
    """Return the settings class of a plug-in; ConfigError if its file has none that says the name of the file."""
    module = plugins.settings(package, name)
    found: type[Strict] | None = getattr(module, "Config", None)
    if found is None or "kind" not in found.model_fields or found.model_fields["kind"].default != name:
        raise ConfigError(
            f"{module.__name__}: is plug-in '{name}' of {package}, so it needs a class `Config` with the line "
            f'`kind: Literal["{name}"] = "{name}"`'
        )
    return found


class SettingsIn:
    """Marks a field that takes the settings called `name` in a module, which is imported when a value is checked."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(getattr(importlib.import_module(self.module), self.name))


@cache
def docstrings(settings: type[Strict]) -> Mapping[str, str]:
    """Return the text below each field of a class and of its bases, as written."""
    texts: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        if kind is BaseModel:
            continue  # it has no settings, and its file takes long to parse
        for name in vars(kind).get("__annotations__", {}):
            texts.pop(name, None)  # written anew, perhaps without a text
        texts |= _texts(kind.__module__).get(kind.__qualname__, {})
    return texts


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return for each class at the top of a module the text below each of its fields."""
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        return {}
    nodes = ast.parse(Path(file).read_text(encoding="utf-8")).body
    return {
        node.name: {
            field.target.id: inspect.cleandoc(text.value.value)
            for field, text in itertools.pairwise(node.body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        }
        for node in nodes
        if isinstance(node, ast.ClassDef)
    }


def parse(kind: type[S], raw: Any, where: str) -> S:
    """Check one piece of settings; ConfigError with all its problems, `where` names the piece."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(report(where, problems_of(kind, error))) from None


def known(name: str, package: str) -> str:
    if name not in plugins.names(package):
        raise ValueError(f"'{name}' is unknown; {plugins.choices(name, plugins.names(package))}")
    return name


def overlaid(kind: type[S], base: Strict, other: Strict | None) -> S:
    """Return `base` with what `other` sets explicitly, cut down to the fields of `kind`."""
    values = base.model_dump(include=set(kind.model_fields))
    if other is not None:
        values |= other.model_dump(include=set(kind.model_fields), exclude_unset=True)
    return kind.model_validate(values)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return `value`, and nothing in its place if it is no mapping."""
    return value if isinstance(value, Mapping) else {}


def as_sequence(value: Any) -> Sequence[Any]:
    """Return `value`, and nothing in its place if it is no list."""
    return value if isinstance(value, list | tuple) else ()


def report(where: str, problems: Sequence[tuple[str, str]]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"{where}: {count}", *(f"  {path}: {text}" if path else f"  {text}" for path, text in problems)])


def problems_of(kind: type[Strict], error: ValidationError) -> list[tuple[str, str]]:
    root = kind.model_json_schema()
    found = []
    for details in error.errors():
        path, node = _locate(root, details)
        found.append((path, message_of(details, node)))
    return found


def _locate(root: Mapping[str, Any], details: ErrorDetails) -> tuple[str, Mapping[str, Any]]:
    """Return YAML path of an error, and the schema of the mapping that holds it.

    pydantic puts the chosen `kind` into the path of its fields; YAML has no such level.
    """
    node: Mapping[str, Any] = root
    path: list[str] = []
    parent: Mapping[str, Any] = root
    for part in details["loc"]:
        node = _resolve(root, node)
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node = {"$ref": tags[part]}
            continue
        parent = node
        if isinstance(part, int):
            node = node.get("items", {})
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        else:
            inside = node.get("additionalProperties")
            # Names that must match a pattern stand apart.
            named: Mapping[str, Any] = next(iter(node.get("patternProperties", {}).values()), {})
            node = inside if isinstance(inside, Mapping) else named
            if part == "[key]":
                continue
        path.append(str(part))
    return ".".join(path), parent


def _resolve(root: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    for option in node.get("anyOf", ()):  # Optional[X]
        if option.get("type") != "null":
            return _resolve(root, option)
    return node


FORMS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
}
"""Forms of values by their JSON type, as a message asks for them."""


def wanted(node: Mapping[str, Any]) -> str:
    """Return the form of value that the schema of a setting asks for, e.g. `a whole number`."""
    options = " or ".join(repr(option) for option in node.get("enum", ()))
    return options or FORMS.get(node.get("type", ""), "a mapping of settings")


def message_of(details: ErrorDetails, parent: Mapping[str, Any]) -> str:
    value, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return f"unknown key; {plugins.choices(str(details['loc'][-1]), list(parent.get('properties', {})))}"
        case "missing":
            return f"is missing; give {wanted(parent.get('properties', {}).get(details['loc'][-1], {}))}"
        case "tuple_type" | "list_type":
            return f"{value!r} is not a list"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{value!r} is not a mapping of settings"
        case "literal_error":
            return f"{value!r} is not {context['expected']}"
        case "union_tag_invalid":
            allowed = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
            return f"kind '{context['tag']}' is unknown; {plugins.choices(context['tag'], allowed)}"
        case "union_tag_not_found":
            return "'kind' is missing"
        case "value_error":
            return str(context["error"])
        case _:
            return f"{details['msg']}, got {value!r}"
