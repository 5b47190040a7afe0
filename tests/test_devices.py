"""Choice of the device of a process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock, Timeout
from torch.utils import deterministic
from typer import BadParameter

from ganformer import artifacts, devices
from ganformer.cli.common import gpus_of
from ganformer.errors import DeviceError
from ganformer.ops import compiled
from tests.pretended_gpus import pretend

HOLD = """
import sys
from pathlib import Path
from tests.pretended_gpus import pretend
from ganformer import devices
pretend(setattr, 4)
print(*devices.acquire_all(int(sys.argv[2]), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
HERE = Path(__file__).resolve().parent
SET_BY_SCHEDULERS = {"SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "PBS_GPUFILE", devices.VISIBLE, *devices.SCHEDULERS}


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in SET_BY_SCHEDULERS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(devices, "_leases", {})


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch.setattr, 4)


@contextmanager
def other_process(folder: Path, gpus: int = 1, **environment: str) -> Iterator[str]:
    """Yield another process that holds GPUs of the four, and what torch calls them there."""
    command = [sys.executable, "-c", HOLD, str(folder), str(gpus)]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as other:
        assert other.stdout is not None
        try:
            yield other.stdout.readline().strip()
        finally:
            other.kill()


def indices(chosen: list[torch.device]) -> list[int]:
    return [device.index for device in chosen]


def test_no_gpu_asked_for_is_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert devices.acquire(0) == torch.device("cpu")
    assert capsys.readouterr().out == ""


REMEDY = (
    "or compute on the processor: --gpus 0, or --gpus auto, which takes a GPU if there is one "
    "(of the workflow: snakemake --resources gpu=0, on a cluster --set-resources RULE:gpu=0)"
)


def refused(gpus: int) -> str:
    with pytest.raises(DeviceError) as caught:
        devices.acquire_all(gpus)
    return str(caught.value)


def test_a_torch_for_processors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert refused(1) == (
        f"--gpus 1: torch {torch.__version__} is built for processors only; install one for CUDA "
        f"(https://pytorch.org/get-started/locally), {REMEDY}"
    )


@pytest.mark.parametrize("variable", ["", "-1", "NoDevFiles", "9", None])
def test_no_visible_gpu_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    pretend(monkeypatch.setattr, 4 if variable is not None else 0)
    if variable is not None:
        monkeypatch.setenv(devices.VISIBLE, variable)
    shown = "is not set" if variable is None else f"is '{variable}'"
    assert refused(2) == (
        f"--gpus 2: torch {torch.__version__} finds no GPU (CUDA_VISIBLE_DEVICES {shown}); where `nvidia-smi` lists "
        f"one, correct CUDA_VISIBLE_DEVICES or have the scheduler give this job one, else install a driver, {REMEDY}"
    )


def test_fewer_gpus_than_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch, four: None) -> None:
    monkeypatch.setenv(devices.VISIBLE, "2,3")
    assert refused(3) == (
        "--gpus 3: there are only 2 (CUDA_VISIBLE_DEVICES is '2,3'); ask for at most 2, or make more visible"
    )


def test_a_single_gpu_is_named_in_the_singular(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch.setattr, 1)
    assert refused(2) == (
        "--gpus 2: there is only 1 (CUDA_VISIBLE_DEVICES is not set); ask for at most 1, or make more visible"
    )


def test_a_record_names_machine_device_and_operations() -> None:
    machine = artifacts.hardware()
    operations = compiled.backend("cpu")
    own = {"device": "cpu", "device_name": machine["processor"], "threads": 3, "operations": operations}
    assert devices.describe(torch.device("cpu"), 3) == {**machine, **own}


@pytest.mark.parametrize("part", ["get_device_properties", "ones"])
def test_a_gpu_that_does_not_compute_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str) -> None:
    compute = devices._try
    pretend(monkeypatch.setattr, 1)
    monkeypatch.setattr(devices, "_try", compute)

    def fail(*words: object, **options: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device.\nCompile with")

    monkeypatch.setattr(torch if part == "ones" else torch.cuda, part, fail)
    with pytest.raises(DeviceError) as caught:
        devices.acquire(1, tmp_path)
    assert str(caught.value) == (
        f"--gpus 1: torch {torch.__version__} finds a GPU but cannot use it (CUDA error: no kernel image is available "
        f"for execution on the device); see whether its driver and kind fit this torch and whether it is free "
        f"(`nvidia-smi`), {REMEDY}"
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_JOB_ID": "1", "SLURM_JOB_GPUS": "3,5"},
        {"SLURM_JOB_ID": "1", "SLURM_STEP_GPUS": "3,5"},
        {"LSB_JOBID": "1"},
        {"PBS_JOBID": "1"},
        {"SGE_TASK_ID": "undefined"},
    ],
)
def test_a_schedulers_choice_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, four: None, environment: dict[str, str]
) -> None:
    for variable, value in {"CUDA_VISIBLE_DEVICES": "1,2", **environment}.items():
        monkeypatch.setenv(variable, value)
    assert indices(devices.acquire_all(2, tmp_path)) == [0, 1]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_jobs_inside_one_job_of_a_scheduler_share_what_it_gave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, four: None
) -> None:
    given = {"SLURM_JOB_ID": "1", "SLURM_JOB_GPUS": "1,2", "CUDA_VISIBLE_DEVICES": "1,2"}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    with other_process(tmp_path, **given) as other:
        assert other == "cuda:0"
        assert indices(devices.acquire_all(1, tmp_path)) == [1]


def test_a_job_without_gpus_is_no_schedulers_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch.setattr, 1)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    devices.acquire(1, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_each_process_leases_the_lowest_free_gpu_until_it_ends(tmp_path: Path, four: None) -> None:
    with other_process(tmp_path) as other:
        assert other == "cuda:0"
        assert indices(devices.acquire_all(1, tmp_path)) == [1]
    devices._leases.clear()
    assert indices(devices.acquire_all(1, tmp_path)) == [0]


@pytest.mark.slow
def test_visible_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, four: None) -> None:
    monkeypatch.setenv(devices.VISIBLE, "2,3")
    with other_process(tmp_path) as other:
        assert other == "cuda:0"
        assert indices(devices.acquire_all(1, tmp_path)) == [1]


@pytest.mark.slow
@pytest.mark.parametrize("theirs", ["1,2", "2,1", "GPU-00000002-0000,1", "GPU-00000002,GPU-00000001"])
def test_no_gpu_is_taken_twice_by_different_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, four: None, theirs: str
) -> None:
    with other_process(tmp_path, 2, CUDA_VISIBLE_DEVICES=theirs) as other:
        assert other == "cuda:0 cuda:1"
        assert indices(devices.acquire_all(2, tmp_path)) == [0, 3]  # of the four
        assert {path.name for path in tmp_path.iterdir()} == {f"gpu-{index:08}-0000.lock" for index in range(4)}


@pytest.mark.slow
def test_parts_of_one_gpu_are_leased_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, four: None) -> None:
    monkeypatch.setenv(devices.VISIBLE, "MIG-GPU-8f/1/0")
    with other_process(tmp_path, CUDA_VISIBLE_DEVICES="MIG-GPU-8f/2/0"):
        assert indices(devices.acquire_all(1, tmp_path)) == [0]
    assert {path.name for path in tmp_path.iterdir()} == {"gpu-MIG-GPU-8f-1-0.lock", "gpu-MIG-GPU-8f-2-0.lock"}


def test_a_process_that_asks_again_gets_the_gpu_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch.setattr, 2)
    assert indices(devices.acquire_all(1, tmp_path)) == [0]
    assert indices(devices.acquire_all(1, tmp_path)) == [0]
    assert indices(devices.acquire_all(2, tmp_path)) == [0, 1]


def held_by_another(folder: Path, index: int) -> FileLock:
    lock = FileLock(folder / f"gpu-{index:08}-0000.lock")
    lock.acquire()
    return lock


def test_the_gpu_that_a_process_has_goes_before_one_that_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch.setattr, 2)
    other = held_by_another(tmp_path, 0)
    assert indices(devices.acquire_all(1, tmp_path)) == [1]
    other.release()
    assert indices(devices.acquire_all(1, tmp_path)) == [1]
    held_by_another(tmp_path, 0).release()  # nobody has it


def test_where_all_are_leased_a_process_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch.setattr, 1)
    other = held_by_another(tmp_path, 0)
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.release()

    monkeypatch.setattr("time.sleep", sleep)
    assert indices(devices.acquire_all(1, tmp_path)) == [0]
    assert waits == [2.0] * 3
    assert capsys.readouterr().out == f"fewer than 1 of 1 GPUs are free (locks in {tmp_path}); waiting\n"


def test_leases_are_taken_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch.setattr, 2)
    held = held_by_another(tmp_path, 0)

    def sleep(seconds: float) -> None:
        held_by_another(tmp_path, 1).release()  # what is free is not kept while waiting
        held.release()

    monkeypatch.setattr("time.sleep", sleep)
    assert indices(devices.acquire_all(2, tmp_path)) == [0, 1]


def test_a_process_that_waits_for_more_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch.setattr, 2)
    held = held_by_another(tmp_path, 1)
    assert indices(devices.acquire_all(1, tmp_path)) == [0]

    def sleep(seconds: float) -> None:
        with pytest.raises(Timeout):
            FileLock(tmp_path / "gpu-00000000-0000.lock").acquire(blocking=False)
        held.release()

    monkeypatch.setattr("time.sleep", sleep)
    assert indices(devices.acquire_all(2, tmp_path)) == [0, 1]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    pretend(monkeypatch.setattr, count)
    assert devices.present() == min(count, 1)


def test_the_option_takes_numbers_and_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch.setattr, 2)
    assert [gpus_of(word) for word in ("0", "3", "auto", 0)] == [0, 3, 1, 0]
    for wrong in ("-1", "all", "1.5", "", "²"):
        with pytest.raises(BadParameter, match=f"'{wrong}' is neither a number from 0 nor auto"):
            gpus_of(wrong)


@pytest.mark.slow
def test_the_command_ends_at_once_without_its_gpu(tmp_path: Path) -> None:
    scenes = '{"source": {"kind": "scenes", "images": 8}, "resolution": 16}'
    words = ["step", "parser", "--parsing", "scenes", "--dataset", scenes, "--out", str(tmp_path / "parser")]
    words += ["--gpus", "1"]
    environment = {**os.environ, devices.VISIBLE: ""}  # so also on a machine with a GPU
    done = subprocess.run([sys.executable, "-m", "ganformer", *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(
        r"ganformer: DeviceError: --gpus 1: torch \S+ (is built for processors only|finds no GPU).*\n", done.stderr
    )
    assert done.stdout == ""
    assert not (tmp_path / "parser").exists()


def test_settings_of_torch_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that the variable is put back after the test
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    before = torch.get_num_threads()
    with devices.reproducible(before + 1):
        assert torch.get_num_threads() == before + 1
        assert torch.are_deterministic_algorithms_enabled()
        assert not deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_gpus_that_a_scheduler_left_out_are_not_its_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    for value, is_so in (("", False), ("0,1", True)):
        monkeypatch.setenv("SLURM_JOB_GPUS", value)
        assert devices.is_assigned() is is_so


def test_each_user_has_locks_of_his_own() -> None:
    assert devices._lock_folder().name == f"ganformer-{os.getuid()}"


@pytest.mark.parametrize("tf32", [False, True])
def test_products_are_rounded_to_tf32_where_that_is_asked_for(tf32: bool) -> None:
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    with devices.reproducible(1, tf32=tf32):
        assert [flag.allow_tf32 for flag in flags] == [tf32] * 2
    assert [flag.allow_tf32 for flag in flags] == before


def test_freed_memory_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: dict[int, int] = {}
    kept = []
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=set_to.__setitem__))
    devices._keep_freed_memory.__wrapped__()
    assert set_to == {-4: 0, -1: 2**31 - 1}  # M_MMAP_MAX and M_TRIM_THRESHOLD of glibc
    monkeypatch.setattr(devices, "_keep_freed_memory", lambda: kept.append(True))
    with devices.reproducible(1):
        assert kept == [True]
