"""The exact ROC-AUC of a latent's activation for an attribute, over any number of cases.

    AUC = (R − p (p + 1) / 2) / (p (n − p))        R: the sum of the ranks of the p of n cases that have the attribute

Ranks start from 1 and ties share their mean rank, so the n − m cases in which the latent is inactive are tied at 0
below the m in which it fires (Mann & Whitney 1947). Only these m are sorted, by a key with the latent above the bits of
its activation, which order like positive floats. Ray tasks over the shards split (latent, case) pairs into partitions
of latents, and one task per partition ranks them, a range of latents at a time. So no process holds all pairs, and Ray
spills what does not fit into memory. Rank sums are multiples of 1/2, exact in float64 below 2^52. Shape suffixes: B
cases of a block, K the most latents active in a case, N pairs, V views, H latents, I items, A attributes, L rows of
(latent, attribute).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import ray
import torch
from scipy import sparse

from recsae.distributed import tasks
from recsae.sae import correlation
from recsae.sae.correlation import Code
from recsae.sae.model import Encoded
from recsae.statistics.accumulate import ScoreCases, score_cases
from recsae.store import shards
from recsae.store.run_store import Committed

MAX_PAIRS = 2**22
"""Pairs of a partition, 12 bytes each, and 4 more with a second view; a single latent may exceed it."""
MAX_SORTED_PAIRS = 2**19
"""Pairs sorted at a time; it bounds the memory of a task outside Ray's object store."""
MAX_SPLIT_TASKS = 256
"""Most tasks that split pairs. With many more, the pieces of a partition would be smaller than 100 KB, and Ray keeps
such results in the driver's memory."""

Rows = tuple[np.ndarray, np.ndarray]
"""Latents in ascending order, and the index of an attribute for each."""


class FiringPairs(NamedTuple):
    """Pairs of a latent and a case in which it fires."""

    key_N: np.ndarray
    """uint64: the latent in the upper 32 bits, the bits of its activation in the lower."""
    item_VN: np.ndarray
    """int32; −1 if the case has no item in the view."""


def firing_pairs(cases: ScoreCases, code: Code) -> FiringPairs:
    """All pairs of some cases, sorted by latent and activation."""
    keys, items = [np.empty(0, dtype=np.uint64)], [np.empty((len(cases.item_VB), 0), dtype=np.int32)]
    for rows, found in correlation.encode_blocks(correlation.load_code(code), cases.x_BD):
        assert isinstance(found, Encoded)
        index_BK, value_BK = found.index_BK.numpy(), found.value_BK.numpy()
        row_N, place_N = np.nonzero(value_BK > 0)
        bits_N = value_BK[row_N, place_N].astype(np.float32).view(np.uint32)
        keys.append(index_BK[row_N, place_N].astype(np.uint64) << np.uint64(32) | bits_N.astype(np.uint64))
        items.append(cases.item_VB[:, rows][:, row_N])
    key_N = np.concatenate(keys)
    order = np.argsort(key_N)
    return FiringPairs(key_N[order], np.concatenate(items, axis=1)[:, order])


def ranges(fired_H: np.ndarray, most: int) -> list[int]:
    """Bounds of at least two ranges of latents with about `most` firings each, split at the middle of each latent."""
    total = max(int(fired_H.sum()), 1)
    number = max(2, -(-total // most))
    middle_H = np.cumsum(fired_H) - fired_H / 2
    return [0, *np.searchsorted(middle_H * number, np.arange(1, number) * total).tolist(), len(fired_H)]


def partitions(bounds: Sequence[int], number: int) -> list[list[int]]:
    """The ranges between `bounds` grouped into `number` partitions, each given by the bounds of its ranges."""
    cuts = np.linspace(0, len(bounds) - 1, number + 1).round().astype(int).tolist()
    return [list(bounds[start : stop + 1]) for start, stop in itertools.pairwise(cuts)]


def split(pairs: FiringPairs, bounds: Sequence[int]) -> tuple[FiringPairs, ...]:
    """Sorted pairs split by the range of their latent."""
    cuts = np.searchsorted(pairs.key_N, np.array(bounds, dtype=np.uint64) << np.uint64(32)).tolist()
    return tuple(
        FiringPairs(
            pairs.key_N[start:stop], np.ascontiguousarray(pairs.item_VN[:, start:stop])
        )  # or Ray would copy it later
        for start, stop in itertools.pairwise(cuts)
    )


def merge(pieces: Sequence[FiringPairs]) -> FiringPairs:
    """All pairs of the pieces, sorted by latent and activation."""
    key_N = np.concatenate([piece.key_N for piece in pieces])
    order = np.argsort(key_N)
    return FiringPairs(key_N[order], np.concatenate([piece.item_VN for piece in pieces], axis=1)[:, order])


def rank_sums(
    key_N: np.ndarray, item_N: np.ndarray, has_IA: sparse.csr_array, latent_L: np.ndarray, row_L: np.ndarray
) -> np.ndarray:
    """For each (latent, attribute) row, the rank sum of the cases with the attribute among those in which it fires.

    `key_N` and `latent_L` must be sorted. Pairs without an item are left out, since their cases are.
    """
    if not len(latent_L):
        return np.empty(0)
    first, latents = int(latent_L[0]), int(latent_L[-1] - latent_L[0]) + 1
    latent_N = (key_N >> np.uint64(32)).astype(np.int64) - first
    here = (item_N >= 0) & (latent_N >= 0) & (latent_N < latents)
    key_N, item_N, latent_N = key_N[here], item_N[here], latent_N[here]
    rank_N = mean_ranks(key_N) - np.searchsorted(latent_N, latent_N)
    rank_HI = sparse.csr_array((rank_N, (latent_N, item_N)), shape=(latents, has_IA.shape[0]))
    return np.asarray((rank_HI @ has_IA).toarray()[latent_L - first, row_L])


def mean_ranks(sorted_N: np.ndarray) -> np.ndarray:
    """Ranks from 1 of sorted values; ties share their mean rank."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(sorted_N), 1), bool), sorted_N[1:] != sorted_N[:-1]]))
    sizes = np.diff(starts, append=len(sorted_N))
    return np.asarray(np.repeat(starts + (sizes + 1) / 2, sizes))


def auc(
    rank_sum_L: np.ndarray, both_L: np.ndarray, fires_L: np.ndarray, support_L: np.ndarray, cases: int
) -> np.ndarray:
    """AUC by the formula above; `support_L` must be above 0 and below `cases`."""
    inactive_L = cases - fires_L
    ranks_L = rank_sum_L + both_L * inactive_L + (support_L - both_L) * ((inactive_L + 1) / 2)
    pairs_L = support_L * (cases - support_L).astype(np.float64)
    return np.asarray((ranks_L - support_L * ((support_L + 1) / 2)) / pairs_L)


def measure(
    activations: Committed,
    code: Code,
    has_by_view: Mapping[str, sparse.csr_array],
    rows: Mapping[str, Rows],
    fired_H: np.ndarray,
) -> dict[str, np.ndarray]:
    """Rank sums of all rows by view, under one sparse code whose latents fire about `fired_H` times."""
    names, fine = activations.files(shards.PREFIX), ranges(fired_H, MAX_SORTED_PAIRS)
    # At least two: with num_returns=1 Ray would return the tuple itself.
    parts = partitions(fine, max(2, -(-int(fired_H.sum()) // MAX_PAIRS)))
    bounds = [part[0] for part in parts] + [len(fired_H)]
    shared = ray.put((activations, code))
    split_refs = [
        _split_shards.options(num_returns=len(parts)).remote(shared, some.tolist(), list(rows), bounds)
        for some in np.array_split(names, min(len(names), MAX_SPLIT_TASKS))
    ]
    pieces = list(zip(*split_refs, strict=True))
    del split_refs
    has_refs = [ray.put(has_IA) for has_IA in has_by_view.values()]
    cuts = [np.searchsorted(latent_L, bounds) for latent_L, _ in rows.values()]

    def ranked(number: int) -> Any:
        some = [slice(cut[number], cut[number + 1]) for cut in cuts]
        listed = [(latent_L[of], row_L[of]) for of, (latent_L, row_L) in zip(some, rows.values(), strict=True)]
        partition_pieces, pieces[number] = pieces[number], ()  # so that Ray frees the pieces once they are ranked
        return _rank.remote(listed, parts[number], len(has_refs), *has_refs, *partition_pieces)

    found = list(tasks.in_order(ranked, range(len(pieces)), "AUC", "partitions"))
    return dict(zip(rows, (np.concatenate(parts) for parts in zip(*found, strict=True)), strict=True))


@ray.remote
def _split_shards(
    shared: tuple[Committed, Code], names: Sequence[str], views: Sequence[str], bounds: Sequence[int]
) -> tuple[FiringPairs, ...]:
    torch.set_num_threads(1)
    activations, code = shared
    found = [firing_pairs(score_cases(shards.read(activations.data, name), views), code) for name in names]
    return split(merge(found), bounds)


@ray.remote
def _rank(listed: Sequence[Rows], bounds: Sequence[int], views: int, *shared: Any) -> list[np.ndarray]:
    return rank(shared[views:], shared[:views], listed, bounds)


def rank(
    pieces: Sequence[FiringPairs], has_refs: Sequence[sparse.csr_array], listed: Sequence[Rows], bounds: Sequence[int]
) -> list[np.ndarray]:
    """Rank sums of one partition by view, from its sorted pieces, one range between `bounds` at a time."""
    split_pieces = [split(piece, bounds) for piece in pieces]
    sums: list[list[np.ndarray]] = [[np.empty(0)] for _ in listed]
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        pairs = merge([piece[number] for piece in split_pieces])
        for of, item_N, has_IA, (latent_L, row_L) in zip(sums, pairs.item_VN, has_refs, listed, strict=True):
            some = slice(*np.searchsorted(latent_L, [start, stop]))
            of.append(rank_sums(pairs.key_N, item_N, has_IA, latent_L[some], row_L[some]))
    return [np.concatenate(of) for of in sums]
