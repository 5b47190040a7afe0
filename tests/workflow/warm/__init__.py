"""Jobs of the graph in processes forked from one that has imported torch, which takes longer than most jobs of tests.

`sitecustomize.py` here makes a command `ganformer` hand its words, folder, environment and open files to the server at
the socket in the environment variable `GANFORMER_WARM`, and end as its forked process ends.
"""

import array
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "GANFORMER_WARM"
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
    import ganformer.cli

    for module in pkgutil.walk_packages(ganformer.__path__, "ganformer."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("torch._dynamo")  # as the first optimiser of a process does
    for settings in (ganformer.config.Evaluation, ganformer.config.Spec, ganformer.config.Dataset):
        settings.model_rebuild()
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
                _answer(connection, ganformer.cli.main)
            connection.close()


def _answer(connection: socket.socket, main: object) -> None:
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
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="backslashreplace")
    connection.sendall(os.getpid().to_bytes(4, "big"))
    try:
        main()  # type: ignore[operator]
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
