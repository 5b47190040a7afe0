"""Building, caching and choosing of the compiled operations."""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganformer.errors import DeviceError
from ganformer.ops import compiled

NOTICE = "building compiled operations, once for this machine (GANFORMER_OPS=python does without)\n"
PROGRAM = "from ganformer.ops import compiled; print(compiled.backend('cpu'))"
# Answers as compilers do to the question for their macros.
FAILING = """#!/bin/sh
case $* in *-dM*) exit 0;; esac
echo run >> $0.runs
echo 'a.cpp:1: fatal error: no header' >&2
exit 1
"""
# Takes its time, and gives what another one has built.
COPYING = """#!/bin/sh
case $* in *-dM*) exit 0;; esac
while [ "$1" != -o ]; do shift; done
sleep 0.3
cp {library} $2
"""


def compiler(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


class Chooser:
    """Process that chooses its operations, with variables of its environment."""

    def __init__(self, cache: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.cache, self.patch, self.capsys = cache, patch, capsys
        self.library = compiled.library.__wrapped__
        patch.setenv("XDG_CACHE_HOME", str(cache))

    def __call__(self, device: str = "cpu", **variables: str) -> tuple[bool, str]:
        """Return whether operations are compiled, and what is printed."""
        for name, value in variables.items():
            self.patch.setenv(name, value)
        found = self.library(device)
        out, error = self.capsys.readouterr()
        assert out == ""
        return found is not None, error


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Chooser:
    return Chooser(tmp_path / "cache", monkeypatch, capsys)


def test_without_a_compiler_operators_of_torch_serve_after_one_line(choose: Chooser) -> None:
    message = "operations run in PyTorch, slower, as there is no C++ compiler 'no-such-compiler'\n"
    assert choose(CXX="no-such-compiler") == (False, message)
    assert not choose.cache.exists()


def test_a_compiler_that_fails_is_tried_and_told_about_once(choose: Chooser, tmp_path: Path) -> None:
    path = compiler(tmp_path / "failing", FAILING)
    reason = f"'{path}' fails (a.cpp:1: fatal error: no header)"
    assert choose(CXX=path) == (False, f"{NOTICE}operations run in PyTorch, slower, as {reason}\n")
    runs = Path(f"{path}.runs").read_text()
    assert choose(CXX=path) == (False, "")
    with pytest.raises(
        DeviceError, match=re.escape(f"but operations cannot be built: {reason}; install a C++ compiler")
    ):
        choose(GANFORMER_OPS="compiled")
    assert Path(f"{path}.runs").read_text() == runs
    (folder,) = (choose.cache / "ganformer" / "ops").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [compiled.FAILURE, "lock"]


def test_operations_that_were_asked_for_must_be_there(choose: Chooser) -> None:
    message = (
        "GANFORMER_OPS is 'compiled', but operations cannot be built: there is no C++ compiler 'no-such-compiler'; "
        "install a C++ compiler (CXX names another than c++), or set it to 'auto' or 'python'"
    )
    with pytest.raises(DeviceError, match=re.escape(message)):
        choose(CXX="no-such-compiler", GANFORMER_OPS="compiled")


def test_a_cache_that_cannot_be_written_is_done_without(choose: Chooser, tmp_path: Path) -> None:
    choose.cache.write_text("a file")
    found, said = choose(CXX=compiler(tmp_path / "failing", FAILING))
    assert not found
    assert re.fullmatch(
        r"operations run in PyTorch, slower, as \S+ cannot be used \(Not a directory\); XDG_CACHE_HOME names another\n",
        said,
    )


def test_a_library_that_cannot_be_loaded_is_done_without(choose: Chooser, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no library")
    path = compiler(tmp_path / "copying", COPYING.format(library=shlex.quote(str(text))))
    found, said = choose(CXX=path)
    assert not found
    assert re.fullmatch(
        rf"{re.escape(NOTICE)}operations run in PyTorch, slower, as \S+/{compiled.LIBRARY} cannot be loaded \(.*\); "
        "delete its folder to build it anew\n",
        said,
    )
    with pytest.raises(DeviceError, match="cannot be loaded"):
        choose(GANFORMER_OPS="compiled")


def test_torch_alone_can_be_asked_for(choose: Chooser) -> None:
    assert choose(GANFORMER_OPS="python") == (False, "")


@pytest.fixture
def choose_of_gpu(choose: Chooser, monkeypatch: pytest.MonkeyPatch) -> Chooser:
    """Pretend that there is a GPU, and that operations for the CPU are built."""
    monkeypatch.setattr(compiled, "library", lambda device: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    return choose


@pytest.mark.parametrize("choice", ["auto", "python"])
def test_gpus_use_torch_unless_compiled_operations_are_asked_for(choose_of_gpu: Chooser, choice: str) -> None:
    assert choose_of_gpu("cuda", CUDACXX="no-such-nvcc", GANFORMER_OPS=choice) == (False, "")


def test_operations_for_gpus_that_were_asked_for_must_be_there(choose_of_gpu: Chooser) -> None:
    message = (
        "GANFORMER_OPS is 'compiled', but operations cannot be built: there is no CUDA compiler 'no-such-nvcc'; "
        "install the CUDA toolkit (CUDACXX names another compiler than nvcc), or set it to 'auto' or 'python'"
    )
    with pytest.raises(DeviceError, match=re.escape(message)):
        choose_of_gpu("cuda", CUDACXX="no-such-nvcc", GANFORMER_OPS="compiled")


def test_a_cuda_compiler_that_fails_is_tried_once(choose_of_gpu: Chooser, tmp_path: Path) -> None:
    path = compiler(tmp_path / "failing", FAILING)
    message = f"operations cannot be built: '{path}' fails (a.cpp:1: fatal error: no header); install the CUDA toolkit"
    with pytest.raises(DeviceError, match=re.escape(message)):
        choose_of_gpu("cuda", CUDACXX=path, GANFORMER_OPS="compiled")
    runs = Path(f"{path}.runs").read_text()
    with pytest.raises(DeviceError, match=re.escape(message)):
        choose_of_gpu("cuda")
    assert Path(f"{path}.runs").read_text() == runs


def test_a_gpu_that_is_too_old_is_refused(choose_of_gpu: Chooser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 0))
    message = (
        "GANFORMER_OPS is 'compiled', but operations cannot be built: a GPU has compute capability 7.0, and they need "
        "7.5; set it to 'auto' or 'python'"
    )
    with pytest.raises(DeviceError, match=re.escape(message)):
        choose_of_gpu("cuda", GANFORMER_OPS="compiled")


def test_operations_are_compiled_for_each_kind_of_gpu_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDACXX", "true")
    builds = [compiled.cuda_build(kinds) for kinds in ([(9, 0)], [(9, 0), (7, 5), (9, 0)])]
    assert [flag for flag in builds[1].flags if "arch" in flag] == [
        "-gencode=arch=compute_75,code=sm_75",
        "-gencode=arch=compute_90,code=sm_90",
    ]
    assert len({compiled._key(build) for build in builds}) == 2


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORMER_OPS", "fast")
    with pytest.raises(DeviceError, match="GANFORMER_OPS is 'fast'; allowed are auto, compiled, python"):
        compiled.library.__wrapped__("cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("has_compiler")
def test_processes_that_start_together_build_once(tmp_path: Path) -> None:
    path = compiler(
        tmp_path / "copying",
        COPYING.format(library=shlex.quote(str(compiled._built(compiled.cpu_build(), says_so=False)))),
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "CXX": path}
    command = [sys.executable, "-c", PROGRAM]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate() for process in started]
    assert [out for out, _ in said] == ["compiled\n"] * 3
    assert sorted(error for _, error in said) == ["", "", NOTICE]
    (folder,) = (tmp_path / "cache" / "ganformer" / "ops").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [compiled.LIBRARY, "lock"]


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("one\n two: error: no such file\nthree", "two: error: no such file"),
        ("one\ntwo\n\n", "two"),
        ("one", "one"),
        ("nvcc fatal   : Unsupported gpu\nninja: build stopped.", "nvcc fatal   : Unsupported gpu"),
        (" \n", "no output"),
    ],
)
def test_a_compilers_output_is_told_in_one_line(output: str, line: str) -> None:
    assert compiled._last_line(output) == line


@pytest.mark.usefixtures("has_compiler")
def test_every_build_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        return compiled._key(compiled.cpu_build())

    first = key()
    assert key() == first
    monkeypatch.setattr(compiled, "FLAGS", (*compiled.FLAGS, "-O2"))
    other_flags = key()
    monkeypatch.setattr(torch, "__version__", "9.9")
    other_torch = key()
    monkeypatch.setattr(compiled, "_texts", lambda build: ["another source"])
    assert len({first, other_flags, other_torch, key()}) == 4


def test_a_build_depends_on_the_headers_of_its_folder_and_of_all() -> None:
    for build, folder in ((compiled.cpu_build(), "cpu"), (compiled.cuda_build([(9, 0)]), "cuda")):
        files = [path for path in (compiled.FOLDER / folder).iterdir() if path.suffix in (".cpp", ".cu", ".h")]
        files.append(compiled.FOLDER / "common.h")
        assert sorted(compiled._texts(build)) == sorted(path.read_text() for path in files)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.complex64])
def test_only_some_types_are_compiled(dtype: torch.dtype) -> None:
    assert not compiled.serves(torch.zeros(2, dtype=dtype))


@pytest.mark.usefixtures("has_compiler")
def test_tensors_without_values_are_not_computed_with() -> None:
    assert compiled.serves(torch.zeros(2))
    assert compiled.serves(torch.nn.Parameter(torch.zeros(2)))
    assert not compiled.serves(torch.zeros(2, device="meta"))
    with torch._subclasses.FakeTensorMode():
        assert not compiled.serves(torch.zeros(2))
