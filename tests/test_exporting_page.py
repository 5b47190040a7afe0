"""Every command and program of the page on exports is run as printed, on the pretrained models."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ganformer import cli, load_run, plugins

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/exporting.md").read_text(encoding="utf-8").replace("\\\n", "")
COMMANDS = re.findall(r"^ganformer (.*)$", PAGE, re.MULTILINE)


@pytest.mark.slow
def test_commands_and_program_are_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    monkeypatch.chdir(tmp_path)
    for line in COMMANDS:
        said = CliRunner().invoke(cli.app, line.split(), catch_exceptions=False)
        assert said.exit_code == 0, f"{line}\n{said.output}"
    assert {"kgan.onnx", "duplex.pt", "network-snapshot.pkl", "gansformer.pkl"} < {
        path.name for path in tmp_path.iterdir()
    }
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(program, {})
    row = np.asarray(Image.open("row.png")).astype(int)
    line = "generate --weights pretrained/scenes-kgan --images-num 8 --out x"
    said = CliRunner().invoke(cli.app, line.split())
    assert said.exit_code == 0
    pictures = [np.asarray(Image.open(path)).astype(int) for path in sorted(Path("x").glob("*.png"))]
    assert np.abs(row - np.concatenate(pictures, axis=1)).max() <= 1  # a rounding error can change a level
    assert load_run("hub/scenes-duplex").record.run.model == "duplex"


def test_every_format_has_a_command_and_a_line() -> None:
    formats = set(plugins.names("ganformer.exports"))
    assert {re.search(r"--format (\S+)", line)[1] for line in COMMANDS} == formats  # type: ignore[index]
    help_ = CliRunner().invoke(cli.app, ["export", "--help"]).output
    assert all(name in help_ for name in formats)
    assert set(re.findall(r"^\| `(\w[\w-]*)` \|", PAGE, re.MULTILINE)) == formats
