"""Progress lines count, and say nothing that is not so."""

from ganformer.progress import Progress, _clock


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
    assert [_clock(seconds) for seconds in (0.4, 59.6, 3599.7, 3725)] == ["0:00", "1:00", "1:00:00", "1:02:05"]
