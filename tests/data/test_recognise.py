"""What a path or a name stands for."""

import json
import os
import tracemalloc

import pytest

from ganformer.data.recognise import recognise
from ganformer.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(f"a{suffix}", "archive") for suffix in (".zip", ".ZIP", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")],
        *[("a.npy", "arrays"), ("a.npz", "arrays"), ("a.h5", "hdf5"), ("a.hdf5", "hdf5"), ("data.mdb", "lmdb")],
        *[("ffhq-r08.tfrecords1of1", "tfrecords"), ("manifest.json", "pack")],
    ],
)
def test_file_is_told_by_its_name(tmp_path, name, kind):
    (tmp_path / name).touch()
    assert recognise(str(tmp_path / name)) == {"kind": kind, "path": str(tmp_path / name)}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("manifest.json", "pack"),
        ("data.mdb", "lmdb"),
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
    with pytest.raises(ConfigError, match=r"'clever' is neither .* \(did you mean 'clevr'\?\) nor tfds:NAME"):
        recognise("clever")
