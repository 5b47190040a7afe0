"""CUDA sources: what they compile to, how they are registered, and that no thread depends on the order of others."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ninja
import pytest
import torch
from torch import Tensor

from ganformer.ops import compiled
from ganformer.ops.bias_act import bias_act
from ganformer.ops.bipartite_attention import attend, gather
from ganformer.ops.upfirdn2d import upfirdn2d
from tests.ops import serial
from tests.ops.test_bipartite_attention import given

KERNELS = {"Forward", "Backward", "Filter", "Attend", "AttendBackward", "Scores", "Tops", "GatherBackward", "Sum"}
CAPABILITIES = [(8, 0), (9, 0)]
COMPILED = re.compile(
    r"Compiling entry function '\w*?(?P<kernel>[A-Z][A-Za-z]+)I(?P<type>f|d|NS_8BFloat16E)\w*' for 'sm_(?P<kind>\d+)'\n"
    r".*\n.*, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\n"
)
# What this library takes from that of torch for GPUs, which torch for the CPU lacks.
STREAM = 'extern "C" int aoti_torch_get_current_cuda_stream(int, void** stream) { return *stream = nullptr, 0; }\n'
PROGRAM = """
import ctypes, sys, torch
from ganformer.ops import compiled
assert compiled.library("cpu") is not None
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
torch.ops.load_library(sys.argv[2])
names = [name.split(".")[0] for name in torch._C._dispatch_get_all_op_names() if name.startswith("ganformer::")]
for name in sorted(set(names)):
    print(name, *[torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in ("CPU", "CUDA")])
x = torch.ones(1, 1, 1, 1)
print(torch.ops.ganformer.bias_act(x, None, None, None, 1.0, 2.0, 0.0).item())
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """Provide a library in the place of torch's, that of the operations, and what the compiler says."""
    if shutil.which(compiled.cuda_build([]).compiler) is None:
        pytest.skip("needs nvcc, the compiler of the CUDA toolkit")
    folder = tmp_path_factory.mktemp("cuda")
    source, stand_in = folder / "stream.cpp", folder / "libtorch_cuda.so"
    source.write_text(STREAM)
    subprocess.run(["c++", "-shared", "-fPIC", f"-Wl,-soname,{stand_in.name}", "-o", stand_in, source], check=True)
    build = compiled.cuda_build(CAPABILITIES)
    build = replace(build, flags=(*build.flags, "-Xptxas=-v"), libraries=(f"-L{folder}", *build.libraries))
    (folder / "build.ninja").write_text(compiled._rules(build))
    command = [Path(ninja.BIN_DIR) / "ninja", "-C", folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    yield stand_in, folder / compiled.LIBRARY, done.stdout


@pytest.mark.slow
def test_all_kernels_keep_their_float32_values_in_registers(built: tuple[Path, Path, str]) -> None:
    found = [match.groupdict() for match in COMPILED.finditer(built[2])]
    for major, minor in CAPABILITIES:
        here = [each for each in found if each["kind"] == f"{major}{minor}" and each["type"] == "f"]
        assert {each["kernel"] for each in here} == KERNELS
        assert [each for each in here if each["stores"] != "0" or each["loads"] != "0"] == []


@pytest.mark.slow
@pytest.mark.usefixtures("has_compiler")
@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has its library for GPUs")
def test_operations_for_both_devices_have_the_same_names(built: tuple[Path, Path, str]) -> None:
    stand_in, library, _ = built
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, stand_in, library], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    *lines, value = done.stdout.splitlines()
    assert lines == [
        "ganformer::attend True True",
        "ganformer::attend_backward True True",
        "ganformer::bias_act True True",
        "ganformer::bias_act_backward True True",
        "ganformer::convolve True False",
        "ganformer::gather True True",
        "ganformer::gather_backward True True",
        "ganformer::upfirdn2d True True",
        "ganformer::weight_gradient True False",
    ]
    assert value == "2.0"


def every_operation() -> list[Tensor]:
    """Return results and gradients of all operations."""
    found: list[Tensor] = []

    def add(results: tuple[Tensor, ...], inputs: list[Tensor]) -> None:
        above = [torch.linspace(-1, 1, each.numel()).view(each.shape).to(each.dtype) for each in results]
        found.extend([*results, *torch.autograd.grad(results, inputs, above)])

    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(2, 136, 9, 33).to(dtype).requires_grad_()
        bias, scale, noise = (torch.randn(shape).requires_grad_() for shape in ((136,), (2, 136), (2, 1, 9, 33)))
        add((bias_act(x, bias, clamp=2.0, scale=scale, noise=noise),), [x, bias, scale, noise])
        add((upfirdn2d(x, torch.tensor([1.0, 3.0, 3.0, 1.0]), up=2, padding=(2, 1, 2, 1)),), [x])
        inputs = given((1, 300, 136, 20, 2), dtype)
        add(attend(**inputs, heads=2, normalise=True), list(inputs.values()))
        inputs = {name: inputs[name] for name in ("x", "keys", "places")}
        add(gather(**inputs), list(inputs.values()))
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("has_compiler")
def test_the_order_of_threads_and_blocks_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    library = serial.library()
    monkeypatch.setattr(compiled, "library", lambda *_: library)
    forwards = every_operation()
    monkeypatch.setenv("GANFORMER_SERIAL_ORDER", "backwards")
    for one, other in zip(forwards, every_operation(), strict=True):
        assert one.equal(other)
