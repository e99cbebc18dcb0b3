"""A seeded sample of latents or users. It knows numbers, and nothing of what they stand for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recsae.hashing import GOLDEN, finalise


def draw(numbers: Iterable[int] | np.ndarray, count: int | None, seed: int) -> list[int]:
    """`count` of the numbers, ascending; all of them where `count` is None or more than there are.

    Drawn by a hash of number and seed: a larger sample contains the smaller, and one that is not there moves no other.
    """
    given = np.sort(np.array(numbers if isinstance(numbers, np.ndarray) else list(numbers), dtype=np.uint64))
    with np.errstate(over="ignore"):
        key = finalise(given * GOLDEN ^ finalise(np.array([seed], dtype=np.uint64) + GOLDEN))
    return sorted(given[np.argsort(key, kind="stable")[:count]].tolist())
