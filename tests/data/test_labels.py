"""Labels on their way from a source through a pack to a batch, and clear words where they do not fit."""

import io
import json
import os
import tracemalloc
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.config import Dataset
from ganformer.data.batches import batch
from ganformer.data.containers import labels
from ganformer.data.dataset import Images, verify
from ganformer.data.info import info
from ganformer.data.packing.pack import pack
from ganformer.data.shuffle import Order
from ganformer.errors import DataError
from ganformer.training.samples import draw_labels


def scenes(classes, **settings):
    source = {"kind": "scenes", "images": 12, "min_objects": 2, "max_objects": 4}
    return Dataset.model_validate({"source": source, "resolution": 16, "classes": classes, **settings})


def folder_of(path, classes, **settings):
    source = {"kind": "folder", "path": path}
    return Dataset.model_validate({"source": source, "resolution": 8, "classes": classes, **settings})


@pytest.fixture
def sorted_pictures(tmp_path, save_picture):
    """Provide two cats in nested folders and a dog."""
    for seed, name in enumerate(("cat/a.png", "cat/more/b.png", "dog/c.png")):
        save_picture(tmp_path / "animals" / name, seed=seed)
    return tmp_path / "animals"


def test_a_scene_is_labelled_with_its_number_of_objects(tmp_path):
    written = pack(scenes(3), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "scenes.jsonl").read_text().splitlines()]
    numbers = [len(line["objects"]) - 2 for line in lines]
    images = Images(tmp_path)
    assert (images.labels(np.arange(12)) == np.eye(3)[numbers]).all()
    assert written.label_counts == [numbers.count(number) for number in range(3)]
    assert min(written.label_counts) > 0
    assert images.image.classes == 3
    assert "labels.npy" in [file.file for file in written.files]
    verify(tmp_path)


def test_a_picture_is_labelled_with_its_folder(sorted_pictures, tmp_path):
    written = pack(folder_of(sorted_pictures, 2), tmp_path / "pack")
    assert Images(tmp_path / "pack").labels(np.arange(3)).tolist() == [[1, 0], [1, 0], [0, 1]]
    assert written.label_counts == [2, 1]


def test_labels_follow_their_images_into_a_batch(tmp_path):
    pack(scenes(3), tmp_path)
    images, order = Images(tmp_path), Order(12, seed=0)
    pixels, one_hot = batch(images, order, position=3, count=5, canvas=images.image.canvas, mirror=False)
    indices = order.indices(3, 5)
    assert one_hot.dtype == torch.float32
    assert one_hot.tolist() == images.labels(indices).tolist()
    assert pixels.numpy().tolist() == images.read(indices).tolist()


def test_without_classes_labels_have_no_columns(tmp_path):
    written = pack(scenes(0), tmp_path)
    assert Images(tmp_path).labels(np.arange(4)).shape == (4, 0)
    assert written.label_counts == ()
    assert not (tmp_path / "labels.npy").exists()
    images = Images(tmp_path)
    assert batch(images, Order(12, seed=0), 0, 4, images.image.canvas, mirror=True)[1].shape == (4, 0)


def test_a_number_of_classes_that_is_not_the_sources_is_refused(tmp_path, sorted_pictures):
    with pytest.raises(DataError, match=r"classes 7 does not fit the source, scenes, which has labels of 3 .* to 0"):
        pack(scenes(7), tmp_path / "pack")
    with pytest.raises(DataError, match=r"classes 3 .* which has labels of 2 classes .cat, dog.; set classes to 2"):
        pack(folder_of(sorted_pictures, 3), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_a_number_of_classes_that_is_not_a_tables_is_refused(tmp_path, sorted_pictures):
    file = tmp_path / "labels.csv"
    file.write_text("path,label\ncat/a.png,1\ncat/more/b.png,0\ndog/c.png,1\n")
    source = {"kind": "folder", "path": sorted_pictures, "labels": file}
    dataset = Dataset.model_validate({"source": source, "resolution": 8, "classes": 3})
    with pytest.raises(DataError, match=r"which has labels of 2 classes; set classes to 2, or to 0 to use no labels"):
        pack(dataset, tmp_path / "pack")


def test_a_picture_outside_all_classes_has_no_label(sorted_pictures, tmp_path, save_picture):
    save_picture(sorted_pictures / "a_stray.png")
    with pytest.raises(DataError, match=r"1 of 4 images are not usable[^$]*a_stray\.png: has no label"):
        pack(folder_of(sorted_pictures, 2), tmp_path / "pack")
    written = pack(folder_of(sorted_pictures, 2, on_error="skip"), tmp_path / "pack")
    assert [(image.path, image.reason) for image in written.rejected] == [("a_stray.png", "has no label")]
    assert list(written.label_counts) == [2, 1]
    labelled = Images(tmp_path / "pack").labels(np.arange(3)).argmax(axis=1)
    assert labelled.tolist() == [0, 0, 1]  # whatever was left out before them


def test_damaged_labels_are_noticed(tmp_path):
    pack(scenes(3), tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros(5, np.int32))
    with pytest.raises(DataError, match=r"labels\.npy: does not hold labels of 12 images of the pack; pack again"):
        Images(tmp_path).labels(np.arange(2))
    (tmp_path / "labels.npy").unlink()
    with pytest.raises(DataError, match=r"labels\.npy: the labels of the pack cannot be read.*\); pack again"):
        Images(tmp_path).labels(np.arange(2))


def test_drawn_labels_are_as_frequent_as_in_the_data():
    drawn = draw_labels([10, 0, 30], range(4000))
    assert drawn.sum(dim=1).unique().tolist() == [1.0]
    assert drawn.mean(dim=0).tolist() == pytest.approx([0.25, 0.0, 0.75], abs=0.03)
    assert draw_labels([], range(5)).shape == (5, 0)


def table(path, text):
    """Return labels of a file with this text."""
    path.write_text(text, encoding="utf-8")
    return labels.read(path)


def found(table, *names):
    return [table.find(name) for name in names]


def test_labels_of_a_csv_that_are_numbers_are_kept(tmp_path):
    numbers = table(tmp_path / "l.csv", "path,label\na/1.png,3\n\na/2.png,0\nb.png,03\n")
    assert (numbers.classes, numbers.names) == (4, ())
    assert found(numbers, "a/1.png", "a/2.png", "b.png", "c.png", "") == [3, 0, 3, None, None]


def test_names_in_a_csv_count_in_their_order(tmp_path):
    text = '\ufeffsize,label,path\n1,zebra,z.png\n2,10,ten.png\n3,9.5,nine.png\n4,ant,é.png\n5,ant,"a,b.png"\n'
    names = table(tmp_path / "l.CSV", text)
    assert names.classes == 4
    assert found(names, "ten.png", "nine.png", "é.png", "a,b.png", "z.png") == [0, 1, 2, 2, 3]


def test_names_of_files_in_a_csv_need_not_be_text(tmp_path):
    (tmp_path / "l.csv").write_bytes(b"path,label\n\xff.png,1\n")
    assert found(labels.read(tmp_path / "l.csv"), os.fsdecode(b"\xff.png")) == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the columns path and label were expected in line 1, found: nothing"),
        ("a.png,1\n", "the columns path and label were expected in line 1, found: a.png, 1"),
        ("path;label\na.png;1\n", "the columns path and label were expected in line 1, found: path;label"),
        ("path,label\na.png\n", "line 2 has no path or no label; add it or remove the line"),
        ("path,label\na.png,1\nb.png,\n", "line 3 has no path or no label"),
        ('path,label\n"a.png,1\n', "line 2 is not csv (unexpected end of data); fix it"),
        (
            "path,label\na.png,-1\n",
            "label -1 is no whole number from 0 to 2147483647; number the classes 0, 1, … or name",
        ),
        ("path,label\na.png,0\nb.png,1.0\n", "label 1.0 is no whole number"),
        ("path,label\na.png,2147483648\n", "label 2147483648 is no whole number"),
        ("path,label\na.png,1\nb.png,2\na.png,2\n", "'a.png' has the labels 1 and 2; leave one of them"),
        ("path,label\na.png,cat\nb.png,dog\nb.png,cat\n", "'b.png' has the labels 1 and 0; leave one of them"),
    ],
)
def test_csv_that_holds_no_labels(tmp_path, text, message):
    with pytest.raises(DataError) as failed:
        table(tmp_path / "l.csv", text)
    assert str(failed.value).startswith(f"{tmp_path / 'l.csv'}: {message}")


def test_missing_labels(tmp_path):
    for name in ("l.csv", "l.json"):
        with pytest.raises(
            DataError, match=rf"{name}: these labels cannot be read \(No such file.*\); correct the source's labels"
        ):
            labels.read(tmp_path / name)
    with pytest.raises(DataError, match=r"l\.txt: a file of labels ends in \.csv or \.json; name one of these"):
        labels.read(tmp_path / "l.txt")


def test_labels_in_the_form_of_stylegan2_ada(tmp_path):
    pairs = [["00000/img00000000.png", 6], ['a\u00e9"].png', 0]]
    others = {"about": {"labels": [1]}, "labels": pairs, "more": "labels"}
    for text in (json.dumps({"labels": pairs}), json.dumps(others, indent=1), json.dumps({"labels": dict(pairs)})):
        numbers = table(tmp_path / "dataset.json", text)
        assert (len(numbers), numbers.classes) == (2, 7)
        assert found(numbers, "00000/img00000000.png", 'aé"].png', "img00000000.png") == [6, 0, None]


@pytest.mark.parametrize(
    ("name", "text"), [("l.csv", "path,label\na.png,2147483647\n"), ("l.json", '{"labels": {"a.png": 2147483647}}')]
)
def test_the_largest_label_is_that_of_32_bits(tmp_path, name, text):
    assert found(table(tmp_path / name, text), "a.png") == [2**31 - 1]
    with pytest.raises(
        DataError,
        match=r"label 2147483648 .*is no whole number from 0 to 2147483647; number the classes 0, 1, …"
        r"( or name them|, name them, or write one-hot rows)$",
    ):
        table(tmp_path / name, text.replace("2147483647", "2147483648"))


@pytest.mark.parametrize("text", ['{"labels": null}', '{"labels": []}', '{"labels": { } }'])
def test_no_labels_in_the_form_of_stylegan2_ada(tmp_path, text):
    nothing = table(tmp_path / "dataset.json", text)
    assert (len(nothing), nothing.classes, nothing.find("00000/img00000000.png")) == (0, 0, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", 'holds no list of labels; write {"labels": [["folder/image.png", 0], …]}, the same as a mapping'),
        ('[["a.png", 0]]', "holds no list of labels"),
        ('{"labels": 3}', "holds no list of labels"),
        ('{"labels": [0, 1]}', '0 is no path with its label; write {"labels"'),
        ('{"labels": [["a.png", 0, 1]]}', '["a.png", 0, 1] is no path with its label'),
        ('{"labels": [[1, "a.png"]]}', '[1, "a.png"] is no path with its label'),
        ('{"labels": [["a.png", 0.5]]}', "label 0.5 of 'a.png' is no whole number from 0 to 2147483647; number the"),
        (
            '{"labels": [["a.png", [0, 2]]]}',
            "label [0, 2] of 'a.png' is no one-hot row of 2 numbers like the first one",
        ),
        ('{"labels": [["a.png", [0, 1]], ["b.png", [1]]]}', "label [1] of 'b.png' is no one-hot row of 2 numbers"),
        ('{"labels": [["a.png", true]]}', "label true of 'a.png' is no whole number"),
        ('{"labels": [["a.png", 0], ["b.png", "cat"]]}', "label \"cat\" of 'b.png' is no whole number"),
        ('{"labels": [["a.png", "cat"], ["b.png", 0]]}', "label 0 of 'b.png' is no name like the first one"),
        ('{"labels": {"a.png": -1}}', "label -1 of 'a.png' is no whole number"),
        ('{"labels": [["a.png", 0], ["b.png", 1], ["a.png", 1]]}', "'a.png' has the labels 0 and 1; leave one"),
        ('{"labels": [["a.png", 0]]', "is not valid JSON (Expecting ',': line 1 column 26 (char 25)); fix it"),
        ('{"labels": [["a.png", 0] ["b.png", 0]]}', "is not valid JSON (Expecting ','"),
        ('{"labels": {"a.png" 0}}', "is not valid JSON (Expecting ':'"),
        ('{"labels": null} {}', "is not valid JSON (Extra data"),
        ("", "is not valid JSON (Expecting value"),
        ("[" * 100_000, "is not valid JSON (maximum recursion depth"),
    ],
)
def test_json_that_holds_no_labels(tmp_path, text, message):
    with pytest.raises(DataError) as failed:
        table(tmp_path / "l.json", text)
    assert str(failed.value).startswith(f"{tmp_path / 'l.json'}: {message}")


def test_json_that_is_not_text(tmp_path):
    (tmp_path / "l.json").write_bytes(b'{"labels": [["\xff.png", 0]]}')
    with pytest.raises(DataError, match=r"l\.json: is not valid JSON \('utf-8' codec .*\); write it as UTF-8"):
        labels.read(tmp_path / "l.json")


def test_labels_take_a_few_bytes_each(tmp_path):
    count = 20_000
    pairs = [[f"{i // 1000:05d}/img{i:08d}.png", i % 10] for i in range(count)]
    (tmp_path / "l.json").write_text(json.dumps({"labels": pairs}))
    tracemalloc.start()
    try:
        kept = labels.read(tmp_path / "l.json")
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found(kept, *(name for name, _ in pairs)) == [label for _, label in pairs]
    assert now < 15 * count
    assert peak < 150 * count  # json.loads takes 220


def test_named_labels_win_over_a_dataset_json_and_that_over_folders(sorted_pictures, tmp_path):
    (sorted_pictures / "dataset.json").write_text('{"labels": {"cat/a.png": 2, "cat/more/b.png": 0, "dog/c.png": 1}}')
    written = pack(folder_of(sorted_pictures, 3), tmp_path / "pack")
    assert Images(tmp_path / "pack").labels(np.arange(3)).argmax(axis=1).tolist() == [2, 0, 1]
    assert written.label_counts == [1, 1, 1]
    (tmp_path / "l.csv").write_text("path,label\ncat/a.png,z\ncat/more/b.png,z\ndog/c.png,a\nelsewhere.png,z\n")
    dataset = folder_of(
        sorted_pictures, 2, source={"kind": "folder", "path": sorted_pictures, "labels": tmp_path / "l.csv"}
    )
    pack(dataset, tmp_path / "pack")
    assert Images(tmp_path / "pack").labels(np.arange(3)).argmax(axis=1).tolist() == [1, 1, 0]


def test_a_picture_that_the_labels_do_not_name_has_none(sorted_pictures, tmp_path):
    (sorted_pictures / "dataset.json").write_text('{"labels": {"cat/a.png": 1, "dog/c.png": 0}}')
    written = pack(folder_of(sorted_pictures, 2, on_error="skip"), tmp_path / "pack")
    assert [(image.path, image.reason) for image in written.rejected] == [("cat/more/b.png", "has no label")]


def test_labels_that_name_no_picture(sorted_pictures, tmp_path):
    (sorted_pictures / "dataset.json").write_text('{"labels": {"animals/cat/a.png": 1, "animals/dog/c.png": 0}}')
    message = (
        r"dataset\.json: none of its 2 labels names an image; the first is of 'animals/cat/a\.png', an image is called"
    )
    with pytest.raises(DataError, match=message + r" '\w+/[\w/]+\.png'; paths start at the top of the images"):
        pack(folder_of(sorted_pictures, 2), tmp_path / "pack")
    assert pack(folder_of(sorted_pictures, 0), tmp_path / "pack").count == 3


def test_named_labels_are_checked_even_where_no_classes_are_asked_for(sorted_pictures, tmp_path):
    (tmp_path / "l.csv").write_text("path,label\nx.png,1\n")
    source = {"kind": "folder", "path": sorted_pictures, "labels": tmp_path / "l.csv"}
    with pytest.raises(DataError, match=r"l\.csv: none of its 1 labels names an image"):
        pack(folder_of(sorted_pictures, 0, source=source), tmp_path / "pack")


def test_folders_that_are_classes():
    folders = labels.FolderLabels(["b", "a", "c"])
    assert folders.classes == 3
    assert labels.FolderLabels(["train"]).classes == 1
    assert found(folders, "a/1.png", "c/d/2.png", "b", "b.png", "e/1.png") == [0, 2, None, None, None]


# ------------------------------------------------------------------------------------------ which class is which


def grey_in(folder, levels):
    """Save a picture of one grey level in each of these folders."""
    for name, level in levels.items():
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8), level).save(folder / name / "a.png")


def test_numbers_sort_as_numbers_and_names_are_kept(tmp_path, capsys):
    grey_in(tmp_path / "in", {str(number): 20 * number for number in range(12)})
    written = pack(folder_of(tmp_path / "in", 12), tmp_path / "out")
    assert list(written.class_names) == list(map(str, range(12)))
    images = Images(tmp_path / "out")
    levels = images.read(np.arange(12))[:, 0, 0, 0]
    assert images.labels(np.arange(12)).argmax(axis=1).tolist() == (levels / 20).tolist()
    info(tmp_path / "out")
    assert "labels      0: 1, 1: 1, 2: 1" in capsys.readouterr().out


def test_folders_without_pictures_are_no_classes(sorted_pictures, tmp_path, capsys):
    (sorted_pictures / "captions").mkdir()
    (sorted_pictures / "captions/1.txt").write_text("a cat")
    (sorted_pictures / "empty").mkdir()
    written = pack(folder_of(sorted_pictures, 2), tmp_path / "out")
    assert list(written.class_names) == ["cat", "dog"]
    assert list(written.label_counts) == [2, 1]
    assert written.left_out == {".txt": 1}
    info(tmp_path / "out")
    assert "labels      cat: 2, dog: 1" in capsys.readouterr().out


def test_a_single_folder_at_the_top_is_named_with_the_setting_that_helps(sorted_pictures, tmp_path):
    sorted_pictures.rename(tmp_path / "pets")
    (tmp_path / "in").mkdir()
    (tmp_path / "pets").rename(tmp_path / "in/pets")
    wanted = (
        rf"if the classes are the folders in 'pets', set the source's path to {tmp_path}/in/pets, or set classes to 1"
    )
    with pytest.raises(DataError, match=wanted):
        pack(folder_of(tmp_path / "in", 2), tmp_path / "out")
    assert pack(folder_of(tmp_path / "in/pets", 2), tmp_path / "out").class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    "splits", [("train", "test"), ("Training", "val", "testing"), ("train2017", "val2017"), ("train", "train_extra")]
)
def test_splits_are_no_classes(tmp_path, splits):
    grey_in(tmp_path / "in", {f"{split}/{name}": 9 for split in splits for name in ("cat", "dog")})
    with pytest.raises(DataError, match=r"are splits of a data set, not classes; .* set the source's path to .*/in/"):
        pack(folder_of(tmp_path / "in", len(splits)), tmp_path / "out")
    assert pack(folder_of(tmp_path / "in", 0), tmp_path / "out").count == 2 * len(splits)
    assert pack(folder_of(tmp_path / "in" / splits[0], 2), tmp_path / "out").class_names == ["cat", "dog"]


def test_names_of_a_table_are_kept(sorted_pictures, tmp_path):
    (sorted_pictures / "dataset.json").write_text(
        json.dumps({"labels": [["cat/a.png", "tom"], ["cat/more/b.png", "tabby"], ["dog/c.png", "rex"]]})
    )
    written = pack(folder_of(sorted_pictures, 3), tmp_path / "out")
    assert list(written.class_names) == ["rex", "tabby", "tom"]
    assert Images(tmp_path / "out").labels(np.arange(3)).argmax(axis=1).tolist() == [2, 1, 0]
    (sorted_pictures / "dataset.json").write_text(
        json.dumps({"labels": {"cat/a.png": [0, 1, 0, 0], "cat/more/b.png": [0, 0, 0, 1.0], "dog/c.png": [1, 0, 0, 0]}})
    )
    written = pack(folder_of(sorted_pictures, 4), tmp_path / "out")
    assert (list(written.class_names), list(written.label_counts)) == ([], [1, 1, 0, 1])


def test_spaces_around_what_stands_in_a_csv_mean_nothing(tmp_path):
    (tmp_path / "l.csv").write_text("path, label\na.png, 12\nb.png, 0\nc.png,6 \n")
    table = labels.read(tmp_path / "l.csv")
    assert [table.find(f"{name}.png") for name in "abc"] == [12, 0, 6]
    (tmp_path / "l.csv").write_text("path,label\na.png,cat \nb.png, cat\nc.png,dog\n")
    assert labels.read(tmp_path / "l.csv").names == ["cat", "dog"]


def test_names_that_are_not_utf8_are_written_as_they_can_be(tmp_path):
    source = tmp_path / os.fsdecode(b"in\xff")
    grey_in(source, {os.fsdecode(b"caf\xe9"): 0, "dog": 40})
    written = pack(folder_of(source, 2), tmp_path / "out")
    assert list(written.class_names) == ["caf\\xe9", "dog"]
    known = Images(tmp_path / "out").manifest
    assert list(known.class_names) == ["caf\\xe9", "dog"]
    assert known.source["path"] == str(source)  # which leads there again
    with redirect_stdout(io.StringIO()) as said:  # takes half letters, as the streams of the command line do
        info(tmp_path / "out")
    assert "caf\\xe9: 1, dog: 1" in said.getvalue()


def test_table_with_half_a_letter(sorted_pictures, tmp_path):
    rows = [["cat/a.png", "\ud800x"], ["cat/more/b.png", "y"], ["dog/c.png", "y"]]
    (sorted_pictures / "dataset.json").write_text(json.dumps({"labels": rows}))
    assert list(pack(folder_of(sorted_pictures, 2), tmp_path / "out").class_names) == ["y", "\\ud800x"]


def test_no_labels_at_all_are_said_with_where_to_name_them(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8, 3), np.uint8), y=np.array([0, 1]))
    source = {"kind": "arrays", "path": str(tmp_path / "a.npz")}
    with pytest.raises(DataError, match=r"has labels of 0 classes; say in the source's labels where they are"):
        pack(Dataset.model_validate({"source": source, "resolution": 8, "classes": 2}), tmp_path / "out")
    source["labels"] = "y"
    assert pack(Dataset.model_validate({"source": source, "resolution": 8, "classes": 2}), tmp_path / "out").count == 2
