"""The spaces in which item sets lie: the recommender's item vectors, and co-consumption."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from recsae.data.chunks import n_chunks, read_chunk
from recsae.hashing import keyed
from recsae.recommenders.base import Recommender, Trainable
from recsae.store.run_store import Committed

RECOMMENDER, CO_CONSUMPTION = "recommender", "co-consumption"
AXES = 64
LATEST = 50
"""Training events of a user that count for co-consumption, the latest."""
MAX_PAIRS = 50_000_000
"""Pairs of items within a user that are counted; of more, a share of the users drawn by the seed."""


def of_recommender(model: Recommender) -> np.ndarray | None:
    """The recommender's item vectors as unit vectors `(items, width)` float32; None where it has no such table."""
    if not isinstance(model, Trainable):
        return None
    return _unit(model.item_vectors(0, model.n_items).detach().cpu().numpy().astype(np.float32))


def co_consumption(ingested: Committed, n_items: int, seed: int) -> np.ndarray:
    """Unit vectors `(items, axes)` float32 of which items the same users have, zeros for an item that nobody has.

    The positive pointwise mutual information of two items within a user's training events, factored by a truncated
    singular-value decomposition with half of the singular values on either side (Levy & Goldberg 2014).
    """
    has_UI = _baskets(ingested, n_items, seed)
    together = (has_UI.T @ has_UI).tocoo()
    count_I = np.asarray(has_UI.sum(axis=0)).ravel()
    expected = count_I[together.row] * count_I[together.col] / max(has_UI.shape[0], 1)
    value = np.log(together.data / np.maximum(expected, 1e-12))
    kept = (value > 0) & (together.row != together.col)
    pairs = value[kept].astype(np.float32), (together.row[kept], together.col[kept])
    ppmi = sparse.csr_matrix(pairs, shape=(n_items, n_items))
    axes = min(AXES, n_items - 2)
    if axes < 1 or not ppmi.nnz:
        return np.zeros((n_items, 1), dtype=np.float32)
    left, singular, _ = svds(ppmi, k=axes, v0=np.ones(n_items) / np.sqrt(n_items), solver="arpack")
    return _unit((left * np.sqrt(np.maximum(singular, 0))).astype(np.float32))


def _baskets(ingested: Committed, n_items: int, seed: int) -> sparse.csr_matrix:
    """Which user has which item among their latest training events, `(users, items)` of 0 and 1."""
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    users, share = 0, 1.0
    for number in range(n_chunks(ingested)):
        chunk = read_chunk(ingested, number, ("train",))
        length_U = np.minimum(np.diff(chunk.offsets), LATEST)
        if number == 0:
            share = min(1.0, MAX_PAIRS / max(float((length_U**2).sum()) * n_chunks(ingested), 1.0))
        drawn_U = keyed(chunk.users.astype(np.int64), seed) <= np.uint64(share * (2**64 - 2**11))
        for start, stop in zip(chunk.offsets[:-1][drawn_U].tolist(), chunk.offsets[1:][drawn_U].tolist(), strict=True):
            items = np.unique(chunk.items[max(start, stop - LATEST) : stop])
            rows.append(np.full(len(items), users))
            columns.append(items)
            users += 1
    if not rows:
        return sparse.csr_matrix(np.zeros((0, n_items), dtype=np.float32))
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=(users, n_items))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-9), dtype=np.float32)
