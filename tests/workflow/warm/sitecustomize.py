"""Stand-ins and the server of warm processes; Python imports this first wherever it finds it."""

import os
import sys

# Little is imported: this runs at the start of every process.


def hand_over(path, words):
    """Run this command in a process forked from the server, and end as that does."""
    import array
    import json
    import signal
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        folder = os.getcwd()  # noqa: PTH109
        request = json.dumps({"words": words, "folder": folder, "environment": dict(os.environ)}).encode()
        files = array.array("i", [0, 1, 2])
        connection.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        connection.sendall(request)
        pid = int.from_bytes(connection.recv(4), "big")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: os.kill(pid, number))
        code = connection.recv(4)
    os._exit(int.from_bytes(code, "big") if code else 70)


def command():
    """Return the words of this process if the server runs such commands, else None."""
    words = sys.orig_argv[1:]
    if words[:2] == ["-m", "snakemake"]:
        return words[1:]
    return ["ganformer", *words[1:]] if words and words[0].endswith("/ganformer") else None


def stand_in(path):
    """Run `replace(module)` of the file `path` once `ganformer.devices` is imported."""
    import importlib.machinery
    import runpy

    class Finder(importlib.machinery.PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            if name != "ganformer.devices":
                return None
            spec = super().find_spec(name, path, target)
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                replace(module)

            spec.loader.exec_module = exec_module
            return spec

    replace = runpy.run_path(path)["replace"]
    sys.meta_path.insert(0, Finder)


# Slurm measures the memory of what a job step starts itself, and imports are timed in a process of their own.
if (
    "GANFORMER_WARM" in os.environ
    and not {"SLURM_STEP_ID", "PYTHONPROFILEIMPORTTIME"} & os.environ.keys()
    and command() is not None
):
    hand_over(os.environ["GANFORMER_WARM"], command())
if "GANFORMER_STAND_IN" in os.environ:
    stand_in(os.environ["GANFORMER_STAND_IN"])
