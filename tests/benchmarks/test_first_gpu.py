"""The script for the first minutes on a GPU: its parts run on a CPU, too."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch

from tests.benchmarks import ROOT, programs

SCRIPT = ROOT / "benchmarks/first_gpu.sh"
MINUTES = 12


@pytest.fixture(scope="module")
def first_gpu():
    return programs("first_gpu")["first_gpu"]


def test_script_runs_all_parts_in_twelve_minutes(first_gpu):
    limits = dict(re.findall(r"\b([a-z]+):(\d+)", SCRIPT.read_text()))
    assert list(limits) == list(first_gpu.PARTS)
    assert sum(map(int, limits.values())) <= 60 * MINUTES
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["limits", "processor", "resampling", "operations", "augmentation", "replay", "precision", "evaluation"]
)
def test_part_prints_one_line_and_appends_it(first_gpu, part, tmp_path, monkeypatch, capsys):
    few = {name: first_gpu.MODELS[name] for name in ("stylegan2", "duplex")}
    monkeypatch.setattr(first_gpu, "MODELS", few)
    out = tmp_path / "out.jsonl"
    out.write_text("{}\n")
    options = [part, "--device", "cpu", "--width", "16", "--batch", "4", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["first_gpu.py", *options])
    first_gpu.main()
    line = capsys.readouterr().out
    assert out.read_text() == "{}\n" + line
    found = json.loads(line)
    assert found.pop("part") == part
    assert found.pop("seconds") >= 0
    assert found
    assert "Error" not in line


@pytest.mark.slow
def test_replayed_steps_are_found_equal(first_gpu, monkeypatch):
    monkeypatch.setattr(first_gpu, "LARGE", {"gan": {}})
    found = first_gpu.measure_replay(first_gpu.Place(torch.device("cpu"), 16, 4))
    assert set(found["gan"]) == {"python_s", "replayed_s", "equal_bytes"}
    assert found["gan"]["equal_bytes"] is True


@pytest.mark.slow
def test_trainings_are_found_equal_and_unequal(first_gpu, monkeypatch):
    monkeypatch.setattr(first_gpu, "MODELS", {"gan": first_gpu.MODELS["gan"]})
    place = first_gpu.Place(torch.device("cpu"), 16, 4)
    assert first_gpu.measure_determinism(place) == {"gan": True}
    digests = iter("ab")
    monkeypatch.setattr(first_gpu, "digest", lambda made: next(digests))
    assert first_gpu.measure_determinism(place) == {"gan": False}


@pytest.mark.slow
def test_operations_are_compared_with_those_of_torch(first_gpu, monkeypatch):
    monkeypatch.setenv("GANFORMER_OPS", "auto")
    found = first_gpu.measure_operations(first_gpu.Place(torch.device("cpu"), 16, 2))
    if found.pop("has compiled") == "python":
        pytest.skip("needs a C++ compiler")
    assert found.pop("building_s") >= 0
    for name in ("stylegan2", "duplex"):
        assert min(found.pop(f"{name}, step, {kind}_s") for kind in ("python", "compiled")) > 0
    names = {name.rsplit(", ", 1)[0] for name in found}
    assert {"bias_act", "upfirdn2d, up", "attend", "gather", "attend, all"} < names
    assert set(found) == {f"{n}, {kind}" for n in names for kind in ("torch.float32", "torch.bfloat16", "derivatives")}
    for name, each in found.items():
        if name.endswith("derivatives"):
            assert each is True
            continue
        assert each["differ"] < (1e-4 if name.endswith("float32") else 0.15)  # PyTorch rounds after each step
        assert each["repeats"]
        assert min(each["python_s"], each["compiled_s"]) > 0
    assert os.environ["GANFORMER_OPS"] == "auto"


def test_a_refusal_is_kept_as_its_message(first_gpu):
    def refuse():
        raise RuntimeError("no deterministic algorithm\nsecond line")

    assert first_gpu.caught(refuse) == "RuntimeError: no deterministic algorithm"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_said(first_gpu, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["first_gpu.py", "limits"])
    with pytest.raises(
        SystemExit, match=r"--device cuda: torch \S+ finds no GPU; --device cpu runs the parts on the CPU"
    ):
        first_gpu.main()
