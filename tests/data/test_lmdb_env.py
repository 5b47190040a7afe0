"""LMDB environments: opened once, shared, read in forked processes, never written, whole or refused."""

import gc
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import lmdb
import pytest

from ganformer.data.containers import lmdb_env
from ganformer.data.containers.lmdb_env import check, environment, keys


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "map"
    write(path, b"first")
    return path


def write(path, value, subdir=True, count=100, size=1000):
    with lmdb.open(str(path), subdir=subdir, map_size=1 << 22, lock=False) as opened, opened.begin(write=True) as new:
        for number in range(count):
            new.put(b"%03d" % number, value * size)


def first(opened):
    with opened.begin() as transaction:
        return transaction.get(b"000")[:5]


def test_opened_once_by_whatever_name(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    opened = environment(folder)
    assert all(environment(path) is opened for path in (folder, folder / "data.mdb", tmp_path / "link"))
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(environment, [folder] * 100)) == {opened}


def test_threads_that_open_at_once_get_the_same(folder):
    with ThreadPoolExecutor(8) as threads:
        assert len({id(opened) for opened in list(threads.map(environment, [folder] * 8))}) == 1


@pytest.mark.slow
def test_closed_when_nobody_holds_it(folder):
    opened = environment(folder)
    del opened
    gc.collect()
    with lmdb.open(str(folder), readonly=True, lock=False) as again:  # refused while it is open
        assert first(again) == b"first"


def test_environment_that_others_hold_open_is_refused(folder, monkeypatch):
    monkeypatch.setattr("ganformer.data.containers.lmdb_env.CLOSING_SECONDS", 0.05)
    with (
        lmdb.open(str(folder / "data.mdb"), subdir=False, readonly=True, lock=False),
        pytest.raises(ValueError, match="is already open in this process"),
    ):
        environment(folder)


def test_threads_open_and_let_go_at_once(folder):
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: first(environment(folder)), range(2000))) == {b"first"}


@pytest.mark.slow
def test_transaction_keeps_it_open(folder):
    transaction = environment(folder).begin()
    gc.collect()
    assert transaction.get(b"099")[:5] == b"first"


def test_replaced_file_is_opened_anew(folder, tmp_path):
    old = environment(folder)
    write(tmp_path / "other", b"other", subdir=False)
    (tmp_path / "other").replace(folder / "data.mdb")
    assert (first(old), first(environment(folder))) == (b"first", b"other")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests' threads
def test_forked_process_goes_on(folder):
    opened = environment(folder)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put((first(opened), first(environment(folder)))))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert queue.get() == (b"first", b"first")
    assert first(opened) == b"first"


def test_nothing_is_written(folder):
    before = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").chmod(0o444)
    folder.chmod(0o555)
    try:
        assert first(environment(folder)) == b"first"
    finally:
        folder.chmod(0o755)
    assert [path.name for path in folder.iterdir()] == ["data.mdb"]
    assert (folder / "data.mdb").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda whole: b"", "is empty"),
        (lambda whole: b"no map of anything" * 1000, "not an LMDB file"),
        (lambda whole: whole[:5000], r"is cut short: 5000 bytes of \d+"),
        (lambda whole: whole[:-4096], "is cut short"),
    ],
)
def test_damaged_file_is_refused(folder, change, reason):
    file = folder / "data.mdb"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match=reason):
        environment(folder)


@pytest.mark.parametrize("portion", [1, 7, 99, 100, 101])
def test_keys_come_in_their_order_whatever_the_portions(folder, monkeypatch, portion):
    monkeypatch.setattr("ganformer.data.containers.lmdb_env.BATCH_KEYS", portion)
    assert list(keys(folder)) == [b"%03d" % number for number in range(100)]


def test_no_keys(tmp_path):
    write(tmp_path / "map", b"", count=0)
    assert list(keys(tmp_path / "map")) == []


@pytest.mark.parametrize("name", [None, b"\xffname"])
def test_the_named_database_is_the_one_that_is_walked(folder, monkeypatch, name):
    called = []
    monkeypatch.setattr(
        lmdb_env.subprocess,
        "run",
        lambda words, **_: called.append(words) or SimpleNamespace(returncode=0),
    )
    check(folder, name)
    assert called[0][3:] == [folder, *([] if name is None else [name.hex()])]


def test_as_many_names_of_databases_are_found_as_the_limit(tmp_path, monkeypatch):
    with lmdb.open(str(tmp_path / "map"), map_size=1 << 22, max_dbs=3) as opened:
        for name in (b"a", b"b", b"c"):
            opened.open_db(name)
    assert lmdb_env.names(tmp_path / "map") == [b"a", b"b", b"c"]
    monkeypatch.setattr(lmdb_env, "MAX_DATABASES", 2)
    assert lmdb_env.names(tmp_path / "map") == [b"a", b"b"]


def test_environment_is_let_go_between_portions_of_keys(folder, monkeypatch):
    monkeypatch.setattr("ganformer.data.containers.lmdb_env.BATCH_KEYS", 10)
    for _ in keys(folder):
        with lmdb.open(str(folder), readonly=True, lock=False):  # refused while it is open
            pass


def test_missing_file(folder):
    (folder / "data.mdb").unlink()
    with pytest.raises(FileNotFoundError):
        environment(folder)


def test_damaged_page_does_not_end_this_process(tmp_path):
    write(tmp_path / "map", b"x", count=1000, size=500)
    check(tmp_path / "map")
    content = bytearray((tmp_path / "map" / "data.mdb").read_bytes())
    half = len(content) // 8192 * 4096
    content[half : half + 4096] = bytes(4096)
    (tmp_path / "map" / "data.mdb").write_bytes(content)
    with pytest.raises(ValueError, match=r"Assertion .* failed|MDB_CORRUPTED"):
        check(tmp_path / "map")


def test_lost_entries_are_noticed(folder):
    file = folder / "data.mdb"
    whole = file.read_bytes()
    with lmdb.open(str(folder), readonly=True, lock=False) as opened:
        entries = opened.stat()["entries"].to_bytes(8, "little")
    file.write_bytes(whole.replace(entries, (101).to_bytes(8, "little")))
    with pytest.raises(ValueError, match="100 of 101 entries can be found"):
        check(folder)
