"""Copy of all messages in a file."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganformer.cli.log import Log, Tee


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """Provide a log, closed after the test, in a folder that was not there."""
    made = Log(tmp_path / "logs" / "a.log")
    file = made._file
    yield made
    file.close()


def written(log: Log) -> str:
    return log.path.read_text(encoding="utf-8")


def test_what_is_written_goes_to_both(log: Log) -> None:
    screen = io.StringIO()
    tee = Tee(screen, log)
    assert tee.write("länger\n") == 7
    assert screen.getvalue() == written(log) == "länger\n"
    assert not tee.isatty()


def test_an_empty_file_of_any_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    made = Log(tmp_path / "notes.txt")
    made.write("text")
    made._file.close()
    assert written(made) == "text"


def test_writing_goes_on_where_the_system_took_a_part(log: Log) -> None:
    parts: list[bytes] = []

    def write(data: bytes) -> int:
        parts.append(data[:3])
        return len(data[:3])

    file: Any = SimpleNamespace(write=write)
    log._file = file
    log.write("abcdefgh")
    assert parts == [b"abc", b"def", b"gh"]


def test_after_an_error_which_names_the_file_nothing_is_written_any_more(log: Log) -> None:
    calls: list[bytes] = []

    def write(data: bytes) -> int:
        calls.append(data)
        raise OSError(28, "No space left on device")

    file: Any = SimpleNamespace(write=write)
    log._file = file
    with pytest.raises(OSError, match="No space left") as caught:
        log.write("one")
    assert caught.value.filename == str(log.path)
    log.write("two")
    assert calls == [b"one"]
