"""Each published data set on a tiny tree of the same layout: which images are found, and what is said of others."""

import io
import pickle
import tarfile
import zipfile
from dataclasses import replace

import lmdb
import numpy as np
import pytest
import scipy.io
from PIL import Image

from ganformer import plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data.fetching import catalogue
from ganformer.data.packing.pack import pack
from ganformer.data.source import Rejection, open_source
from ganformer.errors import DataError
from tests.data.test_tfrecords import noise, write_set

IMAGE = ImageSpec(height=8, width=8)


def module(kind):
    return plugins.find(catalogue.SOURCES, kind)


def config_of(kind, edition, path):
    return module(kind).Config(kind=kind, edition=edition, path=path)


def opened(kind, edition, path, image=IMAGE):
    source = open_source(config_of(kind, edition, path), image)
    return pickle.loads(pickle.dumps(source)), list(source.keys())


def names(kind, edition, path):
    source, keys = opened(kind, edition, path)
    assert len(source) == len(keys)
    return [sample.name for sample in source.load(keys)]


def encoded(seed, kind="PNG"):
    content = io.BytesIO()
    Image.fromarray(noise(seed).transpose(1, 2, 0)).save(content, kind)
    return content.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def counted(monkeypatch):
    """Change the number of images that an edition has."""

    def change(kind, edition, *counts):
        config = module(kind).Config
        editions = {**config.editions, edition: replace(config.editions[edition], counts=counts)}
        monkeypatch.setattr(config, "editions", editions)

    return change


# ----------------------------------------------------------------------------------------------------- TFRecords


@pytest.mark.parametrize("kind", ["ffhq", "clevr", "cityscapes"])
@pytest.mark.parametrize("folder", [".", "unpacked", "unpacked/inner"])
def test_tfrecords_of_the_author(tmp_path, counted, capfd, kind, folder):
    counted(kind, "tfrecords", 7)
    place = write_set(tmp_path / folder, name=kind)
    inputs = config_of(kind, "tfrecords", tmp_path).inputs
    assert {path for path in inputs if path.is_file()} == set(place.iterdir())
    ratio = module(kind).Config.crop_ratio
    source, keys = opened(kind, "tfrecords", tmp_path, ImageSpec(height=round(8 * ratio), width=8))
    first = next(source.load(keys))
    bar = round(4 * (1 - ratio))
    assert (first.pixels == noise(0)[:, bar : 8 - bar].transpose(1, 2, 0)).all()
    assert (len(source), source.classes) == (7, 0)
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------------------------------------------------- FFHQ


def test_faces_in_a_folder(tmp_path, counted, capfd):
    counted("ffhq", "original", 23)
    for number in range(23):
        write(tmp_path / "images1024x1024" / f"{number // 10:02d}000" / f"{number:05d}.png", encoded(number))
    write(tmp_path / "thumbnails128x128" / "00000" / "00000.png", encoded(0))
    found = names("ffhq", "original", tmp_path)
    assert found == names("ffhq", "original", tmp_path / "images1024x1024")
    assert found[9:11] == ["00000/00009.png", "01000/00010.png"]
    assert capfd.readouterr().err == ""


def test_missing_faces_are_named(tmp_path, counted, capfd):
    counted("ffhq", "original", 30)
    for number in range(0, 30, 6):
        write(tmp_path / f"{number:05d}.png", encoded(number))
    opened("ffhq", "original", tmp_path)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == f"{tmp_path}: 5 images of Flickr-Faces-HQ (FFHQ) are here, 30 were published"
    assert lines[1:7] == [f"  missing: {number:05d}.png" for number in (1, 2, 3, 4, 5, 7)]
    assert lines[21] == "  … and 5 more"


def test_faces_in_a_zip(tmp_path, counted, capfd):
    counted("ffhq", "original", 3)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for number in (0, 2):
            archive.writestr(f"images1024x1024/{number:05d}.png", encoded(number))
    assert len(names("ffhq", "original", tmp_path / "faces.zip")) == 2
    assert (
        "2 images of Flickr-Faces-HQ (FFHQ) are here, 3 were published\n  missing: 00001.png" in capfd.readouterr().err
    )


# ---------------------------------------------------------------------------------------------------- Cityscapes


def write_streets(folder, **counts):
    for split, count in counts.items():
        for number in range(count):
            write(folder / split / "ulm" / f"ulm_{number:06d}_000019_leftImg8bit.png", encoded(number))


def test_streets_of_all_splits(tmp_path, counted, capfd):
    counted("cityscapes", "original", 10)
    write_streets(tmp_path / "leftImg8bit", train=4, val=1, test=2, train_extra=3)
    write(tmp_path / "gtFine" / "train" / "ulm" / "ulm_000000_000019_gtFine_color.png", encoded(0))
    write(tmp_path / "leftImg8bit" / "demoVideo" / "ulm" / "ulm_000000_000019_leftImg8bit.png", encoded(0))
    source, keys = opened("cityscapes", "original", tmp_path)
    (first, *_) = source.load(keys)
    assert first.name == "leftImg8bit/test/ulm/ulm_000000_000019_leftImg8bit.png"
    assert (first.pixels == noise(0).transpose(1, 2, 0)).all()
    assert (len(source), len(keys), source.classes, first.label) == (10, 10, 0, None)
    assert len(names("cityscapes", "original", tmp_path / "leftImg8bit")) == 10
    assert capfd.readouterr().err == ""


def test_missing_splits_are_named(tmp_path, capfd):
    write_streets(tmp_path, train=4, val=1)
    opened("cityscapes", "original", tmp_path)
    said = capfd.readouterr().err.splitlines()
    assert said[1].endswith(
        ", all of aachen, bochum, bremen, cologne, darmstadt, dusseldorf, erfurt, hamburg, hanover, jena, krefeld, "
        "monchengladbach, strasbourg, stuttgart, tubingen, weimar, zurich among them"
    )
    assert said[2].endswith(", all of frankfurt, lindau, munster among them")
    assert [line.partition(", all of")[0] for line in said] == [
        f"{tmp_path}: 5 images of Cityscapes are here, 24,998 were published",
        "  missing: 2,971 of the 2,975 images of train, which come in leftImg8bit_trainvaltest.zip",
        "  missing: 499 of the 500 images of val, which come in leftImg8bit_trainvaltest.zip",
        "  missing: 1,525 of the 1,525 images of test, which come in leftImg8bit_trainvaltest.zip",
        "  missing: 19,998 of the 19,998 images of train_extra, which come in leftImg8bit_trainextra.zip",
    ]


def test_cities_are_those_of_the_paper():
    assert len({city for split in module("cityscapes").SPLITS.values() for city in split.cities.split()}) == 50


def write_archives(place, **cities):
    """Write archives with an image of each of these, `split="city city"`."""
    for split, named in cities.items():
        name = f"leftImg8bit_{'trainextra' if split == 'train_extra' else 'trainvaltest'}.zip"
        with zipfile.ZipFile(place / name, "a") as archive:
            for city in named.split():
                path = f"leftImg8bit/{split}/{city}/{city}_000000_000019_leftImg8bit.png"
                archive.writestr(path, encoded(len(path)))


def test_streets_in_the_archives_as_they_were_downloaded(tmp_path, counted, capfd):
    counted("cityscapes", "original", 4)
    write_archives(tmp_path, train="ulm jena", val="lindau", train_extra="dresden")
    source, keys = opened("cityscapes", "original", tmp_path)
    found = list(pickle.loads(pickle.dumps(source)).load(keys))
    assert [image.name.split("/")[1] for image in found] == ["jena", "ulm", "lindau", "dresden"]
    assert (found[0].pixels == noise(len(f"leftImg8bit/{found[0].name}")).transpose(1, 2, 0)).all()
    assert [next(source.load([key])).name for key in reversed(keys)] == [image.name for image in reversed(found)]
    assert capfd.readouterr().err == ""
    write_streets(tmp_path / "leftImg8bit", train=4)  # what was unpacked is what was meant
    assert len(opened("cityscapes", "original", tmp_path)[1]) == 4


def test_an_archive_that_is_missing_is_named(tmp_path, capfd):
    write_archives(tmp_path, train_extra="dresden")
    opened("cityscapes", "original", tmp_path)
    said = capfd.readouterr().err
    assert "1 images of Cityscapes are here, 24,998 were published" in said
    assert "missing: 1,525 of the 1,525 images of test, which come in leftImg8bit_trainvaltest.zip\n" in said
    assert "missing: 19,997 of the 19,998 images of train_extra, which come in leftImg8bit_trainextra.zip" in said


def test_no_streets(tmp_path):
    write(tmp_path / "train" / "a.png", encoded(0))
    with pytest.raises(DataError, match=r"no images leftImg8bit/SPLIT/CITY/\*_.* below this folder, .* Register at"):
        opened("cityscapes", "original", tmp_path)
    with pytest.raises(DataError, match=r"absent: there is no such folder; Register at https://www\.cityscapes"):
        opened("cityscapes", "original", tmp_path / "absent")


# ---------------------------------------------------------------------------------------------------------- LSUN


def write_environment(folder, count):
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for number in range(count):
            transaction.put(f"{number:040x}".encode(), encoded(number, "WEBP"))


@pytest.mark.parametrize(
    ("kind", "edition", "stem"),
    [
        ("bedrooms", "original", "bedroom_train_lmdb"),
        ("lsun", "church-outdoor", "church_outdoor_train_lmdb"),
        ("lsun", "cat", "cat"),
        ("lsun", "tv-monitor", "tv-monitor"),
    ],
)
def test_categories(tmp_path, counted, capfd, kind, edition, stem):
    counted(kind, edition, 3)
    write_environment(tmp_path / "unpacked" / stem, 3)
    places = [tmp_path, tmp_path / "unpacked", tmp_path / "unpacked" / stem]
    for place in [*places, places[-1] / "data.mdb"]:
        assert names(kind, edition, place) == [f"{number:040x}" for number in range(3)]
        assert config_of(kind, edition, place).inputs == (tmp_path / "unpacked" / stem / "data.mdb",)
    assert capfd.readouterr().err == ""
    counted(kind, edition, 5)
    opened(kind, edition, tmp_path)
    assert "3 images of LSUN" in capfd.readouterr().err


def test_category_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="there is no LMDB environment"):
        opened("lsun", "cat", tmp_path)


# ------------------------------------------------------------------------------------------------------ CelebA-HQ


def test_celebrities(tmp_path, counted, capfd):
    counted("celeba-hq", "jpeg", 2)
    counted("celeba-hq", "png", 2)
    with zipfile.ZipFile(tmp_path / "CelebAMask-HQ.zip", "w") as archive:
        for number in range(2):
            archive.writestr(f"CelebAMask-HQ/CelebA-HQ-img/{number}.jpg", encoded(number, "JPEG"))
            archive.writestr(f"CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/{number:05d}_nose.png", encoded(number))
    assert names("celeba-hq", "jpeg", tmp_path) == ["0.jpg", "1.jpg"]
    assert names("celeba-hq", "jpeg", tmp_path / "CelebAMask-HQ.zip") == ["0.jpg", "1.jpg"]
    with zipfile.ZipFile(tmp_path / "CelebAMask-HQ.zip") as archive:
        archive.extractall(tmp_path / "mine")
    assert names("celeba-hq", "jpeg", tmp_path / "mine") == ["0.jpg", "1.jpg"]
    assert names("celeba-hq", "png", tmp_path / "mine" / "CelebAMask-HQ" / "CelebA-HQ-img") == ["0.jpg", "1.jpg"]
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------------------------------------------- CIFAR-10


def write_batches(folder, count=4, label=lambda number: number % 10):
    for batch in range(1, 6):
        records = [bytes([label(batch * count + i)]) + cifar(batch * count + i).tobytes() for i in range(count)]
        write(folder / f"data_batch_{batch}.bin", b"".join(records))


def cifar(seed):
    return noise(seed, side=32)


def test_batches(tmp_path, counted, capfd):
    counted("cifar10", "original", 20)
    write_batches(tmp_path / "unpacked" / "cifar-10-batches-bin")
    for place in (tmp_path, tmp_path / "unpacked" / "cifar-10-batches-bin"):
        source, keys = opened("cifar10", "original", place, ImageSpec(height=32, width=32, classes=10))
        samples = list(source.load(keys))
        assert (source.classes, len(source)) == (10, 20)
        assert [sample.name for sample in samples[3:5]] == ["data_batch_1.bin[3]", "data_batch_2.bin[0]"]
        assert [sample.label for sample in samples] == [number % 10 for number in range(4, 24)]
        assert all((sample.pixels == cifar(4 + i).transpose(1, 2, 0)).all() for i, sample in enumerate(samples))
        (alone,) = source.load([19])
        assert (alone.pixels == samples[19].pixels).all()
    assert capfd.readouterr().err == ""


def test_batches_that_are_not_whole(tmp_path):
    with pytest.raises(DataError, match=r"data_batch_1\.bin, .*data_batch_5\.bin missing; unpack cifar-10-binary\.tar"):
        opened("cifar10", "original", tmp_path)
    write_batches(tmp_path)
    write(tmp_path / "data_batch_3.bin", bytes(3072))
    with pytest.raises(
        DataError, match=r"data_batch_3\.bin: 3,072 bytes are no whole number of images, 3,073 each; unpack it again"
    ):
        opened("cifar10", "original", tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"data_batch_3\.bin: 0 bytes are no whole number of images, 3,073 each"):
        opened("cifar10", "original", tmp_path)


def test_label_that_is_none(tmp_path):
    write_batches(tmp_path, label=lambda number: number % 11)
    source, keys = opened("cifar10", "original", tmp_path)
    images = list(source.load(keys))
    assert images[6] == Rejection("data_batch_2.bin[2]", "its label 10 is none of the 10 classes")
    assert [isinstance(image, Rejection) for image in images].count(True) == 2


def test_batches_become_a_pack_with_labels(tmp_path, counted):
    counted("cifar10", "original", 20)
    (tmp_path / "cifar").mkdir()
    write_batches(tmp_path / "cifar")
    source = {"kind": "cifar10", "path": str(tmp_path / "cifar")}
    dataset = Dataset.model_validate({"source": source, "resolution": 32, "classes": 10})
    written = pack(dataset, tmp_path / "pack", workers=2)
    assert written.label_counts == [2] * 10
    classes = "airplane automobile bird cat deer dog frog horse ship truck"
    assert list(written.class_names) == classes.split()


# -------------------------------------------------------------------------------------------------------- flowers


def write_flowers(folder, labels):
    folder.mkdir(exist_ok=True)
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.array([labels])})
    with tarfile.open(folder / "102flowers.tgz", "w:gz") as archive:
        for number in range(1, 4):
            content = encoded(number, "JPEG")
            member = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_flowers(tmp_path, counted, capfd):
    counted("flowers", "original", 3)
    write_flowers(tmp_path, [77, 1, 102])
    with tarfile.open(tmp_path / "102flowers.tgz") as archive:
        archive.extractall(tmp_path / "mine", filter="data")
    (tmp_path / "mine" / "imagelabels.mat").write_bytes((tmp_path / "imagelabels.mat").read_bytes())
    for place in (tmp_path, tmp_path / "102flowers.tgz", tmp_path / "mine"):
        source, keys = opened("flowers", "original", place, IMAGE.model_copy(update={"classes": 102}))
        found = [(sample.name, sample.label) for sample in source.load(keys)]
        assert found == [("image_00001.jpg", 76), ("image_00002.jpg", 0), ("image_00003.jpg", 101)]
        assert (len(source), source.classes) == (3, 102)
    assert capfd.readouterr().err == ""


def test_flowers_without_labels_where_none_are_asked_for(tmp_path, counted):
    counted("flowers", "original", 3)
    write_flowers(tmp_path, [1, 2, 3])
    (tmp_path / "imagelabels.mat").unlink()
    source, keys = opened("flowers", "original", tmp_path)
    assert [sample.label for sample in source.load(keys)] == [None] * 3
    assert source.classes == 102
    with pytest.raises(DataError, match=r"imagelabels\.mat: the labels of the flowers are missing; download https://"):
        opened("flowers", "original", tmp_path, IMAGE.model_copy(update={"classes": 102}))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], r"imagelabels\.mat: not all labels are from 1 to 102; download https://.*imagelabels\.mat again"),
        ([1, 103, 2], "not all labels are from 1 to 102"),
        ([], "not all labels are from 1 to 102"),
    ],
)
def test_wrong_labels_of_flowers(tmp_path, labels, message):
    write_flowers(tmp_path, labels)
    with pytest.raises(DataError, match=message):
        opened("flowers", "original", tmp_path, IMAGE.model_copy(update={"classes": 102}))


@pytest.mark.parametrize("content", [b"", b"<html>", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_labels_of_flowers_that_are_none(tmp_path, content):
    write_flowers(tmp_path, [1, 2, 3])
    (tmp_path / "imagelabels.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"imagelabels\.mat: holds no labels \(.*\); download https://.* again"):
        opened("flowers", "original", tmp_path, IMAGE.model_copy(update={"classes": 102}))


def test_flower_that_no_label_is_for(tmp_path):
    write_flowers(tmp_path, [1, 2])
    source, keys = opened("flowers", "original", tmp_path, IMAGE.model_copy(update={"classes": 102}))
    assert [sample.label for sample in source.load(keys)] == [0, 1, None]


def test_flowers_of_other_names_have_no_label(tmp_path):
    write_flowers(tmp_path, [7, 8, 9])
    with tarfile.open(tmp_path / "102flowers.tgz") as archive:
        archive.extractall(tmp_path / "mine", filter="data")
    (tmp_path / "mine" / "imagelabels.mat").write_bytes((tmp_path / "imagelabels.mat").read_bytes())
    first = next((tmp_path / "mine").rglob("image_00001.jpg"))
    for name in ("image_00000.jpg", "image_1.jpg", "rose.jpg"):
        (first.parent / name).write_bytes(first.read_bytes())
    source, keys = opened("flowers", "original", tmp_path / "mine", IMAGE.model_copy(update={"classes": 102}))
    found = {sample.name.rpartition("/")[2]: sample.label for sample in source.load(keys)}
    named = {"image_00001.jpg": 6, "image_00002.jpg": 7, "image_00003.jpg": 8}
    assert found == {"image_00000.jpg": None, "image_1.jpg": None, "rose.jpg": None, **named}


# ---------------------------------------------------------------------------------------------------------- CLEVR


def test_real_scenes(shared, tmp_path):
    """The archive as Facebook lays it out, with real images of it."""
    pictures = sorted((shared / "data" / "clevr_samples").iterdir())[:3]
    with zipfile.ZipFile(tmp_path / "CLEVR_v1.0.zip", "w") as archive:
        archive.writestr("CLEVR_v1.0/scenes/CLEVR_train_scenes.json", "{}")
        archive.writestr("CLEVR_v1.0/overview.png", encoded(0))  # no scene, as it is not in the folder of these
        for path in pictures:
            archive.write(path, f"CLEVR_v1.0/images/train/{path.name}")
    dataset = Dataset.model_validate(
        {"source": {"kind": "clevr", "edition": "original", "path": str(tmp_path)}, "resolution": 64}
    )
    written = pack(dataset, tmp_path / "pack")
    assert (written.count, written.image.height, written.image.width) == (3, 48, 64)


# ------------------------------------------------------------------------------------- what is beside the images


def write_faces(top):
    """Make the folders that CelebAMask-HQ.zip unpacks to: faces, and more masks than faces."""
    for number in range(2):
        write(top / f"CelebAMask-HQ/CelebA-HQ-img/{number}.jpg", encoded(number, "JPEG"))
        for part in ("hair", "nose"):
            write(top / f"CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/{number:05d}_{part}.png", encoded(number))


@pytest.mark.parametrize(
    "place", [".", "up", "up/CelebAMask-HQ", "up/CelebAMask-HQ/CelebA-HQ-img"], ids=["above", "top", "own", "inner"]
)
def test_masks_are_no_faces_wherever_the_data_set_is_named(tmp_path, counted, capfd, place):
    counted("celeba-hq", "jpeg", 2)
    write_faces(tmp_path / "up")
    assert names("celeba-hq", "jpeg", tmp_path / place) == ["0.jpg", "1.jpg"]
    assert capfd.readouterr().err == ""


def test_more_pictures_than_were_published_are_refused(tmp_path, counted):
    counted("celeba-hq", "jpeg", 2)
    write_faces(tmp_path)
    (tmp_path / "CelebAMask-HQ/CelebA-HQ-img").rename(tmp_path / "CelebAMask-HQ/faces")
    message = (
        rf"{tmp_path}: 6 images are here, but only 2 of CelebA-HQ were published, so something else is among them "
        r"\(masks, thumbnails, frames\); set the source's path to the folder of the images alone"
        ", or take all of it as a source of kind folder"
    )
    with pytest.raises(DataError, match=message):
        opened("celeba-hq", "jpeg", tmp_path)
    assert names("celeba-hq", "jpeg", tmp_path / "CelebAMask-HQ/faces") == ["0.jpg", "1.jpg"]


def test_two_copies_of_a_data_set_are_told_apart(tmp_path):
    for copy in ("a", "b"):
        write_faces(tmp_path / copy)
    with pytest.raises(
        DataError, match=r"several folders can be meant \(.*/a/.*, .*/b/.*\); set the source's path to one of them"
    ):
        opened("celeba-hq", "jpeg", tmp_path)


def test_segmentations_are_no_flowers(tmp_path, counted):
    counted("flowers", "original", 1)
    write(tmp_path / "jpg/image_00001.jpg", encoded(0, "JPEG"))
    write(tmp_path / "segmim/segmim_00001.jpg", encoded(0, "JPEG"))
    assert names("flowers", "original", tmp_path) == ["image_00001.jpg"]


def test_frames_of_sequences_are_no_streets(tmp_path, counted, capfd):
    counted("cityscapes", "original", 2)
    for package, count in (("leftImg8bit", 2), ("leftImg8bit_sequence", 6)):
        for number in range(count):
            name = f"{package}/train/aachen/aachen_000000_{number:06d}_leftImg8bit.png"
            write(tmp_path / name, encoded(number))
    write(tmp_path / "gtFine/train/aachen/aachen_000000_000000_gtFine_color.png", encoded(0))
    with Image.open(io.BytesIO(encoded(0))) as page:
        page.save(tmp_path / "of_two_pages.tiff", save_all=True, append_images=[page])
    source, keys = opened("cityscapes", "original", tmp_path)
    assert [image.name.split("/")[0] for image in source.load(keys)] == ["leftImg8bit"] * 2
    assert source.left_out == {"pictures that are not meant": 6 + 1 + 2}
    assert capfd.readouterr().err == ""
