"""Every command of the page on looks is run as printed, on the pretrained models."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ganformer import cli, plugins

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/looks.md").read_text(encoding="utf-8").replace("\\\n", "")
COMMANDS = re.findall(r"^ganformer (.*)$", PAGE, re.MULTILINE)
LINES = [line for line in COMMANDS if line.startswith("look ")]
RUNNABLE = [line for line in COMMANDS if "results/" not in line and not line.startswith("demo")]


@pytest.mark.slow
def test_commands_are_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    monkeypatch.chdir(tmp_path)
    for line in RUNNABLE:
        words = line.replace("--steps 200", "--steps 10").split()  # of a search, which would take a minute
        said = CliRunner().invoke(cli.app, words, catch_exceptions=False)
        assert said.exit_code == 0, f"{line}\n{said.output}"
        folder = Path(line.split()[-1])
        if not line.startswith("look "):
            assert len(list(folder.rglob("*.png"))) >= 2
            continue
        assert (folder / "look.png").stat().st_size > 10_000
        assert (folder / "look.npz").exists()
    assert Path("looks/latents/latents.npz").exists()
    assert sorted(path.parent.name for path in Path("looks").glob("*/film.*")) == ["between", "interpolation"]


def test_every_kind_has_a_command() -> None:
    assert {line.split()[1] for line in LINES} == set(plugins.names("ganformer.looks"))
    assert {line.split()[1] for line in LINES} - {line.split()[1] for line in RUNNABLE if line in LINES} == {"nearest"}
