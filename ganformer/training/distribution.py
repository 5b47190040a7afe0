"""Data-parallel processes, one for each GPU. A single process is rank 0 of 1 and exchanges nothing."""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from ganformer.errors import TrainingError, UserError
from ganformer.training.stop import heard

T = TypeVar("T")
# One rank may compute for long while the others wait, as with the measures of an evaluation; NCCL gives up after ten
# minutes unless told otherwise.
PATIENCE = timedelta(hours=6)
BUCKET = 25 * 2**20  # bytes, as torch's DistributedDataParallel


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    """Return the number of processes that work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average(tensors: Iterable[Tensor]) -> None:
    """Replace floating-point tensors of one type, the same ones on every rank, by their mean over the ranks.

    They are sent in buckets of BUCKET bytes: while one is under way the next is filled and the one before is copied
    back, and no second copy of all gradients is needed.
    """
    if ranks() > 1:
        _exchange(tensors, dist.all_reduce, divisor=ranks())


def share(tensors: Iterable[Tensor]) -> None:
    """Replace floating-point tensors of one type, the same ones on every rank, by those of rank 0, in such buckets."""
    if ranks() > 1:
        _exchange(tensors, partial(dist.broadcast, src=0))


def any_rank(is_so: bool, device: torch.device) -> bool:
    """Return whether it is so on at least one rank."""
    if ranks() == 1:
        return is_so
    flag = torch.tensor(float(is_so), device=device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def gather(value: T) -> list[T]:
    """Return the values of all ranks, in order, on rank 0, and an empty list on the others; values are pickled."""
    if ranks() == 1:
        return [value]
    values: list[Any] | None = [None] * ranks() if rank() == 0 else None
    dist.gather_object(value, values)
    return values or []


def meet() -> None:
    """Wait until every rank is here."""
    if ranks() > 1:
        dist.barrier()


def launch(work: Callable[..., None], arguments: tuple[Any, ...], devices: Sequence[torch.device]) -> None:
    """Run `work(*arguments, device)` for each device: in this process for one device, else in a process for each.

    Signals to stop are passed on. Raises the UserError of the lowest rank that had one; if one process fails, the
    others are ended.
    """
    if len(devices) == 1:
        work(*arguments, devices[0])
        return
    context = multiprocessing.get_context("spawn")
    errors = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        processes = [
            context.Process(target=_work, args=(work, arguments, devices, number, meeting, errors))
            for number in range(len(devices))
        ]
        for process in processes:
            process.start()
        with _passing_signals(processes):
            _wait(processes)
    _raise_first(errors, processes)


def _exchange(tensors: Iterable[Tensor], send: Callable[..., Any], divisor: int = 1) -> None:
    """Replace `tensors` by what `send` makes of them, divided by `divisor`."""
    under_way: deque[tuple[list[Tensor], Tensor, Any]] = deque()

    def receive() -> None:
        bucket, flat, sent = under_way.popleft()
        sent.wait()
        parts = (flat / divisor).split([tensor.numel() for tensor in bucket])
        torch._foreach_copy_(bucket, [part.view_as(tensor) for tensor, part in zip(bucket, parts, strict=True)])

    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        under_way.append((bucket, flat, send(flat, async_op=True)))
        if len(under_way) == 2:
            receive()
    while under_way:
        receive()


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors, in order, in groups of at most BUCKET bytes; a larger tensor is a group of its own."""
    bucket: list[Tensor] = []
    filled = 0
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if bucket and filled + size > BUCKET:
            yield bucket
            bucket, filled = [], 0
        bucket.append(tensor.detach())
        filled += size
    if bucket:
        yield bucket


def _work(
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    devices: Sequence[torch.device],
    number: int,
    meeting: str,
    errors: Any,
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    device = devices[number]
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend,
        init_method=meeting,
        rank=number,
        world_size=len(devices),
        timeout=PATIENCE,
        device_id=device if device.type == "cuda" else None,
    )
    try:
        work(*arguments, device)
    except UserError as error:
        errors.put((number, error))
        raise SystemExit(1) from None
    finally:
        dist.destroy_process_group()


def _end_with_parent() -> None:
    """End this process when its parent is gone: a killed parent cannot end its processes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _passing_signals(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Pass signals to stop to the other processes inside the context; they end by themselves after saving."""

    def stop(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.is_alive():
                process.terminate()

    before = {number: signal.signal(number, stop) for number in heard()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[BaseProcess]) -> None:
    """Wait until all have ended; if one failed, end the others, which would wait for it for ever."""
    running: dict[Any, BaseProcess] = {process.sentinel: process for process in processes}
    while running:
        for sentinel in wait(list(running)):
            process = running.pop(sentinel)
            process.join()
            if process.exitcode:
                for other in running.values():
                    other.kill()


def _raise_first(errors: Any, processes: Sequence[BaseProcess]) -> None:
    raised = []
    while not errors.empty():
        raised.append(errors.get())
    if raised:
        raise min(raised, key=lambda item: item[0])[1]
    failed = [number for number, process in enumerate(processes) if process.exitcode]
    if failed:
        raise TrainingError(
            f"the processes of ranks {failed} failed (exit status {[processes[n].exitcode for n in failed]}); "
            "their messages are above"
        )
