"""Limits of the images in preparation at once."""

import pytest

from ganformer.data.packing import prepare


@pytest.mark.parametrize(
    ("keys", "sizes"),
    [
        (list(range(7)), [3, 3, 1]),
        ([], []),
        ([("name", b"1234")] * 7, [3, 3, 1]),
        ([("name", b"123456")] * 5, [2, 2, 1]),
        ([("name", b"1234567890ab", None)] * 2, [1, 1]),  # each is more than what a batch may carry
        ([b"123456"] * 4, [3, 1]),  # the key of an LMDB, which carries no image
    ],
)
def test_batches_are_limited_in_number_and_in_what_their_keys_carry(monkeypatch, keys, sizes):
    monkeypatch.setattr(prepare, "MAX_BATCH_BYTES", 12)
    batches = list(prepare._batches(iter(keys), 3))
    assert [len(batch) for batch in batches] == sizes
    assert [key for batch in batches for key in batch] == keys
