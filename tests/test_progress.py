"""Progress lines count, and say nothing that is not so."""

from types import SimpleNamespace

import pytest

from ganformer import progress as module
from ganformer.progress import Progress, clock


def test_line_counts_items_and_shows_values(capsys):
    with Progress("train scenes/duplex", 200, done=50, every=0) as progress:
        progress.update(50, {"loss": 0.123456})
        progress.update(100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("train scenes/duplex ██████████░░░░░░░░░░  50% 100/200 images ")
    assert lines[0].endswith(" loss 0.123")
    assert "ETA" in lines[0]


def test_rate_leaves_out_what_was_done_before():
    progress = Progress("pack", 100, done=90)
    assert progress.rate == 0


def test_lines_are_rare(capsys):
    with Progress("pack", 1000, every=3600) as progress:
        for _ in range(1000):
            progress.update(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "100% 1,000/1,000 images" in lines[-1]


def test_an_error_ends_it_without_a_last_line(capsys):
    try:
        with Progress("pack", 10, every=0) as progress:
            progress.update(1)
            raise KeyError
    except KeyError:
        pass
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_end_is_foretold_from_the_first_moments():
    progress = Progress("train", 1000)
    progress.update(1)
    assert progress.line().endswith(" ETA ?")
    progress.started -= 10
    assert "ETA ?" not in progress.line()


def test_work_that_never_began_says_nothing(capsys):
    with Progress("pack", 0):
        pass
    assert capsys.readouterr().err == ""


def test_a_silent_one_says_nothing(capsys):
    with Progress("pack", 2, every=0, is_silent=True) as progress:
        progress.update(2)
    assert capsys.readouterr().err == ""


def test_lines_come_more_often_where_somebody_looks(monkeypatch):
    for is_terminal, seconds in ((True, 5), (False, 15)):
        monkeypatch.setattr("sys.stderr.isatty", lambda is_so=is_terminal: is_so)
        assert Progress("pack", 1).every == seconds


def test_times_are_rounded_to_seconds():
    assert [clock(seconds) for seconds in (0.4, 59.6, 3599.7, 3725)] == ["0:00", "1:00", "1:00:00", "1:02:05"]


@pytest.fixture
def now(monkeypatch):
    """Provide the time in a list, which a test changes."""
    time = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time[0]))
    return time


def test_a_line_has_all_its_parts(now):
    progress = Progress("train", 2000, unit="kimg", done=500)
    progress.update(500, {"loss": 0.123456, "r1": 20.0})
    now[0] += 5
    assert progress.line() == "train ██████████░░░░░░░░░░  50% 1,000/2,000 kimg 100/s ETA 0:10 loss 0.123 r1 20"
    progress.update(1000)
    assert progress.line() == "train ████████████████████ 100% 2,000/2,000 kimg 300/s ETA 0:00 loss 0.123 r1 20"


def test_the_end_is_told_from_three_seconds_on(now):
    progress = Progress("pack", 4)
    now[0] += 3
    assert progress.line().endswith(" 0/s ETA ?")
    progress.update(1)
    assert progress.line() == "pack █████░░░░░░░░░░░░░░░  25% 1/4 images 0/s ETA 0:09"
    now[0] -= 0.1
    assert progress.line().endswith(" ETA ?")


def test_nothing_to_do_is_done():
    assert Progress("pack", 0).line() == "pack ████████████████████ 100% 0/0 images 0/s ETA 0:00"


def test_a_line_comes_when_its_seconds_are_over(now, capsys):
    progress = Progress("pack", 9, every=2.0)
    lines = []
    for seconds in (0, 1.9, 0.1, 1.9, 0.2):
        now[0] += seconds
        progress.update(1)
        lines.append(len(capsys.readouterr().err.splitlines()))
    assert lines == [1, 0, 1, 0, 1]
