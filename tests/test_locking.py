"""Processes that make the same file or folder take turns."""

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from ganformer.errors import DataError
from ganformer.locking import is_held, one_at_a_time


def test_what_is_made_is_locked_beside_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "deep" / ".pack.lock"
    with one_at_a_time(tmp_path / "deep" / "pack"), pytest.raises(Timeout):
        FileLock(lock).acquire(blocking=False)
    FileLock(lock).acquire(blocking=False).lock.release()
    assert lock.exists()
    assert capsys.readouterr() == ("", "")


def test_who_comes_later_says_so_and_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held, entered, said = FileLock(tmp_path / ".pack.lock"), threading.Event(), ""

    def enter() -> None:
        with one_at_a_time(tmp_path / "pack"):
            entered.set()

    held.acquire()
    try:
        other = threading.Thread(target=enter)
        other.start()
        end = time.monotonic() + 30
        while not said and time.monotonic() < end:
            time.sleep(0.01)
            said = capsys.readouterr().err
        assert said == f"{tmp_path / 'pack'}: another process is making it; waiting for that to end\n"
        assert not entered.is_set()
    finally:
        held.release()
    assert entered.wait(30)
    other.join()


def test_looking_at_a_lock_takes_it_from_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    assert not path.exists()
    lock = FileLock(path)
    with lock:
        assert is_held(path)
        assert lock.is_locked
        with pytest.raises(Timeout):
            FileLock(path).acquire(blocking=False)
    assert not is_held(path)
    FileLock(path).acquire(blocking=False).lock.release()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DataError, match=r"file/pack: cannot be written \(.*\); choose an output folder"),
        one_at_a_time(tmp_path / "file" / "pack"),
    ):
        pass
