"""A seeded sample of latents or users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from recsae.hashing import GOLDEN, keyed


def draw(
    numbers: Iterable[int] | np.ndarray, count: int | None, seed: int, by: Mapping[int, int] | None = None
) -> list[int]:
    """`count` of the numbers, ascending; all of them where `count` is None or more than there are.

    Drawn by a hash of number and seed, or of what `by` holds for the number: a larger sample contains the smaller, and
    leaving one number out does not move the others.
    """
    given = np.sort(np.array(numbers if isinstance(numbers, np.ndarray) else list(numbers), dtype=np.uint64))
    hashed = given if by is None else np.array([by[number] for number in given.tolist()], dtype=np.uint64)
    hashes = keyed(hashed, (seed + int(GOLDEN)) % 2**64)
    return sorted(given[np.argsort(hashes, kind="stable")[:count]].tolist())
