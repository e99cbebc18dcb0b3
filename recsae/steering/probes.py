"""The strong baseline of a latent: the direction in which the vectors of a concept's cases lie, found by attributes.

    mean of the explain cases whose item has the concept  −  mean of those whose item does not

as is usual in steering ("difference of means": Marks & Tegmark 2023, arXiv 2310.06824; strongest of the simple ones in
Wu et al. 2025, arXiv 2501.17148). Unlike the SAE it is given the concept. Shape suffixes: B cases, D their width, C
concepts, I items.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.distributed import tasks
from recsae.sae.correlation import case_items
from recsae.store import shards
from recsae.store.run_store import Committed


class Means(NamedTuple):
    """Sums over some explain cases whose item is known, float64 and int64."""

    cases: int
    total_D: np.ndarray
    bearing_C: np.ndarray
    total_CD: np.ndarray

    def plus(self, other: Means) -> Means:
        return Means(
            self.cases + other.cases,
            self.total_D + other.total_D,
            self.bearing_C + other.bearing_C,
            self.total_CD + other.total_CD,
        )

    def directions(self) -> np.ndarray:
        """`(C, D)` float32 of length 1; 0 where all cases bear the concept, or none."""
        bearing_C1 = self.bearing_C[:, None]
        rest_C1 = self.cases - bearing_C1
        apart_CD = self.total_CD / np.maximum(bearing_C1, 1) - (self.total_D - self.total_CD) / np.maximum(rest_C1, 1)
        apart_CD[(bearing_C1 == 0)[:, 0] | (rest_C1 == 0)[:, 0]] = 0
        length_C1 = np.linalg.norm(apart_CD, axis=1, keepdims=True)
        return np.asarray(apart_CD / np.where(length_C1 > 0, length_C1, 1), dtype=np.float32)


def probes(activations: Committed, view: str, bears_IC: sparse.csr_array) -> np.ndarray:
    """`Means.directions` of one pass over the shards."""
    names = activations.files(shards.PREFIX)
    found = tasks.over(_of_shard, (activations, view, bears_IC), names, "linear probes")
    return functools.reduce(Means.plus, found).directions()


def _of_shard(held: tuple[Committed, str, sparse.csr_array], name: str) -> Means:
    activations, view, bears_IC = held
    return shard_means(shards.read(activations.data, name), view, bears_IC)


def shard_means(table: pa.Table, view: str, bears_IC: sparse.csr_array) -> Means:
    """Of one shard."""
    rows_B, item_B = case_items(table, view, "explain")
    x_BD, bears_BC = shards.vectors(table)[rows_B].astype(np.float64), bears_IC[item_B].astype(np.float64)
    bearing_C = np.asarray(bears_BC.sum(0)).astype(np.int64)
    return Means(len(item_B), x_BD.sum(0), bearing_C, bears_BC.T @ x_BD)
