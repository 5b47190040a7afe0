"""A distance is called FID only where it is one."""

import pytest

from ganformer import plugins
from ganformer.metrics.names import label, path_label
from ganformer.perceptual.distance import PUBLISHED


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
    as_pytorch_fid = {"kind": "inception-2015", "resize": "pytorch-fid"}
    assert label("fd", as_pytorch_fid, 50_000) == "fid50k_pytorch"
    assert label("fd_std", as_pytorch_fid, 1000, mirrored=True) == "mirrored_fid1k_pytorch_std"
    assert label("fd", {**as_pytorch_fid, "features": "spatial"}, 50_000) == "sfid50k_pytorch"


def test_distance_of_an_unknown_number_of_images_is_no_fid():
    assert label("fd", {"kind": "inception-2015"}, None) == "fd_inception_2015"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("fd", "sfid50k"),
        ("sfd", "sfid50k"),
        ("fd_std", "sfid50k_std"),
        ("fd_bias", "sfid50k_bias"),
        ("fd_infinity", "sfid_infinity"),
        ("rfd", "rfid50k_spatial"),
        ("kid", "kid50k_spatial"),
        ("precision_std", "precision50k_spatial_std"),
    ],
)
def test_spatial_features_make_an_sfid(key, name):
    assert label(key, {"kind": "inception-2015", "features": "spatial"}, 50_000) == name


def test_spatial_features_are_told_beside_all_else():
    spatial = {"kind": "inception-2015", "features": "spatial", "resize": "clean"}
    assert label("fd", spatial, 1000, mirrored=True) == "mirrored_clean_sfid1k"
    assert label("fd", spatial, None) == "clean_fd_inception_2015_spatial"
    assert label("fd", {"kind": "inception-random", "features": "spatial"}, 1000) == "fd_inception_random_spatial"
    assert label("fd", {"kind": "inception-2015", "features": "pool"}, 50_000) == "fid50k"


def test_mirror_images_of_the_reals_are_told():
    assert label("fd", {"kind": "inception-2015"}, 50_000, mirrored=True) == "mirrored_fid50k"
    assert label("kid_std", {"kind": "inception-2015"}, 50_000, mirrored=True) == "mirrored_kid50k_std"
    assert label("fd", {"kind": "random-vgg16"}, 50_000, mirrored=True) == "mirrored_fd_random_vgg16"
    assert label("fd", {"kind": "inception-2015"}, 50_000, mirrored=False) == "fid50k"


# ------------------------------------------------------------------------------------------------- path lengths

LPIPS = {"kind": "vgg16", "network": "vgg16.pth", "judgement": "vgg.pth", **PUBLISHED}


def walked(network=LPIPS, **changes):
    return {"images": 50_000, "epsilon": 1e-4, "outliers": 1.0, "crop": False, "network": network, **changes}


@pytest.mark.parametrize(
    ("key", "changes", "name"),
    [
        ("ppl_z_full", {"crop": True}, "ppl_zfull"),
        ("ppl_z_end", {"crop": True}, "ppl_zend"),
        ("ppl_w_full", {"crop": True}, "ppl_wfull"),
        ("ppl_w_end", {"crop": True}, "ppl_wend"),
        ("ppl_w_end_std", {"crop": True}, "ppl_wend_std"),
        ("ppl_w_end", {}, "ppl2_wend"),
        ("ppl_w_end_std", {}, "ppl2_wend_std"),
        ("ppl_w_end", {"images": 5000}, "ppl2_wend5k"),
        ("ppl_z_full_std", {"images": 300, "crop": True}, "ppl_zfull300_std"),
        ("ppl_w_end", {"epsilon": 1e-3}, "ppl_w_end_vgg16"),
        ("ppl_w_end_std", {"outliers": 0.0, "crop": True}, "ppl_w_end_std_vgg16"),
    ],
)
def test_published_path_lengths_have_nvidias_names(key, changes, name):
    assert path_label(key, walked(**changes)) == name


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ({"kind": "random-vgg16", "channels": 64, "seed": 1}, "ppl_w_end_random_vgg16"),
        ({**LPIPS, "network_sha256": "0" * 64}, "ppl_w_end_vgg16"),
        ({**LPIPS, "judgement_sha256": "0" * 64}, "ppl_w_end_vgg16"),
    ],
)
def test_path_lengths_of_other_networks_tell_them(network, name):
    assert path_label("ppl_w_end", walked(network)) == name
