"""Every pack format gives back the pixels it was given, wherever and by whoever it is read."""

import io
import multiprocessing
import pickle
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import h5py
import lmdb
import numpy as np
import pytest

from ganformer import artifacts, plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data.dataset import Images
from ganformer.data.formats import hdf5
from ganformer.data.packing.pack import pack
from ganformer.errors import DataError

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


def read(reader, indices):
    images = np.empty((len(indices), 3, 8, 16), np.uint8)
    for image, index in zip(images, indices, strict=True):
        reader.read(int(index), image)
    return images


def test_same_pixels_out_as_in(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    for indices in ([0], [22, 0, 7, 7], list(range(23)), []):
        images = read(reader, indices)
        assert images.dtype == np.uint8
        assert images.shape == (len(indices), 3, 8, 16)
        assert (images == IMAGES[indices]).all()


def test_what_was_read_may_be_changed(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    read(reader, [3])[:] = 0
    assert (read(reader, [3])[0] == IMAGES[3]).all()


def test_same_images_give_the_same_bytes(layout, shard, tmp_path):
    again = tmp_path / "again"
    write(layout, again)
    assert again.read_bytes() == shard.read_bytes()


def test_portions_do_not_change_the_bytes(layout, shard, tmp_path):
    with layout.Writer(tmp_path / "again", IMAGE) as writer:
        writer.append(IMAGES)
    assert (tmp_path / "again").read_bytes() == shard.read_bytes()


def test_shard_is_written_under_one_name_and_read_under_another(layout, tmp_path):
    with artifacts.atomic(tmp_path / "shard") as temporary:
        write(layout, temporary)
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]
    assert (read(layout.Reader(tmp_path / "shard", 23, IMAGE), range(23)) == IMAGES).all()


def test_file_grows_with_the_images(layout, tmp_path):
    """The overhead besides the pixels stays small, also as holes that take no space."""
    image = ImageSpec(height=64, width=64)
    for count in (1, 40):
        with layout.Writer(tmp_path / "shard", image) as writer:
            writer.append(np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), np.uint8))
        assert (tmp_path / "shard").stat().st_size < 30_000 + 1.4 * count * 3 * 64 * 64


def test_spawned_process_reads_the_same(layout, tmp_path):
    name = layout.__name__.rpartition(".")[2]
    settings = {"source": {"kind": "scenes", "images": 9}, "resolution": 16, "format": name, "shard_images": 4}
    pack(Dataset.model_validate(settings), tmp_path)
    images = Images(tmp_path)
    order = np.array([8, 0, 5, 5, 3])
    expected = images.read(order)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        assert (processes.submit(pickle.loads(pickle.dumps(images)).read, order).result() == expected).all()


def test_threads_share_a_reader(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    orders = [np.random.default_rng(seed).permutation(23) for seed in range(40)]
    with ThreadPoolExecutor(8) as threads:
        for order, images in zip(orders, threads.map(partial(read, reader), orders), strict=True):
            assert (images == IMAGES[order]).all()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests' threads
def test_forked_processes_share_a_reader(layout, shard):
    reader = layout.Reader(shard, 23, IMAGE)
    context = multiprocessing.get_context("fork")
    failed = context.Value("i", 0)

    def read_often():
        for seed in range(50):
            order = np.random.default_rng(seed).permutation(23)
            if not (read(reader, order) == IMAGES[order]).all():
                failed.value += 1

    workers = [context.Process(target=read_often) for _ in range(2)]
    for worker in workers:
        worker.start()
    read_often()
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


def test_npy_shards_are_plain_arrays(tmp_path):
    layout = plugins.find(PACKAGE, "npy")
    write(layout, tmp_path / "shard.npy")
    assert (np.load(tmp_path / "shard.npy") == IMAGES).all()


def test_npy_shard_of_another_shape_is_refused(tmp_path):
    layout = plugins.find(PACKAGE, "npy")
    np.save(tmp_path / "a.npy", np.zeros((23, 3, 8, 16), np.float32))
    with pytest.raises(ValueError, match=r"holds float32 \(23, 3, 8, 16\) instead of uint8 \(23, 3, 8, 16\)"):
        layout.Reader(tmp_path / "a.npy", 23, IMAGE)


def test_hdf5_shards_have_one_plain_data_set(tmp_path):
    layout = plugins.find(PACKAGE, "hdf5")
    write(layout, tmp_path / "shard.h5")
    with h5py.File(tmp_path / "shard.h5") as file:
        assert list(file) == ["images"]
        assert (file["images"][:] == IMAGES).all()
        assert file["images"].chunks == (1, 3, 8, 16)
        assert file["images"].compression is None


@pytest.mark.slow
def test_hdf5_shards_do_not_tell_the_time(tmp_path):
    layout = plugins.find(PACKAGE, "hdf5")
    write(layout, tmp_path / "one")
    time.sleep(1.1)  # HDF5 would write down seconds
    write(layout, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "images",
            np.zeros((23, 3, 8, 16), np.int16),
            r"holds int16 \(23, 3, 8, 16\) instead of uint8 \(23, 3, 8, 16\)",
        ),
        (
            "images",
            np.zeros((23, 3, 16, 8), np.uint8),
            r"holds uint8 \(23, 3, 16, 8\) instead of uint8 \(23, 3, 8, 16\)",
        ),
        ("pictures", IMAGES, "holds no data set 'images'"),
    ],
)
def test_hdf5_file_of_another_kind_is_refused(tmp_path, name, values, message):
    layout = plugins.find(PACKAGE, "hdf5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[name] = values
    with pytest.raises(ValueError, match=message):
        layout.Reader(tmp_path / "a.h5", 23, IMAGE)


def test_lmdb_shards_hold_raw_images_in_order(tmp_path):
    layout = plugins.find(PACKAGE, "lmdb")
    write(layout, tmp_path / "shard.mdb")
    with (
        lmdb.open(str(tmp_path / "shard.mdb"), subdir=False, readonly=True, lock=False) as file,
        file.begin() as transaction,
    ):
        *images, meta = transaction.cursor()
    assert images == [(f"{number:08d}".encode(), image.tobytes()) for number, image in enumerate(IMAGES)]
    assert meta == (b"meta", b'{"count": 23, "dtype": "uint8", "shape": [3, 8, 16]}')
    assert [path.name for path in tmp_path.iterdir()] == ["shard.mdb"]


def test_lmdb_shards_of_many_transactions(tmp_path, monkeypatch):
    layout = plugins.find(PACKAGE, "lmdb")
    monkeypatch.setattr(layout, "TRANSACTION_BYTES", 5 * IMAGES[0].size)
    write(layout, tmp_path / "one")
    with layout.Writer(tmp_path / "two", IMAGE) as writer:
        writer.append(IMAGES)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (read(layout.Reader(tmp_path / "one", 23, IMAGE), range(23)) == IMAGES).all()
    with lmdb.open(str(tmp_path / "one"), subdir=False, readonly=True, lock=False) as file:
        assert file.info()["last_txnid"] == 5


def test_lmdb_file_of_another_shape_is_refused(tmp_path):
    layout = plugins.find(PACKAGE, "lmdb")
    write(layout, tmp_path / "shard.mdb")
    with pytest.raises(ValueError, match=r'holds \{.*"shape": \[3, 8, 16\]\} instead of \{.*"shape": \[3, 16, 8\]\}'):
        layout.Reader(tmp_path / "shard.mdb", 23, ImageSpec(height=16, width=8))


def test_lmdb_file_of_another_kind_is_refused(tmp_path):
    layout = plugins.find(PACKAGE, "lmdb")
    with (
        lmdb.open(str(tmp_path / "a.mdb"), subdir=False, lock=False) as file,
        file.begin(write=True) as transaction,
    ):
        transaction.put(b"cat", b"picture")
    with pytest.raises(ValueError, match="holds other things instead of"):
        layout.Reader(tmp_path / "a.mdb", 23, IMAGE)


def test_lmdb_image_that_is_missing(tmp_path):
    layout = plugins.find(PACKAGE, "lmdb")
    write(layout, tmp_path / "shard.mdb")
    with (
        lmdb.open(str(tmp_path / "shard.mdb"), subdir=False, lock=False) as file,
        file.begin(write=True) as transaction,
    ):
        transaction.delete(b"00000007")
    reader = layout.Reader(tmp_path / "shard.mdb", 23, IMAGE)
    with pytest.raises(DataError, match=r"shard.mdb: image 7 of this shard is missing; pack the data set again"):
        read(reader, [6, 7])


def test_hdf5_is_written_whole_where_the_system_takes_less_at_a_time(tmp_path):
    class Reluctant(io.FileIO):
        def write(self, data):
            return super().write(memoryview(data)[:3])

    class Disk(hdf5.Disk, Reluctant):
        pass

    with Disk(tmp_path / "file", "w") as disk:
        assert disk.write(b"ten bytes.") == 10
    assert (tmp_path / "file").read_bytes() == b"ten bytes."
    assert disk.error is None
