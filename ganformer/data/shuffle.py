"""Endless shuffled sequence of images as a pure function of (seed, position).

Every epoch is another permutation of all images: their numbers, sorted by hashes. NumPy's own generators are not used,
since their streams may change between its versions (NEP 19), and with them the images of a run that is resumed.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ganformer.seeds import mix


class Order:
    """Shuffled order of `count` images, epoch after epoch, as `seed` has it."""

    def __init__(self, count: int, seed: int) -> None:
        if count < 1:
            raise ValueError(f"an order of {count} images; at least 1 is needed")
        self.count, self.seed = count, seed

    def indices(self, position: int, n: int) -> NDArray[np.int64]:
        """Return indices of the images at `position`, …, `position + n - 1`: int64 [n] in [0, count)."""
        first, last = position // self.count, (position + max(n, 1) - 1) // self.count
        epochs = [_permutation(self.count, mix(self.seed, "order", epoch)) for epoch in range(first, last + 1)]
        images = epochs[0] if first == last else np.concatenate(epochs)
        return images[position - first * self.count :][:n]

    def coins(self, position: int, n: int) -> NDArray[np.bool_]:
        """Return one fair coin for each position, bool [n]; independent of the order."""
        coins: NDArray[np.bool_] = self._draws("coins", position, n) >> np.uint64(63) == 1
        return coins

    def places(self, position: int, n: int, choices: tuple[int, int]) -> NDArray[np.int64]:
        """Draw for each position a row below `choices[0]` and a column below `choices[1]`, uniformly: int64 [n, 2]."""
        drawn = [self._draws(name, position, n) for name in ("rows", "columns")]
        # The upper half of the bits times the number of choices: no bias that matters below 2**32 choices.
        parts = [
            (draw >> np.uint64(32)) * np.uint64(many) >> np.uint64(32)
            for draw, many in zip(drawn, choices, strict=True)
        ]
        return np.stack(parts, axis=1).astype(np.int64)

    def _draws(self, name: str, position: int, n: int) -> NDArray[np.uint64]:
        return _hashes(position, n, mix(self.seed, name))


@lru_cache(maxsize=2)  # a batch may reach into the next epoch
def _permutation(count: int, key: int) -> NDArray[np.int64]:
    # Hashes of different numbers differ, so that every way of sorting gives the same order.
    return np.argsort(_hashes(0, count, key))


def _hashes(first: int, n: int, key: int) -> NDArray[np.uint64]:
    """Return the splitmix64 finaliser (Steele, Lea & Flood 2014) of `key` + `first`, `first` + 1, …: uint64 [n].

    Each bit of a result depends on all bits of its argument, and no two arguments have the same result.
    """
    values = np.arange(n, dtype=np.uint64) + np.uint64((first + key + 0x9E3779B97F4A7C15) % (1 << 64))
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
