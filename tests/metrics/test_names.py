"""A distance is called FID only where it is one."""

import pytest

from ganformer import plugins
from ganformer.metrics.names import label


@pytest.mark.parametrize(
    ("key", "images", "name"),
    [
        ("fd", 50_000, "fid50k"),
        ("fd", 5000, "fid5k"),
        ("fd", 2500, "fid2500"),
        ("fd", 500, "fid500"),
        ("is", 50_000, "is50k"),
        ("is_std", 50_000, "is50k_std"),
        ("precision", 50_000, "precision50k"),
        ("precision_std", 50_000, "precision50k_std"),
        ("recall", 1000, "recall1k"),
        ("density", 50_000, "density50k"),
        ("coverage_std", 2500, "coverage2500_std"),
        ("kid", 50_000, "kid50k"),
        ("kid_std", 50_000, "kid50k_std"),
        ("rfd", 50_000, "rfid50k"),
        ("fd_bias", 50_000, "fid50k_bias"),
        ("fd_infinity", 50_000, "fid_infinity"),
    ],
)
def test_inception_features_give_the_fields_names(key, images, name):
    assert label(key, {"kind": "inception-2015"}, images) == name


def test_other_features_are_named():
    assert label("fd", {"kind": "random-vgg16"}, 50_000) == "fd_random_vgg16"
    assert label("is_std", {"kind": "random-vgg16"}, 1000) == "is_std_random_vgg16"
    assert label("fd_infinity", {"kind": "random-vgg16"}, 1000) == "fd_infinity_random_vgg16"


@pytest.mark.parametrize("extractor", plugins.names("ganformer.metrics.extractors"))
def test_only_the_inception_network_of_2015_makes_an_fid(extractor):
    assert ("fid" in label("fd", {"kind": extractor}, 50_000)) == (extractor == "inception-2015")


def test_other_resizing_is_told():
    clean = {"kind": "inception-2015", "resize": "clean"}
    assert label("fd", clean, 50_000) == "clean_fid50k"
    assert label("kid_std", clean, 1000) == "clean_kid1k_std"
    assert label("fd", {"kind": "inception-2015", "resize": "tensorflow"}, 50_000) == "fid50k"


def test_distance_of_an_unknown_number_of_images_is_no_fid():
    assert label("fd", {"kind": "inception-2015"}, None) == "fd_inception_2015"
