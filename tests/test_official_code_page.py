"""Commands in place of the official code's options for using a model are run as printed, in the order of the page."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ganformer import cli
from ganformer.records.run import Run

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs/official-code.md").read_text(encoding="utf-8").replace("\\\n", "")
SECTION = TEXT.partition("## run_network.py: using a model\n")[2].partition("\n## ")[0]
ROWS = [line.split("|")[1:3] for line in SECTION.splitlines() if line.startswith("|")][2:]
BEFORE = re.findall(r"^ganformer (.*)$", SECTION, re.MULTILINE)
COMMANDS = [(official.strip(), call) for official, here in ROWS for call in re.findall(r"`ganformer ([^`]+)`", here)]

# The options of the official README with which a trained model is used.
OPTIONS = {
    "--pretrained-pkl",
    "--restart",
    *(
        f"--vis-{name}"
        for name in ("images", "latents", "maps", "layer-maps", "interpolations", "noise-var", "style-mix")
    ),
    "--blending-alpha",
    "--interpolation-density",
    "--keep-samples",
}


def test_every_option_has_a_row() -> None:
    named = set(re.findall(r"--[a-z-]+", " ".join(official for official, _ in ROWS)))
    assert named >= OPTIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a clone, as far as the commands need one, in which they were run; each of them succeeded."""
    work = tmp_path_factory.mktemp("clone")
    for name in ("pretrained", "config.yaml"):
        (work / name).symlink_to(ROOT / name)
    (work / "pictures").mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(work / "pictures" / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for line in [*BEFORE, *(call for _, call in COMMANDS if not call.startswith("demo"))]:
            words = line.replace("--kimg 1 ", "--kimg 0.032 ").split()  # a minute each
            said = CliRunner().invoke(cli.app, words, catch_exceptions=False)
            assert said.exit_code == 0, f"{line}\n{said.output}"
    return work


@pytest.mark.slow
def test_commands_leave_what_their_rows_say(folder: Path) -> None:
    tuned = Run.read(folder / "runs/tuned/run.json")
    assert tuned.begun_from is not None
    assert tuned.begun_from.file == "network-snapshot.pkl"
    assert Run.read(folder / "runs/mine/run.json").steps > 0
    assert len(list((folder / "pictures/images").glob("seed*.png"))) == 16
    assert [path.name for path in (folder / "pictures/grid").glob("*.png")] == ["grid.png"]
    assert (folder / "looks/vis-latents/latents.npz").exists()
    assert list((folder / "looks/vis-interpolations").glob("film.*"))
    looks = {"maps", "layer-maps", "noise-var", "style-mix"}
    assert all((folder / f"looks/vis-{name}/look.png").exists() for name in looks)
    assert (folder / "film.gif").exists()
    assert (folder / "projected/found/seed000003.png").exists()
    one, each = (np.load(folder / f"looks/vis-{name}/look.npz") for name in ("maps", "layer-maps"))
    assert each["cells"].shape[1] >= one["cells"].shape[1]
