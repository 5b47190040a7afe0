"""Data sets of TensorFlow Datasets: against the package where it is installed, else against a stand-in of it."""

import importlib.util
import io
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganformer.config import ImageSpec
from ganformer.data.source import Rejection
from ganformer.data.sources.tfds import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=6)
COUNT = 7


def encoded(seed):
    file = io.BytesIO()
    Image.fromarray(noise(seed)).save(file, "PNG")
    return file.getvalue()


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (8, 6, 3), np.uint8)


class NotFoundError(ValueError):
    """The package's own error is one of these too."""


class StandIn:
    """Stand-in for the package as the source uses it: a data set `tiny` of labelled images, the last one broken."""

    __version__ = "4.9.9"
    core = SimpleNamespace(DatasetNotFoundError=NotFoundError)
    decode = SimpleNamespace(SkipDecoding=lambda: "skip")

    def __init__(self, features, prepared=True):
        self.prepared, self.asked = prepared, []
        self.info = SimpleNamespace(features=features, splits={"train": None, "test": None})
        self.data_path = "data/tiny/1.0.0"

    def builder(self, name, **settings):
        self.asked.append((name, settings))
        if name != "tiny":
            raise NotFoundError(f"Dataset {name} not found.\nAvailable datasets: many")
        return self

    def is_prepared(self):
        return self.prepared

    def download_and_prepare(self, file_format):
        self.asked.append(file_format)
        raise ModuleNotFoundError("No module named 'tensorflow'")

    def as_data_source(self, split, decoders):
        assert decoders == {"image": "skip"}
        if split == "tfrecord":
            raise NotImplementedError("Random access data source for file format FileFormat.TFRECORD")
        if split not in ("train", "none"):
            raise ValueError(f"Unknown split '{split}'.\nShould be one of these")
        images = [*(encoded(seed) for seed in range(COUNT - 1)), b"no image"] if split == "train" else []
        return Examples({"image": image, "label": number % 3} for number, image in enumerate(images))


class Examples(list):
    def __getitems__(self, keys):
        return [self[key] for key in keys]


class Feature:
    def __init__(self, np_dtype=np.uint8, num_classes=None, names=None):
        self.np_dtype, self.num_classes, self.names = np_dtype, num_classes, names

    def __repr__(self):
        return f"{type(self).__name__}({np.dtype(self.np_dtype).name})"


def feature(kind, **settings):
    return type(kind, (Feature,), {})(**settings)


@pytest.fixture
def package(monkeypatch):
    """Provide the stand-in in place of the package."""

    def install(prepared=True, **features):
        found = features or {"image": feature("Image"), "label": feature("ClassLabel", num_classes=3)}
        stand_in = StandIn(found, prepared)
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", stand_in)
        return stand_in

    return install


def opened(classes=0, **settings):
    image = IMAGE.model_copy(update={"classes": classes})
    return open_source(Config(kind="tfds", **{"name": "tiny", **settings}), image)


def test_stored_images_and_labels(package):
    package()
    source = opened(classes=3)
    assert (len(source), source.classes) == (COUNT, 3)
    *samples, broken = source.load(list(source.keys()))
    assert [(sample.name, sample.label) for sample in samples] == [(f"train[{i}]", i % 3) for i in range(COUNT - 1)]
    assert all((sample.pixels == noise(seed)).all() for seed, sample in enumerate(samples))
    assert broken == Rejection("train[6]", "is not an image of a known format")


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (feature("ClassLabel", num_classes=3, names=["a", "b", "c"]), ("a", "b", "c")),
        (feature("ClassLabel", num_classes=3), ()),
        (feature("Text", names=["a"]), ()),
        (None, ()),
    ],
)
def test_names_of_classes(package, label, names):
    package(image=feature("Image", np_dtype=np.uint16), **({"label": label} if label else {}))
    assert opened().class_names == names


def test_only_its_settings_go_to_another_process(package, tmp_path):
    asked = package().asked
    source = opened(classes=3, data_dir=tmp_path)
    assert list(source.load([0]))
    elsewhere = pickle.loads(pickle.dumps(source))
    assert vars(elsewhere).keys() == {"config", "image"}
    (sample,) = elsewhere.load([2])
    assert (sample.name, sample.label) == ("train[2]", 2)
    assert asked == [("tiny", {"data_dir": tmp_path})] * 2


@pytest.mark.parametrize(
    "features", [{"image": feature("Image")}, {"image": feature("Image"), "label": feature("Scalar")}]
)
def test_images_without_classes(package, features):
    package(**features)
    assert opened().classes == 0
    assert next(opened().load([1])).label is None


@pytest.mark.parametrize(
    ("features", "found"),
    [
        ({"picture": feature("Image")}, r"picture: Image\(uint8\)"),
        ({"image": feature("Video")}, r"image: Video\(uint8\)"),
        (
            {"image": feature("Image", np_dtype=np.float32), "label": feature("ClassLabel")},
            r"image: Image\(float32\), l",
        ),
    ],
)
def test_data_set_without_images(package, features, found):
    package(**features)
    with pytest.raises(DataError, match=rf"'tiny' has no feature 'image' with images of 8 or 16 bits; it has {found}"):
        opened()


def test_unknown_names(package):
    package()
    with pytest.raises(
        DataError,
        match=r"installed version 4\.9\.9 knows no data set 'teeny'; choose one of "
        r"https://www\.tensorflow\.org/datasets/catalog/overview, or correct data_dir",
    ):
        opened(name="teeny")
    with pytest.raises(
        DataError, match=r"split 'val' of 'tiny' cannot be read \(ValueError: Unknown.*\); there are tr"
    ):
        opened(split="val")
    with pytest.raises(DataError, match="no images in split 'none' of 'tiny'; choose another split"):
        opened(split="none")


def test_files_that_can_only_be_read_in_a_row(package):
    package()
    with pytest.raises(DataError, match=r"tiny/1\.0\.0: these files cannot be read at random; .* as array_record"):
        opened(split="tfrecord")


def test_data_set_that_cannot_be_prepared(package):
    asked = package(prepared=False).asked
    with pytest.raises(
        DataError,
        match=r"'tiny' could not be prepared \(ModuleNotFoundError: No module named 'tensor"
        r".*\(some data sets need TensorFlow for that\)",
    ):
        opened()
    assert asked[1] == "array_record"


def test_package_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"package tensorflow-datasets, .*: pip install 'ganformer\[tfds\]'"):
        opened()


# ----------------------------------------------------------------------------------------------- the real package

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None,
    reason="needs tensorflow-datasets: pip install 'ganformer[tfds]'",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Provide a folder with a data set `tiny` that the package prepared."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image, label = tfds.features.Image(shape=(None, None, 3)), tfds.features.ClassLabel(num_classes=3)
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"image": image, "label": label})
            )

        def _split_generators(self, downloads):
            return {"train": self._generate_examples(COUNT), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            for seed in range(count):
                yield seed, {"image": io.BytesIO(encoded(seed)), "label": seed % 3}

    folder = tmp_path_factory.mktemp("tfds")
    for file_format in ("array_record", "tfrecord"):
        builder = Tiny(data_dir=folder / file_format, file_format=file_format)
        if file_format == "array_record" or importlib.util.find_spec("tensorflow"):
            builder.download_and_prepare()
    return folder


@needs_package
def test_real_images_and_labels(prepared):
    source = opened(data_dir=prepared / "array_record")
    assert (len(source), source.classes) == (COUNT, 3)
    samples = list(pickle.loads(pickle.dumps(source)).load(list(source.keys())))
    wanted = {noise(seed).tobytes(): seed % 3 for seed in range(COUNT)}
    assert {sample.pixels.tobytes(): sample.label for sample in samples} == wanted
    (alone,) = source.load([5])
    assert alone.name == samples[5].name == "train[5]"
    assert (alone.pixels == samples[5].pixels).all()


@needs_package
@pytest.mark.parametrize(("split", "count"), [("test", 2), ("train+test", COUNT + 2), ("train[:3]", 3)])
def test_real_splits(prepared, split, count):
    source = opened(data_dir=prepared / "array_record", split=split)
    assert len(list(source.load(list(source.keys())))) == len(source) == count


@needs_package
def test_real_messages(prepared):
    with pytest.raises(DataError, match="knows no data set 'teeny'"):
        opened(name="teeny", data_dir=prepared / "array_record")
    with pytest.raises(DataError, match=r"split 'val' of 'tiny' cannot be read .*; there are train, test"):
        opened(split="val", data_dir=prepared / "array_record")


@needs_package
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="only TensorFlow writes tfrecord files")
def test_real_files_that_can_only_be_read_in_a_row(prepared):
    with pytest.raises(DataError, match="these files cannot be read at random"):
        opened(data_dir=prepared / "tfrecord")
