"""Snakemake and its jobs in processes forked from one that has imported torch and Snakemake, which takes longest.

`sitecustomize.py` here makes a command `ganformer` or `python -m snakemake` hand its words, folder, environment and
open files to the server at the socket in the environment variable `GANFORMER_WARM`, and end as its forked process ends.
"""

import array
import asyncio
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "GANFORMER_WARM"
STAND_IN = "GANFORMER_STAND_IN"
SNAKEMAKE = ("snakemake.workflow",)  # what Snakemake imports late
FOLDER = Path(__file__).resolve().parent


@contextmanager
def server(folder: Path) -> Iterator[dict[str, str]]:
    """Start a server with its socket in `folder`; yield the environment of processes that use it."""
    path = folder / "warm"
    with subprocess.Popen([sys.executable, "-m", "tests.workflow.warm", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield {VARIABLE: str(path), "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])}
        process.terminate()


def serve(path: Path) -> None:
    """Answer requests until terminated, each in a forked process."""
    import snakemake.cli

    import ganformer.cli

    for module in pkgutil.walk_packages(ganformer.__path__, "ganformer."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("torch._dynamo")  # as the first optimiser of a process does
    for settings in (ganformer.config.Evaluation, ganformer.config.Spec, ganformer.config.Dataset):
        settings.model_rebuild()
    for module in SNAKEMAKE:
        importlib.import_module(module)
    _ask_often()
    mains = {"ganformer": ganformer.cli.main, "snakemake": snakemake.cli.main}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for those that have ended
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(connection, mains)
            connection.close()


def _ask_often() -> None:
    """Make Snakemake ask for the jobs of a cluster each half second; it asks less often the longer a job takes."""
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    async def sleep(self: object) -> None:
        await asyncio.sleep(0.5)

    RemoteExecutor.sleep = sleep


def _answer(connection: socket.socket, mains: Mapping[str, Callable[[], None]]) -> None:
    size = array.array("i", [0] * 3)
    message, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_LEN(3 * size.itemsize))
    size.frombytes(ancillary[0][2])
    for number, file in enumerate(size[-3:]):
        os.dup2(file, number)
        os.close(file)
    request = json.loads(_received(connection, int.from_bytes(message, "big")))
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["words"]
    sys.path[0] = request["folder"]
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if new := [place for place in places if place and place not in (*sys.path, str(FOLDER))]:
        sys.path[1:1] = new
        sys.modules["ganformer.plugins"].forget()
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="backslashreplace")
    connection.sendall(os.getpid().to_bytes(4, "big"))
    try:
        if stand_in := os.environ.get(STAND_IN):
            runpy.run_path(stand_in)["replace"](sys.modules["ganformer.devices"])
        mains[sys.argv[0]]()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 70
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(code.to_bytes(4, "big"))
    os._exit(code)


def _received(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (part := connection.recv(size - len(content))):
        content += part
    return content
