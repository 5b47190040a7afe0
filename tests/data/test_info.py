"""Description and pictures of a pack by `ganformer data info`."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganformer.config import Dataset, ImageSpec
from ganformer.data.dataset import Images
from ganformer.data.info import _facts, info, mean
from ganformer.data.packing.pack import pack
from ganformer.errors import DataError


@pytest.fixture
def packed(pictures, tmp_path):
    (pictures / "bad.png").write_bytes(b"not a picture")
    (pictures / "worse.png").write_bytes(b"not a picture")
    (pictures / "copy.png").write_bytes((pictures / "a.png").read_bytes())
    settings = {"source": {"kind": "folder", "path": str(pictures)}, "resolution": 16, "on_error": "skip", "ratio": 0.7}
    pack(Dataset.model_validate(settings), tmp_path / "pack")
    return tmp_path / "pack"


def test_says_what_is_in_a_pack(packed, capsys):
    info(packed)
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["images"] == "8, 1 of them equal to an earlier one"
    assert said["shape"] == "16×11 pixels (width × height), 3 channels"
    assert said["format"] == "npy, 1 shard, 0.0 MB"
    assert said["labels"] == "none"
    assert said["left"] == "out    2 others (1 hidden, 1 .txt)"
    assert said["unusable"] == "2, most often: is not an image of a known format (2)"
    assert Images(packed).digest in said["sha256"]


def test_margins_and_classes_are_said(tmp_path, capsys):
    settings = {"source": {"kind": "scenes", "images": 9}, "resolution": 16, "crop_margin": 0.25, "classes": 6}
    written = pack(Dataset.model_validate(settings), tmp_path / "pack")
    info(tmp_path / "pack", tmp_path / "elsewhere")
    said = capsys.readouterr().out
    assert "20×20 pixels (width × height), 3 channels, the picture 16×16 in its middle" in said
    assert ", ".join(f"{label}: {count}" for label, count in enumerate(written.label_counts)) in said
    assert {path.name for path in (tmp_path / "elsewhere").glob("[!.]*")} == {"contact-sheet.png", "mean.png"}
    assert not (tmp_path / "pack" / "mean.png").exists()


def test_shards_and_reasons_are_counted(tmp_path):
    for name, size in (("a", 1_250_000), ("b", 2_600_000)):
        (tmp_path / name).write_bytes(bytes(size))
    reasons = ["small", "broken", "broken", *(["large"] * 1000)]
    known = SimpleNamespace(
        count=12_345,
        duplicates=1_234,
        format="png",
        shards=[SimpleNamespace(file=name) for name in "ab"],
        source={"kind": "folder", "path": None, "split": "train"},
        class_names=["cat", "dog"],
        label_counts=[2_345, 10_000],
        left_out={},
        rejected=[SimpleNamespace(reason=reason) for reason in reasons],
    )
    image = ImageSpec(height=8, width=16, channels=1, classes=2)
    facts = _facts(SimpleNamespace(folder=tmp_path, manifest=known, image=image, digest="abc"))
    assert facts == {
        "images": "12,345, 1,234 of them equal to an earlier one",
        "shape": "16×8 pixels (width × height), 1 channels",
        "format": "png, 2 shards, 3.9 MB",
        "source": "kind folder, split train",
        "labels": "cat: 2,345, dog: 10,000",
        "left out": "nothing",
        "unusable": "1,003, most often: large (1,000)",
        "sha256": "abc (of shape, pixels and labels)",
    }


@pytest.mark.parametrize(("count", "shown"), [(63, 63), (64, 64), (1000, 64)])
def test_contact_sheet_has_at_most_64_images(count, shown, tmp_path, monkeypatch):
    class Many:
        def __init__(self, folder):
            self.folder = folder
            self.image = ImageSpec(height=1, width=1)

        def __len__(self):
            return count

        def spread(self, number):
            asked.append(number)
            return np.zeros((number, 3, 1, 1), np.uint8)

        def read(self, indices):
            return np.zeros((len(indices), 3, 1, 1), np.uint8)

    asked = []
    monkeypatch.setattr("ganformer.data.info.Images", Many)
    monkeypatch.setattr("ganformer.data.info._facts", lambda images: {})
    info(tmp_path)
    assert asked == [shown]


def test_contact_sheet_shows_the_images_in_order(packed):
    info(packed)
    with Image.open(packed / "contact-sheet.png") as sheet:
        pixels = np.asarray(sheet)
    images = Images(packed).read(np.arange(8)).transpose(0, 2, 3, 1)
    assert pixels.shape == (11, 8 * 16, 3)
    for number, image in enumerate(images):
        assert (pixels[:, number * 16 : (number + 1) * 16] == image).all()


def test_mean_is_exact(packed, monkeypatch):
    images = Images(packed)
    expected = np.rint(images.read(np.arange(8)).mean(axis=0)).transpose(1, 2, 0)
    assert (mean(images) == expected).all()
    monkeypatch.setattr("ganformer.data.info.BATCH", 3)
    assert (mean(images) == expected).all()
    info(packed)
    with Image.open(packed / "mean.png") as picture:
        assert (np.asarray(picture) == expected).all()


def test_pictures_of_somebody_else_stay_and_the_pack_is_told_all_the_same(packed, capsys):
    (packed / "mean.png").write_bytes(b"mine")
    with pytest.raises(
        DataError,
        match=r"has mean\.png, which no earlier call wrote and this one would replace"
        "; choose another output folder, or move these files away",
    ):
        info(packed)
    assert (packed / "mean.png").read_bytes() == b"mine"
    assert not (packed / "contact-sheet.png").exists()
    assert "images      8, 1 of them equal" in capsys.readouterr().out


def test_missing_pack(tmp_path):
    with pytest.raises(DataError, match="no complete pack here"):
        info(tmp_path)
    assert not list(tmp_path.iterdir())
