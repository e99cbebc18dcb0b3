"""What tuning moves, as sums over cases: how popular the first ten items are, whose they are, and what they bear.

    popularity   | share of head items in the first ten − their share in what these users chose next |
    a group      mean over concepts and pairs of groups of | share of the first ten in one − share in the other |
    a concept    share of the first ten that bears it; what it lacks to the share that is wanted

Head items are the most popular ones that hold half of all training events. A share is of slots: of the first ten items
of all cases together. What users did before is told beside it, and is no measure of a bias: it cannot be recommended
again, and it holds more of the head than what is left. Every figure is a function of sums, so that chunks, users and
resamples add up exactly. It knows ranks, items and groups, and neither models nor latents. Shape suffixes: B cases of a
batch, C cases, V variants of a model, G groups of users, with a last one of those who are in none, X columns, A
features, I items, T first items.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.data.chunks import Chunk
from recsae.recommenders.ranking import TOP_K

CASES, GAIN, HIT, CHOSEN, PAST, SLOTS, POPULARITY, HEAD, FEATURES = range(9)
"""Columns: cases, Σ 1/log2(1 + rank) and hits within ten, targets that are head items, Σ head share of the history;
then of the first items, how many there are, their popularity, those of the head, and from FEATURES on those that bear
each feature."""
HEAD_EVENTS = 0.5
BEYOND = 0.03
"""What a share that lies beyond the wanted one counts: as much as it lies beyond, up to the whole way, times this."""


class Ground(NamedTuple):
    """What is counted of a case."""

    head_I: np.ndarray
    slots_IX: sparse.csr_array
    """What an item adds to the columns from SLOTS on, float64."""
    group_U: np.ndarray | None = None
    """The user's group by user_idx, -1: none; left out: all are in group 0."""
    groups: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """G and X."""
        return self.groups + 1, SLOTS + self.slots_IX.shape[1]


class CaseFacts(NamedTuple):
    """Of the cases of a chunk."""

    group_C: np.ndarray
    head_C2: np.ndarray
    """Whether the target is a head item, and the share of such items in the history; float64."""


class Aim(Protocol):
    """Which figures are moved; all take sums `(…, G, X)` and give `(…)`."""

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        """By name; the first is the one that is sought."""


@dataclass(frozen=True)
class Popular:
    """Over-recommendation of head items."""

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        all_X = sum_GX.sum(-2)
        return {
            "gap": np.abs(_share(all_X, HEAD, SLOTS) - _share(all_X, CHOSEN, CASES)),
            "head share of choices": _share(all_X, CHOSEN, CASES),
            "head share of histories": _share(all_X, PAST, CASES),
        }


@dataclass(frozen=True)
class Between:
    """Differences between groups of users."""

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        inside_GX = sum_GX[..., :-1, :]
        share_GA = inside_GX[..., FEATURES:] / np.maximum(inside_GX[..., SLOTS, None], 1)
        pairs = list(itertools.combinations(range(share_GA.shape[-2]), 2))
        gaps = [np.abs(share_GA[..., one, :] - share_GA[..., other, :]).mean(-1) for one, other in pairs]
        return {"gap": np.mean(gaps, axis=0)}


@dataclass(frozen=True)
class Shares:
    """Shares of concepts, by their names."""

    concepts: tuple[str, ...]

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        all_X = sum_GX.sum(-2)
        return {f"share of {name}": _share(all_X, FEATURES + place, SLOTS) for place, name in enumerate(self.concepts)}


@dataclass(frozen=True)
class Lacking:
    """How much of the way to wanted shares is left, on average over concepts: 1 at first, 0 where all are reached.

    What goes beyond counts a little, so that of two moves that reach it the smaller is taken.
    """

    clean: tuple[float, ...]
    wanted: tuple[float, ...]

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        all_X, found = sum_GX.sum(-2), []
        for place, (clean, wanted) in enumerate(zip(self.clean, self.wanted, strict=True)):
            left = (wanted - _share(all_X, FEATURES + place, SLOTS)) / (wanted - clean or 1.0)
            found.append(np.where(left > 0, left, BEYOND * np.minimum(-left, 1)))
        return {"gap": np.mean(found, axis=0)}


def ndcg(sum_GX: np.ndarray) -> np.ndarray:
    """NDCG@10 of sums `(…, G, X)`."""
    return _share(sum_GX.sum(-2), GAIN, CASES)


def common(sum_GX: np.ndarray) -> dict[str, np.ndarray]:
    """What is told beside every aim."""
    all_X = sum_GX.sum(-2)
    return {
        "ndcg@10": _share(all_X, GAIN, CASES),
        "hr@10": _share(all_X, HIT, CASES),
        "head share": _share(all_X, HEAD, SLOTS),
        "popularity": _share(all_X, POPULARITY, SLOTS),
    }


def ground(
    popularity_I: np.ndarray,
    bears_IA: sparse.csr_array | None = None,
    group_U: np.ndarray | None = None,
    groups: int = 1,
) -> Ground:
    """`bears_IA` are the features, of 0 and 1; none for popularity alone."""
    head_I = head(popularity_I)
    first = sparse.csr_array(np.stack([np.ones(len(head_I)), popularity_I, head_I], axis=1).astype(np.float64))
    parts = [first] if bears_IA is None else [first, bears_IA]
    return Ground(head_I, sparse.csr_array(sparse.hstack(parts)), group_U, groups)


def head(popularity_I: np.ndarray) -> np.ndarray:
    """Which are the most popular items that hold half of all training events, to the item; of equals the first."""
    order = np.argsort(-popularity_I, kind="stable")
    before = np.cumsum(popularity_I[order]) - popularity_I[order]
    found = np.zeros(len(popularity_I), dtype=bool)
    found[order[before < HEAD_EVENTS * popularity_I.sum()]] = True
    return found


def facts(ground: Ground, chunk: Chunk, cases: pa.Table) -> CaseFacts:
    """Of the cases of one chunk, in their order."""
    user_C, position_C = cases["user_idx"].to_numpy(), cases["position"].to_numpy()
    heads = np.concatenate([[0], np.cumsum(ground.head_I[chunk.items])])
    start_C = chunk.offsets[np.searchsorted(chunk.users, user_C)]
    past_C = (heads[start_C + position_C] - heads[start_C]) / np.maximum(position_C, 1)
    group_C = np.zeros(len(user_C), dtype=np.int64) if ground.group_U is None else ground.group_U[user_C].astype(int)
    chosen_C = ground.head_I[cases["target_idx"].to_numpy()]
    return CaseFacts(np.where(group_C < 0, ground.groups, group_C), np.stack([chosen_C, past_C], axis=1))


def columns(ground: Ground, head_B2: np.ndarray, rank_B: np.ndarray, top_BT: np.ndarray) -> np.ndarray:
    """What every case adds, `(B, X)` float64, under one variant."""
    row_N, place_N = np.nonzero(top_BT >= 0)
    held = sparse.csr_array(
        (np.ones(len(row_N)), (row_N, top_BT[row_N, place_N])), shape=(len(rank_B), ground.slots_IX.shape[0])
    )
    inside_B = rank_B <= TOP_K
    gain_B = np.where(inside_B, 1 / np.log2(1 + rank_B), 0.0)
    plain_BX = np.stack([np.ones(len(rank_B)), gain_B, inside_B], axis=1)
    return np.concatenate([plain_BX, head_B2, (held @ ground.slots_IX).toarray()], axis=1)


def sums(
    ground: Ground, told: CaseFacts, rows: np.ndarray, ranks_VB: Sequence[np.ndarray], tops_VBT: Sequence[np.ndarray]
) -> np.ndarray:
    """What a batch of cases adds, `(V, G, X)` float64."""
    member_GB = sparse.csr_array(
        (np.ones(len(rows)), (told.group_C[rows], np.arange(len(rows)))), shape=(ground.shape[0], len(rows))
    )
    head_B2 = told.head_C2[rows]
    found = [
        member_GB @ columns(ground, head_B2, rank_B, top_BT) for rank_B, top_BT in zip(ranks_VB, tops_VBT, strict=True)
    ]
    return np.stack(found)


def _share(sum_X: np.ndarray, part: int, whole: int) -> np.ndarray:
    return np.asarray(sum_X[..., part] / np.maximum(sum_X[..., whole], 1))
