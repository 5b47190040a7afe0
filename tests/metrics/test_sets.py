"""A path is opened by its contents; the images of a set are taken as they are, or not at all."""

import json
import os
import re
import shutil
import tarfile
import zipfile

import h5py
import lmdb
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganformer.config import Dataset, Evaluation
from ganformer.data.dataset import Images
from ganformer.data.packing.pack import pack
from ganformer.errors import ConfigError, DataError
from ganformer.metrics import sets
from ganformer.metrics.reference import Reference
from ganformer.metrics.sets import (
    ALL,
    FromSource,
    Generated,
    ImageSet,
    Known,
    Packed,
    common_picture,
    observe,
    open_set,
)
from ganformer.metrics.statistics import Observed
from ganformer.progress import Progress
from ganformer.training import distribution, runs
from tests.run_records import run_record

CPU = torch.device("cpu")
COUNT = 40  # more than a batch
SETTINGS = Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, "images": 36, "seed": 2})


def write(images, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:03}.png")
    return folder


def content(images, picture=None):
    return torch.cat(list(images.batches(picture or images.picture, CPU))).numpy()


@pytest.fixture(scope="module")
def reals(draw_shapes):
    return draw_shapes(COUNT, seed=1, size=16)[:, :, :12]  # 12 rows, 16 columns


@pytest.fixture(scope="module")
def folder(reals, tmp_path_factory):
    return write(reals, tmp_path_factory.mktemp("images") / "pictures")


@pytest.fixture
def own(folder, tmp_path):
    """Provide a copy of the folder that a test may change."""
    return shutil.copytree(folder, tmp_path / "own")


def packed(folder, out, **changes):
    source = {"kind": "folder", "path": str(folder)}
    pack(Dataset.model_validate({"source": source, "resolution": 16, "ratio": 0.75, **changes}), out)
    return out


class Learner:
    """Gives the image of a seed."""

    network = torch.nn.Identity()

    def __init__(self, images):
        self.images = images

    def sample(self, labels, seeds, truncation=1.0):
        return torch.from_numpy(self.images)[np.array(seeds) % len(self.images)].float() / 127.5 - 1


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Make a folder of a run that has learnt these images by heart."""

    def make(images, data_sha256="f" * 64, **image):
        made = {"height": images.shape[2], "width": images.shape[3], "channels": 3, **image}
        record = {
            "run": {"dataset": "shapes", "model": "gan", "seed": 3},
            "spec": {"image": made},
            "data": {"data_sha256": data_sha256, "label_counts": []},
            "steps": 8,
            "snapshots": [{"step": 8, "kimg": 1.0, "file": "eight", "sha256": "8" * 64}],
        }
        monkeypatch.setattr(runs, "restore", lambda run, step=None: (Learner(images), run_record(record)))
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "run.json").touch()
        return tmp_path / "run"

    return make


# ---------------------------------------------------------------------------------------------- what is opened


def test_whatever_holds_the_same_images_is_the_same_set(reals, folder, tmp_path):
    shutil.make_archive(str(tmp_path / "images"), "zip", folder)
    with (
        tarfile.open(tmp_path / "images.tar.gz", "w:gz") as compressed,
        tarfile.open(tmp_path / "images.tar", "w") as tar,
    ):
        for path in sorted(folder.iterdir()):
            compressed.add(path, path.name)
            tar.add(path, path.name)
    packed(folder, tmp_path / "pack")
    upright = reals.transpose(0, 2, 3, 1)
    np.save(tmp_path / "images.npy", upright)
    np.savez(tmp_path / "samples.npz", upright, np.zeros(3))
    np.savez_compressed(tmp_path / "figure.npz", provenance=np.array("{}"), images=upright)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["images"] = reals
    kinds = {
        folder: "folder",
        tmp_path / "images.zip": "archive",
        tmp_path / "images.tar": "archive",
        tmp_path / "images.tar.gz": "archive",
        tmp_path / "pack": "pack",
        tmp_path / "pack" / "manifest.json": "pack",
        tmp_path / "images.npy": "arrays",
        tmp_path / "samples.npz": "arrays",
        tmp_path / "figure.npz": "arrays",
        tmp_path / "images.h5": "hdf5",
    }
    for path, kind in kinds.items():
        images = open_set(path, SETTINGS)
        assert isinstance(images, {"pack": Packed}.get(kind, FromSource))
        assert (images.about.kind, images.about.images, len(images)) == (kind, COUNT, COUNT)
        assert images.picture == (12, 16)
        assert [len(batch) for batch in images.batches(images.picture, CPU)] == [32, 8]
        np.testing.assert_array_equal(content(images), reals)


def test_pictures_that_are_stored_turned_are_looked_at_upright(tmp_path):
    upright = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    for i in range(2):
        turned.save(tmp_path / f"{i}.png", exif=exif)
    Image.fromarray(upright).save(tmp_path / "2.png")
    images = open_set(tmp_path, SETTINGS)
    assert images.picture == (12, 16)
    np.testing.assert_array_equal(content(images), np.stack([upright.transpose(2, 0, 1)] * 3))


def test_of_a_pack_with_bars_or_margins_only_the_picture_counts(reals, folder, tmp_path):
    for name, changes in {"bars": {"letterbox": True}, "margin": {"crop_margin": 0.25}}.items():
        images = open_set(packed(folder, tmp_path / name, **changes), SETTINGS)
        assert images.images.image.height > 12
        assert images.picture == (12, 16)
        assert content(images).shape == reals.shape


def test_a_run_gives_the_images_of_the_seeds(run, reals):
    path = run(reals)
    for named in (path, path / "run.json"):
        images = open_set(named, SETTINGS)
        assert isinstance(images, Generated)
        np.testing.assert_array_equal(content(images), np.take(reals, range(72, 108), axis=0, mode="wrap"))
    assert images.title == f"{path}/run.json at step 8"
    assert images.about.content() == {
        "kind": "run",
        "path": f"{path}/run.json",
        "images": 36,
        "run": {"dataset": "shapes", "model": "gan", "seed": 3},
        "image": {"height": 12, "width": 16, "channels": 3},
        "step": 8,
        "weights_sha256": "8" * 64,
        "seeds": [72, 107],
        "truncation": None,
    }


def test_statistics_say_what_they_are(tmp_path):
    np.savez(tmp_path / "stats.npz", mu=np.zeros(5), sigma=np.eye(5))
    known = open_set(tmp_path / "stats.npz", SETTINGS)
    assert isinstance(known, Known)
    path = f"{tmp_path}/stats.npz"
    assert known.about.content() == {"kind": "statistics", "path": path, "images": None, "layout": "pytorch-fid"}
    assert (known.arrays, known.features, known.extractor) == ({"mean", "covariance"}, 5, None)


@pytest.fixture
def reference(tmp_path):
    """Write a reference of ours with these arrays."""

    def make(extractor=None, **arrays):
        path = tmp_path / "reference.npz"
        settings = SETTINGS.extractor.model_dump(mode="json") if extractor is None else extractor
        Reference(Observed("a pack", 40, arrays), settings, False, "a" * 64).write(path)
        return path

    return make


def test_references_say_what_they_are(reference):
    path = reference(mean=np.zeros(5), covariance=np.eye(5), features=np.zeros((40, 5)))
    known = open_set(path, SETTINGS)
    assert known.title == str(path)
    assert known.about.content() == {
        "kind": "reference",
        "path": str(path),
        "images": 40,
        "data_sha256": "a" * 64,
        "mirrored": False,
    }
    assert known.arrays == {"mean", "covariance", "features"}
    assert known.extractor == {"kind": "random-vgg16", "seed": 0}


# --------------------------------------------------------------------------------------------- what is refused


def test_missing_path_says_what_may_be_named(tmp_path):
    message = rf"^the set: '{tmp_path}/absent': there is no such file or folder; correct the path$"
    with pytest.raises(ConfigError, match=message):
        open_set(tmp_path / "absent", SETTINGS)


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match=rf"^{tmp_path}: no images below this folder"):
        open_set(tmp_path, SETTINGS)


def test_settings_that_a_source_asks_for_are_given_as_json(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((3, 8, 8, 3), np.float32))
    settings = json.dumps({"kind": "arrays", "path": str(path)})
    with pytest.raises(DataError) as caught:
        open_set(path, SETTINGS)
    asked, advice = str(caught.value).split(". Settings are given")
    assert asked.endswith("state the values of black and white in limits, e.g. limits: [0, 1] or limits: [-1, 1]")
    assert advice == f" with the set as JSON: the set '{settings[:-1]}, …}}'"
    with pytest.raises(DataError, match="no agreed range") as caught:
        open_set(settings, SETTINGS)
    assert "Settings are given" not in str(caught.value)


def test_no_settings_are_asked_for_where_only_the_path_is_wrong(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images below this folder at any depth.*by its own path$"):
        open_set(tmp_path, SETTINGS)


def test_damaged_npz_is_taken_for_statistics(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataError, match=r"a\.npz: is not a whole npz of numbers \("):
        open_set(tmp_path / "a.npz", SETTINGS)


def test_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no images " * 100)
    with pytest.raises(ConfigError, match=r"notes\.txt is a file of no known kind; allowed are \.zip, .*"):
        open_set(tmp_path / "notes.txt", SETTINGS)


def test_folder_of_three_shapes_is_refused(own):
    for name in ("007.png", "009.png"):
        Image.new("RGB", (32, 24)).save(own / name)
    Image.new("RGB", (32, 8)).save(own / "011.png")
    message = (
        rf"^{own}: the images are not of one shape: 37 of 16×12 pixels as 000\.png, 2 of 32×24 pixels as 007\.png, "
        r"1 of 32×8 pixels as 011\.png; a measure does not crop or resize: give all one shape, with `ganformer data "
        "pack` for example$"
    )
    with pytest.raises(DataError, match=message):
        open_set(own, SETTINGS)


def test_many_shapes_are_counted(own):
    for i in range(5):
        Image.new("RGB", (20 + i, 12)).save(own / f"{i:03}.png")
    with pytest.raises(DataError, match=r"as 005\.png, 1 of 20×12 pixels as 000\.png, 1 of .* and 3 more; a"):
        open_set(own, SETTINGS)


@pytest.mark.parametrize("is_zip", [False, True])
def test_file_that_is_no_image_is_refused_at_once(own, tmp_path, is_zip):
    (own / "005.png").write_bytes(b"not a picture")
    path = own
    if is_zip:
        path = tmp_path / "own.zip"
        shutil.make_archive(str(path.with_suffix("")), "zip", own)
    message = (
        rf"^{path}: 005\.png: is not an image of a known format; numbers without it would be of another set: make it "
        "again, or take it out$"
    )
    with pytest.raises(DataError, match=message):
        open_set(path, SETTINGS)


def test_image_that_is_cut_short_is_refused(reals, tmp_path):
    path = write(np.repeat(reals[:, :, :8], 2, axis=2), tmp_path) / "035.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(
        DataError, match=rf"^{tmp_path}: 035\.png: .*truncated.*; numbers without it would be of another"
    ):
        content(open_set(tmp_path, SETTINGS))


def test_member_of_a_zip_with_flipped_bytes_is_refused(own, tmp_path):
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for path in sorted(own.iterdir()):
            archive.write(path, path.name)
    whole = bytearray((tmp_path / "own.zip").read_bytes())
    place = whole.index((own / "020.png").read_bytes()) + 50
    whole[place] ^= 0xFF
    (tmp_path / "own.zip").write_bytes(whole)
    with pytest.raises(DataError, match=r"own\.zip: 020\.png: .*; numbers without it would be of another set"):
        open_set(tmp_path / "own.zip", SETTINGS)


def test_pipe_is_not_waited_for(own):
    os.mkfifo(own / "100.png")
    with pytest.raises(DataError, match=rf"^{own}: 100\.png: is not a regular file; numbers without it"):
        open_set(own, SETTINGS)


def test_images_of_a_run_that_are_not_finite_are_refused(run, reals):
    broken = reals.astype(np.float32)
    broken[:, 1, 2, 3] = np.nan
    images = open_set(run(broken), SETTINGS)
    with pytest.raises(DataError, match=r"run\.json at step 8: generated images hold NaN or infinity, so the training"):
        content(images)


def test_reference_of_another_extractor_is_refused(reference):
    path = reference({"kind": "random-vgg16", "seed": 5}, mean=np.zeros(5), covariance=np.eye(5))
    message = re.escape(f'{path}: was measured with the extractor {{"kind":"random-vgg16","seed":5}}, not with ')
    with pytest.raises(DataError, match=f"^{message}"):
        open_set(path, SETTINGS)


def test_damaged_reference_is_refused(reference):
    path = reference(mean=np.zeros(5), covariance=np.full((5, 5), np.nan))
    with pytest.raises(
        DataError, match=rf"^{re.escape(str(path))}: covariance holds NaN or infinity; make the file ag"
    ):
        open_set(path, SETTINGS)


# ------------------------------------------------------------------------------------------- shapes of two sets


def test_sets_of_different_shapes_are_refused(folder, run, reals):
    small = open_set(run(reals[:, :, :8, :8]), SETTINGS)
    message = (
        rf"^{folder} has images of 16×12 pixels, but .*/run\.json at step 8 of 8×8 pixels; a measure does not resize: "
        "make one set again in the shape of the other$"
    )
    with pytest.raises(DataError, match=message):
        common_picture(open_set(folder, SETTINGS), small)


@pytest.mark.parametrize("swapped", [False, True])
def test_an_imported_run_shows_the_picture_of_the_other_set(folder, run, reals, swapped):
    """GANformer's own snapshots make squares with bars above and below, and do not say where."""
    squares = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 16, 16), np.uint8)
    squares[:, :, 2:14] = reals
    sets = open_set(folder, SETTINGS), open_set(run(squares, data_sha256=None), SETTINGS)
    assert common_picture(*(sets[::-1] if swapped else sets)) == (12, 16)
    np.testing.assert_array_equal(content(sets[1], (12, 16)), np.take(reals, range(72, 108), axis=0, mode="wrap"))


def test_a_run_that_was_trained_on_whole_squares_shows_nothing_less(folder, run, reals):
    squares = np.repeat(reals[:, :, :1], 16, axis=2)
    with pytest.raises(DataError, match=r"has images of 16×12 pixels, but .* of 16×16 pixels"):
        common_picture(open_set(folder, SETTINGS), open_set(run(squares), SETTINGS))


def test_a_run_with_bars_of_its_own_shows_what_lies_between(folder, run, reals):
    squares = np.zeros((COUNT, 3, 16, 16), np.uint8)
    squares[:, :, 2:14] = reals
    images = open_set(run(squares, rows=12), SETTINGS)
    assert common_picture(open_set(folder, SETTINGS), images) == images.picture == (12, 16)
    np.testing.assert_array_equal(content(images), np.take(reals, range(72, 108), axis=0, mode="wrap"))


# --------------------------------------------------------------------------------------- every reader, and its settings


def oriented_tiff(path, upright, orientation):
    """Write an uncompressed 8-bit TIFF to be turned: stored rows and columns follow from `upright` [H, W]."""
    stored = {5: upright.T, 6: np.rot90(upright), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1)}[orientation]
    tifffile.imwrite(path, stored, photometric="minisblack", extratags=[(274, "H", 1, orientation, False)])


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("is_zip", [False, True])
def test_turned_tiffs_are_the_upright_pictures(tmp_path, orientation, is_zip):
    upright = np.random.default_rng(orientation).integers(0, 256, (3, 12, 20), np.uint8)
    for number, picture in enumerate(upright):
        (tmp_path / "turned").mkdir(exist_ok=True)
        oriented_tiff(tmp_path / f"turned/{number}.tif", picture, orientation)
    path = tmp_path / "turned"
    if is_zip:
        path = shutil.make_archive(str(path), "zip", path)
    images = open_set(path, SETTINGS)
    assert images.picture == (12, 20)
    np.testing.assert_array_equal(content(images), upright[:, None].repeat(3, axis=1))


def test_a_size_that_was_announced_is_checked(own, monkeypatch):
    """Whatever the header says, nothing is cropped or resized unseen."""
    monkeypatch.setattr("ganformer.data.decoding.size", lambda file, page=None: (20, 12))
    images = open_set(own, SETTINGS)
    with pytest.raises(DataError, match=r"000\.png is of 16×12 pixels, but others are of 20×12 pixels; a measure does"):
        content(images)


def test_any_array_that_can_be_images_is_taken(reals, tmp_path):
    upright = reals.transpose(0, 2, 3, 1)
    np.savez(tmp_path / "samples.npz", samples=upright, labels=np.full((COUNT, 40), -1.0))
    np.savez(tmp_path / "floats.npz", images=(upright / 255).astype(np.float32))
    np.testing.assert_array_equal(content(open_set(tmp_path / "samples.npz", SETTINGS)), reals)
    with pytest.raises(DataError) as error:
        open_set(tmp_path / "floats.npz", SETTINGS, option="--fake")
    path = json.dumps(str(tmp_path / "floats.npz"))
    assert "state the values of black and white in limits" in str(error.value)
    assert f"""as JSON: --fake '{{"kind": "arrays", "path": {path}, …}}\'""" in str(error.value)
    with_limits = f'{{"kind": "arrays", "path": {path}, "limits": [0, 1]}}'
    np.testing.assert_array_equal(content(open_set(with_limits, SETTINGS)), reals)


def test_labels_are_never_looked_at(own, reals):
    (own / "dataset.json").write_text("not JSON")
    np.testing.assert_array_equal(content(open_set(own, SETTINGS)), reals)


def test_other_readers_serve_too(reals, folder, tmp_path):
    with (
        lmdb.open(str(tmp_path / "images.lmdb"), map_size=1 << 24) as environment,
        environment.begin(write=True) as put,
    ):
        for number, path in enumerate(sorted(folder.iterdir())):
            put.put(f"{number:08d}".encode(), path.read_bytes())
    images = open_set(tmp_path / "images.lmdb", SETTINGS)
    assert images.about.kind == "lmdb"
    np.testing.assert_array_equal(content(images), reals)


def test_one_shape_is_needed_where_there_are_no_headers_to_look_at(reals, folder, tmp_path):
    Image.new("RGB", (20, 12)).save(tmp_path / "other.png")
    with (
        lmdb.open(str(tmp_path / "images.lmdb"), map_size=1 << 24) as environment,
        environment.begin(write=True) as put,
    ):
        put.put(b"0", next(folder.iterdir()).read_bytes())
        put.put(b"1", (tmp_path / "other.png").read_bytes())
    images = open_set(tmp_path / "images.lmdb", SETTINGS)
    with pytest.raises(DataError, match="1 is of 20×12 pixels, but others are of 16×12 pixels"):
        content(images)


def test_images_that_have_no_shape_of_their_own_are_refused():
    with pytest.raises(DataError, match="makes images of any shape; pack them in the shape of the other set first"):
        open_set('{"kind": "scenes", "images": 4}', SETTINGS)


def test_what_is_no_picture_is_told(own):
    (own / "notes.txt").write_text("no picture")
    assert open_set(own, SETTINGS).about.left_out == {".txt": 1}


def test_mirrored_images_are_turned_left_to_right(draw_shapes, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(draw_shapes(5, seed=0)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number}.png")
    source = {"kind": "folder", "path": str(folder)}
    pack(Dataset.model_validate({"source": source, "resolution": image.shape[-1]}), tmp_path / "pack")
    images = Images(tmp_path / "pack")
    (seen,) = Packed(images, mirrored=True).batches(images.image.picture, torch.device("cpu"))
    expected = images.read(np.arange(5))
    assert (expected != expected[..., ::-1]).any()
    assert np.array_equal(seen[:5], expected)
    assert np.array_equal(seen[5:], expected[..., ::-1])


class Numbered(ImageSet):
    """So many images, two at a time."""

    title, picture, about, batch_size = "numbers", (1, 1), None, 2

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def batches(self, picture, device, share=ALL):
        return share.of(torch.arange(self.count).view(-1, 1, 1, 1).split(2))


@pytest.mark.parametrize(("rank", "is_silent", "done"), [(0, False, [4, 5]), (1, True, [4])])
def test_the_first_of_several_processes_counts_the_images_of_all(monkeypatch, rank, is_silent, done):
    made, counted = [], []

    class Watched(Progress):
        def update(self, count, values=None):
            super().update(count, values)
            made.append(self.is_silent)
            counted.append(self.done)

    monkeypatch.setattr(sets, "Progress", Watched)
    monkeypatch.setattr(distribution, "rank", lambda: rank)
    monkeypatch.setattr(distribution, "ranks", lambda: 2)
    monkeypatch.setattr(distribution, "gather", lambda observer: [observer])
    look = sets.Look(lambda images: (images.flatten(1).float(), images.flatten(1).float()), {"features"})
    sets.observe_with({"": look}, Numbered(5), (1, 1), torch.device("cpu"), "look")
    assert counted == done
    assert set(made) == {is_silent}


@pytest.mark.parametrize(("count", "mirrored", "sizes"), [(40, False, {32}), (20, False, {20}), (40, True, {64})])
def test_the_last_images_are_seen_among_as_many_as_the_others(draw_shapes, tmp_path, count, mirrored, sizes):
    """Sums of floats depend on how many images a network sees together, so that copies would not quite be equal."""
    images = draw_shapes(count, seed=3, size=16)
    packed(write(images, tmp_path / "folder"), tmp_path / "pack", ratio=1)
    seen = []

    def network(batch):
        seen.append(len(batch))
        return batch.float().flatten(1), torch.zeros(len(batch), 1)

    known = Packed(Images(tmp_path / "pack"), mirrored=mirrored)
    found = observe(known, network, {"features"}, (16, 16), torch.device("cpu"), "look")
    assert set(seen) == sizes
    assert found.count == len(found.arrays["features"]) == len(known)
    assert (found.arrays["features"][:20] == images[:20].reshape(20, -1)).all()
