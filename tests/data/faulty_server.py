"""A web server on this machine that does to every request what a script says: all that servers and lines do wrong."""

import hashlib
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Request:
    """One request: what was asked for, and the number of bytes of the body sent."""

    path: str
    headers: dict[str, str]
    sent: int = 0


class Handler(BaseHTTPRequestHandler):
    """Plays the next answer of the script of the path; the last one is played again and again."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: FaultyServer = self.server.faulty
        path = self.path.partition("?")[0]
        script = server.scripts.get(path, [status(404)])
        self.asked = Request(self.path, dict(self.headers.items()))
        server.requests.append(self.asked)
        answer = script.pop(0) if len(script) > 1 else script[0]
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has enough, or was killed
            answer(self)

    def head(self, status: int, **headers: str | int) -> None:
        """Send status and headers, whose names are written with underscores."""
        self.send_response(status)
        # A client that is not told may send its next request into the closing line.
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def body(self, content: bytes) -> None:
        """Send bytes and counts them."""
        self.wfile.write(content)
        self.wfile.flush()
        self.asked.sent += len(content)

    def log_message(self, *args: object) -> None:
        pass


Answer = Callable[[Handler], None]


class FaultyServer:
    """`scripts` maps paths to answers, one for each request; `requests` are those that came."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Answer]] = {}
        self.requests: list[Request] = []
        self.is_closed = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.faulty = self  # type: ignore[attr-defined]
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_closed.set()
        self.http.shutdown()
        self.http.server_close()

    def url(self, path: str) -> str:
        """Return address of a path that begins with a slash."""
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def plays(self, path: str, *script: Answer) -> str:
        """Set the script of a path, returns its address."""
        self.scripts[path] = list(script)
        return self.url(path)

    def ranges(self) -> list[str | None]:
        """Return the ranges that were asked for, in order; None: the whole file."""
        return [request.headers.get("Range") for request in self.requests]


# ------------------------------------------------------------------------------------------------------ answers


def status(code: int, content: bytes = b"", **headers: str | int) -> Answer:
    """Return answers with a status and a body."""

    def answer(request: Handler) -> None:
        request.head(code, Content_Length=len(content), **headers)
        request.body(content)

    return answer


def file(
    content: bytes,
    *,
    until: int | None = None,
    then: Callable[[Handler], None] = lambda request: None,
    gate: threading.Event | None = None,
    knows_ranges: bool = True,
    knows_if_range: bool = True,
    tag: str | None = "own",
    content_range: str | None = None,
    **headers: str | int,
) -> Answer:
    """Serve a file as a good server does, or nearly so.

    Only the bytes before `until` are sent, and `then` happens. With `gate` the last of them waits until that is set.
    `tag` is the ETag ("own": made of the content; None: there is none); `headers` replace or add.
    """

    def answer(request: Handler) -> None:
        own = f'"{hashlib.md5(content).hexdigest()}"' if tag == "own" else tag
        wanted = request.headers.get("Range") if knows_ranges else None
        if knows_if_range and request.headers.get("If-Range") not in (None, own, headers.get("Last_Modified")):
            wanted = None
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        if wanted and start >= len(content):
            return request.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
        own_headers = {"Content_Length": len(content) - start, "Content_Type": "application/octet-stream"}
        if own is not None:
            own_headers["ETag"] = own
        if wanted:
            own_headers["Content_Range"] = content_range or f"bytes {start}-{len(content) - 1}/{len(content)}"
        request.head(206 if wanted else 200, **{**own_headers, **headers})
        end = len(content) if until is None else until
        if gate is not None:
            request.body(content[start : end - 1])
            gate.wait()
            start = end - 1
        request.body(content[start:end])
        return then(request)

    return answer


def stall(request: Handler) -> None:
    """Send nothing more; the connection stays open until the test is over."""
    request.server.faulty.is_closed.wait()


def reset(request: Handler) -> None:
    """Tear the connection down (RST)."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()
