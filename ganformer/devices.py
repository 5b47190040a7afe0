"""Which device a process computes on, and that it computes the same thing each time."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch.utils import deterministic

POLL = 2.0  # seconds between looks for a free GPU

_leases: list[FileLock] = []  # held until the process ends, however it ends


def acquire(gpus: int, available: int | None = None, folder: Path | None = None) -> torch.device:
    """The CPU for `gpus` 0, else one GPU that is this process's own until it ends.

    GPUs that a scheduler assigned through CUDA_VISIBLE_DEVICES are taken as they are. Otherwise the lowest free one is
    leased with a file lock in `folder` (default: one of this user's in the system's temporary folder), and the process
    waits for one where all are leased. Without CUDA the CPU is used, and a printed line says so. `available` is the
    number of GPUs there are; None: as torch counts.
    """
    available = torch.cuda.device_count() if available is None else available
    if gpus == 0:
        return torch.device("cpu")
    if available == 0:
        print(
            "a GPU was asked for but torch finds none (no driver, or torch built for the CPU): using the CPU",
            flush=True,
        )
        return torch.device("cpu")
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return torch.device("cuda", 0)
    return torch.device("cuda", _lease(available, folder or _lock_folder()))


def _lease(available: int, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    is_told = False
    while (index := _take_lowest(available, folder)) is None:
        if not is_told:
            print(f"all {available} GPUs are leased (locks in {folder}); waiting for one", flush=True)
            is_told = True
        time.sleep(POLL)
    return index


def _take_lowest(available: int, folder: Path) -> int | None:
    for index in range(available):
        lock = FileLock(folder / f"gpu-{index}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        _leases.append(lock)
        return index
    return None


def _lock_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"ganformer-{os.getuid()}"


def name(device: torch.device, processor: str) -> str:
    """The device's own name; `processor` where it is the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Inside, torch uses `threads` threads and deterministic algorithms only; afterwards its settings are as before."""
    # cuBLAS reads it once, at its first use; without it deterministic algorithms are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # A debugging aid that writes every new tensor once more.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        deterministic.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]
