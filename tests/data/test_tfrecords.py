"""TFRecords: which files are read in which order, every byte against its checksum, and what is said of broken ones."""

import gzip
import io
import pickle
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganformer.config import ImageSpec
from ganformer.data.images import read_array
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources import tfrecords
from ganformer.data.sources.tfrecords import Config, is_name, open_source
from ganformer.errors import DataError
from tests.data.records import crc32c, entry, example, field, framed, varint, write

IMAGE = ImageSpec(height=8, width=8)
LABELLED = ImageSpec(height=8, width=8, classes=3)


def noise(seed, side=8, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (channels, side, side), np.uint8)


def write_set(folder, count=7, shards=3, side=8, name="clevr", seed=0):
    """Return images dealt to files in turn, as the official writer does it."""
    for number in range(1, shards + 1):
        dealt = range(number - 1, count, shards)
        path = folder / f"{name}-r{side.bit_length() - 1:02d}.tfrecords{number}of{shards}"
        write(path, [example(noise(seed + i, side)) for i in dealt])
    return folder


def opened(path, image=IMAGE):
    return open_source(Config(kind="tfrecords", path=path), image)


def loaded(path, image=IMAGE):
    source = opened(path, image)
    return list(source.load(list(source.keys())))


def test_checksum_of_the_tests_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_files_are_read_one_after_another(tmp_path):
    samples = loaded(write_set(tmp_path))
    order = [0, 3, 6, 1, 4, 2, 5]
    stem = "clevr-r03.tfrecords"
    places = [f"{stem}1of3[0]", f"{stem}1of3[1]", f"{stem}1of3[2]", f"{stem}2of3[0]", f"{stem}2of3[1]"]
    assert [sample.name for sample in samples] == [*places, f"{stem}3of3[0]", f"{stem}3of3[1]"]
    for number, sample in zip(order, samples, strict=True):
        assert isinstance(sample, Sample)
        assert (sample.pixels == noise(number).transpose(1, 2, 0)).all()
        assert sample.label is None


def test_numbers_of_files_are_numbers_not_text(tmp_path):
    write_set(tmp_path, count=11, shards=11)
    assert [record.file for record in iter(opened(tmp_path).keys())] == list(range(11))
    assert [path.name.rpartition("s")[2] for path in opened(tmp_path).files] == [f"{i}of11" for i in range(1, 12)]


def test_highest_resolution_is_taken(tmp_path):
    for side in (4, 16, 8):
        write_set(tmp_path, side=side, seed=side)
    assert {path.name[:9] for path in opened(tmp_path).files} == {"clevr-r04"}
    one_of_a_lower_one = opened(tmp_path / "clevr-r03.tfrecords2of3")
    assert [path.name for path in one_of_a_lower_one.files] == [f"clevr-r03.tfrecords{i}of3" for i in (1, 2, 3)]
    (first, *_) = one_of_a_lower_one.load(list(one_of_a_lower_one.keys()))
    assert (first.pixels == noise(8).transpose(1, 2, 0)).all()


def test_files_may_lie_in_a_folder_of_the_folder(tmp_path):
    write_set(tmp_path / "clevr")
    (tmp_path / ".clevr-r09.tfrecords1of1.part").write_bytes(b"half of it")
    assert len(opened(tmp_path)) == 7


def test_file_without_a_number_is_whole(tmp_path):
    write(tmp_path / "ffhq-r03.tfrecords", [example(noise(0))])
    assert len(opened(tmp_path)) == len(opened(tmp_path / "ffhq-r03.tfrecords")) == 1
    assert len(opened(write(tmp_path / "mine.tfrecord", [example(noise(0))] * 2))) == 2


def test_grey_images_get_three_channels(tmp_path):
    write(tmp_path / "a-r03.tfrecords1of1", [example(noise(0, channels=1))])
    (sample,) = loaded(tmp_path)
    assert sample.pixels.shape == (8, 8, 3)
    assert (sample.pixels == noise(0, channels=1).transpose(1, 2, 0)).all()


def test_bars_of_the_authors_files_are_cropped_away(tmp_path):
    pixels = noise(0, side=16)
    pixels[:, :2] = pixels[:, 14:] = 0
    write(tmp_path / "a-r04.tfrecords1of1", [example(pixels)])
    (sample,) = loaded(tmp_path, ImageSpec(height=12, width=16))
    assert (sample.pixels == pixels[:, 2:14].transpose(1, 2, 0)).all()


def test_images_are_cropped_and_resized_as_all_are(tmp_path):
    write(tmp_path / "a-r04.tfrecords1of1", [example(noise(0, side=16))])
    spec = ImageSpec(height=4, width=8)
    (sample,) = loaded(tmp_path, spec)
    assert (sample.pixels == read_array(noise(0, side=16).transpose(1, 2, 0), spec).pixels).all()


def test_keys_are_enough_in_another_process(tmp_path):
    source = opened(write_set(tmp_path))
    keys = list(source.keys())
    elsewhere = pickle.loads(pickle.dumps(source))
    for sample, key in zip(source.load(keys), keys, strict=True):
        (alone,) = elsewhere.load([pickle.loads(pickle.dumps(key))])
        assert (alone.name, alone.label) == (sample.name, sample.label)
        assert (alone.pixels == sample.pixels).all()
    assert "extents" not in vars(elsewhere)


def test_many_records_take_few_bytes_each(tmp_path):
    write(tmp_path / "a-r03.tfrecords1of1", [b""] * 2000)
    source = opened(tmp_path)
    assert len(source) == 2000
    (extents,) = source.extents
    assert extents.offsets.nbytes + extents.lengths.nbytes == 16 * 2000
    assert len(pickle.dumps(source)) < 1000


# ------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "labels",
    [
        np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 1]],
        np.array([0, 1, 2, 0, 1, 2, 1], np.uint8),
        np.array([0, 1, 2, 0, 1, 2, 1], np.float32),
    ],
    ids=["one-hot", "integers", "whole floats"],
)
def test_labels_are_in_the_order_of_writing(tmp_path, labels):
    with (write_set(tmp_path) / "clevr-rxx.labels").open("wb") as file:
        np.save(file, labels)
    source = opened(tmp_path, LABELLED)
    assert source.classes == 3
    assert [sample.label for sample in source.load(list(source.keys()))] == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(6, np.int64), r"int64 labels of shape \[6\] for 7 images; one number or one-hot row"),
        (np.zeros((7, 1, 2)), r"float64 labels of shape \[7, 1, 2\] for 7 images"),
        (np.full(7, -1), "labels must be whole numbers from 0"),
        (np.full(7, 0.5), "labels must be whole numbers from 0"),
        (np.full(7, np.nan), "labels must be whole numbers from 0"),
        (np.full(7, 2**31), "labels must be whole numbers from 0"),
        (np.full(7, "a"), r"<U1 labels of shape \[7\] for 7 images"),
        (np.full((7, 2), np.nan), "row 0 is not one-hot"),
        (np.eye(8, dtype=np.float32)[:7] * 0.5, "row 0 is not one-hot"),
        (np.vstack([np.eye(2)[[0] * 6], np.ones((1, 2))]), "row 6 is not one-hot"),
        (np.array([None] * 7), "is no npy file of labels .*Python objects"),
    ],
)
def test_wrong_labels(tmp_path, labels, message):
    with (write_set(tmp_path) / "clevr-rxx.labels").open("wb") as file:
        np.save(file, labels)
    with pytest.raises(DataError, match=rf"clevr-rxx\.labels: {message}"):
        opened(tmp_path, LABELLED)


def test_the_highest_label(tmp_path):
    """Packs keep labels in 32 bits."""
    with (write_set(tmp_path) / "clevr-rxx.labels").open("wb") as file:
        np.save(file, np.array([0, 0, 0, 2**31 - 1, 0, 0, 0]))
    assert opened(tmp_path, LABELLED).classes == 2**31


def test_rows_of_labels_are_looked_at_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecords, "BLOCK", 2)
    rows = np.eye(3)[[0, 1, 2, 0, 1, 2, 1]]
    with (write_set(tmp_path) / "clevr-rxx.labels").open("wb") as file:
        np.save(file, rows)
    assert [sample.label for sample in loaded(tmp_path, LABELLED)] == [0, 0, 1, 1, 1, 2, 2]
    rows[3, 1] = 1
    with (tmp_path / "clevr-rxx.labels").open("wb") as file:
        np.save(file, rows)
    with pytest.raises(DataError, match=r"clevr-rxx\.labels: row 3 is not one-hot \(one 1 among 0s\); write it so"):
        opened(tmp_path, LABELLED)


def test_labels_that_are_no_array(tmp_path):
    (write_set(tmp_path) / "clevr-rxx.labels").write_bytes(b"1 2 3")
    with pytest.raises(DataError, match=r"is no npy file of labels .* or move it away"):
        opened(tmp_path, LABELLED)


def test_labels_of_files_that_were_filled_otherwise(tmp_path):
    write_set(tmp_path, count=6)
    write(tmp_path / "clevr-r03.tfrecords1of3", [example(noise(0))] * 4)
    with (tmp_path / "clevr-rxx.labels").open("wb") as file:
        np.save(file, np.zeros(8, np.int64))
    with pytest.raises(
        DataError,
        match=r"not dealt their images in turn \(\[4, 2, 2\] records\)"
        ", so which label is whose is not known; move the labels away to do without them",
    ):
        opened(tmp_path, LABELLED)


def test_labels_are_not_looked_at_unless_they_are_asked_for(tmp_path):
    (write_set(tmp_path) / "clevr-rxx.labels").write_bytes(b"1 2 3")
    assert {sample.label for sample in loaded(tmp_path)} == {None}


# -------------------------------------------------------------------------------------------------- broken files


@pytest.mark.parametrize(("count", "more"), [(20, []), (25, ["  … and 5 more"])])
def test_missing_files_are_named(tmp_path, count, more):
    write_set(tmp_path, count=30, shards=30)
    for number in range(2, 2 + count):
        (tmp_path / f"clevr-r03.tfrecords{number}of30").unlink()
    with pytest.raises(DataError, match=f"{count} of 30 files are missing; download them too") as failed:
        opened(tmp_path / "clevr-r03.tfrecords1of30")
    lines = str(failed.value).splitlines()
    assert lines[1:3] == ["  clevr-r03.tfrecords2of30", "  clevr-r03.tfrecords3of30"]
    assert lines[20:] == ["  clevr-r03.tfrecords21of30", *more]


def test_several_sets_of_one_resolution(tmp_path):
    write_set(tmp_path, name="one")
    write_set(tmp_path, name="other")
    with pytest.raises(DataError, match=r"several sets of TFRecords of 8×8 pixels: .*one \(of 3\), .*; name one file"):
        opened(tmp_path)
    assert len(opened(tmp_path / "other-r03.tfrecords1of3")) == 7


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="absent: there is no such file or folder of TFRecords"):
        opened(tmp_path / "absent")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="no TFRecords in this folder or those right below it; looked for"):
        opened(tmp_path)
    (tmp_path / "a-r03.tfrecords1of1").touch()
    with pytest.raises(DataError, match="there are no records in it"):
        opened(tmp_path)


@pytest.mark.parametrize("lost", [1, 4, 100, 200, 210, 215])
def test_file_that_is_cut_off(tmp_path, lost):
    path = write(tmp_path / "a-r03.tfrecords1of1", [example(noise(i)) for i in range(3)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    begin = len(whole) // 3 * 2
    with pytest.raises(DataError, match=rf"cut off or damaged after 2 records, at byte {begin} of {len(whole) - lost}"):
        opened(tmp_path)


def test_file_that_holds_something_else(tmp_path):
    (tmp_path / "a-r03.tfrecords1of1").write_bytes(b"<html>too many have asked for this file</html>")
    with pytest.raises(DataError, match="does not begin with a TFRecord"):
        opened(tmp_path)


def test_every_flipped_bit_is_noticed(tmp_path):
    record = framed(example(noise(0, side=1)))
    path = tmp_path / "a-r00.tfrecords1of1"
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        if position < 12:
            with pytest.raises(DataError, match="does not begin with a TFRecord"):
                opened(tmp_path)
        else:
            assert loaded(tmp_path) == [Rejection(f"{path.name}[0]", "its bytes do not match their checksum")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"not a message", "is not a tf.train.Example"),
        (b"", "has neither raw pixels (shape and data) nor an encoded picture; it has no features"),
        (example(noise(0), shape=[3, 8, 9]), "has [192] bytes of data for a shape (CHW) of [3, 8, 9]"),
        (example(noise(0), shape=[192]), "has [192] bytes of data for a shape (CHW) of [192]"),
        (example(noise(0), shape=[3, 64, 1, 1]), "has [192] bytes of data for a shape (CHW) of [3, 64, 1, 1]"),
        (example(noise(0), shape=[0, 8, 8]), "has [192] bytes of data for a shape (CHW) of [0, 8, 8]"),
        (example(noise(0, channels=2)), "an array of shape [8, 8, 2] is no image of 1, 3 or 4 channels"),
    ],
)
def test_record_that_is_no_image(tmp_path, record, reason):
    write(tmp_path / "a-r03.tfrecords1of1", [example(noise(0)), record, example(noise(2))])
    first, second, third = loaded(tmp_path)
    assert second == Rejection("a-r03.tfrecords1of1[1]", reason)
    assert (first.pixels == noise(0).transpose(1, 2, 0)).all()
    assert (third.pixels == noise(2).transpose(1, 2, 0)).all()


def test_inputs_are_the_files_and_their_labels(tmp_path):
    for side in (4, 8):
        write_set(tmp_path / "set", shards=2, side=side)
    (tmp_path / "set" / "clevr-rxx.labels").touch()
    (tmp_path / "set" / "notes.txt").touch()
    names = [f"clevr-r0{log2}.tfrecords{i}of2" for log2 in (2, 3) for i in (1, 2)]
    inputs = Config(kind="tfrecords", path=tmp_path).inputs
    assert inputs == (tmp_path, *(tmp_path / "set" / name for name in [*names, "clevr-rxx.labels"]))
    assert Config(kind="tfrecords", path=tmp_path / "absent").inputs == (tmp_path / "absent",)
    one, other = (tmp_path / "set" / f"clevr-r03.tfrecords{i}of2" for i in (1, 2))
    assert Config(kind="tfrecords", path=other).inputs == (other, one, tmp_path / "set" / "clevr-rxx.labels")


def test_files_right_in_the_folder_go_before_those_below_it(tmp_path):
    (tmp_path / "below").mkdir()
    write(tmp_path / "below" / "b.tfrecord", [record(image=text(encoded(2)))])
    write(tmp_path / "a.tfrecord", [record(image=text(encoded(1)))])
    assert shown(tmp_path) == {"a.tfrecord[0]": (1, None)}


def test_sets_of_two_kinds_are_not_joined(tmp_path):
    write_set(tmp_path)
    other = write(tmp_path / "a.tfrecord", [record(image=text(encoded(1)))])
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: several sets of TFRecords, as {other} are of another kind; name one file"
    )


# --------------------------------------------------------------------------------------- what other programs write


def encoded(number, kind="png"):
    file = io.BytesIO()
    Image.fromarray(noise(number).transpose(1, 2, 0)).save(file, kind)
    return file.getvalue()


def whole_number(value):
    return field(3, field(1, varint(value % 2**64)))


def text(*values):
    return field(1, b"".join(field(1, value) for value in values))


def record(**features):
    """Return a `tf.train.Example`; double underscores stand for slashes."""
    return field(1, b"".join(entry(key.replace("__", "/").encode(), value) for key, value in features.items()))


def shown(path, image=IMAGE, **settings):
    """Return number of the noise that each picture is, or why it is none, and its label, by name."""
    source = open_source(Config(kind="tfrecords", path=path, **settings), image)
    return {sample.name: (which(sample), getattr(sample, "label", None)) for sample in source.load(list(source.keys()))}


def which(sample):
    if isinstance(sample, Rejection):
        return sample.reason
    (number,) = (number for number in range(20) if (noise(number).transpose(1, 2, 0) == sample.pixels).all())
    return number


@pytest.mark.parametrize("feature", ["image__encoded", "image_raw", "image", "encoded", "anything"])
def test_encoded_pictures(tmp_path, feature):
    records = [record(**{feature: text(encoded(n)), "image__height": whole_number(8), "x": text(b"x")}) for n in (3, 5)]
    path = write(tmp_path / "train.tfrecord", records)
    assert shown(path) == {"train.tfrecord[0]": (3, None), "train.tfrecord[1]": (5, None)}
    assert shown(tmp_path) == shown(path)


@pytest.mark.parametrize("name", ["image__class__label", "label", "y"])
def test_labels_in_the_records(tmp_path, name):
    records = [record(image=text(encoded(n)), **{name: whole_number(n % 2)}) for n in (3, 6)]
    path = write(tmp_path / "a.tfrecords", [*records, record(image=text(encoded(7)))])
    choice = {"labels": "y"} if name == "y" else {}
    assert shown(path, LABELLED, **choice) == {
        "a.tfrecords[0]": (3, 1),
        "a.tfrecords[1]": (6, 0),
        "a.tfrecords[2]": (7, None),
    }
    assert open_source(Config(kind="tfrecords", path=path, **choice), LABELLED).classes == 2
    assert {label for _, label in shown(path, **choice).values()} == {None}


def test_labels_that_are_not_one_number_are_none(tmp_path):
    two = field(3, field(1, varint(1)) + field(1, varint(2)))
    records = [
        record(image=text(encoded(1)), label=two),
        record(image=text(encoded(2)), label=whole_number(2), image__class__label=whole_number(1)),
        record(image=text(encoded(3)), label=two, image__class__label=whole_number(0)),
        record(image=text(encoded(4)), label=text(b"1")),
    ]
    path = write(tmp_path / "a.tfrecords", records)
    assert [label for _, label in shown(path, LABELLED).values()] == [None, 1, 0, None]
    assert opened(path, LABELLED).classes == 2
    path = write(tmp_path / "b.tfrecords", records[:1])
    assert opened(path, LABELLED).classes == 0


def test_labels_behind_a_damaged_record_count(tmp_path):
    damaged = bytearray(framed(record(image=text(encoded(1)), label=whole_number(9))))
    damaged[20] ^= 1
    path = tmp_path / "a.tfrecord"
    path.write_bytes(bytes(damaged) + framed(record(image=text(encoded(2)), label=whole_number(4))))
    assert opened(path, LABELLED).classes == 5


def test_the_picture_where_a_record_has_raw_pixels_too(tmp_path):
    raw = {"data": text(noise(3).tobytes()), "shape": field(3, field(1, b"\3\x08\x08"))}
    path = write(tmp_path / "a.tfrecord", [record(**raw, image=text(encoded(5)))])
    assert shown(path) == {"a.tfrecord[0]": (3, None)}
    assert shown(path, feature="image") == {"a.tfrecord[0]": (5, None)}
    path = write(tmp_path / "b.tfrecord", [record(data=text(encoded(6)))])
    assert shown(path) == {"b.tfrecord[0]": (6, None)}


def test_raw_pixels_in_two_parts(tmp_path):
    half = noise(3)[:, :4].tobytes()
    path = write(tmp_path / "a.tfrecord", [record(data=text(half, half), shape=field(3, field(1, b"\3\x08\x08")))])
    assert shown(path) == {"a.tfrecord[0]": ("has [96, 96] bytes of data for a shape (CHW) of [3, 8, 8]", None)}


def test_negative_labels_in_the_records(tmp_path):
    path = write(tmp_path / "a.tfrecord", [record(image=text(encoded(1)), label=whole_number(-1))])
    with pytest.raises(DataError, match=r"a\.tfrecord\[0\] has the label -1, but classes count from 0"):
        _ = opened(path, LABELLED).classes
    assert shown(path) == {"a.tfrecord[0]": (1, None)}


def test_records_whose_picture_is_not_clear(tmp_path):
    records = [
        record(image__encoded=text(encoded(1)), mask=text(encoded(2))),
        record(label=whole_number(3), name=text(b"cat", b"dog"), scores=field(2, field(1, bytes(8)))),
        record(image=text(b"no picture")),
        record(image=text(encoded(1), encoded(2))),
    ]
    path = write(tmp_path / "a.tfrecord", records)
    first, second, third, fourth = (reason for reason, _ in shown(path).values())
    assert first == "has pictures in several features (image/encoded, mask); name one in feature"
    assert second == (
        "has neither raw pixels (shape and data) nor an encoded picture; it has 'label' int64 [1], 'name' bytes [2], "
        "'scores' float [2]"
    )
    assert isinstance(third, str)
    assert fourth == "has neither raw pixels (shape and data) nor an encoded picture; it has 'image' bytes [2]"
    assert shown(path, feature="mask")["a.tfrecord[0]"] == (2, None)
    assert (
        shown(path, feature="mask")["a.tfrecord[3]"][0]
        == "has no picture in the feature 'mask'; it has 'image' bytes [2]"
    )


@pytest.mark.parametrize(
    "pattern", ["train-{:05d}-of-00003", "x.tfrecord-{:05d}-of-00003", "x-{:05d}-of-00003.tfrecord"]
)
def test_files_of_a_set(tmp_path, pattern):
    paths = [write(tmp_path / pattern.format(n), [record(image=text(encoded(n)))]) for n in (2, 0, 1)]
    expected = {f"{pattern.format(n)}[0]": (n, None) for n in range(3)}
    assert all(is_name(path.name) for path in paths)
    for path in (tmp_path, *paths):
        assert shown(path) == expected
        assert list(shown(path)) == list(expected)
    paths[0].unlink()
    with pytest.raises(DataError, match=f"1 of 3 files are missing; download them too\n  {pattern.format(2)}"):
        opened(tmp_path)


def test_several_sets_of_encoded_pictures(tmp_path):
    for name in ("train-00000-of-00001", "validation-00000-of-00001"):
        write(tmp_path / name, [record(image=text(encoded(1)))])
    with pytest.raises(
        DataError, match=r"holds several data sets: .*train \(of 1\), .*validation \(of 1\); name one file"
    ):
        opened(tmp_path)
    assert len(opened(tmp_path / "train-00000-of-00001")) == 1


def test_several_files_without_numbers(tmp_path):
    for number, name in enumerate(("b.tfrecord", "a.tfrecord")):
        write(tmp_path / name, [record(image=text(encoded(number)))])
    assert shown(tmp_path) == {"a.tfrecord[0]": (1, None), "b.tfrecord[0]": (0, None)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tfrecord", True),
        ("a-r07.tfrecords3of16", True),
        ("a.tfrec", True),
        ("a.tfrecs", True),
        ("a.tfrecords12of100", True),
        ("train-00000-of-01024", True),
        ("train-000000-of-010240", True),
        ("train-0000-of-01024", False),
        ("train-00000-of-0102", False),
        ("a.tfrecord-1-of-2", True),
        ("a.tfrecord-00001-of-00010", True),
        ("train-00000-of-00002.parquet", False),
        (".a.tfrecord", False),
        ("a.tfrecord.gz", False),
        ("a-rxx.labels", False),
        ("notes.txt", False),
    ],
)
def test_names(name, expected):
    assert is_name(name) == expected


@pytest.mark.parametrize(("compress", "program"), [(gzip.compress, "GZIP"), (zlib.compress, "ZLIB")])
def test_compressed_files(tmp_path, compress, program):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(compress(framed(record(image=text(encoded(1))))))
    with pytest.raises(
        DataError, match=rf"a\.tfrecord: is compressed as a whole \({program}\), which is not read; dec"
    ):
        opened(path)
    path.write_bytes(b"\x78\x00" + path.read_bytes()[2:])  # what is no header of zlib
    with pytest.raises(DataError, match=r"a\.tfrecord: does not begin with a TFRecord \(compressed ones are not read"):
        opened(path)


@given(
    st.lists(st.tuples(st.integers(0, 19), st.booleans(), st.none() | st.integers(0, 4)), min_size=1, max_size=6),
    st.integers(1, 3),
)
@settings(max_examples=20, deadline=None)
def test_any_records_give_their_pictures_and_labels(images, count):
    with TemporaryDirectory() as folder:
        expected = {}
        for shard in range(count):
            records = []
            for number, is_raw, label in images[shard::count]:
                raw = {"data": text(noise(number).tobytes()), "shape": field(3, field(1, b"\3\x08\x08"))}
                features = raw if is_raw else {"image__encoded": text(encoded(number))}
                labels = {} if label is None else {"label": whole_number(label)}
                expected[f"x-{shard:05d}-of-{count:05d}[{len(records)}]"] = (number, label)
                records.append(record(**features, **labels))
            write(Path(folder) / f"x-{shard:05d}-of-{count:05d}", records)
        assert shown(Path(folder), LABELLED) == expected
        source = opened(Path(folder), LABELLED)
        assert source.classes == 1 + max((label for _, label in expected.values() if label is not None), default=-1)


def test_other_files_of_a_folder_are_counted(tmp_path):
    for side in (4, 8):
        write_set(tmp_path, side=side)
    for name in ("notes.txt", ".hidden", "clevr-rxx.labels"):
        (tmp_path / name).touch()
    with (tmp_path / "clevr-rxx.labels").open("wb") as file:
        np.save(file, np.zeros(7, np.int64))
    assert opened(tmp_path).left_out == {".txt": 1, "hidden": 1, ".labels": 1, "files of lower resolutions": 3}
    assert opened(tmp_path, LABELLED).left_out == {".txt": 1, "hidden": 1, "files of lower resolutions": 3}
    assert opened(tmp_path / "clevr-r03.tfrecords1of3").left_out == {}


def test_parts_of_a_data_set_are_not_joined(tmp_path):
    for name in ("train", "val2017"):
        write(tmp_path / f"{name}.tfrecord", [b""])
    with pytest.raises(DataError, match=r"holds several parts of a data set: .*; name one file of the set"):
        opened(tmp_path)
