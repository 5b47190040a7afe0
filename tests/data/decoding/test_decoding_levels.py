"""Numbers become levels by ranges that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganformer.data.decoding import UnreadableImageError, to_8_bit


def test_bytes_are_levels():
    values = np.arange(256, dtype=np.uint8)
    assert (to_8_bit(values) == values).all()
    assert (to_8_bit(values, (0, 1)) == values).all()


def test_booleans_are_black_and_white():
    assert to_8_bit(np.array([True, False])).tolist() == [255, 0]


def test_16_bits_are_whole():
    values = np.arange(65536, dtype=np.uint16)
    assert (to_8_bit(values) == (values.astype(int) + 128) // 257).all()


def test_limits_of_16_bits():
    assert to_8_bit(np.array([0, 4095], np.uint16), (0, 4095)).tolist() == [0, 255]
    with pytest.raises(UnreadableImageError, match="uint16 numbers from 0 to 4096, which are not within"):
        to_8_bit(np.array([0, 4096], np.uint16), (0, 4095))


NUMBERS = ["int8", "int16", "int32", "int64", "uint32", "uint64", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_other_numbers_need_limits(dtype):
    values = np.array([0, 50, 100], dtype)
    assert to_8_bit(values, (0, 100)).tolist() == [0, 128, 255]
    with pytest.raises(UnreadableImageError, match=f"holds {dtype} numbers, .* in limits"):
        to_8_bit(values)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_numbers_on_both_sides_of_zero(dtype):
    assert to_8_bit(np.array([-100, 0, 100], dtype), (-100, 100)).tolist() == [0, 128, 255]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("limits", [(0, 1), (-1, 1), (-1000, 3), (0, 255)])
def test_what_rounding_leaves_outside_is_the_limit(dtype, limits):
    low, high = (np.array(limit, dtype) for limit in limits)
    beyond = np.array([np.nextafter(low, np.array(-np.inf, dtype)), np.nextafter(high, np.array(np.inf, dtype))])
    assert to_8_bit(beyond, limits).tolist() == [0, 255]
    far = np.array([low, high * np.array(1 + 20 * np.finfo(dtype).eps, dtype) + 20 * np.finfo(dtype).eps * abs(low)])
    with pytest.raises(UnreadableImageError, match="not within"):
        to_8_bit(far.astype(dtype), limits)


def test_message_has_digits_enough():
    with pytest.raises(UnreadableImageError, match=r"from 0.5 to 1.00001, which are not within the limits 0 to 1"):
        to_8_bit(np.array([0.5, 1.00001], np.float32), (0, 1))
    assert to_8_bit(np.array([0.5, 1.0000001], np.float32), (0, 1)).tolist() == [128, 255]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(bad):
    with pytest.raises(UnreadableImageError, match="not finite"):
        to_8_bit(np.array([0, bad], np.float32), (0, 1))


@pytest.mark.parametrize("dtype", ["complex64", "S1"])
def test_what_is_no_number(dtype):
    with pytest.raises(UnreadableImageError, match="no levels of grey or colour"):
        to_8_bit(np.zeros(3, dtype))


@given(st.integers(-(2**31), 2**31 - 2), st.integers(1, 2**31), st.data())
def test_nearest_level(low, span, data):
    high = low + span
    value = data.draw(st.integers(low, high))
    exact = 255 * (value - low) / span
    assert abs(int(to_8_bit(np.array([value], np.int64), (low, high))[0]) - exact) <= 0.5 + 1e-9
