"""The exact ROC-AUC of a latent's activation for an attribute, over as many cases as there are.

    AUC = (R − p (p + 1) / 2) / (p (n − p))        R: the sum of the ranks of the p of n cases that bear the attribute

Ranks are from 1, and equals share their mean rank; so the n − m cases in which the latent is silent are tied at 0 below
the m in which it fires (Mann & Whitney 1947). Only those m are ever sorted: by a key that holds the latent above the
bits of its activation, which order as positive floats do. Pairs of a latent and a case are dealt to partitions of
latents by Ray tasks over the shards, and each partition is ranked by a task of its own, a range of latents at a time;
so nobody holds them all, and Ray spills what does not fit. Rank sums are halves of whole numbers, exact in float64
while they stay below 2^52.

It knows one code at a time, and the cases of the shards through counting.py. Shape suffixes: B cases of a block, K the
most latents active in a case, N pairs, V views, H latents, I items, A attributes, L listed rows.
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

MOST_PAIRS = 2**22
"""Pairs of a partition, 12 bytes each, and 4 more with a second view; one latent may have more on its own."""
PAIRS_AT_ONCE = 2**19
"""Pairs that are sorted at a time: a bound on what a task holds beside Ray's store."""
MOST_DEALERS = 256
"""Tasks that deal pairs out. Ray keeps results below 100 KB in the memory of the driver, as which the pieces of a
partition would end if there were many more."""

Rows = tuple[np.ndarray, np.ndarray]
"""Listed latents, sorted, and which of the attributes."""


class FiringPairs(NamedTuple):
    """A latent that fires and a case in which it does."""

    key_N: np.ndarray
    """uint64: the latent, then the bits of its activation."""
    item_VN: np.ndarray
    """int32, by view; −1 where the case has no item there."""


def pairs_of(cases: ScoreCases, code: Code) -> FiringPairs:
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
    """Bounds of two or more ranges of latents, of about `most` firings each; a latent goes where its middle lies."""
    total = max(int(fired_H.sum()), 1)
    number = max(2, -(-total // most))
    middle_H = np.cumsum(fired_H) - fired_H / 2
    return [0, *np.searchsorted(middle_H * number, np.arange(1, number) * total).tolist(), len(fired_H)]


def partitions(bounds: Sequence[int], number: int) -> list[list[int]]:
    """The ranges between `bounds` as `number` partitions, each by its own bounds."""
    cuts = np.linspace(0, len(bounds) - 1, number + 1).round().astype(int).tolist()
    return [list(bounds[start : stop + 1]) for start, stop in itertools.pairwise(cuts)]


def split(pairs: FiringPairs, bounds: Sequence[int]) -> tuple[FiringPairs, ...]:
    """Sorted pairs by the partition of their latent."""
    cuts = np.searchsorted(pairs.key_N, np.array(bounds, dtype=np.uint64) << np.uint64(32)).tolist()
    return tuple(
        FiringPairs(
            pairs.key_N[start:stop], np.ascontiguousarray(pairs.item_VN[:, start:stop])
        )  # or Ray would copy it later
        for start, stop in itertools.pairwise(cuts)
    )


def joined(pieces: Sequence[FiringPairs]) -> FiringPairs:
    """The pairs of several, sorted."""
    key_N = np.concatenate([piece.key_N for piece in pieces])
    order = np.argsort(key_N)
    return FiringPairs(key_N[order], np.concatenate([piece.item_VN for piece in pieces], axis=1)[:, order])


def rank_sums(
    key_N: np.ndarray, item_N: np.ndarray, has_IA: sparse.csr_array, latent_L: np.ndarray, row_L: np.ndarray
) -> np.ndarray:
    """Of (latent, attribute) rows: the sum of ranks, among the cases in which the latent fires, of those that bear it.

    `key_N` and `latent_L` are sorted; pairs without an item are left out, as their cases are.
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
    """Ranks from 1 of what is sorted; equals share their mean rank."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(sorted_N), 1), bool), sorted_N[1:] != sorted_N[:-1]]))
    sizes = np.diff(starts, append=len(sorted_N))
    return np.asarray(np.repeat(starts + (sizes + 1) / 2, sizes))


def auc(
    rank_sum_L: np.ndarray, both_L: np.ndarray, fires_L: np.ndarray, support_L: np.ndarray, cases: int
) -> np.ndarray:
    """The formula above; `support_L` lies between 0 and `cases`, exclusive."""
    silent_L = cases - fires_L
    ranks_L = rank_sum_L + both_L * silent_L + (support_L - both_L) * ((silent_L + 1) / 2)
    pairs_L = support_L * (cases - support_L).astype(np.float64)
    return np.asarray((ranks_L - support_L * ((support_L + 1) / 2)) / pairs_L)


def measure(
    activations: Committed,
    code: Code,
    bears: Mapping[str, sparse.csr_array],
    rows: Mapping[str, Rows],
    fired_H: np.ndarray,
) -> dict[str, np.ndarray]:
    """By view, the rank sums of all rows, under one code that fires, and does so about `fired_H` times."""
    names, fine = activations.files(shards.PREFIX), ranges(fired_H, PAIRS_AT_ONCE)
    # Two at least: of one return Ray would hand out the tuple itself.
    parts = partitions(fine, max(2, -(-int(fired_H.sum()) // MOST_PAIRS)))
    bounds = [part[0] for part in parts] + [len(fired_H)]
    held = ray.put((activations, code))
    dealt = [
        _deal.options(num_returns=len(parts)).remote(held, some.tolist(), list(rows), bounds)
        for some in np.array_split(names, min(len(names), MOST_DEALERS))
    ]
    pieces = list(zip(*dealt, strict=True))
    del dealt
    borne = [ray.put(has_IA) for has_IA in bears.values()]
    cuts = [np.searchsorted(latent_L, bounds) for latent_L, _ in rows.values()]

    def ranked(number: int) -> Any:
        some = [slice(cut[number], cut[number + 1]) for cut in cuts]
        asked = [(latent_L[of], row_L[of]) for of, (latent_L, row_L) in zip(some, rows.values(), strict=True)]
        mine, pieces[number] = pieces[number], ()  # so that Ray lets go of them when they have been ranked
        return _rank.remote(asked, parts[number], len(borne), *borne, *mine)

    found = list(tasks.in_order(ranked, list(range(len(pieces))), "AUC, partition"))
    return dict(zip(rows, (np.concatenate(parts) for parts in zip(*found, strict=True)), strict=True))


@ray.remote
def _deal(
    held: tuple[Committed, Code], names: Sequence[str], views: Sequence[str], bounds: Sequence[int]
) -> tuple[FiringPairs, ...]:
    torch.set_num_threads(1)
    activations, code = held
    found = [pairs_of(score_cases(shards.read(activations.data, name), views), code) for name in names]
    return split(joined(found), bounds)


@ray.remote
def _rank(asked: Sequence[Rows], bounds: Sequence[int], views: int, *held: Any) -> list[np.ndarray]:
    return rank(held[views:], held[:views], asked, bounds)


def rank(
    pieces: Sequence[FiringPairs], borne: Sequence[sparse.csr_array], asked: Sequence[Rows], bounds: Sequence[int]
) -> list[np.ndarray]:
    """The rank sums of one partition by view, from sorted pieces of it, a range between `bounds` at a time."""
    split_pieces = [split(piece, bounds) for piece in pieces]
    sums: list[list[np.ndarray]] = [[np.empty(0)] for _ in asked]
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        pairs = joined([piece[number] for piece in split_pieces])
        for of, item_N, has_IA, (latent_L, row_L) in zip(sums, pairs.item_VN, borne, asked, strict=True):
            some = slice(*np.searchsorted(latent_L, [start, stop]))
            of.append(rank_sums(pairs.key_N, item_N, has_IA, latent_L[some], row_L[some]))
    return [np.concatenate(of) for of in sums]
