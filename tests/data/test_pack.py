"""Packing: counts, pixels, reasons, the same bytes every time, also after a kill, and nothing half-written."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganformer import artifacts, ledger, plugins
from ganformer.config import Dataset, ImageSpec, Source
from ganformer.data.dataset import Images, verify
from ganformer.data.images import read_image
from ganformer.data.packing import pack as packing
from ganformer.data.packing.pack import pack
from ganformer.data.source import ImageSource
from ganformer.errors import DataError

FORMATS = plugins.names("ganformer.data.formats")


class Deadly(Source):
    """A source whose images kill who loads them."""

    kind: str = "deadly"


class DeadlyImages(ImageSource):
    def __len__(self):
        return 3

    def keys(self):
        return iter(range(3))

    def load(self, keys):
        os.kill(os.getpid(), signal.SIGKILL)


def folder_of(path, **settings):
    return Dataset.model_validate({"source": {"kind": "folder", "path": path}, "resolution": 8, **settings})


def scenes(**settings):
    return Dataset.model_validate({"source": {"kind": "scenes", "images": 7}, "resolution": 16, **settings})


def tree(folder):
    return {str(path): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def contents(folder):
    """Return files of a pack and others in its folder, without the list of those that are ours."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ledger.NAME}


@pytest.mark.parametrize("layout", FORMATS)
def test_pictures_become_a_pack(pictures, tmp_path, layout):
    dataset = folder_of(pictures, format=layout, shard_images=3, ratio=0.5)
    written = pack(dataset, tmp_path / "pack")
    assert written.count == 7
    assert [shard.count for shard in written.shards] == [3, 3, 1]
    assert (written.image.height, written.image.width, written.crop.ratio) == (4, 8, 0.5)
    assert written.source == {"kind": "folder", "path": str(pictures), "labels": None, "limits": None}
    assert (written.rejected, written.files, written.duplicates) == ([], [], 0)
    assert contents(tmp_path / "pack").keys() == {"manifest.json", *(shard.file for shard in written.shards)}
    images = Images(tmp_path / "pack").read(np.arange(7))
    names = ["a-b/y.webp", "a.png", "a/deep/x.JPG", "b/1.png", "b/10.png", "b/2.bmp", "z.gif"]
    for image, name in zip(images, names, strict=True):
        assert (
            image.transpose(1, 2, 0) == read_image(io.BytesIO((pictures / name).read_bytes()), dataset.image).pixels
        ).all()


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("count", [1, 3, 6])
def test_first_images_only(pictures, tmp_path, layout, count):
    written = pack(folder_of(pictures, max_images=count, shard_images=3, format=layout), tmp_path / "pack")
    assert written.count == len(Images(tmp_path / "pack")) == count
    assert len(written.shards) == -(-count // 3)


@pytest.mark.parametrize(
    ("skipped", "most", "kept"), [(0, 2, [0, 1]), (2, None, [2, 3, 4, 5, 6]), (2, 3, [2, 3, 4]), (6, 3, [6])]
)
def test_images_are_held_out(pictures, tmp_path, skipped, most, kept):
    pack(folder_of(pictures), tmp_path / "all")
    written = pack(folder_of(pictures, skip_images=skipped, max_images=most, shard_images=2), tmp_path / "part")
    images, everything = Images(tmp_path / "part"), Images(tmp_path / "all")
    assert written.count == len(images) == len(kept)
    assert (images.read(np.arange(len(kept))) == everything.read(np.array(kept))).all()


def test_leaving_out_all_images_is_refused(pictures, tmp_path):
    with pytest.raises(DataError, match=r"^skip_images 7 leaves none of the source's 7 images; skip fewer$"):
        pack(folder_of(pictures, skip_images=7), tmp_path / "part")
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("layout", FORMATS)
def test_same_input_gives_the_same_bytes(tmp_path, layout):
    for name in ("one", "other"):
        pack(scenes(format=layout, shard_images=3), tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


@pytest.mark.parametrize("layout", FORMATS)
def test_shards_are_full_behind_a_picture_that_was_left_out(pictures, tmp_path, layout):
    settings = {"format": layout, "shard_images": 3}
    pack(folder_of(pictures, **settings), tmp_path / "good")
    (pictures / "a-a.png").write_bytes(b"not a picture")
    written = pack(folder_of(pictures, on_error="skip", **settings), tmp_path / "pack")
    assert [rejected.path for rejected in written.rejected] == ["a-a.png"]
    assert [shard.count for shard in written.shards] == [3, 3, 1]
    good, found = contents(tmp_path / "good"), contents(tmp_path / "pack")
    assert {name: found[name] for name in found if name != "manifest.json"} == {
        name: good[name] for name in good if name != "manifest.json"
    }


@pytest.mark.slow
@pytest.mark.parametrize("layout", FORMATS)
def test_any_number_of_workers_gives_the_same_bytes(pictures, tmp_path, layout, monkeypatch):
    monkeypatch.setattr("ganformer.data.packing.prepare.MAX_BATCH", 2)
    (pictures / "b" / "bad.png").write_bytes(b"not a picture")
    dataset = folder_of(pictures, format=layout, shard_images=3, on_error="skip")
    for workers in (1, 2, 5):
        written = pack(dataset, tmp_path / str(workers), workers)
        assert (written.count, len(written.rejected)) == (7, 1)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")


@pytest.mark.slow
def test_scenes_come_from_several_workers_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("ganformer.data.packing.prepare.MAX_BATCH", 2)
    for workers in (1, 2):
        pack(scenes(classes=6), tmp_path / str(workers), workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.slow
def test_bad_pictures_are_all_listed_by_several_workers(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("ganformer.data.packing.prepare.MAX_BATCH", 1)
    for name in ("a/bad.png", "z/bad.png"):
        (pictures / name).parent.mkdir(exist_ok=True)
        (pictures / name).write_bytes(b"not a picture")
    with pytest.raises(DataError, match="2 of 9 images are not usable"):
        pack(folder_of(pictures), tmp_path / "pack", 2)
    assert contents(tmp_path / "pack").keys() == {"manifest.json", "rejected.json"}
    assert len(artifacts.read_json(tmp_path / "pack" / "manifest.json")["rejected"]) == 2


@pytest.mark.parametrize(("classes", "names"), [(2, ["cat", "dog"]), (3, []), (0, [])])
def test_names_are_kept_if_every_class_has_one(classes, names):
    intake = SimpleNamespace(
        source=SimpleNamespace(class_names=["cat", "dog"]), image=ImageSpec(height=8, width=8, classes=classes)
    )
    assert packing._class_names(intake) == names


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_number_of_shards_is_as_asked_for(pictures, tmp_path, count):
    written = pack(folder_of(pictures, shards=count), tmp_path / "pack")
    sizes = [shard.count for shard in written.shards]
    assert (len(sizes), sum(sizes)) == (count, 7)
    assert max(sizes) - min(sizes) <= 1


def test_more_shards_than_images(pictures, tmp_path):
    with pytest.raises(DataError, match="shards 8 cannot be made of 7 images; set shards to fewer"):
        pack(folder_of(pictures, shards=8), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_worker_that_dies_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("ganformer.data.packing.prepare.MAX_BATCH", 1)
    monkeypatch.setattr("ganformer.data.packing.pack.open_source", lambda config, image: DeadlyImages())
    with pytest.raises(DataError, match=r"one of 2 processes that load images was ended from outside.*__main__':`\)"):
        pack(Dataset.model_construct(**{**dict(scenes()), "source": Deadly()}), tmp_path / "pack", 2)
    assert contents(tmp_path / "pack") == {}


def test_pack_is_not_packed_into_itself(pictures, tmp_path):
    pack(folder_of(pictures), tmp_path / "pack")
    before = contents(tmp_path / "pack")
    again = Dataset.model_validate({"source": {"kind": "pack", "path": tmp_path / "pack"}, "resolution": 8})
    with pytest.raises(DataError, match="is the pack to read from, and would be overwritten; choose another"):
        pack(again, tmp_path / "pack")
    assert contents(tmp_path / "pack") == before
    assert pack(again, tmp_path / "other").count == 7


@pytest.mark.parametrize("inside", [".", "b", "new", "a/deep/new"])
def test_pack_does_not_go_among_the_pictures(pictures, inside):
    before = tree(pictures)
    with pytest.raises(DataError, match=r"is in .*, whose images are to be packed, .* choose another output folder"):
        pack(folder_of(pictures), pictures / inside)
    assert tree(pictures) == before


def test_pictures_do_not_lie_in_the_pack(pictures, tmp_path):
    before = tree(tmp_path)
    with pytest.raises(
        DataError,
        match=r"has .*pictures in it, which is to be packed; choose an output folder of its own for the pack",
    ):
        pack(folder_of(pictures), tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(pictures / "a.png", "a.png")
    zipped = Dataset.model_validate({"source": {"kind": "archive", "path": tmp_path / "a.zip"}, "resolution": 8})
    with pytest.raises(DataError, match=r"has .*a\.zip in it, which is to be packed"):
        pack(zipped, tmp_path)
    (tmp_path / "a.zip").unlink()
    assert tree(tmp_path) == before


def test_what_is_no_picture_is_counted_in_the_manifest(pictures, tmp_path):
    written = pack(folder_of(pictures), tmp_path / "pack")
    assert written.left_out == {".txt": 1, "hidden": 1}
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    for number in range(2):
        frames[0].save(pictures / f"moving{number}.gif", save_all=True, append_images=frames[1:])
    written = pack(folder_of(pictures), tmp_path / "pack", workers=2)
    assert written.left_out == {"further frames of animations": 4, ".txt": 1, "hidden": 1}
    assert artifacts.read_json(tmp_path / "pack/manifest.json")["left_out"] == written.left_out


def test_labels_that_are_not_asked_for_are_not_read(pictures, tmp_path):
    (pictures / "dataset.json").write_text("not JSON")
    assert pack(folder_of(pictures), tmp_path / "pack").count == 7
    with pytest.raises(DataError, match=r"dataset\.json"):
        pack(folder_of(pictures, classes=2), tmp_path / "pack")


def test_letterbox_and_margin_are_in_the_manifest(pictures, tmp_path):
    written = pack(folder_of(pictures, ratio=0.7, letterbox=True), tmp_path / "boxed")
    assert (written.image.height, written.image.width, written.image.picture) == (8, 8, (6, 8))
    assert (written.crop.ratio, written.crop.letterbox, written.crop.margin) == (0.7, True, 0)
    images = Images(tmp_path / "boxed").read(np.arange(7))
    assert images.shape == (7, 3, 8, 8)
    written = pack(folder_of(pictures, crop_margin=0.25), tmp_path / "larger")
    assert (written.image.height, written.image.width, written.image.picture) == (10, 10, (8, 8))
    assert (written.crop.letterbox, written.crop.margin) == (False, 0.25)


def test_scenes_have_no_bars(tmp_path):
    with pytest.raises(DataError, match="rendered in any ratio, without bars; leave letterbox out"):
        pack(scenes(ratio=0.5, letterbox=True), tmp_path / "pack")


def test_nothing_of_an_older_pack_is_left(pictures, tmp_path):
    out = tmp_path / "pack"
    pack(scenes(shard_images=2), out)
    (out / ".images-00003.npy.4711.tmp").touch()
    (out / "mine.txt").write_text("not the pack's")
    pack(folder_of(pictures, format="png"), out)
    assert contents(out).keys() == {"manifest.json", "images-00000.zip", "mine.txt"}
    verify(out)


@pytest.mark.parametrize("name", ["manifest.json", "images-00000.npy", "images-00007.zip", "labels.npy"])
def test_files_of_somebody_else_are_not_replaced(tmp_path, name):
    out = tmp_path / "pack"
    out.mkdir()
    (out / name).write_text('{"my": "own"}')
    with pytest.raises(DataError, match=f"pack: has {name}, which no earlier call wrote and this one would replace"):
        pack(scenes(), out)
    assert contents(out) == {name: b'{"my": "own"}'}


def test_a_pack_whose_manifest_was_removed_is_replaced(tmp_path):
    """The workflow deletes the manifest before it packs again; our files are known all the same."""
    out = tmp_path / "pack"
    pack(scenes(shard_images=2), out)
    (out / "manifest.json").unlink()
    written = pack(scenes(), out)
    assert contents(out).keys() == {"manifest.json", *(file.file for file in (*written.shards, *written.files))}


def test_equal_images_are_counted(pictures, tmp_path):
    for name in ("a/copy.png", "copy.png"):
        (pictures / name).write_bytes((pictures / "a.png").read_bytes())
    assert pack(folder_of(pictures), tmp_path / "pack").duplicates == 2


def test_truth_lies_beside_the_images(tmp_path):
    out = tmp_path / "pack"
    written = pack(scenes(shard_images=3), out)
    assert [file.file for file in written.files] == ["scenes.jsonl", "masks.npy"]
    lines = [json.loads(line) for line in (out / "scenes.jsonl").read_text().splitlines()]
    masks = np.load(out / "masks.npy", mmap_mode="r")
    assert masks.shape == (7, 16, 16)
    assert [line["name"] for line in lines] == [f"scene-{i:08d}" for i in range(7)]
    for line, mask in zip(lines, masks, strict=True):
        assert np.bincount(mask.ravel())[1:].tolist() == [found["visible_pixels"] for found in line["objects"]]


@pytest.mark.parametrize(
    ("count", "end"), [(20, "b/bad19.png: is not an image of a known format"), (25, "… and 5 more")]
)
def test_bad_pictures_are_all_listed_before_it_fails(pictures, tmp_path, count, end):
    for number in range(count):
        (pictures / "b" / f"bad{number:02d}.png").write_bytes(b"not a picture")
    with pytest.raises(DataError) as failed:
        pack(folder_of(pictures, shard_images=2), tmp_path / "pack")
    message = str(failed.value)
    assert f"{count} of {count + 7} images are not usable; fix or remove them, or set on_error: skip" in message
    assert message.count("is not an image of a known format") == 20
    assert "b/bad00.png: is not an image" in message
    assert message.endswith(end)
    assert contents(tmp_path / "pack").keys() == {"manifest.json", "rejected.json"}
    left = artifacts.read_json(tmp_path / "pack" / "manifest.json")
    assert (left["count"], left["shards"], left["duplicates"]) == (0, [], 0)
    assert left["rejected"] == artifacts.read_json(tmp_path / "pack" / "rejected.json")
    assert [entry["path"] for entry in left["rejected"]] == [f"b/bad{number:02d}.png" for number in range(count)]
    with pytest.raises(DataError, match=f"holds no images, as {count} were not usable"):
        Images(tmp_path / "pack")


def test_bad_pictures_may_be_left_out(pictures, tmp_path):
    (pictures / "b" / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(DataError):
        pack(folder_of(pictures), tmp_path / "pack")
    written = pack(folder_of(pictures, on_error="skip"), tmp_path / "pack")
    assert written.count == 7
    assert [(one.path, one.reason) for one in written.rejected] == [("b/bad.png", "is not an image of a known format")]
    assert contents(tmp_path / "pack").keys() == {"manifest.json", "images-00000.npy"}


def test_only_bad_pictures(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="1 of 1 images are not usable; fix them"):
        pack(folder_of(tmp_path / "pictures", on_error="skip"), tmp_path / "pack")


def test_failed_source_leaves_the_old_pack_alone(tmp_path):
    pack(scenes(), tmp_path / "pack")
    with pytest.raises(DataError, match="does not exist"):
        pack(folder_of(tmp_path / "absent"), tmp_path / "pack")
    verify(tmp_path / "pack")


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/pack: cannot be written \(.*\); choose an output folder"):
        pack(scenes(), tmp_path / "file" / "pack")


def test_full_disk(tmp_path, monkeypatch):
    def full(writer, images):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plugins.find("ganformer.data.formats", "npy").Writer, "append", full)
    with pytest.raises(
        DataError,
        match=r"images-00000.npy: cannot be written \(No space left on device\)"
        "; make room there, or choose another output folder, and run again",
    ):
        pack(scenes(), tmp_path / "pack")
    assert contents(tmp_path / "pack") == {}


@pytest.mark.slow
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_run_again(tmp_path, layout, workers):
    dataset = Dataset.model_validate(
        {"source": {"kind": "scenes", "images": 200}, "resolution": 16, "format": layout, "shard_images": 20}
    )
    pack(dataset, tmp_path / "whole")
    out = tmp_path / "killed"
    kill_while_packing(dataset, out, 4, workers)
    with pytest.raises(DataError, match="no complete pack"):
        Images(out)
    pack(dataset, out)
    assert contents(out) == contents(tmp_path / "whole")


def kill_while_packing(dataset, out, shards, workers):
    """End a process that packs with SIGKILL once it has finished this many shards; its workers end with it."""
    program = (
        "import itertools, sys, time; from pathlib import Path\n"
        "from ganformer.config import Dataset; from ganformer.data.packing import pack, prepare\n"
        "prepare.MAX_BATCH = 10\n"
        "file_digest, shards = pack.artifacts.file_digest, itertools.count()\n"
        # It cannot end by itself, however late it is killed.
        "stop = lambda path: time.sleep(600 * (next(shards) == int(sys.argv[4]))) or file_digest(path)\n"
        "pack.artifacts.file_digest = stop\n"
        "pack.pack(Dataset.model_validate_json(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))"
    )
    command = [sys.executable, "-c", program, dataset.json(), str(out), str(workers), str(shards)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        while len(list(out.glob("images-*"))) < shards:
            assert process.poll() is None
            time.sleep(0.002)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        started = [int(child) for child in children.read_text().split()] if children.exists() else []
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    patience = time.monotonic() + 30
    while any(is_running(child) for child in started):
        assert time.monotonic() < patience, "workers outlive the process that they work for"
        time.sleep(0.02)


def is_running(process):
    """Return whether it is there and has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_images_are_not_kept_in_memory(tmp_path, save_picture):
    """A pack ten times as large takes no more memory: shards are streamed."""
    for number in range(3):
        save_picture(tmp_path / "pictures" / f"{number}.png", seed=number, size=(64, 64))
    for number in range(3, 240):
        (tmp_path / "pictures" / f"{number}.png").symlink_to(f"{number % 3}.png")
    program = (
        "import sys, tracemalloc; from pathlib import Path\n"
        "from ganformer.config import Dataset; from ganformer.data.packing.pack import pack\n"
        "def run(count):\n"
        "    settings = {'source': {'kind': 'folder', 'path': sys.argv[1]}, 'resolution': 256, 'max_images': count}\n"
        "    pack(Dataset.model_validate(settings), Path(sys.argv[2]))\n"
        "run(2); tracemalloc.start(); run(60); few = tracemalloc.get_traced_memory()[1]\n"
        "tracemalloc.reset_peak(); run(240); print(few, tracemalloc.get_traced_memory()[1])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pictures"), str(tmp_path / "pack")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = map(int, said.stdout.split())
    assert many < few + 500_000  # 180 images more are 35 MB


@pytest.mark.parametrize(("name", "ratio", "layout"), [("clevr_samples", 0.75, "npy"), ("nlvr", 0.25, "png")])
def test_real_pictures(shared, tmp_path, name, ratio, layout):
    dataset = folder_of(shared / "data" / name, resolution=32, ratio=ratio, format=layout, max_images=12)
    assert pack(dataset, tmp_path / "pack").count == 12
    images = Images(tmp_path / "pack").read(np.arange(12))
    assert images.shape == (12, 3, 32 * ratio, 32)
    paths = sorted((shared / "data" / name).rglob("*.png"))[:12]
    for image, path in zip(images, paths, strict=True):
        with Image.open(path) as original:  # all are as wide as the window or wider
            left = (original.width - round(original.height / ratio)) // 2
            window = original.convert("RGB").crop((left, 0, original.width - left, original.height))
        small = np.asarray(window.resize((8, int(8 * ratio)), Image.Resampling.BOX)).astype(int)
        packed = Image.fromarray(image.transpose(1, 2, 0)).resize((8, int(8 * ratio)), Image.Resampling.BOX)
        assert np.abs(np.asarray(packed) - small).mean() < 3


def test_photographs_of_many_sizes(shared, tmp_path):
    folder = shared / "data/food_thumbs/images"
    files = [path.read_bytes() for path in folder.iterdir()]
    written = pack(folder_of(folder, resolution=32), tmp_path / "pack")
    assert (written.count, len(written.rejected)) == (len(files), 0)
    assert written.duplicates == len(files) - len(set(files)) == 3


def test_odd_pictures_are_packed_or_listed(shared, tmp_path):
    written = pack(folder_of(shared / "data/odd_images", on_error="skip"), tmp_path / "pack")
    assert (written.count, len(written.rejected)) == (30, 10)
