"""Files that commands wrote, and all others, which stay."""

from pathlib import Path

import pytest

from ganformer.errors import DataError, listed
from ganformer.ledger import NAME, Ledger
from ganformer.seeds import mix


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_of_others_are_not_claimed_and_links_to_nothing_are_files(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("theirs", "link"):
        with pytest.raises(DataError, match=f"has {name}, which no earlier call wrote and this one would replace"):
            Ledger(tmp_path).claim(["ours", name])
    assert names(tmp_path) == {"theirs", "link"}
    Ledger(tmp_path).claim(["ours"])
    assert Ledger(tmp_path, ["theirs"]).names == {"ours", "theirs"}


def test_only_files_of_ours_are_cleared_halves_of_killed_processes_among_them(tmp_path: Path) -> None:
    ours = Ledger(tmp_path)
    ours.claim(["ours"])
    for name in ("ours", ".ours.7.tmp", f".{NAME}.7.tmp", "theirs", ".theirs.7.tmp"):
        (tmp_path / name).touch()
    ours.clear("ours")
    assert names(tmp_path) == {"theirs", ".theirs.7.tmp"}
    assert ours.names == set()


def test_the_file_that_says_that_all_is_there_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Ledger(tmp_path)
    ours.claim(["a", "manifest", "z"])
    for name in ("a", "manifest", "z"):
        (tmp_path / name).touch()
    removed, unlink = [], Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda self, **more: removed.append(self.name) or unlink(self, **more))
    ours.clear("manifest")
    mine = [name for name in removed if name[0] != "."]
    assert (mine[0], sorted(mine)) == ("manifest", ["a", "manifest", "z"])


def test_lists_name_the_first_five() -> None:
    assert listed("abcde") == "a, b, c, d, e"
    assert listed("abcdefg") == "a, b, c, d, e and 2 more"
    assert listed("abc", 1) == "a and 2 more"


def test_seeds_stay_what_they_are() -> None:
    """Runs that are continued, and images of seeds, depend on them."""
    assert mix(0, "data") == 2_460_214_435_513_486_726
    assert len({mix("a", "b"), mix("ab"), mix("a", "b", ""), mix("b", "a"), mix(1, 2), mix(12)}) == 6
