"""Choice of the device that a process computes on, and reproducible computation on it."""

import contextlib
import ctypes
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch.utils import deterministic

from ganformer import artifacts
from ganformer.errors import ConfigError, DeviceError
from ganformer.ops import compiled

POLL = 2.0  # seconds between looks for a free GPU
VISIBLE = "CUDA_VISIBLE_DEVICES"
# What a scheduler sets in its jobs, and what it sets besides, one of these at least, in those that it gave GPUs. Slurm
# names them itself; what gives out GPUs elsewhere (LSF, hooks of PBS, prologues of Grid Engine) does so by CUDA's own
# variable.
SCHEDULERS = {
    "SLURM_JOB_ID": ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS"),
    "LSB_JOBID": (VISIBLE,),
    "PBS_JOBID": (VISIBLE, "PBS_GPUFILE"),
    "SGE_TASK_ID": (VISIBLE,),
}
REMEDY = (
    "or compute on the processor: --gpus 0, or --gpus auto, which takes a GPU if there is one "
    "(of the workflow: snakemake --resources gpu=0, on a cluster --set-resources RULE:gpu=0)"
)

# Parameters of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4

_leases: dict[str, FileLock] = {}  # of GPUs by their names, held until the process ends, however it ends


def acquire(gpus: int, folder: Path | None = None) -> torch.device:
    """Return the CPU for `gpus` 0, else one GPU; what else there is to say, `acquire_all` says."""
    return acquire_all(min(gpus, 1), folder)[0]


def acquire_all(gpus: int, folder: Path | None = None) -> list[torch.device]:
    """Return `gpus` GPUs that are this process's own until it ends; the CPU for 0.

    GPUs that a scheduler gave this job are taken as they are, where it asks for all of them. Otherwise the first free
    ones of those that CUDA_VISIBLE_DEVICES shows are leased with file locks in `folder` (default: one of this user's in
    the system's temporary folder), and the process waits while too few are free. What it holds already counts. Raises
    DeviceError if there are fewer, or where they cannot be used.
    """
    if gpus == 0:
        return [torch.device("cpu")]
    names = _names(gpus)
    if is_assigned() and gpus == len(names):
        chosen = list(range(gpus))
    else:
        chosen = _lease(gpus, names, folder or _lock_folder())
    devices = [torch.device("cuda", index) for index in chosen]
    if gpus == 1:  # several are used by a process each, which may be the only one that each of them allows
        _try(devices[0])
    return devices


def present() -> int:
    """Return 1 where torch finds a GPU that it can use, else 0: how many `--gpus auto` takes."""
    return int(torch.cuda.is_available())


def is_assigned() -> bool:
    """Return whether a scheduler gave GPUs to the job that this process belongs to."""
    return any(job in os.environ and any(map(os.environ.get, gpus)) for job, gpus in SCHEDULERS.items())


def _names(gpus: int) -> list[str]:
    """Return names of the visible GPUs in torch's order, the same in every process of this machine, whatever it sees.

    DeviceError if these are fewer than `gpus`.
    """
    asked = f"--gpus {gpus}"
    if torch.version.cuda is None and torch.version.hip is None:
        raise DeviceError(
            f"{asked}: torch {torch.__version__} is built for processors only; install one for CUDA "
            f"(https://pytorch.org/get-started/locally), {REMEDY}"
        )
    count = torch.cuda.device_count()
    shown = f"{VISIBLE} is '{os.environ[VISIBLE]}'" if VISIBLE in os.environ else f"{VISIBLE} is not set"
    if count == 0:
        raise DeviceError(
            f"{asked}: torch {torch.__version__} finds no GPU ({shown}); where `nvidia-smi` lists one, correct "
            f"{VISIBLE} or have the scheduler give this job one, else install a driver, {REMEDY}"
        )
    if gpus > count:
        raise DeviceError(
            f"{asked}: there {'is' if count == 1 else 'are'} only {count} ({shown}); ask for at most {count}, or make "
            f"more visible"
        )
    parts = os.environ.get(VISIBLE, "").split(",")
    try:
        uuids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
    except RuntimeError as error:
        raise _unusable(gpus, error) from error
    # Parts of one GPU (MIG) may have its UUID in common; they are visible by their own names only.
    pairs = zip(parts + [""] * count, uuids, strict=False)
    return [part.strip() if part.strip().startswith("MIG-") else uuid for part, uuid in pairs]


def _try(device: torch.device) -> None:
    """Raise DeviceError if a GPU does not compute, as one of a kind that this torch is not built for."""
    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        raise _unusable(1, error) from error


def _unusable(gpus: int, error: RuntimeError) -> DeviceError:
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    return DeviceError(
        f"--gpus {gpus}: torch {torch.__version__} finds a GPU but cannot use it ({reason}); see whether its driver "
        f"and kind fit this torch and whether it is free (`nvidia-smi`), {REMEDY}"
    )


def _lease(gpus: int, names: Sequence[str], folder: Path) -> list[int]:
    """Take all or none at a time, so that two processes cannot wait for each other's GPUs."""
    folder.mkdir(parents=True, exist_ok=True)
    is_told = False
    while len(locks := _lock(gpus, names, folder)) < gpus:
        for name, lock in locks.items():
            if name not in _leases:
                lock.release()
        if not is_told:
            print(f"fewer than {gpus} of {len(names)} GPUs are free (locks in {folder}); waiting", flush=True)
            is_told = True
        time.sleep(POLL)
    _leases.update(locks)
    return [index for index, name in enumerate(names) if name in locks]


def _lock(gpus: int, names: Iterable[str], folder: Path) -> dict[str, FileLock]:
    """Lock of the first GPUs that are free or this process's own, at most `gpus`."""
    locks: dict[str, FileLock] = {}
    for name in sorted(names, key=lambda name: name not in _leases):
        lock = _leases.get(name) or FileLock(folder / f"gpu-{name.replace('/', '-')}.lock")
        try:
            if not lock.is_locked:
                lock.acquire(blocking=False)
        except Timeout:
            continue
        locks[name] = lock
        if len(locks) == gpus:
            break
    return locks


def _lock_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"ganformer-{os.getuid()}"


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """Return a record of the machine, the device, the threads, and which operations serve it."""
    machine = artifacts.hardware()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine["processor"]
    operations = compiled.backend(device.type)
    return {**machine, "device": device.type, "device_name": name, "threads": threads, "operations": operations}


@cache
def _keep_freed_memory() -> None:
    """Make the C library keep freed memory for what is allocated next, until this process ends.

    Otherwise glibc takes every tensor from 32 MiB on from the kernel anew and gives it back, and writing it costs a
    page fault every 4 KiB: measured, 2.5 instead of 20 GB/s (findings/torch_cpu_tensors_above_32_mib_page_fault.sh).
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def reproducible(threads: int, *, tf32: bool = False) -> Iterator[None]:
    """Make torch use `threads` threads and deterministic algorithms only; restore its settings afterwards.

    Without `tf32` GPUs compute in full float32: TF32, torch's default for convolutions, has 3 digits.
    Raises ConfigError if there is not at least one thread.
    """
    if threads < 1:
        raise ConfigError(f"threads {threads}: is less than 1; give the number of processor threads to use")
    _keep_freed_memory()
    # cuBLAS reads it once, at its first use; without it deterministic algorithms are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )
    torch.set_num_threads(threads)
    # `use_deterministic_algorithms` sets the same flag, and imports Inductor to tell it, which takes 1.5 s.
    torch.set_deterministic_debug_mode("error")
    # A debugging aid that writes every new tensor once more.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        deterministic.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[3:]
