"""Detection of the source that a path or a name stands for."""

import json
import os
import tarfile
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from ganformer.data.packing.detect import recognise
from ganformer.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(f"a{suffix}", "archive") for suffix in (".zip", ".ZIP", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")],
        *[("a.npy", "arrays"), ("a.npz", "arrays"), ("a.h5", "hdf5"), ("a.hdf5", "hdf5"), ("data.mdb", "lmdb")],
        *[("ffhq-r08.tfrecords1of1", "tfrecords"), ("manifest.json", "pack"), ("a.parquet", "parquet")],
        *[(name, "tfrecords") for name in ("a.tfrecord", "a.tfrecords", "train-00000-of-01024")],
    ],
)
def test_file_is_told_by_its_name(tmp_path, name, kind):
    (tmp_path / name).touch()
    assert recognise(str(tmp_path / name)) == {"kind": kind, "path": str(tmp_path / name)}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("manifest.json", "folder"),  # an empty one is none of ours
        ("data.mdb", "lmdb"),
        ("train-00000-of-00002.parquet", "parquet"),
        ("data/train-00000-of-00002.parquet", "parquet"),
        ("train-000000.tar", "webdataset"),
        ("clevr-r08.tfrecords1of5", "tfrecords"),
        ("clevr/clevr-r08.tfrecords1of5", "tfrecords"),
        ("deep/clevr/clevr-r08.tfrecords1of5", "folder"),
        ("a.png", "folder"),
    ],
)
def test_folder_is_told_by_its_content(tmp_path, content, kind):
    (tmp_path / "images" / content).parent.mkdir(parents=True)
    (tmp_path / "images" / content).touch()
    assert recognise(str(tmp_path / "images")) == {"kind": kind, "path": str(tmp_path / "images")}


MANIFEST = {"version": 2, "count": 1, "crop": {}, "rejected": [], "shards": [{"file": "images-00000.npy"}], "files": []}


def test_folder_with_a_pack_is_one_unless_pictures_lie_beside_it(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    for name in ("images-00000.npy", "contact-sheet.png", "mean.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    assert recognise(str(tmp_path))["kind"] == "pack"
    (tmp_path / "mine.png").touch()
    with pytest.raises(ConfigError) as error:
        recognise(str(tmp_path))
    assert f"for the pack name {tmp_path}/manifest.json" in str(error.value)
    assert f'{{"kind": "folder", "path": "{tmp_path}"}}' in str(error.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("data.mdb", "lmdb"),
        ("train-00000-of-00001.tfrecord", "tfrecords"),
        ("sub/a.tfrecords", "tfrecords"),
        ("hf.parquet", "parquet"),
        ("000000.tar", "webdataset"),
    ],
)
def test_container_among_pictures_hides_none_of_them(tmp_path, name, kind):
    """The user must say which of both are meant."""
    for path in (name, "cat/deep/1.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(ConfigError) as error:
        recognise(str(tmp_path), "--real")
    message = str(error.value)
    assert message.startswith(
        f"--real: {tmp_path} holds files of kind {kind} and pictures, such as {tmp_path}/cat/deep"
    )
    assert f'{{"kind": "{kind}", "path": "{tmp_path}"}} or {{"kind": "folder", "path": "{tmp_path}"}}' in message


def test_tars_with_tables_beside_them_are_a_webdataset(tmp_path):
    for name in ("00000.tar", "00000.parquet", "00000_stats.json"):
        (tmp_path / name).touch()
    assert recognise(str(tmp_path))["kind"] == "webdataset"


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(ConfigError, match="is neither a file nor a folder; name one of these"):
        recognise(str(tmp_path / "a.zip"))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "manifest.json")
    assert recognise(str(tmp_path / "folder"))["kind"] == "folder"


def saved_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 8, 8, 3), np.uint8))


def saved_matlab(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["X"] = np.zeros((2, 3, 8, 8), np.uint8)


def saved_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.png", b"")


def saved_tar(path, *names, mode="w"):
    with tarfile.open(path, mode) as file:
        for name in names:
            file.addfile(tarfile.TarInfo(name))


@pytest.mark.parametrize(
    ("save", "kind"),
    [
        (saved_array, "arrays"),
        (saved_matlab, "hdf5"),
        (saved_zip, "archive"),
        (lambda path: saved_tar(path, "a.png", "b.png"), "archive"),
        (lambda path: saved_tar(path, "a.png", mode="w:gz"), "archive"),
        (lambda path: saved_tar(path, "a.png", "a.cls", "b.png", "b.cls"), "webdataset"),
        (lambda path: saved_tar(path, *(f"{s}.{p}.png" for s in "abc" for p in ("input", "mask"))), "webdataset"),
        (lambda path: saved_tar(path, "photo.2019.png", "photo.png", "other.png"), "archive"),
        (lambda path: saved_tar(path, "IMG.2019.0.png", "IMG.2019.1.png"), "archive"),
        (lambda path: saved_tar(path, "cat/0.png", "cat/0.json", "dog/0.png", "dog/0.json"), "archive"),
    ],
)
@pytest.mark.parametrize("name", ["data.mat", "no-suffix", "wrong.npy"])
def test_file_is_told_by_its_content_whatever_its_name(tmp_path, name, save, kind):
    save(tmp_path / name)
    assert recognise(str(tmp_path / name)) == {"kind": kind, "path": str(tmp_path / name)}


def test_other_files_are_refused_by_what_they_are(tmp_path):
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(512))
    with pytest.raises(
        ConfigError, match=r"old\.mat is a MATLAB file of version 5, .*; save it with -v7\.3, or its pictures as npy"
    ):
        recognise(str(tmp_path / "old.mat"))
    Image.new("RGB", (8, 8)).save(tmp_path / "a", "png")
    with pytest.raises(
        ConfigError, match="is a single picture; name the folder it is in, or a folder of its own for it"
    ):
        recognise(str(tmp_path / "a"))


def test_pattern_is_a_webdataset():
    assert recognise("train-{000000..000009}.tar") == {"kind": "webdataset", "path": "train-{000000..000009}.tar"}
    assert recognise("{a,b}/x.tar")["kind"] == "webdataset"


def test_link_to_itself_hides_no_records(tmp_path):
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "x-r08.tfrecords1of1").touch()
    assert recognise(str(tmp_path))["kind"] == "tfrecords"


def test_folder_that_cannot_be_listed_is_left_to_its_reader(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    assert recognise(str(tmp_path)) == {"kind": "folder", "path": str(tmp_path)}


def test_names_in_a_folder_are_not_kept_in_memory(tmp_path):
    for number in range(2_000):
        (tmp_path / f"{number:0200d}").touch()
    recognise(str(tmp_path))
    tracemalloc.start()
    try:
        recognise(str(tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 100_000  # the names alone are 400 kB
    finally:
        tracemalloc.stop()


def test_data_sets_are_told_by_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recognise("tfds:cifar10") == {"kind": "tfds", "name": "cifar10"}
    assert recognise("tfds:cifar10:test") == {"kind": "tfds", "name": "cifar10", "split": "test"}
    assert recognise("clevr")["kind"] == "clevr"
    assert recognise("clevr-original") == {"kind": "clevr", "edition": "original"}
    (tmp_path / "clevr").mkdir()
    assert recognise("clevr") == {"kind": "folder", "path": "clevr"}


def test_settings_may_be_spelt_out():
    settings = {"kind": "cityscapes", "edition": "original", "path": "streets"}
    assert recognise(json.dumps(settings)) == settings
    with pytest.raises(ConfigError, match="--source: is not valid JSON"):
        recognise("{kind: clevr}")


def test_what_is_nothing_of_this_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(ConfigError, match=r"a.txt is a file of no known kind; allowed are \.zip, .*folders of images"):
        recognise(str(tmp_path / "a.txt"))
    with pytest.raises(ConfigError, match=r"'clever': there is no such file .* of this name; did you mean 'clevr'\?"):
        recognise("clever")
    with pytest.raises(
        ConfigError, match=r"'xyz': there is no such file or folder, .*`ganformer data download` lists those"
    ):
        recognise("xyz")
    with pytest.raises(ConfigError, match=r"'pictures/xyz': there is no such file or folder; correct the path"):
        recognise("pictures/xyz")
    with pytest.raises(ConfigError, match=r"'https://.*' is an address, and only .* are fetched; download it first"):
        recognise("https://example.org/a.zip")
