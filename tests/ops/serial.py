"""CUDA kernels run on the processor: the sources in `ops/cuda`, compiled as C++ with the blocks of `serial.h`."""

import functools
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ganformer.ops import compiled

HEADER = Path(__file__).with_name("serial.h")
KEY = "PrivateUse1"


class Serial:
    """Operations whose implementations are those for GPUs."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(torch.ops.ganformer, name).default
        return functools.partial(operation._op_dk, getattr(torch._C.DispatchKey, KEY))


@functools.cache
def library() -> Serial:
    """Return the operations, built in the cache of compiled operations."""
    kernels = compiled.cuda_build([])
    texts = "".join([*compiled._texts(kernels), HEADER.read_text()])
    flags = (*compiled.COMMON_FLAGS, "-fPIC", "-O1", "-Wno-unknown-pragmas", f"-I{HEADER.parent}")
    flags = (*flags, f"-DTEXTS_{hashlib.sha256(texts.encode()).hexdigest()}")  # for the key of the cache
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for source in kernels.sources:  # the compiler takes what is called .cu for CUDA
            sources.append(Path(folder) / f"{source.stem}.cpp")
            sources[-1].write_text(f'#include "{source.resolve()}"\n')
        build = replace(compiled.cpu_build(), flags=flags, sources=tuple(sources))
        torch.ops.load_library(compiled._built(build, says_so=False))
    return Serial()
