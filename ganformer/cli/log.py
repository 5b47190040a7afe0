"""Copy of all messages in a file."""

from pathlib import Path
from typing import Any, TextIO

from ganformer.errors import DataError


class Log:
    """File with a copy of all messages, unbuffered, so that nothing is left to be written at the end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".log" and path.is_file() and path.stat().st_size:
            raise DataError(f"--log {path}: is there already and not called .log; name another file, which is replaced")
        self.path, self._file = path, path.open("wb", buffering=0)
        self._is_full = False

    def write(self, text: str) -> None:
        """Write the text. Raises the first OSError, after which nothing is written any more."""
        rest = text.encode(errors="backslashreplace")
        try:
            while rest and not self._is_full:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._is_full, error.filename = True, str(self.path)
            raise


class Tee:
    """Stream that writes to another one and to the log; a terminal keeps its progress lines."""

    def __init__(self, stream: TextIO, log: Log) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        self.log.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
