"""Downloads against a server that does everything wrong: the file is whole and right, or it is not there."""

import gzip
import hashlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from ganformer.data.fetching import download
from ganformer.data.fetching.download import CHUNK, Remote, fetch
from ganformer.errors import DataError
from tests.data.faulty_server import FaultyServer, file, reset, stall, status

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
HALF = 150_000
PAGE = b"\n<!-- a page --><!DOCTYPE html><title>Sorry</title>"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FaultyServer() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "folder"


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Provide seconds that were waited between attempts; nothing really waits."""
    told = []
    monkeypatch.setitem(fetch.__kwdefaults__, "sleep", told.append)
    return told


def remote(*urls, name="images.bin", content=CONTENT, **known):
    return Remote(name, urls, **(known or {"sha256": hashlib.sha256(content).hexdigest()}))


UNKNOWN = {"size": None}
"""File of which nothing is known."""


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def refused(wanted, folder):
    """Return the message of a fetch that fails, and leaves nothing that looks complete."""
    with pytest.raises(DataError) as caught:
        fetch(wanted, folder)
    assert visible(folder) == []
    return str(caught.value)


def asked_were(*lines):
    advice = "try again later, or download it on another machine and put it there under this name. Asked were:"
    return "\n".join([f"could not be fetched; {advice}", *(f"  {line}" for line in lines)])


# ------------------------------------------------------------------------------------------ when all goes well


@pytest.mark.parametrize(
    "known",
    [
        {"sha256": hashlib.sha256(CONTENT).hexdigest()},
        {"sha256": hashlib.sha256(CONTENT).hexdigest().upper(), "size": len(CONTENT)},
        {"md5": hashlib.md5(CONTENT).hexdigest()},
        {"size": len(CONTENT)},
        UNKNOWN,
    ],
)
def test_file_is_fetched_once(server, folder, capsys, known):
    wanted = remote(server.plays("/x", file(CONTENT)), **known)
    for _ in range(2):
        assert fetch(wanted, folder) == folder / "images.bin"
        assert (folder / "images.bin").read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert sorted(path.name for path in folder.iterdir()) == [".images.bin.lock", "images.bin"]
    said = capsys.readouterr().err
    assert "fetch images.bin ████████████████████ 100% 300,000/300,000 bytes" in said
    assert ("check images.bin ████████████████████ 100%" in said) == bool({"sha256", "md5"} & set(known))
    unchecked = f"{folder / 'images.bin'}: no checksum of it is known, so what came was not compared with one"
    assert (unchecked in said) == (not {"sha256", "md5"} & set(known))


def test_wrong_file_that_is_there_is_replaced(server, folder, capsys):
    folder.mkdir(parents=True)
    (folder / "images.bin").write_bytes(OTHER)
    fetch(remote(server.plays("/x", file(CONTENT))), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    digests = [hashlib.sha256(content).hexdigest() for content in (OTHER, CONTENT)]
    assert "images.bin: its sha256 is {}, expected {}; fetching it again".format(*digests) in capsys.readouterr().err


def test_wrong_file_stays_until_the_right_one_is_complete(server, folder):
    folder.mkdir(parents=True)
    (folder / "images.bin").write_bytes(OTHER)
    with pytest.raises(DataError):
        fetch(remote(server.plays("/x", status(404))), folder)
    assert (folder / "images.bin").read_bytes() == OTHER


def test_size_alone_tells_that_a_file_is_wrong(server, folder, capsys):
    folder.mkdir(parents=True)
    (folder / "images.bin").write_bytes(CONTENT[:HALF])
    fetch(remote(server.plays("/x", file(CONTENT)), size=len(CONTENT)), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert "has 150,000 bytes, expected 300,000; fetching it again" in capsys.readouterr().err


def test_file_whose_size_nobody_tells(server, folder, capsys):
    def chunked(request):
        request.head(200, Transfer_Encoding="chunked")
        for start in range(0, len(CONTENT), 100_000):
            request.body(b"186a0\r\n" + CONTENT[start : start + 100_000] + b"\r\n")
        request.body(b"0\r\n\r\n")

    fetch(remote(server.plays("/x", chunked), **UNKNOWN), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert "fetch images.bin: its size is not known" in capsys.readouterr().err


def test_early_end_is_noticed_by_the_known_size_alone(server, folder, waits):
    def until_it_closes(request):
        request.head(200, ETag='"same"')
        request.body(CONTENT[:HALF])

    fetch(remote(server.plays("/x", until_it_closes, file(CONTENT, tag='"same"')), size=len(CONTENT)), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-"]
    assert waits == [1]


def test_empty_file(server, folder):
    fetch(remote(server.plays("/x", file(b"")), content=b""), folder)
    assert (folder / "images.bin").read_bytes() == b""


# ------------------------------------------------------------------------------------------ transfers that break


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (file(CONTENT, until=HALF), "the transfer ended before the file did"),
        (file(CONTENT, until=HALF, then=reset), "Connection reset by peer"),
        (file(CONTENT, until=HALF, then=stall), "timed out"),
    ],
    ids=["ends early", "reset", "stall"],
)
@pytest.mark.parametrize("known", [{}, UNKNOWN], ids=["checksum", "no checksum"])
def test_broken_transfer_goes_on_where_it_ended(server, folder, waits, monkeypatch, capsys, broken, reason, known):
    monkeypatch.setattr(download, "TIMEOUT", (5.0, 0.3))
    fetch(remote(server.plays("/x", broken, file(CONTENT)), **known), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    first, second = server.ranges()
    assert first is None
    if "reset" not in reason:  # which throws away what has not been read yet
        assert HALF - CHUNK < int(re.fullmatch(r"bytes=(\d+)-", second)[1]) <= HALF
    assert waits == [1]
    said = capsys.readouterr().err
    assert re.search(rf"images\.bin from http://127\.0\.0\.1:\d+/x: .*{reason}.*; trying again in 1 s", said)


def test_waits_grow_while_nothing_comes(server, folder, waits):
    fetch(remote(server.plays("/x", *[status(500)] * 5, file(CONTENT))), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert waits == [1, 2, 4, 8, 16]


def test_patience_lasts_as_long_as_something_comes(server, folder, waits):
    pieces = [file(CONTENT, until=end) for end in range(30_000, 300_000, 30_000)]
    assert len(pieces) > download.ATTEMPTS
    fetch(remote(server.plays("/x", *pieces, file(CONTENT))), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert waits == [1] * len(pieces)


def test_a_mirror_that_never_recovers_is_given_up(server, folder, waits):
    url = server.plays("/x", status(503))
    assert asked_were(f"{url}: 503 Service Unavailable (6 attempts)") in refused(remote(url), folder)
    assert len(server.requests) == 6
    assert waits == [1, 2, 4, 8, 16]


def test_a_mirror_that_always_ends_early_and_knows_no_ranges_is_given_up(server, folder):
    url = server.plays("/x", file(CONTENT, until=HALF, knows_ranges=False))
    assert asked_were(f"{url}: the transfer ended before the file did (6 attempts)") in refused(remote(url), folder)
    assert len(server.requests) == 6


def test_what_came_is_kept_for_the_next_run(server, folder):
    url = server.plays("/x", file(CONTENT, until=HALF), status(503))
    refused(remote(url), folder)
    server.requests.clear()
    server.plays("/x", file(CONTENT))
    fetch(remote(url), folder)
    assert server.ranges() == [f"bytes={HALF}-"]


@pytest.mark.parametrize(("asked", "waited"), [("7", 7), ("0", 0), ("100000", 300), ("soon", 1)])
@pytest.mark.parametrize("code", [429, 503])
def test_server_says_how_long_to_wait(server, folder, waits, code, asked, waited):
    fetch(remote(server.plays("/x", status(code, Retry_After=asked), file(CONTENT))), folder)
    assert waits == [waited]


def test_server_that_is_not_there(folder, waits, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = "http://127.0.0.1:9/x"  # the discard service, which nobody runs
    assert asked_were(f"{url}: Connection refused (6 attempts)") in refused(remote(url), folder)
    assert len(waits) == 5


def test_server_that_never_answers(server, folder, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (5.0, 0.1))
    url = server.plays("/x", stall)
    assert asked_were(f"{url}: timed out (6 attempts)") in refused(remote(url), folder)


# --------------------------------------------------------------------------------- what must not be glued together


@pytest.mark.parametrize(
    "second",
    [file(OTHER), file(OTHER, knows_if_range=False)],
    ids=["server knows If-Range", "server does not"],
)
def test_file_that_changed_starts_anew(server, folder, second):
    url = server.plays("/x", file(CONTENT, until=HALF), second)
    fetch(remote(url, **UNKNOWN), folder)
    assert (folder / "images.bin").read_bytes() == OTHER
    assert server.requests[1].headers["If-Range"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'


def test_time_of_the_last_change_stands_in_for_a_tag(server, folder):
    times = ["Sat, 01 Jan 2022 00:00:00 GMT", "Sun, 02 Jan 2022 00:00:00 GMT"]
    first = file(CONTENT, until=HALF, tag='W/"weak"', Last_Modified=times[0])
    url = server.plays("/x", first, file(OTHER, tag='W/"weak"', Last_Modified=times[1]))
    fetch(remote(url, **UNKNOWN), folder)
    assert (folder / "images.bin").read_bytes() == OTHER
    assert server.requests[1].headers["If-Range"] == times[0]


def test_without_tag_and_checksum_every_transfer_starts_anew(server, folder):
    url = server.plays("/x", file(CONTENT, until=HALF, tag=None), file(OTHER, tag=None))
    fetch(remote(url, **UNKNOWN), folder)
    assert (folder / "images.bin").read_bytes() == OTHER
    assert server.ranges() == [None, None]


def test_without_tag_the_checksum_makes_going_on_safe(server, folder):
    url = server.plays("/x", file(CONTENT, until=HALF, tag=None), file(CONTENT, tag=None))
    fetch(remote(url), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_file_that_changed_under_its_tag_is_fetched_whole(server, folder):
    url = server.plays("/x", file(CONTENT, until=HALF, tag='"same"'), file(OTHER, tag='"same"'))
    fetch(remote(url, content=OTHER), folder)
    assert (folder / "images.bin").read_bytes() == OTHER
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_server_that_ignores_ranges_starts_anew(server, folder):
    url = server.plays("/x", file(CONTENT, until=HALF), file(CONTENT, knows_ranges=False))
    fetch(remote(url, **UNKNOWN), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize(
    "lie", ["bytes 0-149999/300000", "bytes 150000-299999/400000", "bytes 150000-299999/*", "items 1-2/3"]
)
def test_another_range_than_asked_for_starts_anew(server, folder, lie, capsys):
    url = server.plays("/x", file(CONTENT, until=HALF), file(CONTENT, content_range=lie))
    fetch(remote(url), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-", None]
    assert "sends other bytes than the rest of the file that was begun; trying again" in capsys.readouterr().err


def test_file_that_became_shorter_starts_anew(server, folder, capsys):
    url = server.plays("/x", file(CONTENT, until=HALF), file(b"short", knows_if_range=False))
    fetch(remote(url, **UNKNOWN), folder)
    assert (folder / "images.bin").read_bytes() == b"short"
    said = "416 Requested Range Not Satisfiable: the file there is another one by now; trying again"
    assert said in capsys.readouterr().err


def test_a_part_of_a_file_that_was_not_asked_for_is_refused(server, folder):
    url = server.plays("/x", status(206, CONTENT[:HALF]))
    assert asked_were(f"{url}: 206 Partial Content") in refused(remote(url), folder)


@pytest.mark.parametrize("loss", ["notes", "part"])
def test_half_of_a_broken_transfer_is_no_use(server, folder, loss):
    url = server.plays("/x", file(CONTENT, until=HALF), status(404))
    refused(remote(url), folder)
    (folder / {"notes": ".images.bin.part.json", "part": ".images.bin.part"}[loss]).unlink()
    server.plays("/x", file(CONTENT))
    fetch(remote(url), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert server.ranges()[-1] is None


def test_part_of_one_mirror_is_not_continued_from_another(server, folder):
    first = server.plays("/1", file(CONTENT, until=HALF), status(404))
    fetch(remote(first, server.plays("/2", file(OTHER)), **UNKNOWN), folder)
    assert (folder / "images.bin").read_bytes() == OTHER
    assert server.ranges()[-1] is None


# ------------------------------------------------------------------------------------------------------ mirrors


@pytest.mark.parametrize(("code", "reason"), [(404, "Not Found"), (403, "Forbidden"), (410, "Gone")])
def test_mirror_without_the_file_gives_way_to_the_next_at_once(server, folder, waits, code, reason):
    urls = server.plays("/1", status(code)), server.plays("/2", file(CONTENT))
    fetch(remote(*urls), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert waits == []
    assert asked_were(f"{urls[0]}: {code} {reason}") in refused(remote(urls[0], name="again.bin"), folder.parent / "b")


def test_every_mirror_is_quoted(server, folder):
    urls = (
        server.plays("/1", status(404)),
        server.plays("/2", status(500)),
        server.plays("/3", file(OTHER)),
        server.plays("/4", file(PAGE)),
        "nonsense://x",
    )
    message = refused(remote(*urls), folder)
    assert message.startswith(f"{folder / 'images.bin'}: could not be fetched; try again later, or download it")
    digests = [hashlib.sha256(content).hexdigest() for content in (OTHER, CONTENT)]
    assert message.splitlines()[1:] == [
        f"  {urls[0]}: 404 Not Found",
        f"  {urls[1]}: 500 Internal Server Error (6 attempts)",
        f"  {urls[2]}: {'its sha256 is {}, expected {}'.format(*digests)}",
        f"  {urls[3]}: sends a web page (HTML) in place of the file",
        "  nonsense://x: No connection adapters were found for 'nonsense://x'",
    ]


# ------------------------------------------------------------------------------------------- what is not the file


@pytest.mark.parametrize(
    "answer",
    [
        file(CONTENT, Content_Type="text/html; charset=utf-8"),
        file(PAGE),
        file(b"\xef\xbb\xbf<HTML lang=en>"),
        file(b"<body>"),
    ],
)
def test_page_in_place_of_the_file_is_refused(server, folder, waits, answer):
    url = server.plays("/x", answer)
    assert asked_were(f"{url}: sends a web page (HTML) in place of the file") in refused(remote(url, **UNKNOWN), folder)
    assert waits == []


def test_page_that_is_the_file(server, folder):
    url = server.plays("/x", file(PAGE, Content_Type="text/html"))
    fetch(remote(url, name="index.html", content=PAGE), folder)
    assert (folder / "index.html").read_bytes() == PAGE


def test_file_of_another_size_is_refused_before_it_comes(server, folder):
    url = server.plays("/x", file(CONTENT, then=stall))
    message = refused(remote(url, size=123_456), folder)
    assert asked_were(f"{url}: has another file, of 300,000 bytes instead of 123,456") in message
    assert not (folder / ".images.bin.part").exists()


def test_more_bytes_than_the_file_has_are_refused(server, folder):
    def endless(request):
        request.head(200, Transfer_Encoding="chunked")
        while not request.server.faulty.is_closed.is_set():
            request.body(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    url = server.plays("/x", endless)
    message = refused(remote(url, size=1000), folder)
    assert asked_were(f"{url}: sends more than the 1,000 bytes of the file") in message
    assert not (folder / ".images.bin.part").exists()


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_wrong_checksum_leaves_no_part(server, folder, waits, kind):
    url = server.plays("/x", file(OTHER))
    found, expected = (hashlib.new(kind, content).hexdigest() for content in (OTHER, CONTENT))
    message = refused(remote(url, **{kind: expected}), folder)
    assert asked_were(f"{url}: its {kind} is {found}, expected {expected}") in message
    assert [path.name for path in folder.iterdir()] == [".images.bin.lock"]
    assert waits == []


def test_identity_is_asked_for(server, folder):
    fetch(remote(server.plays("/x", file(CONTENT))), folder)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_bytes_compressed_on_the_way_are_refused(server, folder):
    url = server.plays("/x", file(gzip.compress(CONTENT), Content_Encoding="gzip"))
    message = refused(remote(url), folder)
    assert asked_were(f"{url}: sends the file compressed (gzip) though it was asked not to") in message


def test_archive_that_the_server_calls_compressed_arrives_as_it_is(server, folder):
    archive = gzip.compress(CONTENT)
    url = server.plays("/x", file(archive, until=HALF, Content_Encoding="x-gzip"), file(archive))
    fetch(remote(url, name="images.tar.gz", content=archive), folder)
    assert (folder / "images.tar.gz").read_bytes() == archive


# ------------------------------------------------------------------------------------------------------ the disk


@pytest.mark.parametrize("known", [{"size": len(CONTENT)}, UNKNOWN], ids=["size known", "size told by the server"])
def test_room_is_looked_for_first(server, folder, monkeypatch, known):
    usage = namedtuple("usage", "total used free")(10, 0, 299_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    url = server.plays("/x", file(CONTENT))
    message = refused(remote(url, **known), folder)
    assert message == (
        f"{folder / 'images.bin'}: 300,000 bytes are to come, but only 299,999 are free on this disk; "
        "make room or choose another folder, then run again to resume"
    )
    assert server.requests == [] or not known["size"]
    assert not (folder / ".images.bin.part").exists()


def test_room_is_looked_for_first_where_the_size_is_known_roughly(server, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "total used free")(10, 0, 299_999))
    url = server.plays("/x", file(CONTENT))
    assert "310,000 bytes are to come, but only 299,999 are free" in refused(
        remote(url, **UNKNOWN, about=310_000), folder
    )
    assert server.requests == []


def test_only_what_is_still_to_come_needs_room(server, folder, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 0, HALF)
    url = server.plays("/x", file(CONTENT, until=HALF), status(404))
    refused(remote(url), folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    server.plays("/x", file(CONTENT))
    fetch(remote(url, size=len(CONTENT)), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device without room")
def test_disk_that_fills_up_on_the_way(server, folder, monkeypatch):
    opened = Path.open
    full = Path("/dev/full")

    def on_a_full_disk(path, mode="r", **settings):
        return opened(full if mode == "ab" else path, mode, **settings)

    monkeypatch.setattr(Path, "open", on_a_full_disk)
    message = refused(remote(server.plays("/x", file(CONTENT))), folder)
    assert message == (
        f"{folder / 'images.bin'}: fetching failed (No space left on device); "
        "make room or choose another folder, then run again to resume"
    )


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"images\.bin: cannot be written \(.*\); choose an output folder"):
        fetch(remote("http://127.0.0.1:9/x"), tmp_path / "file" / "folder")


def test_folder_in_place_of_the_file(server, folder):
    (folder / "images.bin").mkdir(parents=True)
    with pytest.raises(DataError, match=r"images\.bin: fetching failed \(Is a directory\); fix that and run again"):
        fetch(remote(server.plays("/x", file(CONTENT))), folder)


# -------------------------------------------------------------------------------------------------- processes


def fetching(wanted, folder):
    """Return another process that fetches."""
    program = f"from ganformer.data.fetching.download import *; fetch({wanted!r}, Path({str(folder)!r}))"
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)


def wait_for(condition):
    while not condition():
        time.sleep(0.01)


def test_killed_process_is_continued_by_the_next(server, folder):
    wanted = remote(server.plays("/x", file(CONTENT, until=HALF, then=stall)))  # so that it cannot end by itself
    part = folder / ".images.bin.part"
    with fetching(wanted, folder) as process:
        wait_for(lambda: part.exists() and part.stat().st_size > 50_000)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert visible(folder) == []
    came = part.stat().st_size
    assert came < len(CONTENT)
    server.plays("/x", file(CONTENT))
    fetch(wanted, folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={came}-"]
    assert server.requests[1].sent == len(CONTENT) - came


def test_file_that_only_was_not_compared_yet_is_not_asked_for_again(server, folder, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    wanted = remote(server.plays("/x", file(CONTENT), status(404)))
    with monkeypatch.context() as patch:
        patch.setattr(download, "_digest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(wanted, folder)
    assert visible(folder) == []
    fetch(wanted, folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_two_processes_fetch_one_file_once(server, folder):
    gate = threading.Event()
    wanted = remote(server.plays("/x", file(CONTENT, gate=gate)))
    with fetching(wanted, folder) as first:
        wait_for(lambda: server.requests)
        with fetching(wanted, folder) as second:
            said = second.stderr.readline()
            gate.set()
            second.communicate()
        assert first.wait() == second.returncode == 0
    assert f"{folder / 'images.bin'}: another process is making it; waiting for that to end" in said
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------- Google Drive


@pytest.fixture
def drive(server, monkeypatch):
    """Provide stands for Google Drive."""
    monkeypatch.setattr(download, "DRIVE", server.url("/uc?id={}"))
    return server


def confirmation(server):
    """Return the page before files that are too large to be scanned for viruses."""
    return file(
        f'<!DOCTYPE html><form id="download-form" action="{server.url("/download")}" method="get">'
        '<input type="hidden" name="id" value="ID"><input type="hidden" name="confirm" value="t"></form>'.encode(),
        Content_Type="text/html; charset=utf-8",
    )


QUOTA = (
    b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>\n"
    b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>'
)


def test_drive_gives_small_files_at_once(drive, folder):
    drive.plays("/uc", file(CONTENT, Content_Disposition="attachment"))
    fetch(remote("gdrive:ID"), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert [request.path for request in drive.requests] == ["/uc?id=ID"]


def test_drive_is_told_that_a_large_file_is_wanted_all_the_same(drive, folder):
    drive.plays("/uc", confirmation(drive))
    drive.plays("/download", file(CONTENT, until=HALF), file(CONTENT))
    fetch(remote("gdrive:ID"), folder)
    assert (folder / "images.bin").read_bytes() == CONTENT
    assert [request.path for request in drive.requests] == ["/uc?id=ID", "/download?id=ID&confirm=t"] * 2
    assert drive.ranges()[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (QUOTA, "Too many users have viewed or downloaded this file recently."),
        (b"<html>", "Cannot retrieve the public link of the file."),
    ],
)
def test_drive_refuses(drive, folder, page, reason):
    drive.plays("/uc", file(page, Content_Type="text/html"))
    said = f"{drive.url('/uc?id=ID')}: Google Drive sends a page in place of the file: {reason}"
    assert asked_were(said) in refused(remote("gdrive:ID"), folder)


def test_drive_refuses_after_the_confirmation(drive, folder):
    drive.plays("/uc", confirmation(drive))
    drive.plays("/download", file(QUOTA, Content_Type="text/html"))
    said = f"{drive.url('/uc?id=ID')}: sends a web page (HTML) in place of the file"
    assert asked_were(said) in refused(remote("gdrive:ID"), folder)


def test_drive_has_no_such_file(drive, folder):
    drive.plays("/uc", status(404, b"<html>", Content_Type="text/html"))
    assert asked_were(f"{drive.url('/uc?id=ID')}: 404 Not Found") in refused(remote("gdrive:ID"), folder)


def test_drive_is_shown_by_its_address():
    assert download.address("gdrive:ID") == "https://drive.google.com/uc?id=ID"
    assert download.address("https://a/b") == "https://a/b"


def test_the_innermost_reason_is_named() -> None:
    try:
        try:
            raise ValueError("bad header")
        except ValueError as error:
            raise OSError("wrapped") from error
    except OSError as error:
        wrapped = error
    assert download._cause(wrapped) == "bad header"
    assert download._cause(OSError(5, "Input/output error")) == "Input/output error"
    assert download._cause(KeyError()) == "KeyError"
