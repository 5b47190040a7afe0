"""Parquet as Hugging Face's `datasets` writes it: which column, labels and their names, shards, memory, damage."""

import importlib
import json
import pickle
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganformer.config import Dataset, ImageSpec
from ganformer.data.packing.detect import recognise
from ganformer.data.packing.pack import pack
from ganformer.data.source import Rejection
from ganformer.data.sources import parquet
from ganformer.data.sources.parquet import Config, open_source
from ganformer.errors import DataError
from tests.data.noisy import IMAGE, NOISE, encoded, loaded, shown, which

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LABELLED = ImageSpec(height=8, width=8, classes=3)


def picture(number):
    return {"bytes": encoded(number), "path": f"{number}.png"}


def write(path, group=None, names=None, batch=None, **columns):
    """Write a file; `names`: those of the classes, as `datasets` notes them."""
    path.parent.mkdir(exist_ok=True, parents=True)
    table = pa.table(columns)
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=group, write_batch_size=batch)
    return path


def opened(path, image=IMAGE, **settings):
    return open_source(Config(kind="parquet", path=path, **settings), image)


@pytest.mark.parametrize("group", [None, 1, 2, 5])
def test_pictures_of_datasets(tmp_path, group):
    images = [picture(number) for number in range(7)]
    path = write(tmp_path / "a.parquet", group, ["cat", "dog", "owl"], image=images, label=[0, 1, 2, 0, -1, None, 1])
    source = opened(path, LABELLED)
    labels = [0, 1, 2, 0, None, None, 1]
    expected = {f"a.parquet[{number}]": (number, labels[number]) for number in range(7)}
    assert shown(source) == expected
    assert (len(source), source.classes, list(source.class_names)) == (7, 3, ["cat", "dog", "owl"])
    there = pickle.loads(pickle.dumps(source))
    for key in reversed(list(source.keys())):
        (sample,) = there.load([pickle.loads(pickle.dumps(key))])
        assert (which(sample), sample.label) == expected[sample.name]
    assert {label for _, label in shown(opened(path)).values()} == {None}


def test_rows_are_read_in_any_order(tmp_path):
    """Also across those that are read at once."""
    source = opened(write(tmp_path / "a.parquet", image=[picture(number % 3) for number in range(40)]))
    keys = list(source.keys())
    for number in (39, 0, 20, 19, 5):
        (sample,) = source.load([keys[number]])
        assert (sample.name, which(sample)) == (f"a.parquet[{number}]", number % 3)


@pytest.mark.parametrize(("names", "classes"), [(["cat"], 3), (["cat", "dog", "owl", "fox"], 4), (None, 3)])
def test_classes_are_at_least_as_many_as_labels_and_names(tmp_path, names, classes):
    images = [picture(number) for number in range(2)]
    assert opened(write(tmp_path / "a.parquet", None, names, image=images, label=[0, 2]), LABELLED).classes == classes


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_plain_bytes(tmp_path, kind):
    values = pa.array([encoded(1), encoded(2)], getattr(pa, kind)())
    path = write(tmp_path / "a.parquet", jpg=values, text=["a", "b"], label=[4, 0])
    assert shown(opened(path, LABELLED)) == {"a.parquet[0]": (1, 4), "a.parquet[1]": (2, 0)}
    assert opened(path, LABELLED).classes == 5
    assert list(opened(path).class_names) == []


def test_rows_without_a_picture(tmp_path):
    images = [picture(1), {"bytes": None, "path": "b.png"}, None, {"bytes": b"text", "path": None}, picture(2)]
    one, other, third, fourth, last = loaded(opened(write(tmp_path / "a.parquet", image=images)))
    assert (which(one), which(last)) == (1, 2)
    assert other == Rejection(
        "a.parquet[1]", "has no bytes of a picture but the path 'b.png', which leads out of this file"
    )
    assert third == Rejection("a.parquet[2]", "has no bytes of a picture")
    assert isinstance(fourth, Rejection)


def test_which_column(tmp_path):
    path = write(tmp_path / "a.parquet", x=[picture(1)], y=[encoded(2)], z=["text"])
    with pytest.raises(DataError, match=r"several columns can be pictures; name one in column\. There is 'x' struct<"):
        opened(path)
    assert shown(opened(path, column="y")) == {"a.parquet[0]": (2, None)}
    with pytest.raises(
        DataError, match=r"has no column 'w'; correct column\. There is 'x' struct<.*'y' binary, 'z' st"
    ):
        opened(path, column="w")
    with pytest.raises(
        DataError, match="column 'z' of string holds no pictures, which are binary or struct<bytes, path>"
    ):
        opened(path, column="z")
    path = write(tmp_path / "b.parquet", z=["text"])
    with pytest.raises(DataError, match=r"no column can be pictures\. There is 'z' string"):
        opened(path)
    path = write(tmp_path / "c.parquet", image=[picture(3)], other=[encoded(2)])
    assert shown(opened(path)) == {"c.parquet[0]": (3, None)}


def test_which_labels(tmp_path):
    path = write(tmp_path / "a.parquet", image=[picture(1)], label=["cat"], coarse=[2])
    assert shown(opened(path)) == {"a.parquet[0]": (1, None)}
    assert shown(opened(path, LABELLED, labels="coarse")) == {"a.parquet[0]": (1, 2)}
    with pytest.raises(
        DataError, match="column 'label' of string has no labels, which are whole numbers; name another in labels"
    ):
        _ = opened(path, LABELLED).classes
    with pytest.raises(DataError, match=r"has no column 'fine'; correct labels\. There is 'image'"):
        _ = opened(path, LABELLED, labels="fine").classes
    path = write(tmp_path / "d.parquet", image=[picture(1)], label=[2**31 - 1])
    assert opened(path, LABELLED).classes == 2**31
    path = write(tmp_path / "d.parquet", image=[picture(1)], label=[2**31])
    with pytest.raises(DataError, match="label 2147483648, but classes count from 0 to at most 2147483647"):
        _ = opened(path, LABELLED).classes
    path = write(tmp_path / "b.parquet", image=[picture(1)], label=[-7])
    with pytest.raises(DataError, match="label -7, but classes count from 0"):
        _ = opened(path, LABELLED).classes
    assert opened(write(tmp_path / "c.parquet", image=[picture(1)]), LABELLED).classes == 0


@pytest.mark.parametrize("inner", ["", "data"])
def test_shards_of_a_folder(tmp_path, inner):
    for number in (2, 0, 1):
        write(tmp_path / inner / f"train-{number:05d}-of-00003.parquet", image=[picture(number)], label=[number])
    expected = {f"train-{number:05d}-of-00003.parquet[0]": (number, number) for number in range(3)}
    source = opened(tmp_path, LABELLED)
    assert shown(source) == expected
    assert list(shown(source)) == list(expected)
    alone = tmp_path / inner / "train-00001-of-00003.parquet"
    assert shown(opened(alone)) == {"train-00001-of-00003.parquet[0]": (1, None)}
    alone.unlink()
    with pytest.raises(
        DataError, match=r"1 of 3 files are missing; download them too\n  train-00001-of-00003\.parquet"
    ):
        opened(tmp_path)


def test_splits_of_a_folder(tmp_path):
    for number, name in enumerate(("train", "test")):
        write(tmp_path / f"{name}-00000-of-00001.parquet", image=[picture(number)])
    with pytest.raises(DataError, match=r"several data sets: .*test \(of 1\), .*train \(of 1\); name in split how the"):
        opened(tmp_path)
    assert shown(opened(tmp_path, split="test")) == {"test-00000-of-00001.parquet[0]": (1, None)}
    with pytest.raises(
        DataError, match=r"no files val\*\.parquet in this folder or those right below it; correct the source"
    ):
        opened(tmp_path, split="val")


def test_files_of_different_columns(tmp_path):
    write(tmp_path / "a.parquet", image=[picture(1)])
    write(tmp_path / "b.parquet", other=[picture(1)])
    with pytest.raises(DataError, match=r"b\.parquet: has no pictures in column 'image' as the first file has"):
        opened(tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_cut_file(tmp_path, keep):
    path = write(tmp_path / "a.parquet", image=[picture(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(DataError, match=r"a\.parquet: is no whole Parquet file \(.*\); copy or download it again"):
        opened(path)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="there is no such file or folder of Parquet"):
        opened(tmp_path / "absent.parquet")
    with pytest.raises(DataError, match=r"no files \*\.parquet in this folder"):
        opened(tmp_path)
    with pytest.raises(DataError, match="has no rows; choose a file that is not empty"):
        opened(write(tmp_path / "a.parquet", image=pa.array([], pa.binary())))


def test_pyarrow_is_not_there(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(parquet.importlib, "import_module", missing)
    with pytest.raises(DataError, match="needs the package pyarrow, which is not installed; pip install pyarrow"):
        opened(tmp_path / "a.parquet")


@pytest.mark.slow
def test_large_group_is_not_in_memory(tmp_path):
    """One group of rows of 64 MB in pages of 1 MB: few of these are in memory at a time."""
    noise = np.random.default_rng(0)
    rows = [encoded(1) + noise.bytes(1 << 18) for _ in range(256)]
    path = write(tmp_path / "a.parquet", batch=4, image=pa.array(rows, pa.binary()))
    assert pq.ParquetFile(path).num_row_groups == 1
    del rows
    source = opened(path)
    before, most = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    try:
        keys = list(source.keys())
        for start in range(0, len(keys), 10):
            assert {which(sample) for sample in source.load(keys[start : start + 10])} == {1}
            most = max(most, pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 16_000_000
    assert peak < 16_000_000


def test_pack_of_what_is_recognised(tmp_path):
    for number in range(2):
        images = [picture(number * 4 + row) for row in range(4)]
        write(
            tmp_path / "set" / f"train-{number:05d}-of-00002.parquet", 2, ["a", "b"], image=images, label=[0, 1, 1, 1]
        )
    source = recognise(str(tmp_path / "set"))
    assert source["kind"] == "parquet"
    dataset = Dataset.model_validate({"source": source, "resolution": 8, "classes": 2})
    written = pack(dataset, tmp_path / "pack", 2)
    assert (written.count, list(written.label_counts)) == (8, [2, 6])
    assert recognise(str(tmp_path / "set" / "train-00000-of-00002.parquet"))["kind"] == "parquet"


def test_inputs(tmp_path):
    path = write(tmp_path / "set" / "a.parquet", image=[picture(1)])
    assert Config(kind="parquet", path=path).inputs == (path,)
    assert Config(kind="parquet", path=tmp_path / "set").inputs == (tmp_path / "set", path)
    assert Config(kind="parquet", path=tmp_path / "absent").inputs == (tmp_path / "absent",)


@given(
    st.lists(st.tuples(st.integers(0, 11), st.none() | st.integers(0, 2)), min_size=1, max_size=9),
    st.integers(1, 4),
    st.sampled_from(["struct", "binary"]),
    st.permutations(range(9)),
)
@settings(max_examples=25, deadline=None)
def test_any_file_gives_its_pictures_and_labels(rows, group, kind, order):
    images = [picture(number) if kind == "struct" else encoded(number) for number, _ in rows]
    with TemporaryDirectory() as folder:
        labels = pa.array([label for _, label in rows], pa.int64())
        path = write(Path(folder) / "a.parquet", group, image=images, label=labels)
        source = opened(path, LABELLED)
        assert shown(source) == {f"a.parquet[{place}]": row for place, row in enumerate(rows)}
        keys = list(source.keys())
        for place in order[: len(rows)]:
            if place < len(rows):
                (sample,) = source.load([keys[place]])
                assert (which(sample), sample.label) == rows[place]


def test_module_needs_no_pyarrow_until_it_reads():
    assert "pyarrow" not in importlib.import_module("ganformer.data.sources.parquet").__dict__


def test_other_files_of_a_folder_are_counted(tmp_path):
    path = write(tmp_path / "data" / "a.parquet", image=[picture(1)])
    (tmp_path / "data" / "notes.txt").touch()
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / ".hidden.parquet").touch()
    assert opened(tmp_path).left_out == {".txt": 1}
    assert opened(path).left_out == {}


def test_pictures_of_other_columns_are_counted(tmp_path):
    pictures, masks = [picture(0), picture(1)], [encoded(2), encoded(3)]
    source = opened(write(tmp_path / "a.parquet", image=pictures, mask=pa.array(masks, pa.binary()), text=["a", "b"]))
    assert (len(source), source.left_out) == (2, {"in column mask": 2})


def test_other_forms_of_bytes_are_read(tmp_path):
    values = [encoded(0), encoded(1), encoded(0)]
    for number, array in enumerate((pa.array(values, pa.large_binary()), pa.array(values).dictionary_encode())):
        source = opened(write(tmp_path / f"{number}.parquet", image=array))
        pixels = [sample.pixels for sample in source.load(list(source.keys()))]
        assert all((found == NOISE[expected]).all() for found, expected in zip(pixels, (0, 1, 0), strict=True))


def test_parts_of_a_data_set_are_not_joined(tmp_path):
    for name in ("train", "test"):
        write(tmp_path / f"{name}.parquet", image=[picture(0)])
    with pytest.raises(DataError, match=r"holds several parts of a data set: .*test\.parquet, .*train\.parquet; name"):
        opened(tmp_path)
    assert len(opened(tmp_path, split="train")) == 1
