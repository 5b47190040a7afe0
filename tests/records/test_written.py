"""Record of the files that commands wrote: only names within its folder are taken from it."""

from pathlib import Path

import pytest

from ganformer import artifacts
from ganformer.ledger import NAME, Ledger


def test_names_come_back_in_the_same_bytes(tmp_path: Path) -> None:
    Ledger(tmp_path).claim(["b.npy", "a.npy"])
    assert artifacts.read_json(tmp_path / NAME) == {"format": 1, "files": ["a.npy", "b.npy"]}
    assert Ledger(tmp_path).names == {"a.npy", "b.npy"}


@pytest.mark.parametrize("content", ['{"format": 1, "files": ["../a.npy"]}', '{"format": 2, "files": ["a.npy"]}', "["])
def test_other_records_name_no_files(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    assert Ledger(tmp_path).names == set()
