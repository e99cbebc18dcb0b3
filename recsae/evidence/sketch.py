"""Sketches of activations: what one streamed pass keeps of every latent, in bounded memory.

A sketch holds counts, the strongest cases of each latent and part (one per user), a sample of each latent's positive
activations, and per part a pool of cases from which non-activating ones are drawn. A sample is the cases with the
smallest hash, so that sketches merge to the same result in any order. Shape suffixes: A pairs of a case and a latent
that fires in it, B cases of a block, C columns, D their width, G groups (latent and part), H latents, K active latents
of a case, P cases of a pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from recsae.config.concepts import EvidenceConfig
from recsae.evidence.top_per_group import KeyedRows, Rows, TopPerGroup
from recsae.hashing import GOLDEN, finalise
from recsae.sae.model import MAX_FLOATS_PER_BLOCK, Sae
from recsae.schemas.base import PARTS
from recsae.store import shards

CASE_COLUMNS = ("case_id", "user_idx", "position", "item_idx", "top_idx")
EXPLAIN = PARTS.index("explain")


class CaseBlock(NamedTuple):
    """A block of cases, and the latents that fire in them."""

    cases: Rows
    active_BK: np.ndarray
    """Latents, padded with -1."""
    row_A: np.ndarray
    """Index of the pair's case."""
    latent_A: np.ndarray
    activation_A: np.ndarray

    def pairs(self, index: np.ndarray) -> Rows:
        row = self.row_A[index]
        cases = self.cases.take(row)
        return cases._replace(latent=self.latent_A[index], activation=self.activation_A[index])


class Sketch(NamedTuple):
    """See the module's docstring; `active_PK` holds the latents that fire in each case of the pool, padded with -1."""

    explain_cases: int
    fired_H: np.ndarray
    maximum_H: np.ndarray
    top: Rows
    sample: Rows
    pool: Rows
    active_PK: np.ndarray


class KeyLimits(NamedTuple):
    """The largest uint64 keys that still enter a sketch in its current state."""

    top_G: np.ndarray
    sample_G: np.ndarray
    pool_G: np.ndarray


class SketchBuilder:
    """Builds a sketch from blocks and from other sketches.

    With the `limits` of a larger sketch, cases that it would reject are left out here. Merging the result into that
    larger sketch gives the same as without limits.
    """

    def __init__(self, num_latents: int, config: EvidenceConfig, seed: int, limits: KeyLimits | None = None) -> None:
        self._seed = seed
        self._explain_cases = 0
        self._fired_H = np.zeros(num_latents, dtype=np.int64)
        self._maximum_H = np.zeros(num_latents, dtype=np.float32)
        groups = num_latents * len(PARTS)
        top_G, sample_G, pool_G = limits or (None, None, None)
        self._top = TopPerGroup(groups, config.top, one_per_user=True, limit_G=top_G)
        self._sample = TopPerGroup(groups, config.sample, limit_G=sample_G)
        self._pool = TopPerGroup(len(PARTS), config.pool, limit_G=pool_G)

    def add_block(self, block: CaseBlock) -> None:
        cases, latent_A, activation_A = block.cases, block.latent_A, block.activation_A
        part_A = cases.part[block.row_A]
        explained_A = part_A == EXPLAIN
        self._explain_cases += int((cases.part == EXPLAIN).sum())
        self._fired_H += np.bincount(latent_A[explained_A], minlength=len(self._fired_H))
        np.maximum.at(self._maximum_H, latent_A[explained_A], activation_A[explained_A])
        group_A = _group(latent_A, part_A)
        hashes_A = priority(cases.case_id[block.row_A], latent_A, self._seed)
        for first, key_A in ((self._top, _falling_key(activation_A)), (self._sample, hashes_A)):
            index = first.admissible(group_A, key_A)
            first.add(KeyedRows(group_A[index], key_A[index], block.pairs(index)))
        key_B = priority(cases.case_id, -1, self._seed)
        index = self._pool.admissible(cases.part, key_B)
        self._pool.add(KeyedRows(cases.part[index], key_B[index], cases.take(index), block.active_BK[index]))

    def add(self, sketch: Sketch) -> None:
        self._explain_cases += sketch.explain_cases
        self._fired_H += sketch.fired_H
        np.maximum(self._maximum_H, sketch.maximum_H, out=self._maximum_H)
        sample_key = priority(sketch.sample.case_id, sketch.sample.latent, self._seed)
        for first, rows, key in (
            (self._top, sketch.top, _falling_key(sketch.top.activation)),
            (self._sample, sketch.sample, sample_key),
        ):
            group = _group(rows.latent, rows.part)
            index = first.admissible(group, key)
            first.add(KeyedRows(group[index], key[index], rows.take(index)))
        key_P = priority(sketch.pool.case_id, -1, self._seed)
        index = self._pool.admissible(sketch.pool.part, key_P)
        pool = sketch.pool.take(index)
        self._pool.add(KeyedRows(pool.part, key_P[index], pool, sketch.active_PK[index]))

    def limits(self) -> KeyLimits:
        return KeyLimits(self._top.limit_G, self._sample.limit_G, self._pool.limit_G)

    def sketch(self) -> Sketch:
        """The sketch of everything added so far; rows are sorted by latent, part and key."""
        pool = self._pool.selected()
        assert pool.active_NK is not None
        return Sketch(
            self._explain_cases,
            self._fired_H,
            self._maximum_H,
            self._top.selected().rows,
            self._sample.selected().rows,
            pool.rows,
            pool.active_NK,
        )


def blocks(table: pa.Table, sae: Sae) -> Iterator[CaseBlock]:
    """Yield the cases of a table and the latents that fire in them, in blocks that bound memory."""
    at_once = max(1, MAX_FLOATS_PER_BLOCK // sae.num_latents)
    for start in range(0, table.num_rows, at_once):
        yield _block(table.slice(start, at_once), sae)


def _block(table: pa.Table, sae: Sae) -> CaseBlock:
    with torch.inference_mode():
        encoded = sae.encode(torch.from_numpy(shards.vectors(table).copy()))
    index_BK = encoded.index_BK.numpy().astype(np.int32)
    value_BK = encoded.value_BK.numpy()
    fires_BK = value_BK > 0
    row_A, column_A = np.nonzero(fires_BK)
    part_B = table["part"].to_numpy()
    columns_CB = [pc.fill_null(table[name], -1).to_numpy() for name in CASE_COLUMNS]
    nobody_B, nothing_B = np.full(len(part_B), -1, dtype=np.int32), np.zeros(len(part_B), dtype=np.float32)
    return CaseBlock(
        Rows(*[nobody_B, part_B, *columns_CB, nothing_B]),
        np.where(fires_BK, index_BK, np.int32(-1)),
        row_A,
        index_BK[row_A, column_A],
        value_BK[row_A, column_A],
    )


def sketch_table(table: pa.Table, sae: Sae, config: EvidenceConfig, seed: int) -> Sketch:
    """The sketch of one table of cases of any size."""
    sketcher = SketchBuilder(sae.num_latents, config, seed)
    for block in blocks(table, sae):
        sketcher.add_block(block)
    return sketcher.sketch()


def priority(case_id: np.ndarray, latent: np.ndarray | int, seed: int) -> np.ndarray:
    """A uint64 hash of (case, latent, seed), distinct for the cases of one latent."""
    with np.errstate(over="ignore"):
        mixed = case_id.astype(np.uint64) + (np.asarray(latent).astype(np.int64) + 2).astype(np.uint64) * GOLDEN
    return finalise(mixed ^ np.uint64(seed * 0xD1342543DE82EF95 & 0xFFFFFFFFFFFFFFFF))


def runs(values: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Yield each value of a sorted array and the slice it occupies."""
    found, counts = np.unique(values, return_counts=True)
    stops = np.cumsum(counts)
    for value, start, stop in zip(found.tolist(), stops - counts, stops, strict=True):
        yield value, slice(start, stop)


def _group(latent: np.ndarray, part: np.ndarray) -> np.ndarray:
    return np.asarray(latent * np.int32(len(PARTS)) + part)


def _falling_key(activation: np.ndarray) -> np.ndarray:
    """A uint64 key that falls as a positive activation rises; the bits of positive floats order like their values."""
    bits = np.ascontiguousarray(activation).view(np.uint32)
    return np.asarray(np.uint64(2**32 - 1) - bits.astype(np.uint64))
