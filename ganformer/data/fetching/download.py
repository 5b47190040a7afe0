"""Files from the web: whole and verified at their place, or not there at all.

While `NAME` is on its way, `.NAME.part` beside it has the bytes that came, and `.NAME.part.json` says of which version
of which file they are: a transfer that broke, or was killed, resumes there, but never glues two versions together.
"""

import errno
import hashlib
import itertools
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import IncompleteRead
from pathlib import Path

import requests
import urllib3
from requests import Response, Session
from requests.exceptions import ChunkedEncodingError, RequestException, Timeout

from ganformer import artifacts
from ganformer.errors import DataError
from ganformer.locking import one_at_a_time
from ganformer.progress import Progress

CHUNK = 1 << 14  # bytes read at once; of a piece that is not whole nothing is kept
TIMEOUT = (20.0, 60.0)  # seconds until a server answers a call, and between two bytes
ATTEMPTS = 6  # in a row that bring nothing new; then the mirror is given up
MAX_WAIT = 300.0  # seconds between two attempts, whatever a server asks for
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "Mozilla/5.0 (compatible; ganformer)"}
DRIVE = "https://drive.google.com/uc?id={}"
DRIVE_PREFIX = "gdrive:"

COMPRESSED = (".gz", ".tgz", ".bz2", ".xz")
EARLY = "the transfer ended before the file did"
PAGE = "sends a web page (HTML) in place of the file"
ROOM = "make room or choose another folder, then run again to resume"

_PAGE_BEGINS = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True)
class Remote:
    """File in the web: its local name, its addresses, and its known size and checksums."""

    name: str
    """The file's name here."""
    urls: tuple[str, ...]
    """Mirrors, tried in order; "gdrive:ID" is a file in Google Drive."""
    size: int | None = None
    """Bytes, where they are known."""
    about: int | None = None
    """Bytes, roughly, where no exact number is known: so many must have room before the file is asked for."""
    md5: str | None = None
    """Checksum in hex, used where sha256 is not known."""
    sha256: str | None = None
    """Checksum in hex."""

    @property
    def checksum(self) -> tuple[str, str] | None:
        """Kind and value of the strongest checksum known, if any is."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5) if self.md5 else None


class _RefusedError(Exception):
    """A mirror does not have the file; another try would not help."""


class _BrokenError(Exception):
    """A transfer broke, and may well go better the next time: after `wait` seconds, where the server said so."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def fetch(remote: Remote, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> Path:
    """Return the file `remote.name` in `folder`, fetched from the first mirror that has it where it is not there yet.

    A file that is there with the size and the checksum that are known is left alone, any other one is replaced once
    the right one is complete. `sleep` waits between attempts. Raises DataError if no mirror has the file, the disk
    is too small or cannot be written; what came is then kept for the next time, unless it was wrong.
    """
    path = folder / remote.name
    with one_at_a_time(path), _explained(path):
        if not _is_there(remote, path):
            part = _Part(path)
            _check_space(part, remote.size or remote.about)
            _from_some_mirror(remote, part, sleep)
            part.finish()
            if remote.checksum is None:
                _say(f"{path}: no checksum of it is known, so what came was not compared with one")
    return path


def _is_there(remote: Remote, path: Path) -> bool:
    if not path.exists():
        return False
    wrong = _difference(remote, path)
    if wrong:
        _say(f"{path}: {wrong}; fetching it again")
    return not wrong


def _from_some_mirror(remote: Remote, part: "_Part", sleep: Callable[[float], None]) -> None:
    said = []
    with Session() as session:
        session.headers.update(HEADERS)
        for url in remote.urls:
            try:
                return _from_mirror(_Transfer(session, remote, url, part), sleep)
            except _RefusedError as refusal:
                said.append(f"  {address(url)}: {refusal}")
    advice = "try again later, or download it on another machine and put it there under this name"
    raise DataError("\n".join([f"{part.goal}: could not be fetched; {advice}. Asked were:", *said]))


def _from_mirror(transfer: "_Transfer", sleep: Callable[[float], None]) -> None:
    """Try until the file is complete and verified, or nothing new came in several attempts (_RefusedError)."""
    longest = failures = 0
    while True:
        try:
            return transfer.run()
        except _BrokenError as error:
            size = transfer.part.size
            failures = 1 if size > longest else failures + 1
            longest = max(longest, size)
            if failures == ATTEMPTS:
                raise _RefusedError(f"{error} ({ATTEMPTS} attempts)") from error
            wait = min(2.0 ** (failures - 1) if error.wait is None else error.wait, MAX_WAIT)
            _say(f"{transfer.part.goal} from {address(transfer.url)}: {error}; trying again in {wait:.0f} s")
            sleep(wait)


def address(url: str) -> str:
    """Return the page that a browser can open instead of a mirror's url."""
    return DRIVE.format(url.removeprefix(DRIVE_PREFIX)) if url.startswith(DRIVE_PREFIX) else url


# ------------------------------------------------------------------------------------------------ one transfer


@dataclass(frozen=True)
class _Version:
    """Validators that distinguish one version of a file on a server from another."""

    url: str
    validator: str | None
    """Strong ETag, else the time of the last change."""
    size: int | None


class _Part:
    """The bytes that came so far."""

    def __init__(self, path: Path) -> None:
        self.goal = path
        self.path = path.with_name(f".{path.name}.part")
        self.notes = path.with_name(f".{path.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes received; 0 if their file is not known."""
        return self.path.stat().st_size if self.path.exists() and self.notes.exists() else 0

    @property
    def version(self) -> _Version:
        """Version of the file that the partial bytes belong to."""
        return _Version(**artifacts.read_json(self.notes))

    def begin(self, version: _Version) -> None:
        """Start anew with the bytes of this version."""
        self.path.unlink(missing_ok=True)
        artifacts.write_json(self.notes, vars(version))
        self.path.touch()

    def discard(self) -> None:
        """Remove what came."""
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the complete file to its final path."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.goal)
        self.notes.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Transfer:
    """A file's way from one mirror into its part."""

    session: Session
    remote: Remote
    url: str
    part: _Part

    def run(self) -> None:
        """Make one attempt, resuming the last one if that is safe. Raises _BrokenError or _RefusedError."""
        offset = self._offset()
        if not (offset and offset == self.part.version.size):
            self._ask(offset)
        wrong = _difference(self.remote, self.part.path)
        if wrong:
            self.part.discard()
            raise (_BrokenError if offset else _RefusedError)(wrong)

    def _offset(self) -> int:
        """Return bytes that need not be asked for again."""
        size = self.part.size
        if not size:
            return 0
        version = self.part.version
        is_recognised = version.validator is not None or self.remote.checksum is not None
        return size if version.url == self.url and is_recognised else 0

    def _ask(self, offset: int) -> None:
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self.part.version.validator:
                headers["If-Range"] = self.part.version.validator
        with self._answer(headers) as response:
            self._check_status(response, offset)
            is_rest = response.status_code == requests.codes.partial
            size = self._size(response, is_rest)
            self._check_answer(response, size)
            if is_rest:
                self._check_rest(response, size, offset)
            else:
                offset = 0
            _check_space(self.part, size)
            self._receive(response, _Version(self.url, _validator(response), size), offset)

    def _answer(self, headers: Mapping[str, str]) -> Response:
        get = partial(self.session.get, headers=dict(headers), stream=True, timeout=TIMEOUT)
        with _network():
            response = get(address(self.url))
            is_file = "Content-Disposition" in response.headers or not _is_page(response)
            if not self.url.startswith(DRIVE_PREFIX) or is_file or not response.ok:
                return response
            with response:  # a page that asks whether a file too large to be scanned for viruses is wanted all the same
                # Here, since planning reads what there is to fetch, and this brings parsers of HTML.
                from gdown.download import get_url_from_gdrive_confirmation
                from gdown.exceptions import FileURLRetrievalError

                try:
                    return get(get_url_from_gdrive_confirmation(response.text))
                except FileURLRetrievalError as error:
                    raise _RefusedError(f"Google Drive sends a page in place of the file: {error}") from error

    def _check_status(self, response: Response, offset: int) -> None:
        status = response.status_code
        if status == requests.codes.ok or (status == requests.codes.partial and offset):
            return
        said = f"{status} {response.reason}"
        if status == requests.codes.requested_range_not_satisfiable and offset:
            self.part.discard()
            raise _BrokenError(f"{said}: the file there is another one by now")
        if status >= 500 or status in (requests.codes.request_timeout, requests.codes.too_many_requests):
            raise _BrokenError(said, _retry_after(response))
        raise _RefusedError(said)

    def _size(self, response: Response, is_rest: bool) -> int | None:
        """Return bytes of the whole file."""
        if is_rest:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            return int(found[2]) if found else None
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else self.remote.size

    def _check_answer(self, response: Response, size: int | None) -> None:
        """Return whether what begins to arrive can be the file that is wanted."""
        if _is_page(response) and not self._is_page_wanted:
            raise _RefusedError(PAGE)
        encoding = response.headers.get("Content-Encoding", "identity")
        # Of files that are compressed themselves many servers say that they were compressed on the way.
        if encoding != "identity" and not self.remote.name.endswith(COMPRESSED):
            raise _RefusedError(f"sends the file compressed ({encoding}) though it was asked not to")
        if size is not None and self.remote.size not in (None, size):
            raise _RefusedError(f"has another file, of {size:,} bytes instead of {self.remote.size:,}")

    def _check_rest(self, response: Response, size: int | None, offset: int) -> None:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        begun = self.part.version
        is_same = begun.size in (None, size) and _validator(response) in (None, begun.validator)
        if found is None or int(found[1]) != offset or not is_same:
            self.part.discard()
            raise _BrokenError("sends other bytes than the rest of the file that was begun")

    def _receive(self, response: Response, version: _Version, offset: int) -> None:
        chunks = _chunks(response)
        first = next(chunks, b"")
        if not offset:
            if _PAGE_BEGINS.match(first) and not self._is_page_wanted:
                raise _RefusedError(PAGE)
            self.part.begin(version)
        with self.part.path.open("ab") as file, _progress(self.remote.name, version.size, offset) as came:
            for chunk in itertools.chain([first], chunks):
                file.write(chunk)
                came(len(chunk))
                if version.size is not None and file.tell() > version.size:
                    self.part.discard()
                    raise _RefusedError(f"sends more than the {version.size:,} bytes of the file")
        if version.size is not None and self.part.size < version.size:
            raise _BrokenError(EARLY)

    @property
    def _is_page_wanted(self) -> bool:
        return self.remote.name.endswith((".html", ".htm"))


def _is_page(response: Response) -> bool:
    return response.headers.get("Content-Type", "").lower().startswith("text/html")


def _validator(response: Response) -> str | None:
    tag: str | None = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _retry_after(response: Response) -> float | None:
    asked = response.headers.get("Retry-After")
    try:
        return urllib3.Retry().parse_retry_after(asked) if asked else None
    except urllib3.exceptions.InvalidHeader:
        return None


def _chunks(response: Response) -> Iterator[bytes]:
    """Yield the body as it came: decoded it would not be what sizes, ranges and checksums speak of."""
    while True:
        with _network():
            chunk = response.raw.read(CHUNK, decode_content=False)
        if not chunk:
            return
        yield chunk


@contextmanager
def _network() -> Iterator[None]:
    """Turn network errors into _BrokenError, and unusable urls into _RefusedError."""
    try:
        yield
    except (requests.ConnectionError, Timeout, ChunkedEncodingError, urllib3.exceptions.HTTPError) as error:
        raise _BrokenError(_cause(error)) from error
    except RequestException as error:
        raise _RefusedError(str(error)) from error


def _cause(error: BaseException) -> str:
    """Return the innermost reason: libraries wrap it in their own words several times."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    if isinstance(error, IncompleteRead):
        return EARLY
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__


@contextmanager
def _progress(name: str, total: int | None, offset: int) -> Iterator[Callable[[int], None]]:
    if total is None:
        _say(f"fetch {name}: its size is not known")
        yield lambda count: None
    else:
        with Progress(f"fetch {name}", total, unit="bytes", done=offset) as progress:
            yield progress.update


# ------------------------------------------------------------------------------------------------ files and disks


def _difference(remote: Remote, path: Path) -> str | None:
    """Return the difference between the file and its known size and checksum; None if there is none."""
    size = path.stat().st_size
    if remote.size not in (None, size):
        return f"has {size:,} bytes, expected {remote.size:,}"
    if remote.checksum is None:
        return None
    kind, expected = remote.checksum
    found = _digest(path, kind, f"check {remote.name}")
    return None if found == expected.lower() else f"its {kind} is {found}, expected {expected.lower()}"


def _digest(path: Path, kind: str, label: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file, Progress(label, path.stat().st_size, unit="bytes") as progress:
        while chunk := file.read(artifacts.CHUNK):
            digest.update(chunk)
            progress.update(len(chunk))
    return digest.hexdigest()


def _check_space(part: _Part, size: int | None) -> None:
    needed = (size or 0) - part.size  # bytes received before are resumed, or deleted
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise DataError(f"{part.goal}: {needed:,} bytes are to come, but only {free:,} are free on this disk; {ROOM}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what_to_do = ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT) else "fix that and run again"
        raise DataError(f"{path}: fetching failed ({error.strerror or error}); {what_to_do}") from error


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
