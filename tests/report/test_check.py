"""Sentences about results that are not as the configuration has them."""

from pathlib import Path

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


def test_a_finding_is_one_line() -> None:
    assert str(Finding(Path("run.json"))) == "current  run.json"
    assert str(Finding(Path("run.json"), is_missing=True)) == "missing  run.json"
    assert str(Finding(Path("run.json"), problems=["one", "two"])) == "stale    run.json: one; two"
