"""An endless shuffled sequence of images as a pure function of (seed, position).

Every epoch is a different permutation of all images. Nothing is stored and nothing is walked through to get to a
position: a Feistel network permutes the numbers below the next power of four, and those that fall outside the data set
are sent through again until they fall inside (cycle walking; Black & Rogaway 2002, Ciphers with Arbitrary Finite
Domains).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ganformer.seeds import mix

ROUNDS = 8
BLOCK = 512  # positions computed at once: hardly slower than a few, and the next batches are among them


class Order:
    """Shuffled order of `count` images, epoch after epoch, as `seed` has it."""

    def __init__(self, count: int, seed: int) -> None:
        if count < 1:
            raise ValueError(f"an order of {count} images; at least 1 is needed")
        self.count, self.seed = count, seed
        self._half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))  # bits of one half of a number

    def indices(self, position: int, n: int) -> NDArray[np.int64]:
        """Indices of the images at `position`, …, `position + n - 1`: int64 [n] in [0, count)."""
        first, last = position // BLOCK, (position + max(n, 1) - 1) // BLOCK
        blocks = [_block(self, number) for number in range(first, last + 1)]
        return np.concatenate(blocks)[position - first * BLOCK :][:n]

    def _computed(self, position: int, n: int) -> NDArray[np.int64]:
        epochs, slots = np.divmod(_positions(position, n), np.uint64(self.count))
        keys = _hash(epochs + np.uint64(mix(self.seed, "order")))
        values = self._permute(slots, keys)
        outside = np.flatnonzero(values >= self.count)
        while outside.size:
            values[outside] = self._permute(values[outside], keys[outside])
            outside = outside[values[outside] >= self.count]
        return values.astype(np.int64)

    def coins(self, position: int, n: int) -> NDArray[np.bool_]:
        """One fair coin for each position, bool [n]; independent of the order."""
        return self._draws("coins", position, n) >> np.uint64(63) == 1

    def places(self, position: int, n: int, choices: tuple[int, int]) -> NDArray[np.int64]:
        """For each position a row below `choices[0]` and a column below `choices[1]`, evenly drawn: int64 [n, 2]."""
        drawn = [self._draws(name, position, n) for name in ("rows", "columns")]
        # The upper half of the bits times the number of choices: no bias that matters below 2**32 choices.
        parts = [
            (draw >> np.uint64(32)) * np.uint64(many) >> np.uint64(32)
            for draw, many in zip(drawn, choices, strict=True)
        ]
        return np.stack(parts, axis=1).astype(np.int64)

    def _draws(self, name: str, position: int, n: int) -> NDArray[np.uint64]:
        return _hash(_positions(position, n) + np.uint64(mix(self.seed, name)))

    def _permute(self, values: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """A permutation, another one for every key, of the numbers below 4 ** half."""
        low_bits = (np.uint64(1) << self._half) - np.uint64(1)
        left, right = values >> self._half, values & low_bits
        for number in range(ROUNDS):
            scrambled = _hash(keys ^ _hash(right * np.uint64(ROUNDS) + np.uint64(number)))
            left, right = right, left ^ (scrambled & low_bits)
        return (left << self._half) | right


@lru_cache(maxsize=4)
def _block(order: Order, number: int) -> NDArray[np.int64]:
    return order._computed(number * BLOCK, BLOCK)


def _positions(position: int, n: int) -> NDArray[np.uint64]:
    return np.arange(n, dtype=np.uint64) + np.uint64(position)


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): each bit of the result depends on all bits of a value."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
