"""WebDataset: shards in order, one picture a sample, labels under the same stem, and what is missing or left out."""

import bz2
import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganformer.config import Dataset, ImageSpec
from ganformer.data.packing.detect import recognise
from ganformer.data.packing.pack import pack
from ganformer.data.source import Rejection
from ganformer.data.sources import webdataset
from ganformer.data.sources.webdataset import Config, expand, looks_like, open_source
from ganformer.errors import DataError
from tests.data.noisy import IMAGE, encoded, loaded, shown, which

LABELLED = ImageSpec(height=8, width=8, classes=5)


def write(path, members):
    """Write a tar of (name, bytes), in this order, compressed as its name says."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, contents in members:
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    compress = {".gz": gzip.compress, ".tgz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(compress(plain.getvalue()))
    return path


def opened(path, image=IMAGE, **settings):
    return open_source(Config(kind="webdataset", path=path, **settings), image)


def pictures(path):
    return {name: number for name, (number, _) in shown(opened(path)).items()}


@pytest.fixture(params=["tar", "tar.gz", "tar.bz2"])
def kind(request):
    return request.param


def test_one_tar(tmp_path, kind):
    members = [("k.jpg", encoded(1)), ("k.cls", b"1\n"), ("k.txt", b"x"), ("j.cls", b" 0 "), ("j.json", b"{}")]
    path = write(tmp_path / f"a.{kind}", [*members, ("j.png", encoded(2)), ("l.png", encoded(3)), (".x.cls", b"9")])
    assert pictures(path) == {"k.jpg": 1, "j.png": 2, "l.png": 3}
    assert opened(path).left_out == {".cls": 2, ".txt": 1, ".json": 1, "hidden": 1}
    source = opened(path, LABELLED)
    assert source.classes == 2
    assert shown(source) == {"k.jpg": (1, 1), "j.png": (2, 0), "l.png": (3, None)}
    assert source.left_out == {".txt": 1, ".json": 1, "hidden": 1}
    assert len(source) == 3


def test_a_single_class(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", [("k.png", encoded(1)), ("k.cls", b"0")])
    source = opened(path, LABELLED.model_copy(update={"classes": 1}))
    assert source.classes == 1
    assert shown(source) == {"k.png": (1, 0)}


@pytest.mark.parametrize("name", ["label", "cls", "class"])
def test_labels_of_a_json(tmp_path, kind, name):
    members = [(f"{number}.json", json.dumps({"x": 5, name: number}).encode()) for number in (2, 0)]
    path = write(
        tmp_path / f"a.{kind}", [*members, ("0.png", encoded(0)), ("2.png", encoded(2)), ("3.png", encoded(3))]
    )
    source = opened(path, LABELLED)
    assert source.classes == 3
    assert shown(source) == {"0.png": (0, 0), "2.png": (2, 2), "3.png": (3, None)}
    assert source.left_out == {}
    other = opened(path, LABELLED, labels="json:x")
    assert {label for _, label in shown(other).values()} == {5, None}


def test_where_there_is_nothing_else_that_is_said(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", [("a.png", encoded(1))])
    with pytest.raises(DataError, match=r"has no files 'y' of labels; correct labels\. There is none$"):
        _ = opened(path, LABELLED, labels="y").classes
    path = write(tmp_path / f"b.{kind}", [("a.cls", b"1")])
    with pytest.raises(DataError, match=r"has no pictures 'png'; correct part\. There is none$"):
        opened(path, part="png")


def test_part_of_the_labels_is_named(tmp_path, kind):
    members = [("a.png", encoded(1)), ("a.cls", b"1"), ("a.coarse.id", b"4"), ("a.meta.json", b'{"n": 3}')]
    path = write(tmp_path / f"a.{kind}", members)
    assert shown(opened(path, LABELLED, labels="coarse.id")) == {"a.png": (1, 4)}
    assert shown(opened(path, LABELLED, labels="meta.json:n")) == {"a.png": (1, 3)}
    assert opened(path, LABELLED, labels="coarse.id").left_out == {".cls": 1, ".json": 1}
    with pytest.raises(
        DataError, match=r"has no files 'y' of labels; correct labels\. There is cls, coarse\.id, meta\."
    ):
        _ = opened(path, LABELLED, labels="y").classes


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("a.cls", b"cat")],
            r"a\.tar: a\.cls: b'cat' is no label, which is a whole number from 0; name another part in labels",
        ),
        ([("a.cls", b"-1")], r"b'-1' is no label"),
        ([("a.cls", b"99999999999")], r"is no label"),
        ([("a.json", b'{"label": 1'), ("b.json", b"")], r"a\.json: is not valid JSON"),
        ([("a.cls", b"x" * 41)], rf"a\.cls: b'{'x' * 40}' is no label"),
        ([("a.cls", b"2147483648")], r"a\.cls: b'2147483648' is no label"),
        ([("a.json", b'{"label": 1}'), ("b.json", b'{"label": true}')], r"b\.json: True is no label"),
        ([("a.json", b'{"label": 1}'), ("b.json", b'{"label": "1"}')], r"b\.json: '1' is no label"),
        ([("a.cls", b"1"), ("d/../a.cls", b"3")], r"its name leads out of the folder.*; make the tar again"),
    ],
)
def test_labels_that_are_none(tmp_path, members, message):
    path = write(tmp_path / "a.tar", [("a.png", encoded(1)), *members])
    with pytest.raises(DataError, match=message):
        _ = opened(path, LABELLED).classes
    assert pictures(path) == {"a.png": 1}  # where nobody asks for labels, these are not read


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([("a.json", b'{"cls": 1, "class": 2, "label": 3}')], 3),
        ([("a.json", b'{"class": 2, "cls": 1, "label": "x"}')], 1),
        ([("b.json", b"[1]"), ("c.json", b'{"label": null}'), ("a.json", b'{"label": 2}')], 2),
        ([("d.json", b'{"label": 1}'), ("a.json", b'{"label": null}')], None),
        ([("d.json", b'{"label": 1}'), ("a.json", b"[3]")], None),
        ([("a.json", b'{"label": 2}'), ("a.cls", b"1")], 1),
        ([("a.json", b'{"label": 0}')], 0),
    ],
)
def test_the_label_where_several_could_be_one(tmp_path, more, expected):
    assert shown(opened(write(tmp_path / "a.tar", [("a.png", encoded(1)), *more]), LABELLED)) == {
        "a.png": (1, expected)
    }


def test_the_highest_label(tmp_path):
    """Packs keep labels in 32 bits."""
    assert (
        opened(write(tmp_path / "a.tar", [("a.png", encoded(1)), ("a.cls", b"2147483647")]), LABELLED).classes == 2**31
    )


def test_letters_of_the_part_of_labels_may_be_large(tmp_path):
    path = write(tmp_path / "a.tar", [("a.png", encoded(1)), ("a.cls", b"2"), ("a.json", b'{"N": 3}')])
    assert shown(opened(path, LABELLED, labels="CLS")) == {"a.png": (1, 2)}
    assert shown(opened(path, LABELLED, labels="JSON:N")) == {"a.png": (1, 3)}


def test_no_labels(tmp_path):
    path = write(tmp_path / "a.tar", [("a.png", encoded(1)), ("a.json", b'{"caption": "x"}')])
    assert opened(path, LABELLED).classes == 0
    assert opened(path, LABELLED).left_out == {".json": 1}


def test_several_pictures_in_a_sample(tmp_path, kind):
    members = [(f"s{number}.{part}.png", encoded(number + shift)) for number in (0, 1) for part, shift in PARTS.items()]
    path = write(tmp_path / f"a.{kind}", [*members, ("s2.input.png", encoded(5)), ("s3.mask.png", encoded(6))])
    with pytest.raises(DataError) as refused:
        opened(path)
    assert "samples have several pictures (input.png, mask.png); choose with part, e.g. part: input.png" in str(
        refused.value
    )
    source = opened(path, part="input.png")
    assert {name: number for name, (number, _) in shown(source).items()} == {
        "s0.input.png": 0,
        "s1.input.png": 1,
        "s2.input.png": 5,
    }
    assert source.left_out == {".mask.png": 3}
    with pytest.raises(DataError, match=r"has no pictures 'png'; correct part\. There is input\.png, mask\.png"):
        opened(path, part="png")


PARTS = {"input": 0, "mask": 2}


def test_letters_of_parts_may_be_large(tmp_path):
    members = [("a.Input.PNG", encoded(1)), ("a.MASK.png", encoded(2)), ("a.CLS", b"3")]
    path = write(tmp_path / "a.tar", members)
    assert shown(opened(path, LABELLED, part="input.PNG")) == {"a.Input.PNG": (1, 3)}


def test_samples_may_have_pictures_of_different_formats(tmp_path):
    path = write(tmp_path / "a.tar", [("a.png", encoded(1)), ("b.webp", b"broken"), ("d/a.png", encoded(2))])
    one, other, third = loaded(opened(path))
    assert (which(one), third.name, which(third)) == (1, "d/a.png", 2)
    assert isinstance(other, Rejection)


# ------------------------------------------------------------------------------------------------------- shards


def write_shards(folder, kind="tar", count=3):
    """Return each has samples of the same stems."""
    for shard in range(count):
        members = [(f"{n}.png", encoded(2 * shard + n)) for n in (0, 1)] + [("1.cls", b"%d" % shard), ("0.cls", b"4")]
        write(folder / f"train-{shard:06d}.{kind}", members)
    return folder


EXPECTED = {(f"train-{shard:06d}", n): (2 * shard + n, shard if n else 4) for shard in range(3) for n in (0, 1)}


@pytest.mark.parametrize("where", ["", "train-{{000000..000002}}.{kind}", "train-00000{{0,1,2}}.{kind}"])
def test_shards_in_their_order(tmp_path, kind, where):
    folder = write_shards(tmp_path / "set", kind)
    source = opened(folder / where.format(kind=kind), LABELLED)
    expected = {f"{shard}.{kind}/{n}.png": value for (shard, n), value in EXPECTED.items()}
    assert shown(source) == expected
    assert [sample.name for sample in loaded(source)] == list(expected)
    assert (len(source), source.classes, source.left_out) == (6, 5, {})
    there = pickle.loads(pickle.dumps(source))
    for key in reversed(list(source.keys())):
        (sample,) = there.load([pickle.loads(pickle.dumps(key))])
        assert (which(sample), sample.label) == expected[sample.name]


def test_missing_shards_are_all_named(tmp_path):
    folder = write_shards(tmp_path / "set")
    (folder / "train-000001.tar").unlink()
    with pytest.raises(DataError) as refused:
        opened(folder / "train-{000000..000004}.tar")
    lines = str(refused.value).splitlines()
    assert "3 of 5 files are missing; download them too" in lines[0]
    assert [Path(line.strip()).name for line in lines[1:]] == [f"train-00000{number}.tar" for number in (1, 3, 4)]


def test_other_files_in_a_folder_of_tars_are_counted(tmp_path):
    folder = write_shards(tmp_path / "set")
    (folder / "notes.txt").touch()
    (folder / ".cache").touch()
    assert opened(folder, LABELLED).left_out == {".txt": 1, "hidden": 1}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("a{0..2}.tar", ["a0.tar", "a1.tar", "a2.tar"]),
        ("a{08..11}.tar", ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]),
        ("a{2..0}", ["a2", "a1", "a0"]),
        ("{x,y}-{0..1}.tar", ["x-0.tar", "x-1.tar", "y-0.tar", "y-1.tar"]),
        ("{train,}.tar", ["train.tar", ".tar"]),
        ("a{9..10}", ["a9", "a10"]),
        ("a{9..010}", ["a009", "a010"]),
        ("a{3..3}", ["a3"]),
    ],
)
def test_patterns(pattern, expected):
    assert list(map(str, expand(pattern))) == expected


@pytest.mark.parametrize("pattern", ["a{0..1.tar", "a0..1}.tar", "{a{0..1}}"])
def test_patterns_that_do_not_fit(pattern):
    with pytest.raises(DataError, match=r"braces do not fit; write \{000000\.\.000009\} or \{a,b\}"):
        expand(pattern)


@pytest.mark.parametrize("pattern", ["a{0..99999999999}.tar", "{0..999}{0..999}{0..9}"])
def test_patterns_of_too_much(pattern):
    with pytest.raises(DataError, match="stands for more than 1,000,000 files; write a smaller range"):
        expand(pattern)


def test_a_pattern_may_stand_for_as_many_as_the_limit(monkeypatch):
    monkeypatch.setattr(webdataset, "MAX_SHARDS", 4)
    assert len(expand("a{1..4}.tar")) == len(expand("{a,b}{0..1}.tar")) == 4
    for pattern in ("a{1..5}.tar", "{a,b,c,d,e}.tar"):
        with pytest.raises(DataError, match="stands for more than 4 files"):
            expand(pattern)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"absent\.tar: this tar does not exist; correct the source's path"):
        opened(tmp_path / "absent.tar")
    with pytest.raises(DataError, match="no tars in this folder; looked for"):
        opened(tmp_path)
    with pytest.raises(DataError, match="no images in these tars"):
        opened(write(tmp_path / "a.tar", [("a.txt", b"")]))


def test_cut_shard(tmp_path):
    folder = write_shards(tmp_path / "set")
    whole = (folder / "train-000001.tar").read_bytes()
    (folder / "train-000001.tar").write_bytes(whole[:1300])
    with pytest.raises(DataError, match=r"train-000001\.tar: this archive is cut short or damaged"):
        opened(folder)


# ------------------------------------------------------------------------------------------------- recognised


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([("a.png", b""), ("a.cls", b"")], True),
        ([("a.json", b""), ("a.input.jpg", b"")], True),
        ([("a.png", b""), ("b.cls", b"")], False),
        ([("a.png", b""), ("dataset.json", b"")], False),
        ([("a.png", b""), ("a.txt", b"")], False),
        ([("d/a.png", b""), ("d/a.cls", b"")], True),
        ([("d/a.png", b""), ("d/a.json", b"")], False),
        ([(name, b"") for name in ("a.input.png", "a.mask.png", "b.mask.png", "b.input.png")], True),
        ([(name, b"") for name in ("a.input.png", "a.mask.png", "b.input.png")], False),
        ([("a.input.png", b""), ("a.mask.png", b"")], False),
        ([("a.png", b""), ("b.png", b"")], False),
        # Of 200 members that are looked at, the last are of a sample that may continue behind them.
        ([(f"{n}.{part}.png", b"") for n in range(70) for part in ("a", "b", "c")], True),
        ([*((f"{n}.png", b"") for n in range(199)), ("0.cls", b"")], True),
        ([*((f"{n}.png", b"") for n in range(200)), ("0.cls", b"")], False),
    ],
)
def test_what_looks_like_one(tmp_path, kind, members, expected):
    assert looks_like(write(tmp_path / f"a.{kind}", members)) == expected


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *((f"a{suffix}", True) for suffix in (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")),
        ("A.TAR", True),
        (".a.tar", False),
        ("a.zip", False),
        ("a.tar.txt", False),
    ],
)
def test_files_of_a_folder_that_are_tars(tmp_path, name, is_one):
    (tmp_path / name).touch()
    (tmp_path / "folder.tar").mkdir()
    assert Config(kind="webdataset", path=tmp_path).shards == ((tmp_path / name,) if is_one else ())
    assert looks_like(tmp_path) is is_one


def test_zips_do_not_look_like_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("a.png", b"")
        made.writestr("a.cls", b"1")
    assert not looks_like(tmp_path / "a.zip")


def test_folders_and_patterns_that_look_like_one(tmp_path):
    assert not looks_like(tmp_path)
    write_shards(tmp_path)
    (tmp_path / ".hidden").touch()
    assert looks_like(tmp_path)
    assert looks_like(tmp_path / "train-{0..1}.tar")
    assert not looks_like(tmp_path / "absent.tar")
    (tmp_path / "a.png").touch()
    assert looks_like(tmp_path)  # and `recognise` asks which are meant
    assert not looks_like(tmp_path / "a.png")


def test_pack_of_what_is_recognised(tmp_path):
    folder = write_shards(tmp_path / "set")
    for number, source in enumerate((folder, folder / "train-{000000..000002}.tar")):
        settings = recognise(str(source))
        assert settings["kind"] == "webdataset"
        dataset = Dataset.model_validate({"source": settings, "resolution": 8, "classes": 5})
        written = pack(dataset, tmp_path / f"pack{number}", 2)
        assert (written.count, list(written.label_counts)) == (6, [1, 1, 1, 0, 3])
    single = recognise(str(folder / "train-000000.tar"))
    assert single["kind"] == "webdataset"


def test_inputs(tmp_path):
    folder = write_shards(tmp_path / "set", count=2)
    tars = (folder / "train-000000.tar", folder / "train-000001.tar")
    assert Config(kind="webdataset", path=folder).inputs == (folder, *tars)
    assert Config(kind="webdataset", path=folder / "train-{000000..000001}.tar").inputs == tars
    assert Config(kind="webdataset", path=tars[0]).inputs == tars[:1]


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 7), st.none() | st.integers(0, 4))),
        max_size=3,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=25, deadline=None)
def test_any_shards_give_their_pictures_and_labels(shards, random):
    expected = {}
    with TemporaryDirectory() as folder:
        for number, samples in enumerate(shards):
            members = []
            for stem, (noise, label) in samples.items():
                members.append((f"{stem}.png", encoded(noise)))
                members += [] if label is None else [(f"{stem}.cls", b"%d" % label)]
                expected[f"{number}.tar/{stem}.png"] = (noise, label)
            random.shuffle(members)
            write(Path(folder) / f"{number}.tar", [("readme.md", b""), *members])
        if not expected:
            with pytest.raises(DataError, match=r"no images in these tars|no tars in this folder"):
                opened(Path(folder))
            return
        if len(shards) == 1:
            expected = {name.removeprefix("0.tar/"): value for name, value in expected.items()}
        source = opened(Path(folder), LABELLED)
        assert source.classes == 1 + max((label for _, label in expected.values() if label is not None), default=-1)
        assert shown(source) == expected
        assert source.left_out == {".md": len(shards)}
