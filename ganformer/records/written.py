"""`.ganformer-files.json`: files that commands wrote into a folder."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from ganformer.records.base import JsonRecord

WRITTEN_FILE = ".ganformer-files.json"


class WrittenFiles(JsonRecord):
    """Names of files in the folder of the record."""

    KIND: ClassVar[str] = "list of written files"

    files: Sequence[Annotated[str, Field(pattern=r"^[^/\\]+$")]]
