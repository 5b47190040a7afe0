"""Disks that take no more: one sentence, exit status 1, nothing half-made, and the modes of files."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ganformer import artifacts
from ganformer.config import Dataset, Spec
from ganformer.data.packing.pack import pack
from ganformer.errors import DataError
from ganformer.training.loop import train

pytestmark = pytest.mark.slow

SCENES = {"source": {"kind": "scenes", "images": 40}, "resolution": 16}
SPEC = {
    "image": {"height": 16, "width": 16},
    "mirror": False,
    "model": {"kind": "stylegan2", "channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 1},
    "training": {"kimg": 0.008, "batch": 4, "snapshots": 1},
    "seed": 0,
}
TOLD = "cannot be written (File too large); make room there"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Provide a folder with a pack and a run, and nothing else."""
    folder = tmp_path_factory.mktemp("made")
    pack(Dataset.model_validate(SCENES), folder / "pack")
    names = {"dataset": "scenes", "model": "stylegan2"}
    train(Spec.model_validate(SPEC), folder / "pack", folder / "run", names=names, threads=1, gpus=0)
    return folder


def ganformer(words: list[str], folder: Path, kilobytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Return the command line in a folder, where no file may be larger than so many kilobytes."""
    limit = "" if kilobytes is None else f"ulimit -f {kilobytes}; "
    command = ["bash", "-c", f'{limit}exec "$@"', "bash", sys.executable, "-m", "ganformer", *words]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def packing(form: str) -> list[str]:
    return ["data", "pack", "--dataset", json.dumps({**SCENES, "format": form}), "--out", "out/pack", "--workers", "1"]


@pytest.mark.parametrize(
    ("words", "kilobytes"),
    [
        *((packing(form), 8) for form in ("npy", "hdf5", "lmdb", "png")),
        (["train", "--spec", json.dumps(SPEC), "--data", "pack", "--out", "out", "--dataset", "d", "--model", "m"], 16),
        (["generate", "--weights", "run", "--npz", "--out", "out"], 4),
        (["generate", "--weights", "run", "--grid", "--out", "out"], 1),
        (["step", "analyse", "samples", "--run", "run/run.json", "--images", "32", "--out", "out/samples.npz"], 4),
        (["step", "reals", "--data", "pack/manifest.json", "--count", "32", "--out", "out/reals.npz"], 4),
        (["step", "schema", "--out", "out/schema.json"], 4),
        (["data", "info", "pack", "--out", "out"], 1),
    ],
)
def test_a_file_too_large_is_said_and_nothing_is_half_made(words, kilobytes, made, tmp_path):
    """The limit stands for a full disk, on which other libraries raise errors of their own."""
    for name in ("pack", "run"):
        (tmp_path / name).symlink_to(made / name)
    said = ganformer(words, tmp_path, kilobytes)
    assert (said.returncode, said.stderr.count("ganformer: DataError: "), said.stderr.count(TOLD)) == (1, 1, 1), said
    assert "Traceback" not in said.stderr
    # generated.json says that its images are unfinished.
    whole = {".ganformer-files.json", "generated.json", "log.jsonl", "lock", "reals.png", "spec.json"}
    left = {Path(name).name for name in files(tmp_path / "out")} - whole
    assert not {name for name in left if not name.startswith("events.out.tfevents")}


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (".", "cannot be written (Is a directory); choose"),
        ("file/x.log", "cannot be written (File exists); choose"),
        ("/proc/x.log", "cannot be written (No such file or directory); choose"),
        ("/dev/full", "cannot be written (No space left on device); make room there and run again"),
    ],
)
def test_a_log_that_cannot_be_written_is_said(log, message, tmp_path):
    (tmp_path / "file").touch()
    said = ganformer(["--log", log, "step", "schema"], tmp_path)
    assert said.returncode == 1
    assert message in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o027])
def test_files_have_the_mode_that_the_umask_gives(umask, tmp_path):
    """Weights too, for which a library makes a file that only its owner reads."""
    before = os.umask(umask)
    try:
        with artifacts.atomic(tmp_path / "file") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_weights_and_checkpoints_have_the_mode_of_other_files(made):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (made / "run").rglob("*.*") if path.is_file()}
    assert {"weights.safetensors", "run.json"} <= modes.keys()
    assert set(modes.values()) == {0o666 & ~_umask()}


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


def test_an_error_that_is_none_of_the_disk_is_left_as_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="of the network"), artifacts.atomic(tmp_path / "file"):
        raise RuntimeError("of the network")
    with pytest.raises(DataError, match="of the data"), artifacts.atomic(tmp_path / "file"):
        raise DataError("of the data")
    assert not list(tmp_path.iterdir())
