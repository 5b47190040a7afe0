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


class Claim(Part):
    """Fields by which a file is recognised as a record of its kind, whatever its version and however incomplete."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a JSON file; None if it is of another kind. DataError if it is missing or not JSON."""
        try:
            return cls.model_validate(artifacts.read_json(path))
        except ValidationError:
            return None

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """Read a JSON file; None if it is missing, not JSON or of another kind."""
        try:
            return cls.read(path)
        except UserError:
            return None


class Record(Part):
    """Record of one kind. Its fields are defined in the order in which files have them."""

    FORMAT: ClassVar[int] = 1
    """Version of the files: raised where older programs cannot read them. New fields alone do not raise it."""
    FORMAT_KEY: ClassVar[str] = "format"
    """Key of the version in the files."""
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
        if cls.FORMAT_KEY in content:
            cls.check_format(content[cls.FORMAT_KEY], path)
        missing = [] if cls.FORMAT_KEY in content else [cls.FORMAT_KEY]
        try:
            found = cls.model_validate({key: value for key, value in content.items() if key != cls.FORMAT_KEY})
        except ValidationError as error:
            problems = error.errors(include_url=False)
            missing += [_place(problem) for problem in problems if problem["type"] == "missing"]
            if not missing:
                raise cls.ERROR(f"{path}: {_words(problems[0])}, so it is no {cls.KIND}; {cls.REMEDY}") from error
        if missing:
            raise cls.ERROR(f"{path}: has no {', '.join(map(repr, missing))}, so it is no {cls.KIND}; {cls.REMEDY}")
        return found

    @classmethod
    def check_format(cls, found: Any, path: Path) -> None:
        """Raise `ERROR` if files of format `found` are not read by this version."""
        if isinstance(found, int) and found > cls.FORMAT:
            raise cls.ERROR(
                f"{path}: is of {cls.FORMAT_KEY} {found}, written by a newer version; this one reads {cls.FORMAT}: "
                "update the package"
            )
        if found != cls.FORMAT:
            raise cls.ERROR(f"{path}: {cls.FORMAT_KEY} {found} is not {cls.FORMAT}; {cls.REMEDY} with this version")

    def content(self) -> dict[str, Any]:
        """Return the content of the file: the format, then all fields that were set, in the order of definition."""
        return {self.FORMAT_KEY: self.FORMAT, **super().content()}


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


def _words(problem: ErrorDetails) -> str:
    if not problem["loc"]:  # of the whole record
        return problem["msg"].removeprefix("Value error, ")
    return f"{_place(problem)} is {problem['input']!r} ({problem['msg']})"


def _place(problem: ErrorDetails) -> str:
    return ".".join(map(str, problem["loc"]))


def _json_name(value: Any) -> str:
    names = {list: "array", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")
