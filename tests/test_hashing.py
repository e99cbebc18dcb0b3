"""Hashes are even, one to one under a key, and the same in every version: results are drawn by them."""

from __future__ import annotations

import numpy as np

from recsae.hashing import finalise, keyed
from recsae.stats.sampling import draw


def test_values_never_change() -> None:
    assert finalise(np.array([0, 1, 2**64 - 1], dtype=np.uint64)).tolist() == [
        0,
        6238072747940578789,
        13029008266876403067,
    ]
    assert keyed(np.array([0, 1, 5]), 7).tolist() == [13225839796362995591, 15613610022589591469, 16578552831086309164]
    assert draw(range(100), 5, 3) == [21, 22, 53, 83, 89]


def test_under_one_key_no_two_numbers_share_a_hash() -> None:
    hashes = keyed(np.arange(100_000), 2**64 - 1)
    assert len(np.unique(hashes)) == 100_000
    assert abs((hashes / 2**64).mean() - 0.5) < 0.01
    assert not np.array_equal(hashes, keyed(np.arange(100_000), 0))
