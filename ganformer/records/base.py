"""Bases of all records: JSON content with a version, checked when it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from ganformer import artifacts
from ganformer.errors import DataError, UserError


class Part(BaseModel):
    """Part of a record. Unknown fields, of later versions, are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True, validate_by_name=True)

    def content(self) -> dict[str, Any]:
        """Return plain JSON values of all fields that were set, in the order of their definition."""
        return self.model_dump(mode="json", exclude_unset=True)


class Record(Part):
    """Record of one kind. Its fields are defined in the order in which files have them."""

    FORMAT: ClassVar[int] = 1
    """Version of the files: raised where older programs cannot read them. New fields alone do not raise it."""
    KIND: ClassVar[str]
    """Name in messages, e.g. "record of a finished run"."""
    REMEDY: ClassVar[str] = "make it again"
    """Advice in messages about files that are not such a record."""
    ERROR: ClassVar[type[UserError]] = DataError
    """Class of the error raised for files that are not such a record."""

    @classmethod
    def parse(cls, content: Any, path: Path) -> Self:
        """Return the record of JSON content, which was read from `path`; `ERROR` if it is not such a record."""
        if not isinstance(content, Mapping):
            raise cls.ERROR(f"{path}: is no {cls.KIND}, but a JSON {_json_name(content)}; {cls.REMEDY}")
        if "format" in content:
            cls.check_format(content["format"], path)
        missing = [] if "format" in content else ["format"]
        try:
            found = cls.model_validate({key: value for key, value in content.items() if key != "format"})
        except ValidationError as error:
            problems = error.errors(include_url=False)
            missing += [_place(problem) for problem in problems if problem["type"] == "missing"]
            if not missing:
                first = problems[0]
                raise cls.ERROR(
                    f"{path}: {_place(first)} is {first['input']!r} ({first['msg']}), so it is no {cls.KIND}; "
                    f"{cls.REMEDY}"
                ) from error
        if missing:
            raise cls.ERROR(f"{path}: has no {', '.join(map(repr, missing))}, so it is no {cls.KIND}; {cls.REMEDY}")
        return found

    @classmethod
    def check_format(cls, found: Any, path: Path) -> None:
        """Raise `ERROR` if files of format `found` are not read by this version."""
        if isinstance(found, int) and found > cls.FORMAT:
            raise cls.ERROR(
                f"{path}: is of format {found}, written by a newer version; this one reads {cls.FORMAT}: update the "
                "package"
            )
        if found != cls.FORMAT:
            raise cls.ERROR(f"{path}: format {found} is not {cls.FORMAT}; {cls.REMEDY} with this version")

    def content(self) -> dict[str, Any]:
        """Return the content of the file: the format, then all fields that were set, in the order of definition."""
        return {"format": self.FORMAT, **super().content()}


class JsonRecord(Record):
    """Record that is a JSON file of its own."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; DataError if it is missing or not JSON, `ERROR` if it is not such a record."""
        return cls.parse(artifacts.read_json(path), path)

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """Read a file; None if there is no such record that can be read."""
        try:
            return cls.read(path)
        except UserError:
            return None

    def write(self, path: Path) -> None:
        """Write the file atomically; DataError if it cannot be written."""
        artifacts.write_json(path, self.content())


def differing(found: str, expected: str, record: Path) -> str:
    """Say that a file does not have the sha256 that its record names."""
    return f"sha256 is {found[:12]}… but {record} says {expected[:12]}…"


def _place(problem: ErrorDetails) -> str:
    return ".".join(map(str, problem["loc"]))


def _json_name(value: Any) -> str:
    names = {list: "array", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")
