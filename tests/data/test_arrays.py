"""Images in npy and npz files: where they are in an array, which array it is, their labels, and what is refused."""

import pickle
import zipfile
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from ganformer.config import Dataset, ImageSpec
from ganformer.data.containers import layouts
from ganformer.data.images import read_array
from ganformer.data.packing.pack import pack
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources import hdf5
from ganformer.data.sources.arrays import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=8)
LABELLED = ImageSpec(height=8, width=8, classes=5)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 10, 3), np.uint8)
LABELS = np.arange(12) % 5


def opened(path, image=IMAGE, **settings):
    return open_source(Config(kind="arrays", path=path, **settings), image)


def save(path, array):
    np.save(path, array)
    return path


def loaded(source):
    return list(source.load(list(source.keys())))


def assert_shows(source, images):
    """Check that the source gives `images`, [H, W] or [H, W, C] each, here and in another process."""
    keys = list(source.keys())
    assert len(source) == len(keys) == len(images)
    there = pickle.loads(pickle.dumps(source))
    for key, sample, image in zip(keys, source.load(keys), images, strict=True):
        (alone,) = there.load([key])
        assert isinstance(sample, Sample)
        assert sample.name == alone.name
        assert (sample.pixels == alone.pixels).all()
        assert (sample.pixels == read_array(image, IMAGE).pixels).all()


def refusal(path, **settings):
    with pytest.raises(DataError) as refused:
        opened(path, **settings).classes  # noqa: B018 - reads the labels
    return str(refused.value)


# --------------------------------------------------------------------------------------- shapes and values


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 9, 10, 3), "NHWC"),
        ((2, 9, 10, 1), "NHWC"),
        ((3, 9, 10, 4), "NHWC"),
        ((2, 3, 9, 10), "NCHW"),
        ((2, 1, 9, 10), "NCHW"),
        ((3, 4, 9, 10), "NCHW"),
        ((9, 10, 3), "HWC"),
        ((9, 10, 1), "HWC"),
        ((9, 3, 4), "HWC"),
        ((1, 9, 10), "CHW"),
        ((5, 9, 10), "NHW"),
        ((2, 9, 10), "NHW"),
        ((9, 3, 10), "NHW"),
    ],
)
def test_shape_says_how_images_lie(tmp_path, shape, axes):
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    order = {"NHWC": (0, 1, 2, 3), "NCHW": (0, 2, 3, 1), "HWC": (0, 1, 2), "CHW": (1, 2, 0), "NHW": (0, 1, 2)}[axes]
    images = array.transpose(order)
    source = opened(save(tmp_path / "a.npy", array))
    assert source.stack.axes == axes
    assert_shows(source, images if axes[0] == "N" else images[None])


@pytest.mark.parametrize(
    ("shape", "one", "other"),
    [((2, 3, 9, 3), "NHWC", "NCHW"), ((5, 4, 9, 1), "NHWC", "NCHW"), ((3, 9, 3), "HWC", "CHW")],
)
def test_ambiguous_shape_needs_the_layout(tmp_path, shape, one, other):
    array = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    path = save(tmp_path / "a.npy", array)
    message = refusal(path)
    assert f"a.npy: shape {list(shape)} can be {one} and {other}; set layout: NHWC where the channels" in message
    batch = array if len(shape) == 4 else array[None]
    assert_shows(opened(path, layout="NHWC"), batch)
    assert_shows(opened(path, layout="NCHW"), batch.transpose(0, 2, 3, 1))


def test_layout_that_does_not_fit(tmp_path):
    path = save(tmp_path / "a.npy", PIXELS)
    assert "shape [12, 9, 10, 3] is not one of images with layout: NCHW; allowed are [N, H, W, C]" in refusal(
        path, layout="NCHW"
    )


@pytest.mark.parametrize("shape", [(2, 8, 8, 8), (10, 8, 6, 5), (9, 10), (12,), (), (1, 2, 3, 4, 3)])
def test_shape_of_something_else(tmp_path, shape):
    message = refusal(save(tmp_path / "a.npy", np.zeros(shape, np.uint8)))
    assert f"shape {list(shape)} is not one of images; allowed are [N, H, W, C], [N, C, H, W], [H, W, C]" in message
    assert "with C 1, 3 or 4, and [N, H, W] of grey images" in message


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 0, 8, 3)])
def test_empty_array(tmp_path, shape):
    message = refusal(save(tmp_path / "a.npy", np.zeros(shape, np.uint8)))
    assert f"shape {list(shape)} has no images; choose an array that is not empty" in message


@pytest.mark.parametrize("dtype", [">u2", "<u2"])
def test_16_bits_are_scaled_whatever_their_byte_order(tmp_path, dtype):
    path = save(tmp_path / "a.npy", (PIXELS.astype(dtype) * 257))
    assert_shows(opened(path), PIXELS)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("limits", [(0, 1), (-1, 1), (0, 255)])
def test_floats_are_scaled_to_their_limits(tmp_path, dtype, limits):
    low, high = limits
    values = np.clip((PIXELS / 255 * (high - low) + low).astype(dtype), low, high)
    assert_shows(opened(save(tmp_path / "a.npy", values), limits=limits), PIXELS)


def test_floats_without_limits(tmp_path):
    message = refusal(save(tmp_path / "a.npy", PIXELS.astype(np.float32)))
    assert "a.npy: float32 values have no agreed range" in message
    assert "state the values of black and white in limits, e.g. limits: [0, 1] or limits: [-1, 1]" in message


def test_limits_without_floats(tmp_path):
    message = refusal(save(tmp_path / "a.npy", PIXELS), limits=(0, 1))
    assert "limits are for other numbers, but the values are uint8; leave limits out" in message


@pytest.mark.parametrize("limits", [(1, 0), (1, 1)])
def test_limits_that_are_none(tmp_path, limits):
    with pytest.raises(ValidationError, match=r"limits 1 and \d are not the values of black and white"):
        Config(kind="arrays", path=tmp_path, limits=limits)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint32", "uint64"])
def test_whole_numbers_need_limits(tmp_path, dtype):
    values = (PIXELS // 3).astype(dtype)
    path = save(tmp_path / "a.npy", values)
    assert f"a.npy: {dtype} values have no agreed range; state the values of black and white in limits" in refusal(path)
    assert_shows(opened(path, limits=(0, 85)), PIXELS // 3 * 3)


def test_16_bits_may_have_limits(tmp_path):
    path = save(tmp_path / "a.npy", PIXELS.astype(np.uint16) * 16)
    assert_shows(opened(path, limits=(0, 4080)), PIXELS)


def test_booleans_are_black_and_white(tmp_path):
    path = save(tmp_path / "a.npy", PIXELS > 127)
    assert_shows(opened(path), np.where(PIXELS > 127, 255, 0).astype(np.uint8))
    assert "limits are for other numbers, but the values are bool; leave limits out" in refusal(path, limits=(0, 1))


def test_values_that_are_no_pixels(tmp_path):
    message = refusal(save(tmp_path / "a.npy", PIXELS.astype("complex64")))
    assert "complex64 values are no pixels of images; allowed are" in message
    assert message.endswith("uint8, uint16, or other numbers whose limits are stated")


def test_image_outside_the_limits_is_rejected_alone(tmp_path):
    values = PIXELS.astype(np.float32) / 255
    values[3, 0, 0], values[7, 0, 0, 0] = (0, 0, 1.5), np.nan
    found = loaded(opened(save(tmp_path / "deep.npy", values), limits=(0, 1)))
    assert [i for i, image in enumerate(found) if isinstance(image, Rejection)] == [3, 7]
    assert found[3].name == "deep[3]"
    assert "numbers from 0.0 to 1.5, which are not within the limits 0 to 1" in found[3].reason
    assert "not finite" in found[7].reason


def test_huge_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80)
    message = refusal(save(tmp_path / "a.npy", PIXELS))
    assert "images of 9 × 10 pixels are more than the 80 that an image may have; store smaller ones" in message


# ------------------------------------------------------------------------------------------------- npy


def test_names_say_where_in_the_array(tmp_path):
    assert [sample.name for sample in loaded(opened(save(tmp_path / "faces.npy", PIXELS)))][10:] == [
        "faces[10]",
        "faces[11]",
    ]


def test_values_are_mapped_not_read(tmp_path):
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(1 << 20, 256, 256, 3))  # 200 GB of holes
    source = opened(path)
    assert len(source) == 1 << 20
    (sample,) = source.load([next(source.keys())._replace(number=(1 << 20) - 1)])
    assert sample.name == "large[1048575]"
    assert not sample.pixels.any()


def test_what_was_read_does_not_stay_in_memory(tmp_path, mapped):
    noise = np.random.default_rng(0).integers(0, 256, (120, 256, 256, 3), np.uint8)
    source = opened(save(tmp_path / "x.npy", noise))
    keys, before = list(source.keys()), mapped()
    for start in range(0, 120, 10):  # 24 MB
        assert len(list(source.load(keys[start : start + 10]))) == 10
    assert mapped() < before + 8_000_000


def test_array_in_columns(tmp_path):
    assert_shows(opened(save(tmp_path / "a.npy", np.asfortranarray(PIXELS))), PIXELS)
    assert_shows(opened(save(tmp_path / "one.npy", np.asfortranarray(PIXELS[0]))), PIXELS[:1])


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, 0.999])
def test_cut_npy_is_refused(tmp_path, keep):
    path = save(tmp_path / "a.npy", PIXELS)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    assert "a.npy: is no whole npy file (" in refusal(path)
    assert refusal(path).endswith("get or save it again")


def test_cut_npy_says_how_much_is_there(tmp_path):
    path = save(tmp_path / "a.npy", PIXELS)
    path.write_bytes(path.read_bytes()[:-1])
    assert "the array is cut short: 3367 bytes of 3368" in refusal(path)


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    trap = np.empty((2, 9, 10, 3), object)
    trap[:] = Trap()
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=trap)
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        assert "holds Python objects, which are never loaded; save a plain array of numbers" in refusal(path)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    assert "is no whole npy file (" in refusal(tmp_path / "b.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_missing_file(tmp_path, name):
    assert f"{name}: this file of arrays does not exist; correct the source's settings" in refusal(tmp_path / name)


def test_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "a.npy").mkdir()
    assert "Is a directory" in refusal(tmp_path / "a.npy")


# ------------------------------------------------------------------------------------------------- npz


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
def save_npz(request, tmp_path):
    def saved(**arrays):
        request.param(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    return saved


@pytest.mark.parametrize("array", [PIXELS, PIXELS.transpose(0, 3, 1, 2), PIXELS[0]])
def test_npz(save_npz, array):
    path = save_npz(other=np.zeros((4, 4)), images=np.ascontiguousarray(array), one=np.uint8(7))
    source = opened(path)
    assert_shows(source, PIXELS[: len(source)])
    assert next(iter(loaded(source))).name == "images[0]"


def test_stored_member_is_read_at_its_place(tmp_path):
    np.savez(tmp_path / "a.npz", first=np.zeros(1000), images=PIXELS)
    keys = list(opened(tmp_path / "a.npz").keys())
    assert [(key.number, key.content) for key in keys] == [(number, None) for number in range(12)]


def test_compressed_member_comes_with_the_keys(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=PIXELS)
    keys = list(opened(tmp_path / "a.npz").keys())
    assert [key.content for key in keys] == [image.tobytes() for image in PIXELS]


def test_one_of_several_arrays(save_npz):
    path = save_npz(train=PIXELS, test=PIXELS[:3], train_labels=LABELS)
    message = refusal(path)
    assert "a.npz: several arrays can be images; name one in array. There is" in message
    assert "'train' uint8 [12, 9, 10, 3], 'test' uint8 [3, 9, 10, 3], 'train_labels' int64 [12]" in message
    assert_shows(opened(path, array="test"), PIXELS[:3])


@pytest.mark.parametrize("kind", ["U2", "S2", "c8", "M8[s]"])
def test_arrays_of_what_are_no_numbers_are_no_images(save_npz, kind):
    assert_shows(opened(save_npz(x=PIXELS, y=np.zeros(PIXELS.shape, kind))), PIXELS)
    message = refusal(save_npz(x=np.zeros(PIXELS.shape, kind), y=LABELS))
    assert "no array can be images" in message


def test_named_array_that_is_not_there(save_npz):
    message = refusal(save_npz(x=PIXELS, y=LABELS), array="images")
    assert "has no array 'images'; correct array. There is 'x' uint8 [12, 9, 10, 3], 'y' int64 [12]" in message


def test_no_array_of_images(save_npz):
    message = refusal(save_npz(y=LABELS, z=LABELS))
    assert "no array can be images; allowed are [N, H, W, C], " in message
    assert message.endswith("There is 'y' int64 [12], 'z' int64 [12]")
    assert refusal(save_npz()).endswith("There is none")


def test_only_array_says_itself_what_is_wrong(save_npz):
    assert "a.npz: array 'x': shape [12] is not one of images" in refusal(save_npz(x=LABELS.astype(np.uint8)))


def test_many_arrays_are_not_all_listed(save_npz):
    message = refusal(save_npz(**{f"picture{number}": PIXELS[0] for number in range(25)}))
    assert "'picture19' uint8 [9, 10, 3] and 5 more" in message


def test_compressed_in_columns_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.asfortranarray(PIXELS))
    message = refusal(tmp_path / "a.npz")
    assert "array 'x': is compressed in Fortran's order, so that no part can be read without all others" in message
    assert "numpy.ascontiguousarray(array) to numpy.savez_compressed" in message
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(PIXELS))
    assert_shows(opened(tmp_path / "a.npz"), PIXELS)


def test_labels_that_are_compressed_in_columns_are_refused(tmp_path):
    rows = np.asfortranarray(np.eye(5, dtype=np.uint8)[LABELS])
    np.savez_compressed(tmp_path / "a.npz", images=PIXELS, labels=rows)
    assert "a.npz: array 'labels': is compressed in Fortran's order, so that no part" in refusal(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=rows)
    assert [sample.label for sample in loaded(opened(tmp_path / "a.npz", LABELLED))] == LABELS.tolist()


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.999])
def test_cut_npz_is_refused(save_npz, keep):
    path = save_npz(x=PIXELS)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    assert "a.npz: is no whole npz file (" in refusal(path)


def test_header_that_promises_more_than_there_is(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    content = (tmp_path / "a.npy").read_bytes().replace(b"(12, 9, 10, 3)", b"(99, 9, 10, 3)")
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
            archive.writestr("x.npy", content)
        assert "is no whole npz file (x.npy is cut short: 3368 bytes of 26858)" in refusal(tmp_path / "a.npz")


def test_flipped_byte_of_a_compressed_member_ends_the_stream(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=PIXELS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    dataset = Dataset.model_validate(
        {"source": {"kind": "arrays", "path": tmp_path / "a.npz"}, "resolution": 8, "on_error": "skip"}
    )
    with pytest.raises(DataError, match=r"a\.npz: is no whole npz file \(.*\); get or save it again"):
        pack(dataset, tmp_path / "pack")
    assert not (tmp_path / "pack" / "manifest.json").exists()


# ---------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS.astype(np.uint8), LABELS[:, None], np.eye(5)[LABELS], np.eye(5, dtype=bool)[LABELS]],
    ids=["whole", "bytes", "column", "one-hot", "bool"],
)
def test_labels_beside_the_images(save_npz, tmp_path, labels):
    np.save(tmp_path / "faces.npy", PIXELS)
    np.save(tmp_path / "faces-labels.npy", labels)
    for path in (save_npz(images=PIXELS, labels=labels), tmp_path / "faces.npy"):
        source = opened(path, LABELLED)
        assert source.classes == pickle.loads(pickle.dumps(source)).classes == 5
        assert [sample.label for sample in loaded(source)] == LABELS.tolist()


def test_class_that_no_image_has_counts_in_one_hot_labels(save_npz):
    assert opened(save_npz(images=PIXELS, labels=np.eye(7)[LABELS])).classes == 7


def test_named_labels(save_npz, tmp_path):
    path = save_npz(images=PIXELS, labels=LABELS, coarse=LABELS // 3)
    np.save(tmp_path / "faces.npy", PIXELS)
    np.save(tmp_path / "coarse.npy", LABELS // 3)
    for source in (
        opened(path, LABELLED, labels="coarse"),
        opened(tmp_path / "faces.npy", LABELLED, labels="coarse.npy"),
    ):
        assert source.classes == 2
        assert [sample.label for sample in loaded(source)] == (LABELS // 3).tolist()


def test_the_largest_label_is_that_of_32_bits(save_npz):
    numbers = np.where(LABELS == 4, 2**31 - 1, LABELS)
    assert opened(save_npz(images=PIXELS, labels=numbers)).classes == 2**31
    assert "classes count from 0 to at most" in refusal(save_npz(images=PIXELS, labels=numbers + 1))


def test_images_may_have_as_many_pixels_as_the_limit(save_npz, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    assert len(opened(save_npz(images=PIXELS))) == 12
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89)
    assert "images of 9 × 10 pixels are more than the 89" in refusal(save_npz(images=PIXELS))


def test_as_many_arrays_are_listed_as_the_limit(save_npz, monkeypatch):
    monkeypatch.setattr(layouts, "MAX_LISTED_ARRAYS", 2)
    assert refusal(save_npz(a=PIXELS, b=PIXELS)).endswith("There is 'a' uint8 [12, 9, 10, 3], 'b' uint8 [12, 9, 10, 3]")
    assert refusal(save_npz(a=PIXELS, b=PIXELS, c=PIXELS)).endswith("'b' uint8 [12, 9, 10, 3] and 1 more")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_of_usual_types_are_preferred(save_npz, dtype):
    assert opened(save_npz(a=PIXELS.astype(np.int32), b=PIXELS.astype(dtype))).keys()
    assert refusal(save_npz(a=PIXELS.astype(np.uint32), b=PIXELS.astype(np.int32))).count("several arrays") == 1


def test_no_labels(save_npz, tmp_path):
    np.save(tmp_path / "faces.npy", PIXELS)
    np.save(tmp_path / "faces-labels.npy", LABELS)
    for path, choice in (
        (lambda: save_npz(images=PIXELS), {}),
        (lambda: save_npz(images=PIXELS, labels=np.ones((12, 40), np.uint8)), {"labels": ""}),
        (lambda: tmp_path / "faces.npy", {"labels": ""}),
    ):
        source = opened(path(), **choice)
        assert source.classes == 0
        assert {sample.label for sample in loaded(source)} == {None}


def test_labels_are_inputs_of_a_npy(tmp_path):
    np.save(tmp_path / "faces-labels.npy", LABELS)
    path = tmp_path / "faces.npy"
    assert Config(kind="arrays", path=path).inputs == (path, tmp_path / "faces-labels.npy")
    assert Config(kind="arrays", path=path, labels="y.npy").inputs == (path, tmp_path / "y.npy")
    assert Config(kind="arrays", path=path, labels="").inputs == (path,)
    assert Config(kind="arrays", path=tmp_path / "a.npz", labels="y").inputs == (tmp_path / "a.npz",)
    assert Config(kind="arrays", path=tmp_path / "other.npy").inputs == (tmp_path / "other.npy",)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (LABELS[:11], "11 labels do not fit 12 images; name another array in labels"),
        (np.linspace(0, 1, 12), "float64 [12] are no labels; allowed are whole numbers [N] and one-hot rows"),
        (np.array(["cat"] * 12), "<U3 [12] are no labels"),
        (np.zeros((12, 2, 2), int), "int64 [12, 2, 2] are no labels"),
        (np.int64(3), "int64 [] are no labels"),
        (LABELS - 1, "labels from -1 to 3, but classes count from 0"),
        (LABELS + 2**40, "but classes count from 0 to at most 2147483647"),
        (np.full((12, 5), 0.2), "rows that are not one-hot (a single 1, else 0) are no labels"),
        (np.ones((12, 5), int), "or set labels to an empty name to use none"),
        (np.zeros((12, 5), int), "rows that are not one-hot"),
    ],
)
def test_arrays_that_are_no_labels(save_npz, labels, reason):
    message = refusal(save_npz(images=PIXELS, labels=labels))
    assert "a.npz: array 'labels': " in message
    assert reason in message


def test_named_labels_that_are_not_there(save_npz, tmp_path):
    message = refusal(save_npz(images=PIXELS), labels="y")
    assert "has no array 'y'; correct labels. There is 'images'" in message
    np.save(tmp_path / "faces.npy", PIXELS)
    assert "y.npy: this file of arrays does not exist" in refusal(tmp_path / "faces.npy", labels="y.npy")


def test_pack_with_labels(save_npz, tmp_path):
    source = {"kind": "arrays", "path": save_npz(images=PIXELS, labels=LABELS)}
    dataset = Dataset.model_validate({"source": source, "resolution": 8, "classes": 5})
    written = pack(dataset, tmp_path / "pack")
    assert (written.count, list(written.label_counts)) == (12, np.bincount(LABELS).tolist())


# ------------------------------------------------------------------------------------- every array, every layout


def save_all(path, *arrays):
    """Save arrays one behind the other, as numpy documents it."""
    with path.open("wb") as file:
        for array in arrays:
            np.save(file, array)
    return path


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.booleans())
@settings(max_examples=25, deadline=None)
def test_arrays_one_behind_the_other_are_one_batch(counts, in_columns):
    ends = np.cumsum(counts)
    parts = np.split(noise(int(ends[-1]), 9, 10, 3), ends[:-1])
    with TemporaryDirectory() as folder:
        order = np.asfortranarray if in_columns else np.asarray
        path = save_all(Path(folder) / "a.npy", *map(order, parts))
        np.save(Path(folder) / "a-labels.npy", np.arange(ends[-1]) % 5)
        source = opened(path, LABELLED)
        assert_shows(source, np.concatenate(parts))
        assert [sample.label for sample in loaded(source)] == [number % 5 for number in range(ends[-1])]
        assert [sample.name for sample in loaded(source)] == [f"a[{number}]" for number in range(ends[-1])]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_single_images_one_behind_the_other(tmp_path):
    assert_shows(opened(save_all(tmp_path / "a.npy", *PIXELS[:3])), PIXELS[:3])
    assert_shows(opened(save_all(tmp_path / "b.npy", *(PIXELS[:3] / 255)), limits=(0, 1)), PIXELS[:3])


@pytest.mark.parametrize(
    "other", [PIXELS[:, :8], PIXELS.astype(np.uint16), PIXELS[0], np.arange(12), np.array([{}], object)]
)
def test_arrays_of_other_images_behind_the_first_are_refused(tmp_path, other):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.save(file, PIXELS)
        np.save(file, other, allow_pickle=True)
    left = path.stat().st_size - 3368
    message = refusal(path)
    assert f"a.npy: {left} bytes are left behind the array uint8 [12, 9, 10, 3], and in them an array " in message
    assert message.endswith("that has other images or none; save each to a file of its own")


def test_bytes_behind_an_array_are_refused(tmp_path):
    path = save(tmp_path / "a.npy", PIXELS)
    path.write_bytes(path.read_bytes() + b"more")
    assert "a.npy: is no whole npy file (4 bytes are left behind its 1 arrays, and are no array)" in refusal(path)
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
            archive.writestr("x.npy", path.read_bytes())
        assert "no whole npz file (4 bytes are left behind the array in x.npy); get" in refusal(tmp_path / "a.npz")


def test_second_array_that_is_cut_short(tmp_path):
    path = save_all(tmp_path / "a.npy", PIXELS, PIXELS)
    path.write_bytes(path.read_bytes()[:-1])
    assert "a.npy: is no whole npy file (the array is cut short: 6735 bytes of 6736)" in refusal(path)


@pytest.mark.parametrize("count", [3, 4])
def test_three_or_four_grey_images_or_one_in_colour(tmp_path, count):
    array = noise(count, 28, 28)
    path = save(tmp_path / "a.npy", array)
    assert (
        f"a.npy: shape [{count}, 28, 28] can be CHW and NHW; set layout: CHW for one image, channels first, or "
        "layout: NHW for N grey images" in refusal(path)
    )
    assert_shows(opened(path, layout="NHW"), array)
    assert_shows(opened(path, layout="CHW"), array.transpose(1, 2, 0)[None])
    assert_shows(opened(path, layout="NCHW"), array.transpose(1, 2, 0)[None])


@pytest.mark.parametrize(
    "layout",
    [axes for length in (2, 3, 4) for axes in map("".join, permutations("NHWC", length)) if {*"HW"} <= {*axes}],
)
@pytest.mark.parametrize("way", ["npy", "columns", "stored", "compressed", "hdf5"])
def test_every_layout(tmp_path, layout, way):
    images = PIXELS if "C" in layout else PIXELS[..., 0]
    names = "NHWC" if "C" in layout else "NHW"
    if "N" not in layout:
        images, names = images[0], names[1:]
    array = np.ascontiguousarray(images.transpose([names.index(axis) for axis in layout]))
    expected = images if "N" in layout else images[None]
    if way == "hdf5":
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("x", data=array, chunks=tuple(min(4, size) for size in array.shape), compression="gzip")
        source = hdf5.open_source(hdf5.Config(kind="hdf5", path=tmp_path / "a.h5", layout=layout), IMAGE)
        assert_shows(source, expected)
        return
    path = tmp_path / ("a.npy" if way in ("npy", "columns") else "a.npz")
    save_as = {"npy": np.save, "columns": np.save, "stored": np.savez, "compressed": np.savez_compressed}[way]
    save_as(path, np.asfortranarray(array) if way == "columns" else array)
    if way == "compressed" and layout.find("N") > 0:
        message = refusal(path, layout=layout)
        assert (
            "is compressed, so that images which do not lie along the first axis cannot be read one by one" in message
        )
        assert message.endswith("save it with numpy.savez, or with N as its first axis")
    else:
        assert_shows(opened(path, layout=layout), expected)


@pytest.mark.parametrize("layout", ["", "N", "NH", "NHWX", "nhwc", "NHHW", "CNH", "NHWCC"])
def test_layouts_that_are_none(tmp_path, layout):
    with pytest.raises(ValidationError, match=r"is no order of axes: write H and W once each, and N .images. and C"):
        Config(kind="arrays", path=tmp_path, layout=layout)


@pytest.mark.parametrize(
    ("shape", "settings", "channels"),
    [
        ((5, 9, 10), {}, 1),
        ((2, 9, 10, 1), {}, 1),
        ((2, 9, 10, 3), {}, 3),
        ((2, 3, 9, 10), {}, 3),
        ((2, 9, 10, 4), {}, None),
        ((9, 10), {"layout": "HW"}, 1),
    ],
)
def test_channels_that_are_known(tmp_path, shape, settings, channels):
    assert opened(save(tmp_path / "a.npy", noise(*shape)), **settings).channels == channels


@pytest.mark.parametrize(
    "labels", [np.full(12, 0.5), np.full(12, -1), np.ones((12, 40), bool), np.arange(3), np.array([{}], object)]
)
def test_labels_that_nobody_asks_for_are_not_looked_at(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=labels)
    np.save(tmp_path / "b.npy", PIXELS)
    np.save(tmp_path / "b-labels.npy", labels, allow_pickle=True)
    (tmp_path / "c-labels.npy").write_bytes(b"no array")
    np.save(tmp_path / "c.npy", PIXELS)
    for name in ("a.npz", "b.npy", "c.npy"):
        assert_shows(opened(tmp_path / name), PIXELS)
        with pytest.raises(DataError):
            list(opened(tmp_path / name, LABELLED).keys())


def test_labels_are_no_images_whatever_their_shape(save_npz):
    path = save_npz(samples=PIXELS, labels=noise(12, 9, 10, 3), y=noise(12, 3, 3))
    assert refusal(path).count("several arrays can be images; name one in array") == 1
    assert_shows(opened(save_npz(samples=PIXELS, labels=noise(12, 9, 10, 3)), labels=""), PIXELS)
    assert_shows(opened(path, labels="y"), PIXELS)


def test_only_array_that_can_be_images_is_taken_whatever_its_name(save_npz):
    path = save_npz(samples=PIXELS, boxes=np.zeros((12, 9, 4), np.int64), y=LABELS, z=np.zeros((12, 7)))
    assert_shows(opened(path), PIXELS)


def test_numbers_a_rounding_outside_their_limits(tmp_path):
    values = PIXELS.astype(np.float32) / 255
    values[PIXELS == 255] = np.float32(1.0000001)
    values[PIXELS == 0] = np.float32(-1e-8)
    assert_shows(opened(save(tmp_path / "a.npy", values), limits=(0, 1)), PIXELS)


def test_other_arrays_of_a_npz_are_counted(save_npz):
    path = save_npz(images=PIXELS, labels=LABELS, y=LABELS, z=np.zeros(3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("about.json", "{}")
    assert opened(path).left_out == {"other arrays": 3, ".json": 1}
    assert opened(path, LABELLED).left_out == {"other arrays": 2, ".json": 1}
    assert opened(path, LABELLED, labels="").left_out == {"other arrays": 3, ".json": 1}
