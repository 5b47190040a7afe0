"""Files are whole or absent; equal settings have equal digests."""

import errno
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import pytest

from ganformer import artifacts
from ganformer.cli.common import cores
from ganformer.errors import DataError


def test_old_file_survives_an_error_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "deep" / "file.json"
    artifacts.write_json(path, {"a": 1})

    def fail():
        with artifacts.atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert artifacts.read_json(path) == {"a": 1}
    assert [file.name for file in path.parent.iterdir()] == ["file.json"]


def test_not_a_number_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        artifacts.write_json(tmp_path / "metrics.json", {"fd": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/out\.json: cannot be written .*choose an output folder"):
        artifacts.write_text(tmp_path / "file" / "out.json", "")


def test_a_place_for_a_file_is_checked_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path in (tmp_path / "new.json", tmp_path / "file", tmp_path / "deep" / "below" / "new.json"):
        artifacts.check_file(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(DataError, match=r"new\.json: cannot be written \(Not a directory\); choose an output folder"):
        artifacts.check_file(tmp_path / "file" / "below" / "new.json")
    if Path("/proc/self").exists():
        with pytest.raises(DataError, match=r"new\.json: cannot be written \(.*\); choose an output folder"):
            artifacts.check_file(Path("/proc/new.json"))

    def refuse(**options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(DataError, match=r"new\.json: cannot be written \(Read-only file system\); choose an output"):
        artifacts.check_file(tmp_path / "new.json")


@pytest.mark.parametrize("call", [artifacts.check_file, lambda path: artifacts.write_text(path, "")])
def test_what_is_no_file_is_never_replaced(tmp_path, call):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder: is a folder, but a file is to be written; name one"):
        call(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: is a device or a pipe, which no file may replace; name a file"):
        call(tmp_path / "pipe")
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "pipe"}


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ("{", "is not valid JSON")])
def test_unreadable_json_is_named(tmp_path, text, message):
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=rf"run\.json: {message}"):
        artifacts.read_json(path)


def test_digest_ignores_the_order_of_keys():
    assert artifacts.digest({"a": 1, "b": [2, 3]}) == artifacts.digest({"b": [2, 3], "a": 1})
    assert artifacts.digest({"a": 1}) != artifacts.digest({"a": 2})


def test_file_digest_is_the_known_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert artifacts.file_digest(tmp_path / "abc") == expected


def test_provenance_can_be_stored():
    record = {"code": artifacts.code_version(), "hardware": artifacts.hardware()}
    assert json.loads(json.dumps(record))["hardware"]["cores"] >= 1
    assert record["code"]["ganformer"]


@pytest.mark.parametrize(
    ("number", "is_full"),
    [*((name, True) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS")), ("EACCES", False), ("EIO", False)],
)
def test_what_a_disk_says_that_takes_no_more(number, is_full):
    error = OSError(getattr(errno, number), "words")
    assert (artifacts.refusal(error) == os.strerror(error.errno)) is is_full
    assert artifacts.refusal(ValueError()) is None


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((tmp_path / "a").exists()))
    artifacts.write_text(tmp_path / "a", "text")
    assert synced == [False]
    assert (tmp_path / "a").read_text() == "text"


@pytest.mark.parametrize(
    ("name", "of"),
    [(".a.json.12.tmp", "a.json"), (".a\nb.12.tmp", "a\nb"), ("a.12.tmp", None), (".a.tmp", None), (".a.x.tmp", None)],
)
def test_temporary_files_are_known_by_their_names(name, of):
    assert artifacts.of_temporary(name) == of


def test_only_the_folder_results_stands_for_another(monkeypatch):
    paths = [Path("results/data/x"), Path("mine/results/x"), Path("/results/x")]
    monkeypatch.delenv(artifacts.RESULTS, raising=False)
    assert [artifacts.placed(path) for path in paths] == paths
    monkeypatch.setenv(artifacts.RESULTS, "/elsewhere")
    assert [artifacts.placed(path) for path in paths] == [Path("/elsewhere/data/x"), *paths[1:]]


def test_reading_for_a_checksum_is_counted_in_bytes(tmp_path):
    (tmp_path / "a").write_bytes(bytes(artifacts.CHUNK + 5))
    counted = []
    artifacts.file_digest(tmp_path / "a", counted.append)
    assert counted == [artifacts.CHUNK, 5]


@pytest.mark.parametrize("changed", ["", " M file"])
def test_code_is_known_by_its_commit_in_a_checkout_of_its_own_only(changed, monkeypatch):
    root = Path(artifacts.__file__).resolve().parent.parent
    answers = {
        ("rev-parse", "--show-toplevel"): str(root),
        ("rev-parse", "--short=12", "HEAD"): "0123456789ab",
        ("status", "--porcelain", "--untracked-files=no"): changed,
    }
    monkeypatch.setattr(artifacts, "_git", lambda folder, *words: answers[words])
    version = {"ganformer": artifacts.__version__}
    assert artifacts.code_version() == {**version, "commit": "0123456789ab", "dirty": bool(changed)}
    answers["rev-parse", "--show-toplevel"] = str(root.parent)
    assert artifacts.code_version() == version

    def is_missing(folder, *words):
        raise FileNotFoundError

    monkeypatch.setattr(artifacts, "_git", is_missing)
    assert artifacts.code_version() == version


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert artifacts.hardware()["cores"] == cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # which only Linux has
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert artifacts.hardware()["cores"] == cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_canonical_texts_stay_what_they_are():
    """All digests, and so all results that are there, depend on them."""
    assert artifacts.canonical({"b": [1, 2.5, None], "a": {"ä": True}}) == '{"a":{"\\u00e4":true},"b":[1,2.5,null]}'
    assert artifacts.digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of {}
    with pytest.raises(ValueError, match="JSON"):
        artifacts.canonical(float("inf"))


def test_records_are_written_to_be_read(tmp_path):
    """Indented, in the order given, with letters as they are; bytes of paths that are no text come back."""
    value = {"b": "ä→", "a": [os.fsdecode(b"x\xff")]}
    artifacts.write_json(tmp_path / "a.json", value)
    expected = '{\n  "b": "ä→",\n  "a": [\n    "x\\udcff"\n  ]\n}\n'
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == expected
    assert artifacts.read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize(
    ("found", "expected", "is_so"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2}}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"b": {"c": 1}}, {"b": {"c": 2}}, False),
        ({"b": 3}, {"b": {"c": 2}}, False),
        ({"a": [1, 2]}, {"a": (1, 2)}, True),
        ({"a": [1, 2, 3]}, {"a": [1, 2]}, False),
        ([1], {"a": 1}, False),
    ],
)
def test_a_record_may_hold_more_than_is_expected_of_it(found, expected, is_so):
    assert artifacts.agrees(found, expected) is is_so


def test_a_file_of_the_same_origin_stays_and_that_is_said(tmp_path, capsys):
    out, origin = tmp_path / "x.npz", {"weights": "a"}
    assert not artifacts.is_kept(out, None, origin)
    assert not artifacts.is_kept(out, {"weights": "b"}, origin)
    assert artifacts.is_kept(out, {"weights": "a", "seconds": 3}, origin, is_silent=True)
    assert capsys.readouterr().out == ""
    assert artifacts.is_kept(out, {"weights": "a", "seconds": 3}, origin)
    words = "is of these weights, images and settings already and stays; delete it to make it again"
    assert capsys.readouterr().out == f"{out}: {words}\n"


def test_what_cannot_be_read_is_not_there(tmp_path):
    for name, content in (("text", b"{"), ("bytes", b"\xff"), ("json", b"[1]")):
        (tmp_path / name).write_bytes(content)
    found = {name: artifacts.read_existing(tmp_path / name) for name in ("absent", "text", "bytes", "json")}
    assert found == {"absent": None, "text": None, "bytes": None, "json": [1]}


def test_the_machine_is_described_as_the_system_does(monkeypatch, tmp_path):
    found, system = artifacts.hardware(), os.uname()
    assert (found["machine"], found["system"]) == (system.machine, f"{system.sysname} {system.release}")
    assert found["python"] == sys.version.split()[0]
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Example: CPU 3000 \nmodel name\t: other\n")
    monkeypatch.setattr(artifacts, "Path", lambda name: tmp_path / Path(name).name)
    assert artifacts.hardware()["processor"] == "Example: CPU 3000"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n")
    for known, expected in (("known", "known"), ("", "unknown")):
        monkeypatch.setattr(platform, "processor", lambda known=known: known)
        assert artifacts.hardware()["processor"] == expected
