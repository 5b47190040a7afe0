"""Images in HDF5 files: which dataset, its labels, damage, and that no other file is ever opened."""

import io
import multiprocessing
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from ganformer.config import Dataset, ImageSpec
from ganformer.data.images import read_array, read_image
from ganformer.data.packing.pack import pack
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources import hdf5
from ganformer.data.sources.hdf5 import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=8)
LABELLED = ImageSpec(height=8, width=8, classes=5)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 10, 3), np.uint8)
EXPECTED = np.stack([read_array(image, IMAGE).pixels for image in PIXELS])
LABELS = np.arange(12) % 5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


def opened(path, image=IMAGE, **settings):
    return open_source(Config(kind="hdf5", path=path, **settings), image)


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
        (PIXELS / 255, "float64 values have no agreed range; state the values of black and white in limits"),
        (PIXELS.astype(np.int32), "int32 values have no agreed range"),
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
    source = opened(path, LABELLED)
    assert source.classes == pickle.loads(pickle.dumps(source)).classes == 5
    assert [sample.label for sample in loaded(source)] == LABELS.tolist()


def test_named_labels(path):
    save(path, images=PIXELS, labels=LABELS, **{"coarse/y": LABELS // 3})
    source = opened(path, LABELLED, labels="/coarse/y")
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
    assert "a.h5: dataset 'images': is external: its values are in other files, which are not opened" in refusal(
        path, dataset="images"
    )
    message = refusal(path)
    assert "no array can be images" in message
    assert message.endswith(
        "'images' uint8 [8, 9, 10, 3] (external: its values are in other files, which are not opened)"
    )


def test_dataset_put_together_from_other_files_is_not_read(path):
    save(path.with_name("other.h5"), images=PIXELS)
    layout = h5py.VirtualLayout(PIXELS.shape, PIXELS.dtype)
    layout[:] = h5py.VirtualSource(path.with_name("other.h5"), "images", PIXELS.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("images", layout)
    assert "its values are in other files" in refusal(path, dataset="images")
    assert refusal(path).endswith("(virtual: its values are in other files, which are not opened)")


@pytest.mark.parametrize("has_plugin", [True, False])
def test_unknown_compression(path, monkeypatch, has_plugin):
    monkeypatch.setattr(hdf5, "_has_plugin", lambda: has_plugin)
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((1, 9, 10, 3))
        plan.set_filter(31999, h5py.h5z.FLAG_OPTIONAL)
        kind = h5py.h5t.NATIVE_UINT8
        h5py.h5d.create(file.id, b"images", kind, h5py.h5s.create_simple(PIXELS.shape), plan)
    message = refusal(path)
    assert "a.h5: dataset 'images': is compressed by filter 31999 (unnamed), which is not installed" in message
    advice = "the package hdf5plugin, which is there, lacks it" if has_plugin else "pip install hdf5plugin"
    assert f"install it ({advice}) or store the dataset with gzip" in message


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
    dataset = opened(path).opened.dataset
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


# ------------------------------------------------------------------------------------- what other programs write


def encoded(number, kind="png"):
    file = io.BytesIO()
    Image.fromarray(PIXELS[number]).save(file, kind)
    return file.getvalue()


def matlab(path, array, kind="uint8", **others):
    """Return the array that save -v7.3 makes of one in MATLAB.

    The axes in the other order, after a header of its own.
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in {"X": array, **others}.items():
            stored = np.ascontiguousarray(values.T)
            file[name] = stored.astype(np.uint8) if values.dtype == bool else stored
            file[name].attrs["MATLAB_class"] = np.bytes_("logical" if values.dtype == bool else kind)
    header = b"MATLAB 7.3 MAT-file".ljust(512)
    path.write_bytes(header + path.read_bytes()[512:])
    return path


GREY = PIXELS[..., 0]
ONE_GREY_EACH = np.stack([read_array(image, IMAGE).pixels for image in GREY])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (PIXELS.transpose(1, 2, 3, 0), EXPECTED),  # H×W×3×N
        (PIXELS, EXPECTED),  # N×H×W×3
        (PIXELS[0], EXPECTED[:1]),  # H×W×3
        (GREY.transpose(1, 2, 0), ONE_GREY_EACH),  # H×W×N
        (GREY[:1].transpose(1, 2, 0), ONE_GREY_EACH[:1]),  # H×W×1
    ],
)
def test_axes_of_matlab_are_in_the_opposite_order(path, array, expected):
    source = opened(matlab(path, array))
    assert (pixels(source) == expected).all()
    assert (pixels(pickle.loads(pickle.dumps(source))) == expected).all()
    assert hdf5.is_hdf5(path)


@pytest.mark.parametrize(
    ("array", "choices"),
    [
        (PIXELS[:3].transpose(1, 2, 3, 0), {"NCWH": EXPECTED[:3], "CWHN": None}),
        (GREY[:4].transpose(1, 2, 0), {"NWH": ONE_GREY_EACH[:4], "CWH": None}),
    ],
)
def test_axes_of_matlab_that_are_not_clear(path, array, choices):
    message = refusal(matlab(path, array))
    assert all(f"layout: {layout}" in message for layout in choices)
    for layout, expected in choices.items():
        if expected is not None:
            assert (pixels(opened(path, layout=layout)) == expected).all()


def test_logical_of_matlab_is_black_and_white(path):
    values = GREY.transpose(1, 2, 0) > 127
    expected = np.stack([read_array(image, IMAGE).pixels for image in np.where(GREY > 127, 255, 0).astype(np.uint8)])
    assert (pixels(opened(matlab(path, values))) == expected).all()


def test_text_and_cells_of_matlab_are_no_images(path):
    matlab(path, np.zeros((9, 10, 12), np.uint16), kind="char")
    assert "<U1 values are no pixels of images" in refusal(path)
    with h5py.File(path, "w") as file:
        file["a"] = PIXELS
        file["cell"] = np.array([[file["a"].ref] * 3])
    assert "dataset 'cell': holds references, as cells of MATLAB do; name one of the datasets" in refusal(
        path, dataset="cell"
    )
    assert len(opened(path)) == 12


@pytest.mark.parametrize("layout", ["NCWH", "HWCN"])
def test_columns_first_without_a_word_in_the_file(path, layout):
    array = PIXELS.transpose(["NHWC".index(axis) for axis in layout])
    assert (pixels(opened(save(path, x=array), layout=layout)) == EXPECTED).all()


@pytest.mark.parametrize("offset", [0, 512, 1024, 4096])
def test_signature_of_hdf5(tmp_path, offset):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=offset) as file:
        file["x"] = PIXELS
    assert hdf5.is_hdf5(path)
    assert (pixels(opened(path)) == EXPECTED).all()
    path.write_bytes(path.read_bytes()[offset + 1 :])
    assert not hdf5.is_hdf5(path)
    assert not hdf5.is_hdf5(tmp_path / "absent")


@pytest.mark.parametrize("chunks", [(1, 9, 10, 3), (2, 5, 10, 3), (5, 9, 4, 1)])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_images_in_chunks_that_were_never_written(path, chunks, compression):
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", PIXELS.shape, "u1", chunks=chunks, compression=compression, fillvalue=7)
        for number in (0, 1, 2, 3, 4, 10, 11):
            dataset[number] = PIXELS[number]
    found = loaded(opened(path))
    written = {
        number for number in range(12) if any(number // chunks[0] == n // chunks[0] for n in (*range(5), 10, 11))
    }
    assert {n for n, image in enumerate(found) if isinstance(image, Sample)} == written
    reason = "was never written: the file has a gap in place of its values"
    assert {image for n, image in enumerate(found) if n not in written} == {
        Rejection(f"x[{n}]", reason) for n in range(12) if n not in written
    }


def test_part_of_an_image_was_never_written(path):
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", PIXELS.shape, "u1", chunks=(3, 3, 10, 3))
        dataset[:] = PIXELS
        other = file.create_dataset("y", PIXELS.shape, "u1", chunks=(3, 3, 10, 3))
        other[:, :6] = PIXELS[:, :6]
        other[3:6] = PIXELS[3:6]
    assert (pixels(opened(path, dataset="x")) == EXPECTED).all()
    assert [isinstance(image, Sample) for image in loaded(opened(path, dataset="y"))] == [3 <= n < 6 for n in range(12)]


def test_nothing_was_ever_written(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", PIXELS.shape, "u1")
    found = loaded(opened(path))
    assert len(found) == 12
    assert all(isinstance(image, Rejection) and "was never written" in image.reason for image in found)


KINDS = {
    "variable": lambda contents: (contents, h5py.vlen_dtype(np.uint8)),
    "opaque": lambda contents: (contents, f"V{max(map(len, contents))}"),
    "strings": lambda contents: (contents, f"S{max(map(len, contents))}"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [True, False])
def test_encoded_pictures(path, kind, labels):
    contents, dtype = KINDS[kind]([encoded(number, "webp" if number % 2 else "png") for number in range(12)])
    with h5py.File(path, "w") as file:
        file["names"] = np.array([b"some", b"text"])
        dataset = file.create_dataset("train/pictures", (12,), dtype)
        for number, content in enumerate(contents):
            if number != 5:
                dataset[number] = np.frombuffer(content, np.uint8) if kind == "variable" else np.array(content, dtype)
        if labels:
            file["train/labels"] = LABELS
    source = opened(path, LABELLED if labels else IMAGE)
    found = loaded(source)
    assert len(source) == 12
    assert isinstance(found[5], Rejection)
    assert found[5].name == "pictures[5]"
    there = pickle.loads(pickle.dumps(source))
    for number in {*range(12)} - {5}:
        expected = read_image(io.BytesIO(contents[number]), IMAGE).pixels
        assert found[number].name == f"pictures[{number}]"
        assert (found[number].pixels == expected).all()
        assert found[number].label == (LABELS[number] if labels else None)
        (alone,) = there.load([list(source.keys())[number]])
        assert (alone.pixels == expected).all()


def test_bytes_that_are_no_pictures(path):
    with h5py.File(path, "w") as file:
        file["names"] = np.array([b"some", b"text"])
        file["x"] = PIXELS
        file["empty"] = np.zeros(0, "S3")
    assert len(opened(path)) == 12
    assert {type(image) for image in loaded(opened(path, dataset="names"))} == {Rejection}
    assert "dataset 'empty': has no pictures; name another one" in refusal(path, dataset="empty")


def test_encoded_pictures_beside_an_array(path):
    with h5py.File(path, "w") as file:
        file["x"] = PIXELS
        file.create_dataset("y", (1,), h5py.vlen_dtype(np.uint8))[0] = np.frombuffer(encoded(0), np.uint8)
    message = refusal(path)
    assert (
        "several arrays can be images; name one in dataset. There is 'x' uint8 [12, 9, 10, 3], 'y' encoded" in message
    )
    assert len(opened(path, dataset="y")) == 1


def test_filters_of_hdf5plugin(path):
    plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=(1, 9, 10, 3), **plugin.Bitshuffle())
        file.create_dataset("labels", data=LABELS, chunks=(5,), **plugin.Zstd())
    program = (
        "import sys, numpy as np; from pathlib import Path; from ganformer.config import ImageSpec;"
        "from ganformer.data.sources.hdf5 import Config, open_source;"
        "source = open_source(Config(kind='hdf5', path=Path(sys.argv[1])), ImageSpec(height=8, width=8, classes=5));"
        "found = list(source.load(list(source.keys())));"
        "np.save(sys.argv[2], np.stack([image.pixels for image in found]));"
        "print([image.label for image in found])"
    )
    out = path.with_name("out.npy")
    done = subprocess.run([sys.executable, "-c", program, path, out], capture_output=True, text=True, check=True)
    assert (np.load(out) == EXPECTED).all()
    assert done.stdout.strip() == str(LABELS.tolist())


@pytest.mark.parametrize("labels", [np.full(12, 0.5), np.full(12, -1), np.arange(3), np.ones((12, 40), bool)])
def test_labels_that_nobody_asks_for_are_not_looked_at(path, labels):
    source = opened(save(path, images=PIXELS, labels=labels))
    assert (pixels(source) == EXPECTED).all()
    with pytest.raises(DataError):
        list(opened(path, LABELLED).keys())


def test_three_or_four_grey_images(path):
    save(path, x=GREY[:3])
    assert "layout: CHW for one image, channels first, or layout: NHW for N grey images" in refusal(path)
    assert (pixels(opened(path, layout="NHW")) == ONE_GREY_EACH[:3]).all()


def test_other_datasets_and_links_are_counted(path):
    save(path, **{"train/images": PIXELS, "train/labels": LABELS, "train/y": LABELS, "z": np.zeros(3)})
    with h5py.File(path, "a") as file:
        file["soft"] = h5py.SoftLink("/train/images")
        file["lost"] = h5py.SoftLink("/nowhere")
        file["outside"] = h5py.ExternalLink("other.h5", "x")
    assert opened(path).left_out == {"other arrays": 3, "links": 3}
    assert opened(path, LABELLED).left_out == {"other arrays": 2, "links": 3}


def test_dataset_whose_name_is_not_utf8_is_told_of(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(b"caf\xe9", data=np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r"There is 'caf\\xe9' uint8 \[2, 8, 8, 3\] \(its name is not UTF-8\)"):
        opened(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["images"] = np.zeros((3, 8, 8, 3), np.uint8)
    source = opened(tmp_path / "a.h5")
    assert (len(source), source.left_out) == (3, {"other arrays": 1})


# ------------------------------------------------------------------------------------------ kinds of datasets


def test_labels_are_read_in_portions(path, monkeypatch):
    monkeypatch.setattr(hdf5, "BATCH_ROWS", 5)
    source = opened(save(path, images=PIXELS, labels=LABELS), LABELLED)
    assert [sample.label for sample in loaded(source)] == LABELS.tolist()


def test_chunks_of_the_greatest_size_are_read(path, monkeypatch):
    monkeypatch.setattr(hdf5, "CHUNK_BYTES", PIXELS.nbytes)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=PIXELS.shape, compression="gzip")
    assert (pixels(opened(path)) == EXPECTED).all()


def test_chunks_that_are_not_compressed_may_be_of_any_size(path, monkeypatch):
    monkeypatch.setattr(hdf5, "CHUNK_BYTES", 10)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=PIXELS.shape)
    assert (pixels(opened(path)) == EXPECTED).all()


def test_images_are_called_by_the_last_part_of_their_name(path):
    (first, *_) = loaded(opened(save(path, **{"a/b/images": PIXELS})))
    assert first.name == "images[0]"


@pytest.mark.parametrize("kind", [str, np.bytes_])
def test_classes_of_matlab_may_be_text_or_bytes(path, kind):
    with h5py.File(path, "w") as file:
        file["x"] = np.ascontiguousarray((GREY > 127).transpose(0, 2, 1)).astype(np.uint8)
        file["x"].attrs["MATLAB_class"] = kind("logical")
    expected = np.stack([read_array(image, IMAGE).pixels for image in np.where(GREY > 127, 255, 0).astype(np.uint8)])
    assert (pixels(opened(path, layout="NWH")) == expected).all()


def test_empty_variables_of_matlab_are_no_images(path):
    """They hold their own shape, as numbers."""
    with h5py.File(path, "w") as file:
        file["x"] = PIXELS
        file["x"].attrs["MATLAB_empty"] = np.uint8(1)
    assert "a.h5: dataset 'x': is empty; name another one" in refusal(path, dataset="x")
    assert "no array can be images" in refusal(path)


@pytest.mark.parametrize(
    "values",
    [np.zeros(3, [("a", "u1"), ("b", "u1")]), np.full((2, 2), b"abc", "S3"), np.full((2, 2), b"abc", "V3")],
    ids=["records", "rows of strings", "rows of bytes"],
)
def test_values_that_are_no_encoded_pictures(path, values):
    with h5py.File(path, "w") as file:
        file["x"] = values
    assert "a.h5: dataset 'x': " in refusal(path, dataset="x")


def test_strings_keep_the_zeros_at_their_end(path):
    """A picture that ends with black pixels, which are zeros, among longer ones."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((9, 10, 3), np.uint8)).save(file, "bmp")
    black = file.getvalue()
    assert black.endswith(bytes(200))
    with h5py.File(path, "w") as made:
        made["x"] = np.array([black, encoded(0)], f"S{len(black)}")
    assert not loaded(opened(path))[0].pixels.any()


def test_values_within_the_header_of_a_dataset_were_written(path):
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(PIXELS.shape)
        h5py.Dataset(h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, space, plan))[:] = PIXELS
    assert (pixels(opened(path)) == EXPECTED).all()
