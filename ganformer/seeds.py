"""Randomness as a function of named numbers, so that doing a thing again gives the same thing."""

import hashlib


def mix(*parts: int | str) -> int:
    """Return a seed in [0, 2⁶³) that is a function of `parts`; independent for different parts."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
