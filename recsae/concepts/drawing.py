"""A seeded sample of latents. It knows numbers of latents, and nothing of what they stand for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recsae.hashing import GOLDEN, finalise


def draw_latents(latents: Iterable[int], count: int | None, seed: int) -> list[int]:
    """`count` of the latents, ascending; all of them where `count` is None or more than there are.

    Drawn by a hash of latent and seed: a larger sample contains the smaller, and one latent's death moves no other.
    """
    living = np.array(sorted(latents), dtype=np.uint64)
    with np.errstate(over="ignore"):
        key = finalise(living * GOLDEN ^ finalise(np.array([seed], dtype=np.uint64) + GOLDEN))
    return sorted(living[np.argsort(key, kind="stable")[:count]].tolist())
