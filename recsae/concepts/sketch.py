"""What one streamed pass over activations keeps of every latent, in bounded memory.

A sketch of a block holds, per latent and part of users: the strongest cases (one a user), a sample of positive
activations, and a pool of cases among which silent ones are sought; and counts. Samples are the cases with the
smallest hash, so sketches add up to the same whole in any order of blocks. It knows latents and cases, and no
catalogue. Shape suffixes: B cases of a block, H latents, K active latents of a case, P cases of a pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from recsae.config import EvidenceConfig
from recsae.hashing import GOLDEN, finalise
from recsae.sae.model import Sae
from recsae.schemas import PARTS
from recsae.store import shards


class Rows(NamedTuple):
    """(latent, case) pairs in columns; `latent` is -1 for cases of the pool, `top_idx` where it is not known."""

    latent: np.ndarray
    part: np.ndarray
    case_id: np.ndarray
    user_idx: np.ndarray
    position: np.ndarray
    item_idx: np.ndarray
    top_idx: np.ndarray
    activation: np.ndarray

    def take(self, index: np.ndarray) -> Rows:
        return Rows(*(column[index] for column in self))


class Sketch(NamedTuple):
    """See the module's docstring. `active_PK` are the latents that fire in each case of the pool (-1: none)."""

    explain_cases: int
    fired_H: np.ndarray
    maximum_H: np.ndarray
    top: Rows
    sample: Rows
    pool: Rows
    active_PK: np.ndarray


CASE_COLUMNS = ("case_id", "user_idx", "position", "item_idx", "top_idx")


def priority(case_id: np.ndarray, latent: np.ndarray | int, seed: int) -> np.ndarray:
    """A hash of (case, latent, seed) as uint64."""
    with np.errstate(over="ignore"):
        mixed = case_id.astype(np.uint64) + (np.asarray(latent).astype(np.int64) + 2).astype(np.uint64) * GOLDEN
    return finalise(mixed ^ np.uint64(seed * 0xD1342543DE82EF95 & 0xFFFFFFFFFFFFFFFF))


def first_per_group(groups: tuple[np.ndarray, ...], order: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    """Indices of the first `count` rows of every group, by `order` (most significant first); grouped and sorted."""
    index: np.ndarray = np.lexsort((*reversed(order), *reversed(groups)))
    if not len(index):
        return index
    changes = np.zeros(len(index), dtype=bool)
    changes[0] = True
    for group in groups:
        changes[1:] |= np.diff(group[index]) != 0
    starts = np.flatnonzero(changes)
    place = np.arange(len(index)) - np.repeat(starts, np.diff([*starts, len(index)]))
    return np.asarray(index[place < count])


def runs(values: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Each value of a sorted array, and where it stands."""
    found, counts = np.unique(values, return_counts=True)
    stops = np.cumsum(counts)
    for value, start, stop in zip(found.tolist(), stops - counts, stops, strict=True):
        yield value, slice(start, stop)


def strongest(rows: Rows, count: int) -> Rows:
    """Per latent and part the strongest cases, one a user; ties go to the smaller case id."""
    best = rows.take(first_per_group((rows.latent, rows.part, rows.user_idx), (-rows.activation, rows.case_id), 1))
    return best.take(first_per_group((best.latent, best.part), (-best.activation, best.case_id), count))


def sampled(rows: Rows, count: int, seed: int) -> Rows:
    """Per latent and part the cases with the smallest hash."""
    drawn = priority(rows.case_id, rows.latent, seed)
    return rows.take(first_per_group((rows.latent, rows.part), (drawn, rows.case_id), count))


def sketch_block(table: pa.Table, sae: Sae, config: EvidenceConfig, seed: int) -> Sketch:
    """The sketch of one block of a shard."""
    with torch.inference_mode():
        encoded = sae.encode(torch.from_numpy(shards.vectors(table).copy()))
    index_BK = encoded.index_BK.numpy().astype(np.int32)
    value_BK = encoded.value_BK.numpy()
    cases = [pc.fill_null(table[name], -1).to_numpy() for name in CASE_COLUMNS]
    part_B = table["part"].to_numpy()
    active_BK = np.where(value_BK > 0, index_BK, -1)
    row, column = np.nonzero(active_BK >= 0)
    pairs = Rows(*[index_BK[row, column], part_B[row], *(values[row] for values in cases), value_BK[row, column]])
    explained = pairs.part == PARTS.index("explain")
    maximum_H = np.zeros(sae.num_latents, dtype=np.float32)
    np.maximum.at(maximum_H, pairs.latent[explained], pairs.activation[explained])
    nothing_B = np.zeros(len(part_B), dtype=np.float32)
    everybody = Rows(*[np.full(len(part_B), -1, dtype=np.int32), part_B, *cases, nothing_B])
    pooled = _pool_order(everybody, config.pool, seed)
    return Sketch(
        int((part_B == PARTS.index("explain")).sum()),
        np.bincount(pairs.latent[explained], minlength=sae.num_latents),
        maximum_H,
        strongest(pairs, config.top),
        sampled(pairs, config.sample, seed),
        everybody.take(pooled),
        active_BK[pooled],
    )


def _pool_order(cases: Rows, count: int, seed: int) -> np.ndarray:
    return first_per_group((cases.part,), (priority(cases.case_id, -1, seed), cases.case_id), count)


def add(first: Sketch, second: Sketch, config: EvidenceConfig, seed: int) -> Sketch:
    """The sketch of two blocks together; the order of the two does not matter."""
    pool = _join(first.pool, second.pool)
    pooled = _pool_order(pool, config.pool, seed)
    return Sketch(
        first.explain_cases + second.explain_cases,
        first.fired_H + second.fired_H,
        np.maximum(first.maximum_H, second.maximum_H),
        strongest(_join(first.top, second.top), config.top),
        sampled(_join(first.sample, second.sample), config.sample, seed),
        pool.take(pooled),
        _stack(first.active_PK, second.active_PK)[pooled],
    )


def _stack(first_PK: np.ndarray, second_PK: np.ndarray) -> np.ndarray:
    """One below the other; K is as many latents as fire in any case of a block, which may differ."""
    most = max(first_PK.shape[1], second_PK.shape[1])
    return np.concatenate(
        [np.pad(one, ((0, 0), (0, most - one.shape[1])), constant_values=-1) for one in (first_PK, second_PK)]
    )


def _join(first: Rows, second: Rows) -> Rows:
    return Rows(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))
