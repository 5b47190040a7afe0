"""Every pack format gives back the pixels it was given, wherever and by whoever it is read."""

import io
import multiprocessing
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from ganformer import plugins
from ganformer.config import ImageSpec

PACKAGE = "ganformer.data.formats"
IMAGE = ImageSpec(height=8, width=16)
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 3, 8, 16), np.uint8)


@pytest.fixture(params=plugins.names(PACKAGE))
def layout(request):
    return plugins.find(PACKAGE, request.param)


@pytest.fixture
def shard(layout, tmp_path):
    path = tmp_path / f"shard{layout.SUFFIX}"
    write(layout, path)
    return path


def write(layout, path):
    with layout.Writer(path, IMAGE) as writer:
        writer.append(IMAGES[:1])
        writer.append(IMAGES[1:20])
        writer.append(IMAGES[20:])


def test_same_pixels_out_as_in(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    for indices in ([0], [22, 0, 7, 7], list(range(23)), []):
        images = reader.read(np.array(indices, np.int64))
        assert images.dtype == np.uint8
        assert images.shape == (len(indices), 3, 8, 16)
        assert (images == IMAGES[indices]).all()


def test_what_was_read_may_be_changed(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    reader.read(np.array([3]))[:] = 0
    assert (reader.read(np.array([3]))[0] == IMAGES[3]).all()


def test_same_images_give_the_same_bytes(layout, shard, tmp_path):
    again = tmp_path / "again"
    write(layout, again)
    assert again.read_bytes() == shard.read_bytes()


def test_threads_share_a_reader(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    orders = [np.random.default_rng(seed).permutation(23) for seed in range(40)]
    with ThreadPoolExecutor(8) as threads:
        for order, images in zip(orders, threads.map(reader.read, orders), strict=True):
            assert (images == IMAGES[order]).all()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests' threads
def test_forked_processes_share_a_reader(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    context = multiprocessing.get_context("fork")
    failed = context.Value("i", 0)

    def read():
        for seed in range(50):
            order = np.random.default_rng(seed).permutation(23)
            if not (reader.read(order) == IMAGES[order]).all():
                failed.value += 1

    workers = [context.Process(target=read) for _ in range(2)]
    for worker in workers:
        worker.start()
    read()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert failed.value == 0


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_cut_shard_is_refused(layout, shard, keep):
    whole = shard.read_bytes()
    shard.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises((ValueError, OSError)):
        layout.Reader(shard, 23, IMAGE)


def test_shard_with_another_number_of_images_is_refused(layout, shard):
    with pytest.raises(ValueError, match="instead of"):
        layout.Reader(shard, 24, IMAGE)


def test_png_shards_are_laid_out_like_stylegan2_ada(tmp_path):
    layout = plugins.find(PACKAGE, "png")
    write(layout, tmp_path / "shard.zip")
    with zipfile.ZipFile(tmp_path / "shard.zip") as archive:
        assert archive.namelist()[:2] == ["00000/img00000000.png", "00000/img00000001.png"]
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        with Image.open(io.BytesIO(archive.read("00000/img00000005.png"))) as image:
            assert (np.asarray(image) == IMAGES[5].transpose(1, 2, 0)).all()


def test_npy_shards_are_plain_arrays(tmp_path):
    layout = plugins.find(PACKAGE, "npy")
    write(layout, tmp_path / "shard.npy")
    assert (np.load(tmp_path / "shard.npy") == IMAGES).all()


def test_npy_shard_of_another_shape_is_refused(tmp_path):
    layout = plugins.find(PACKAGE, "npy")
    np.save(tmp_path / "a.npy", np.zeros((23, 3, 8, 16), np.float32))
    with pytest.raises(ValueError, match=r"holds float32 \(23, 3, 8, 16\) instead of uint8 \(23, 3, 8, 16\)"):
        layout.Reader(tmp_path / "a.npy", 23, IMAGE)
