"""Which device a process computes on, and that it computes the same thing each time."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch.utils import deterministic

from ganformer import artifacts

POLL = 2.0  # seconds between looks for a free GPU

_leases: list[FileLock] = []  # held until the process ends, however it ends


def acquire(gpus: int, available: int | None = None, folder: Path | None = None) -> torch.device:
    """The CPU for `gpus` 0, else one GPU; what else there is to say, `acquire_all` says."""
    return acquire_all(min(gpus, 1), available, folder)[0]


def acquire_all(gpus: int, available: int | None = None, folder: Path | None = None) -> list[torch.device]:
    """`gpus` GPUs that are this process's own until it ends; the CPU for 0.

    GPUs that a scheduler assigned through CUDA_VISIBLE_DEVICES are taken as they are. Otherwise the lowest free ones
    are leased with file locks in `folder` (default: one of this user's in the system's temporary folder), and the
    process waits where all are leased. Where there are fewer, all there are, and without CUDA the CPU, are used, and a
    printed line says so. `available` is the number of GPUs there are; None: as torch counts.
    """
    if gpus == 0:
        return [torch.device("cpu")]
    available = torch.cuda.device_count() if available is None else available
    if available == 0:
        print(
            "a GPU was asked for, but torch finds none (no driver, or a torch built for CPUs): using the CPU",
            flush=True,
        )
        return [torch.device("cpu")]
    if gpus > available:
        print(f"{gpus} GPUs were asked for, but there are {available}: using these", flush=True)
        gpus = available
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [torch.device("cuda", index) for index in range(gpus)]
    return [torch.device("cuda", index) for index in _lease(gpus, available, folder or _lock_folder())]


def _lease(gpus: int, available: int, folder: Path) -> list[int]:
    """Takes all or none at a time, so that two processes cannot wait for each other's GPUs."""
    folder.mkdir(parents=True, exist_ok=True)
    is_told = False
    while len(locks := _lock(gpus, available, folder)) < gpus:
        for lock in locks.values():
            lock.release()
        if not is_told:
            print(f"fewer than {gpus} of {available} GPUs are free (locks in {folder}); waiting", flush=True)
            is_told = True
        time.sleep(POLL)
    _leases.extend(locks.values())
    return list(locks)


def _lock(gpus: int, available: int, folder: Path) -> dict[int, FileLock]:
    """The lowest free indices with their locks, at most `gpus`."""
    locks: dict[int, FileLock] = {}
    for index in range(available):
        lock = FileLock(folder / f"gpu-{index}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        locks[index] = lock
        if len(locks) == gpus:
            break
    return locks


def _lock_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"ganformer-{os.getuid()}"


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """What a record says of the machine, the device and the threads that something was computed with."""
    machine = artifacts.hardware()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine["processor"]
    return {**machine, "device": device.type, "device_name": name, "threads": threads}


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
