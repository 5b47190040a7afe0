"""Sentences about results that are not as the configuration has them."""

import os
from pathlib import Path

import pytest

from ganformer.config import Config
from ganformer.report import check
from ganformer.report.check import Finding


def test_three_settings_that_differ_are_named() -> None:
    was = {"a": 1, "b": {"c": 2, "d": 3}, "e": 4, "f": 5}
    now = {"a": 1.5, "b": {"c": 6, "d": 3}, "e": 7, "f": 8, "g": 9}
    assert check._differences(was, now) == "a 1, now 1.5, b.c 2, now 6, e 4, now 7 and 2 more"
    assert check._differences(was, {**was, "f": 0}) == "f 5, now 0"
    assert check._differences({"a": 1}, {"a": 1, "h": 1}) == "h not set, now 1"


def test_dates_go_back_by_50_years_without_leap_days() -> None:
    assert check.SHIFT == 1_576_800_000 * 10**9


def test_only_files_that_were_not_dated_back_are_dated_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    years = {1990: 631_152_000, 2000: 946_684_800, 2002: 1_009_843_200, 2010: 1_262_304_000}
    for year, second in years.items():
        for state in ("current", "stale"):
            path = tmp_path / f"{state}-{year}"
            path.touch()
            os.utime(path, (second, second))
    findings = [Finding(path, problems=["differs"] * ("stale" in path.name)) for path in tmp_path.iterdir()]
    findings.append(Finding(tmp_path / "absent", is_missing=True))
    monkeypatch.setattr(check, "check", lambda config, place, *, is_quick: findings)
    check.date_back(Config.model_construct(), tmp_path)
    shifts = {path.name: int(path.stat().st_mtime) - years[int(path.name[-4:])] for path in tmp_path.iterdir()}
    assert {name: seconds * 10**9 for name, seconds in shifts.items() if seconds} == {
        "current-1990": check.SHIFT,
        "current-2000": check.SHIFT,
        "stale-2002": -check.SHIFT,
        "stale-2010": -check.SHIFT,
    }


def test_a_finding_is_one_line() -> None:
    assert str(Finding(Path("run.json"))) == "current  run.json"
    assert str(Finding(Path("run.json"), is_missing=True)) == "missing  run.json"
    assert str(Finding(Path("run.json"), problems=["one", "two"])) == "stale    run.json: one; two"
