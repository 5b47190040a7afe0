"""`parser.json`: settings of a parser of objects, and the weights that it needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ganformer import artifacts
from ganformer.errors import CheckpointError, UserError
from ganformer.records.base import Claim, JsonRecord, differing

PARSER_FILE = "parser.json"


class ParserClaim(Claim):
    """Kind of a parser.json."""

    kind: str


class ParserSubject(JsonRecord):
    """Part of a parser's record that is known before it is made."""

    ERROR: ClassVar[type[UserError]] = CheckpointError

    kind: str | None = None
    settings: Mapping[str, Any]


class SceneParserSubject(ParserSubject):
    """Part of the record of a parser of built-in scenes that is known before it is trained."""

    FORMAT: ClassVar[int] = 2
    KIND: ClassVar[str] = "scene parser"
    REMEDY: ClassVar[str] = "train it again"

    def content(self) -> dict[str, Any]:
        """Return the content of the file, in which the kind comes before the format."""
        found = super().content()
        return {"kind": found["kind"], **found} if "kind" in found else found


class SceneParserRecord(SceneParserSubject):
    """Record of a trained parser of built-in scenes; its weights are beside it."""

    accuracy: Mapping[str, float]
    weights_sha256: str
    code: Mapping[str, Any]


class SegmentorRecord(ParserSubject):
    """Record of a segmentor with weights from elsewhere."""

    KIND: ClassVar[str] = "parser"
    REMEDY: ClassVar[str] = "make it again"

    picture: tuple[int, int]
    """Rows and columns of the images that it reads."""
    weights_sha256: str
    torchvision: str
    code: Mapping[str, Any] = {}


def check_weights(file: Path, expected: str, record: Path, advice: str) -> None:
    """Raise CheckpointError unless a file has the sha256 that `record` names; OSError if it cannot be read."""
    found = artifacts.file_digest(file)
    if found != expected:
        raise CheckpointError(f"{file}: {differing(found, expected, record)}; {advice}")
