"""Which device a process gets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import deterministic

from ganformer import devices

HOLD = """
import sys
from pathlib import Path
from ganformer import devices
print(devices.acquire(1, available=2, folder=Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_leases", [])


def test_no_gpu_asked_for_is_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert devices.acquire(0, available=4) == torch.device("cpu")
    assert capsys.readouterr().out == ""


def test_no_gpu_there_is_the_cpu_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert devices.acquire(1, available=0) == torch.device("cpu")
    assert capsys.readouterr().out == (
        "a GPU was asked for, but torch finds none (no driver, or a torch built for CPUs): using the CPU\n"
    )


def test_fewer_gpus_than_asked_for_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert devices.acquire_all(4, available=2, folder=tmp_path) == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert capsys.readouterr().out == "4 GPUs were asked for, but there are 2: using these\n"


def test_a_schedulers_choice_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert devices.acquire_all(2, available=2, folder=tmp_path) == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert not list(tmp_path.iterdir())


def test_each_process_leases_the_lowest_free_gpu_until_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "cuda:0\n"
        assert devices.acquire(1, available=2, folder=tmp_path) == torch.device("cuda", 1)
        other.kill()
    assert devices.acquire(1, available=2, folder=tmp_path) == torch.device("cuda", 0)


def test_where_all_are_leased_a_process_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.acquire(1, available=1, folder=tmp_path)
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            devices._leases.pop().release()

    monkeypatch.setattr("time.sleep", sleep)
    assert devices.acquire(1, available=1, folder=tmp_path) == torch.device("cuda", 0)
    assert len(waits) == 3
    assert capsys.readouterr().out == f"fewer than 1 of 1 GPUs are free (locks in {tmp_path}); waiting\n"


def test_leases_are_taken_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices.acquire(1, available=2, folder=tmp_path)
    held = devices._leases[0]

    def sleep(seconds: float) -> None:
        assert devices._lock(1, 2, tmp_path).keys() == {1}  # what is free is not kept while waiting
        held.release()

    monkeypatch.setattr("time.sleep", sleep)
    assert len(devices.acquire_all(2, available=2, folder=tmp_path)) == 2


def test_settings_of_torch_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_num_threads()
    with devices.reproducible(1):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert not deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert "CUBLAS_WORKSPACE_CONFIG" in os.environ
