"""Statistics of other programs give the mean and covariance that they were made of; damaged ones give no number."""

import os
import pickle
import re

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.metrics import foreign

FEATURES = np.random.default_rng(0).normal(3, 2, (37, 5)).astype(np.float32)
MEAN, COVARIANCE = FEATURES.mean(axis=0, dtype=np.float64), np.cov(FEATURES.astype(np.float64), rowvar=False)


def state(**changes):
    """Return what StyleGAN2-ADA's FeatureStats pickles of itself after the features came in two batches."""
    wide = FEATURES.astype(np.float64)
    return {
        "capture_all": False,
        "capture_mean_cov": True,
        "max_items": 37,
        "num_items": 37,
        "num_features": 5,
        "all_features": [],
        "raw_mean": wide.sum(axis=0),
        "raw_cov": wide.T @ wide,
        **changes,
    }


@pytest.fixture
def pickled(tmp_path):
    """Write any object as a pickle."""

    def write(content, protocol=pickle.DEFAULT_PROTOCOL):
        path = tmp_path / "stats.pkl"
        path.write_bytes(pickle.dumps(content, protocol))
        return path

    return write


@pytest.fixture
def saved(tmp_path):
    """Write an npz of mu and sigma, or what they are changed to."""

    def write(**changes):
        path = tmp_path / "stats.npz"
        np.savez(path, **{"mu": MEAN, "sigma": COVARIANCE, **changes})
        return path

    return write


# ---------------------------------------------------------------------------------------------------------- npz


def test_mean_and_covariance_of_pytorch_fid_are_read(saved):
    path = saved()
    found = foreign.read_npz(path)
    assert (found.title, found.count) == (str(path), 0)
    assert found.arrays.keys() == {"mean", "covariance"}
    np.testing.assert_array_equal(found.arrays["mean"], MEAN)
    np.testing.assert_array_equal(found.arrays["covariance"], COVARIANCE)


def test_other_arrays_beside_them_do_not_matter(tmp_path):
    np.savez_compressed(tmp_path / "adm.npz", arr_0=np.zeros((2, 4, 4, 3)), mu=MEAN, sigma=COVARIANCE)
    np.testing.assert_array_equal(foreign.read_npz(tmp_path / "adm.npz").arrays["covariance"], COVARIANCE)


def test_float32_statistics_are_taken_with_their_rounding(saved):
    rounded = (COVARIANCE * (1 + 1e-7 * np.triu(np.ones((5, 5))))).astype(np.float32)
    assert not np.array_equal(rounded, rounded.T)
    assert foreign.read_npz(saved(sigma=rounded)).arrays["covariance"].dtype == np.float64


def changed(place, value):
    array = COVARIANCE.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mu": MEAN[None]}, r"mu is float64 of shape \[1, 5\], not real numbers in 1 dimension; make the file again"),
        ({"mu": np.array("text")}, r"mu is <U4 of shape \[\], not real numbers in 1 dimension; make"),
        ({"mu": MEAN * 1j}, r"mu is complex128 of shape \[5\], not real numbers"),
        ({"mu": MEAN[:0]}, r"mu is float64 of shape \[0\], not real numbers"),
        ({"sigma": MEAN}, r"sigma is float64 of shape \[5\], not real numbers in 2 dimensions; make the file again"),
        ({"mu": MEAN[:4]}, r"sigma is of shape \[5, 5\], but mu is of 4 features; they are not of one set: make the"),
        ({"sigma": COVARIANCE[:4]}, r"sigma is of shape \[4, 5\], but mu is of 5 features; they are not of one set"),
        ({"mu": MEAN * np.nan}, "mu holds NaN or infinity; make the file again, and look at its images"),
        ({"sigma": changed((1, 1), np.inf)}, "sigma holds NaN or infinity; make the file again"),
        ({"sigma": changed((0, 1), 3)}, "sigma is not symmetric, so it is no covariance; make the file again"),
        ({"sigma": changed((2, 2), -1)}, "sigma has negative variances, so it is no covariance; make the file again"),
    ],
)
def test_what_is_no_mean_and_covariance_is_refused(saved, changes, message):
    path = saved(**changes)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: {message}"):
        foreign.read_npz(path)


def test_pickled_arrays_are_not_read(tmp_path):
    np.savez(tmp_path / "objects.npz", mu=np.array([{}, {}], object), sigma=COVARIANCE)
    with pytest.raises(
        DataError, match=r"objects\.npz: is not a whole npz of numbers \(Object arrays cannot be loaded"
    ):
        foreign.read_npz(tmp_path / "objects.npz")


def test_npz_of_something_else_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "images.npz", arr_0=np.zeros(3), arr_1=np.zeros(3))
    message = (
        r"images\.npz: holds the arrays arr_0, arr_1, but statistics are mu and sigma, or what "
        "`ganformer step reference` writes; name one of these, or the images themselves as a folder, zip, tar or pack$"
    )
    with pytest.raises(DataError, match=message):
        foreign.read_npz(tmp_path / "images.npz")
    for arrays, held in (({"mu": np.zeros(3)}, "the arrays mu"), ({"sigma": np.eye(3)}, "the arrays sigma")):
        np.savez(tmp_path / "half.npz", **arrays)
        with pytest.raises(DataError, match=f"holds {held}, but statistics are mu and sigma"):
            foreign.read_npz(tmp_path / "half.npz")
    np.savez(tmp_path / "none.npz")
    with pytest.raises(DataError, match=r"none\.npz: holds no arrays, but statistics are mu and sigma"):
        foreign.read_npz(tmp_path / "none.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut", pickle.dumps({"mu": 0, "sigma": 0})])
def test_something_else_than_an_npz_is_refused(tmp_path, content):
    path = tmp_path / "stats.npz"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"^{re.escape(str(path))}: is not a whole npz of numbers \(.*\); copy or make"
    ):
        foreign.read_npz(path)


def test_damage_anywhere_is_noticed_or_does_not_matter(saved):
    path = saved()
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            found = foreign.read_npz(path)
        except DataError:
            refused += 1
        else:
            np.testing.assert_array_equal(found.arrays["mean"], MEAN)
            np.testing.assert_array_equal(found.arrays["covariance"], COVARIANCE)
    assert refused > 50


# ------------------------------------------------------------------------------------------------------- pickle


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_sums_of_stylegan2_ada_are_read(pickled, protocol):
    path = pickled(state(), protocol)
    found = foreign.read_pickle(path)
    assert (found.title, found.count) == (str(path), 37)
    assert found.arrays.keys() == {"mean", "covariance"}
    np.testing.assert_allclose(found.arrays["mean"], MEAN, rtol=1e-12)
    np.testing.assert_allclose(found.arrays["covariance"], COVARIANCE, rtol=1e-9)


def test_feature_that_is_the_same_everywhere_may_leave_rounding(pickled):
    wide = FEATURES.astype(np.float64)
    wide[:, 2] = 0.1
    products = wide.T @ wide
    products[2, 2] -= 1e-12
    found = foreign.read_pickle(pickled(state(raw_mean=wide.sum(axis=0), raw_cov=products)))
    assert found.arrays["covariance"][2, 2] == pytest.approx(0, abs=1e-12)


def test_features_of_stylegan2_ada_are_read(pickled):
    nothing = {"raw_mean": np.zeros(5), "raw_cov": np.zeros((5, 5))}
    batches = [FEATURES[:30], FEATURES[30:]]
    found = foreign.read_pickle(
        pickled(state(capture_all=True, capture_mean_cov=False, all_features=batches, **nothing))
    )
    assert found.count == 37
    assert found.arrays.keys() == {"mean", "covariance", "features"}
    np.testing.assert_array_equal(found.arrays["features"], FEATURES)
    np.testing.assert_allclose(found.arrays["mean"], MEAN, rtol=1e-12)
    np.testing.assert_allclose(found.arrays["covariance"], COVARIANCE, rtol=1e-9)


def test_two_images_suffice(pickled):
    two = FEATURES[:2].astype(np.float64)
    found = foreign.read_pickle(pickled(state(num_items=2, raw_mean=two.sum(axis=0), raw_cov=two.T @ two)))
    assert found.count == 2
    np.testing.assert_allclose(found.arrays["covariance"], np.cov(two, rowvar=False), atol=1e-9)


WRONG = np.where(np.arange(185).reshape(37, 5) == 9, np.nan, FEATURES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [1, 2],
            "is a pickle, but not of statistics as StyleGAN2-ADA keeps them, a dict with num_items, raw_mean, raw_cov",
        ),
        ({"mu": MEAN}, "is a pickle, but not of statistics as StyleGAN2-ADA keeps them"),
        (state(num_items=1), "num_items is 1, but a covariance needs at least 2 images; make it again"),
        (state(num_items="37"), "num_items is '37', but a covariance needs at least 2 images"),
        (
            state(capture_mean_cov=False),
            "holds neither features nor their mean and covariance; make it again with either",
        ),
        (state(raw_mean=None), "raw_mean is not an array of floats; make the file again"),
        (state(raw_cov=np.eye(5, dtype=int)), "raw_cov is not an array of floats; make the file again"),
        (
            state(raw_mean=np.zeros(4)),
            r"raw_mean and raw_cov are of shapes \[4\] and \[5, 5\], not \[D\] and \[D, D\]; make the file again",
        ),
        (state(raw_mean=np.full(5, np.nan)), "raw_mean holds NaN or infinity; make the file again"),
        (state(raw_cov=changed((0, 1), 1e6)), "raw_cov is not symmetric, so it is no covariance"),
        (state(raw_cov=np.zeros((5, 5))), "raw_cov has negative variances, so it is no covariance"),
        (state(capture_all=True), "holds features of 0 images, not of 37"),
        (state(capture_all=True, all_features=None), "all_features is not an array of floats"),
        (state(capture_all=True, all_features=[MEAN]), r"all_features are not batches of \[n, D\] numbers"),
        (
            state(capture_all=True, all_features=[FEATURES[:30], FEATURES[30:, :4]]),
            r"all_features are not batches of \[n, D\] numbers; make the file again",
        ),
        (
            state(capture_all=True, all_features=[FEATURES[:30]]),
            r"holds features of 30 images, not of 37 \(num_items\); make it again",
        ),
        (
            state(capture_all=True, all_features=[FEATURES], num_items=36),
            r"holds features of 37 images, not of 36 \(num_items\); make it again",
        ),
        (state(capture_all=True, all_features=[WRONG]), "the features of image 1 are not finite; look at this image"),
    ],
)
def test_pickles_of_anything_else_are_refused(pickled, content, message):
    path = pickled(content)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: {message}"):
        foreign.read_pickle(path)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_pickle_is_executed(pickled, tmp_path):
    path = pickled(state(raw_mean=Evil(tmp_path / "made")))
    message = (
        rf"^{re.escape(str(path))}: refused, it asks for 'posix\.mkdir', .*nothing in it was executed\n"
        "Statistics of StyleGAN2-ADA were expected in this file$"
    )
    with pytest.raises(DataError, match=message):
        foreign.read_pickle(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_pickle_that_was_cut_short_is_refused(pickled, cut):
    path = pickled(state())
    path.write_bytes(path.read_bytes()[:cut])
    words = r"stats\.pkl: is damaged or no pickle" if cut else r"stats\.pkl: is empty; fetch it again"
    with pytest.raises(DataError, match=words):
        foreign.read_pickle(path)
