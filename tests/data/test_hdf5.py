"""Images in HDF5 files: which dataset, its labels, damage, and that no other file is ever opened."""

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest

from ganformer.config import Dataset, ImageSpec
from ganformer.data.images import read_array
from ganformer.data.pack import pack
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources import hdf5
from ganformer.data.sources.hdf5 import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=8)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 10, 3), np.uint8)
EXPECTED = np.stack([read_array(image, IMAGE) for image in PIXELS])
LABELS = np.arange(12) % 5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


def opened(path, **settings):
    return open_source(Config(kind="hdf5", path=path, **settings), IMAGE)


def save(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def loaded(source):
    return list(source.load(list(source.keys())))


def pixels(source):
    return np.stack([sample.pixels for sample in loaded(source)])


def refusal(path, **settings):
    with pytest.raises(DataError) as refused:
        opened(path, **settings).classes  # noqa: B018 - reads the labels
    return str(refused.value)


@pytest.mark.parametrize(
    ("array", "settings"),
    [
        (PIXELS, {}),
        (PIXELS.transpose(0, 3, 1, 2), {}),
        (PIXELS.astype(">u2") * 257, {}),
        (PIXELS.astype(np.float32) / 255, {"limits": (0, 1)}),
        (PIXELS.transpose(0, 3, 1, 2).astype(">f8") / 127.5 - 1, {"limits": (-1, 1)}),
        (PIXELS[0], {}),
        (PIXELS[0].transpose(2, 0, 1), {"layout": "NCHW"}),
    ],
)
@pytest.mark.parametrize("storage", [{}, {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}])
def test_images_of_a_dataset(path, array, settings, storage):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=array, **storage)
        file["names"] = ["some", "text"]
        file["numbers"] = np.zeros((4, 4))
    source = opened(path, **settings)
    assert len(source) == (12 if array.ndim == 4 else 1)
    assert (pixels(source) == EXPECTED[: len(source)]).all()
    keys = list(source.keys())
    there = pickle.loads(pickle.dumps(source))
    for key, expected in zip(reversed(keys), EXPECTED[: len(source)][::-1], strict=True):
        (sample,) = there.load([key])
        assert isinstance(sample, Sample)
        assert sample.name == f"data[{key.number}]"
        assert (sample.pixels == expected).all()


def test_dataset_in_a_group(path):
    save(path, **{"train/images": PIXELS, "train/labels": LABELS, "about/size": 12})
    source = opened(path)
    assert (pixels(source) == EXPECTED).all()
    assert loaded(source)[3].name == "images[3]"
    for name in ("train/images", "/train/images", "train/images/"):
        assert (pixels(opened(path, dataset=name)) == EXPECTED).all()


def test_dataset_is_not_named_where_there_are_several(path):
    save(path, **{"train/images": PIXELS, "test/images": PIXELS[:3], "labels": LABELS})
    message = refusal(path)
    assert "a.h5: several arrays can be images; name one in dataset. There is" in message
    assert "'test/images' uint8 [3, 9, 10, 3], 'train/images' uint8 [12, 9, 10, 3]" in message
    assert len(opened(path, dataset="test/images")) == 3


@pytest.mark.parametrize("name", ["images", "train", "train/images/deeper", ""])
def test_named_dataset_that_is_not_there(path, name):
    message = refusal(save(path, **{"train/images": PIXELS}), dataset=name)
    assert f"has no array '{name}'; correct dataset. There is 'train/images' uint8 [12, 9, 10, 3]" in message


def test_no_dataset_of_images(path):
    assert "no array can be images; allowed are" in refusal(save(path, a=np.zeros(3), b=np.zeros((2, 2))))
    assert refusal(save(path)).endswith("There is none")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((10, 8, 6, 5), np.uint8), "shape [10, 8, 6, 5] is not one of images; allowed are [N, H, W, C], "),
        (PIXELS / 255, "float64 values have no agreed range; state those of black and white in limits"),
        (PIXELS > 9, "bool values are not those of images"),
        (np.zeros((0, 8, 8, 3), np.uint8), "shape [0, 8, 8, 3] has no images"),
        (h5py.Empty("u1"), "is empty; name another one"),
        (np.full((9, 10, 3), "text", h5py.string_dtype()), "holds Python objects"),
        (np.zeros((2, 3, 9, 3), np.uint8), "can be NHWC and NCHW; set layout: NHWC where"),
    ],
)
def test_dataset_of_something_else(path, array, reason):
    message = refusal(save(path, data=array), dataset="data")
    assert "a.h5: dataset 'data': " in message
    assert reason in message


def test_value_outside_the_limits_is_a_rejection(path):
    values = PIXELS / 255
    values[5] += 1
    found = loaded(opened(save(path, data=values), limits=(0, 1)))
    assert [i for i, image in enumerate(found) if isinstance(image, Rejection)] == [5]
    assert found[5].name == "data[5]"
    assert "are not within the limits 0 to 1" in found[5].reason


# ---------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None].astype(np.uint8), np.eye(5, dtype=np.float32)[LABELS]])
def test_labels_beside_the_images(path, labels):
    save(path, **{"train/images": PIXELS, "train/labels": labels, "labels": LABELS[:3]})
    source = opened(path)
    assert source.classes == pickle.loads(pickle.dumps(source)).classes == 5
    assert [sample.label for sample in loaded(source)] == LABELS.tolist()


def test_named_labels(path):
    save(path, images=PIXELS, labels=LABELS, **{"coarse/y": LABELS // 3})
    source = opened(path, labels="/coarse/y")
    assert source.classes == 2
    assert [sample.label for sample in loaded(source)] == (LABELS // 3).tolist()
    assert opened(path, labels="").classes == 0
    assert "has no array 'y'; correct labels. There is 'coarse/y' int64 [12], 'images'" in refusal(path, labels="y")


def test_no_labels(path):
    source = opened(save(path, images=PIXELS, **{"other/labels": LABELS}))
    assert source.classes == 0
    assert {sample.label for sample in loaded(source)} == {None}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (LABELS[:11], "11 labels do not fit 12 images"),
        (np.linspace(0, 1, 12), "float64 [12] are no labels"),
        (3, "int64 [] are no labels"),
        (LABELS - 1, "labels from -1 to 3"),
        (np.full((12, 5), 0.2), "rows that are not one-hot"),
    ],
)
def test_datasets_that_are_no_labels(path, labels, reason):
    message = refusal(save(path, images=PIXELS, labels=labels))
    assert "a.h5: dataset 'labels': " in message
    assert reason in message


# ------------------------------------------------------------------------------- damage and other files


@pytest.mark.parametrize("change", [lambda whole: b"", lambda whole: b"no" * 5000, lambda whole: whole[:3000]])
def test_file_that_is_not_whole(path, change):
    save(path, images=PIXELS)
    path.write_bytes(change(path.read_bytes()))
    message = refusal(path)
    assert "a.h5: is no whole HDF5 file (" in message
    assert message.endswith("get or save it again")


def test_missing_file(path):
    assert refusal(path).endswith("a.h5: this HDF5 file does not exist; correct the source's path")


def test_damaged_chunk_rejects_its_images_only(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=(4, 9, 10, 3), compression="gzip")
        place = file["images"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 20 : place + 40] = bytes(20)
    path.write_bytes(content)
    found = loaded(opened(path))
    assert [i for i, image in enumerate(found) if isinstance(image, Rejection)] == [4, 5, 6, 7]
    assert found[4].name == "images[4]"
    assert "filter returned failure during read" in found[4].reason


@pytest.mark.parametrize("link", [h5py.SoftLink("/there/images"), h5py.ExternalLink("other.h5", "images")])
@pytest.mark.parametrize("role", ["dataset", "labels"])
def test_links_are_not_followed(path, link, role):
    save(path.with_name("other.h5"), images=PIXELS)
    with h5py.File(path, "w") as file:
        file["there/images"] = PIXELS
        file["link"] = link
    message = refusal(path, **{role: "link"})
    assert "a.h5: dataset 'link': is a link, which is not followed as it may lead to other files" in message
    assert len(opened(path)) == 12  # the search does not see it


def test_link_to_a_group_elsewhere_is_not_followed(path):
    save(path.with_name("other.h5"), **{"train/images": PIXELS})
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "train")
    assert "a.h5: dataset 'link': is a link" in refusal(path, dataset="link/images")
    assert "no array can be images" in refusal(path)


def test_values_in_another_file_are_not_read(path):
    secret = path.with_name("secret")
    secret.write_bytes(bytes(2160))
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (8, 9, 10, 3), "u1", external=[(str(secret), 0, 2160)])
    assert "a.h5: dataset 'images': its values lie in other files, which are not opened" in refusal(
        path, dataset="images"
    )
    assert "no array can be images" in refusal(path)


def test_dataset_put_together_from_other_files_is_not_read(path):
    save(path.with_name("other.h5"), images=PIXELS)
    layout = h5py.VirtualLayout(PIXELS.shape, PIXELS.dtype)
    layout[:] = h5py.VirtualSource(path.with_name("other.h5"), "images", PIXELS.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("images", layout)
    assert "its values lie in other files" in refusal(path, dataset="images")


def test_unknown_compression(path):
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((1, 9, 10, 3))
        plan.set_filter(31999, h5py.h5z.FLAG_OPTIONAL)
        kind = h5py.h5t.NATIVE_UINT8
        h5py.h5d.create(file.id, b"images", kind, h5py.h5s.create_simple(PIXELS.shape), plan)
    message = refusal(path)
    assert "a.h5: dataset 'images': is compressed by filter 31999 (unnamed), which is not installed" in message
    assert "install it (e.g. the package hdf5plugin) or store the dataset with gzip" in message


def test_chunks_too_large_to_decompress(path, monkeypatch):
    monkeypatch.setattr(hdf5, "CHUNK_BYTES", 3000)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=PIXELS.shape, compression="gzip")
    message = refusal(path)
    assert "is compressed in chunks of 3,240 bytes, which can only be read whole; store it in chunks of at" in message


# -------------------------------------------------------------------------------------------- processes


def test_chunk_of_many_images_is_decompressed_once(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=(12, 3, 5, 1), compression="gzip")
    dataset = opened(path)._values
    slots, size, _ = dataset.id.get_access_plist().get_chunk_cache()
    assert size >= PIXELS.nbytes
    assert slots >= 100 * 18


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests' threads
def test_forked_processes_open_the_file_themselves(path):
    source = opened(save(path, images=PIXELS))
    keys = list(source.keys())
    assert (pixels(source) == EXPECTED).all()
    context = multiprocessing.get_context("fork")
    failed = context.Value("i", 0)

    def read():
        for _ in range(50):
            found = np.stack([sample.pixels for sample in source.load(keys)])
            failed.value += not (found == EXPECTED).all()

    workers = [context.Process(target=read) for _ in range(2)]
    for worker in workers:
        worker.start()
    read()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert failed.value == 0


def test_file_may_be_read_only(path):
    save(path, images=PIXELS).chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert (pixels(opened(path)) == EXPECTED).all()
    finally:
        path.parent.chmod(0o755)


def test_inputs(path):
    assert Config(kind="hdf5", path=path).inputs == (path,)


def test_pack_with_labels(path, tmp_path):
    source = {"kind": "hdf5", "path": save(path, images=PIXELS, labels=LABELS)}
    dataset = Dataset.model_validate({"source": source, "resolution": 8, "classes": 5})
    written = pack(dataset, tmp_path / "pack")
    assert (written.count, list(written.label_counts)) == (12, np.bincount(LABELS).tolist())
