"""Server of the demo: Streamlit, with its page, on this machine alone."""

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ganformer.errors import ConfigError
from ganformer.records.run import find_run
from ganformer.records.training import is_unfinished

HOST = "127.0.0.1"
APP = Path(__file__).with_name("app.py")


def serve(weights: Sequence[Path], port: int, threads: int, *, is_headless: bool) -> None:
    """Show the page at http://127.0.0.1:`port` until it is interrupted; without `is_headless` a browser opens it.

    `weights`: runs to choose from before the pretrained ones, finished or in training. Raises ConfigError if one is no
    run, if Streamlit is not installed, or if the port is taken.
    """
    folders = [path if is_unfinished(path) else find_run(path).parent for path in weights]
    if importlib.util.find_spec("streamlit") is None:
        raise ConfigError("demo: needs Streamlit, which is not installed; in the clone: pip install -e '.[demo]'")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigError(f"--port {port}: cannot be used ({error.strerror}); choose another one") from error
    print(f"demo: http://{HOST}:{port}; end it with Ctrl-C", flush=True)
    subprocess.run(call(folders, port, threads, is_headless=is_headless), check=False)


def call(folders: Sequence[Path], port: int, threads: int, *, is_headless: bool) -> list[str]:
    """Return the command that lets Streamlit serve the page for these runs."""
    options = {
        "server.address": HOST,
        "server.port": port,
        "server.headless": str(is_headless).lower(),
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *words, "--", str(threads), *map(str, folders)]
