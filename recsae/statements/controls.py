"""Draws the controls of the search: other latents for chosen statements, null latents, items kept from the search."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

UNSEEN_ONE_IN = 10
"""One in so many items is kept from the search."""
NULLS = 128
"""Latents whose activations are dealt to other users' cases, at most."""


def unseen_items(ids: Sequence[str], seed: int) -> np.ndarray:
    """Which items are kept from the search, `(items,)` bool: by a hash of the id, so the same ones every night."""
    key = seed.to_bytes(8, "little", signed=True)
    digests = (hashlib.blake2b(item_id.encode(), digest_size=8, key=key).digest() for item_id in ids)
    return np.array([int.from_bytes(digest, "little") % UNSEEN_ONE_IN == 0 for digest in digests], dtype=bool)


def draw_nulls(alive: np.ndarray, seed: int) -> np.ndarray:
    """The latents of which null latents are made, ascending."""
    drawn = np.random.default_rng(seed).permutation(alive)[:NULLS]
    return np.sort(drawn)


def partners(latents: np.ndarray, W_dec: np.ndarray, seed: int) -> np.ndarray:
    """For each latent another one, before which its statement is put as a control; -1 where there is only one.

    Drawn from the half of the others whose decoder directions are closest to orthogonal, so that the partner has no
    reason to fire with it.
    """
    if len(latents) < 2:
        return np.full(len(latents), -1, dtype=np.int64)
    generator = np.random.default_rng(seed)
    chosen = np.empty(len(latents), dtype=np.int64)
    half = max(1, (len(latents) - 1) // 2)
    for place, latent in enumerate(latents.tolist()):
        cosine = np.abs(W_dec[latents] @ W_dec[latent])
        cosine[place] = np.inf
        closest = np.argpartition(cosine, half - 1)[:half]
        chosen[place] = latents[generator.choice(np.sort(closest))]
    return chosen
