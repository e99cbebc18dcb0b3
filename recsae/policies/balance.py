"""Measures that a policy search moves, from sums over cases: popularity bias, gaps between groups, shares of concepts.

    popularity   | share of head items in the top 10 − their share of what these users chose next |
    groups       mean over concepts and pairs of groups of | share of the top 10 in one − share in the other |
    a concept    share of the top 10 that has it; its shortfall from the target share

Head items are the most popular items that hold half of all training events. A share is of slots: the top 10 of all
cases together. The head share of the users' histories is reported as well, but is not a measure of bias: those items
cannot be recommended again, and they contain more head items than the unseen ones. Every figure is a function of sums,
so that chunks, users and resamples add up exactly. Shape suffixes: B cases of a batch, C cases, V variants of a model,
G groups of users, the last of which holds users in no group, X columns, A features, I items, T top items.
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
"""Columns: cases, Σ 1/log2(1 + rank) and hits in the top 10, targets that are head items, Σ head share of the history;
then over the top items: their number, total popularity, head items, and from FEATURES on items with each feature."""
HEAD_EVENTS = 0.5
OVERSHOOT_WEIGHT = 0.03
"""Weight of overshooting a target share, relative to falling short; the overshoot counts up to the whole distance."""


class CountSpec(NamedTuple):
    """What to count for each case."""

    head_I: np.ndarray
    slots_IX: sparse.csr_array
    """An item's contribution to the columns from SLOTS on, float64."""
    group_U: np.ndarray | None = None
    """Group by user_idx, -1: none; None: every user is in group 0."""
    groups: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """G and X."""
        return self.groups + 1, SLOTS + self.slots_IX.shape[1]


class CaseFacts(NamedTuple):
    """Group and head-item facts of the cases of a chunk."""

    group_C: np.ndarray
    head_C2: np.ndarray
    """Whether the target is a head item, and the share of such items in the history; float64."""


class SearchObjective(Protocol):
    """The figures to move, from sums `(…, G, X)` to `(…)`."""

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        """Figures by name; the search minimises the first."""


@dataclass(frozen=True)
class PopularityGap:
    """Over-recommendation of head items."""

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        all_X = sum_GX.sum(-2)
        return {
            "gap": np.abs(_share(all_X, HEAD, SLOTS) - _share(all_X, CHOSEN, CASES)),
            "head share of choices": _share(all_X, CHOSEN, CASES),
            "head share of histories": _share(all_X, PAST, CASES),
        }


@dataclass(frozen=True)
class GroupGap:
    """Differences between groups of users."""

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        inside_GX = sum_GX[..., :-1, :]
        share_GA = inside_GX[..., FEATURES:] / np.maximum(inside_GX[..., SLOTS, None], 1)
        pairs = list(itertools.combinations(range(share_GA.shape[-2]), 2))
        gaps = [np.abs(share_GA[..., one, :] - share_GA[..., other, :]).mean(-1) for one, other in pairs]
        return {"gap": np.mean(gaps, axis=0)}


@dataclass(frozen=True)
class ConceptShares:
    """Shares of concepts, by their names."""

    concepts: tuple[str, ...]

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        all_X = sum_GX.sum(-2)
        return {f"share of {name}": _share(all_X, FEATURES + place, SLOTS) for place, name in enumerate(self.concepts)}


@dataclass(frozen=True)
class ShareShortfall:
    """Remaining fraction of the distance to the target shares, averaged over concepts: 1 at the start, 0 at the target.

    Overshoot counts a little, so that of two moves that reach the target the smaller wins.
    """

    clean: tuple[float, ...]
    targets: tuple[float, ...]

    def figures(self, sum_GX: np.ndarray) -> dict[str, np.ndarray]:
        all_X, found = sum_GX.sum(-2), []
        for place, (clean, target) in enumerate(zip(self.clean, self.targets, strict=True)):
            left = (target - _share(all_X, FEATURES + place, SLOTS)) / (target - clean or 1.0)
            found.append(np.where(left > 0, left, OVERSHOOT_WEIGHT * np.minimum(-left, 1)))
        return {"gap": np.mean(found, axis=0)}


def ndcg(sum_GX: np.ndarray) -> np.ndarray:
    """NDCG@10 of sums `(…, G, X)`."""
    return _share(sum_GX.sum(-2), GAIN, CASES)


def common_figures(sum_GX: np.ndarray) -> dict[str, np.ndarray]:
    """Figures reported with every objective."""
    all_X = sum_GX.sum(-2)
    return {
        "ndcg@10": _share(all_X, GAIN, CASES),
        "hr@10": _share(all_X, HIT, CASES),
        "head share": _share(all_X, HEAD, SLOTS),
        "popularity": _share(all_X, POPULARITY, SLOTS),
    }


def count_spec(
    popularity_I: np.ndarray,
    has_IA: sparse.csr_array | None = None,
    group_U: np.ndarray | None = None,
    groups: int = 1,
) -> CountSpec:
    """A CountSpec; `has_IA` are 0/1 features of the items, None to count popularity alone."""
    head_I = head_items(popularity_I)
    first = sparse.csr_array(np.stack([np.ones(len(head_I)), popularity_I, head_I], axis=1).astype(np.float64))
    parts = [first] if has_IA is None else [first, has_IA]
    return CountSpec(head_I, sparse.csr_array(sparse.hstack(parts)), group_U, groups)


def head_items(popularity_I: np.ndarray) -> np.ndarray:
    """Mask of the fewest most popular items that hold half of all training events; ties go to the lower item_idx."""
    order = np.argsort(-popularity_I, kind="stable")
    before = np.cumsum(popularity_I[order]) - popularity_I[order]
    found = np.zeros(len(popularity_I), dtype=bool)
    found[order[before < HEAD_EVENTS * popularity_I.sum()]] = True
    return found


def case_facts(spec: CountSpec, chunk: Chunk, cases: pa.Table) -> CaseFacts:
    """Facts of the cases of one chunk, in order."""
    user_C, position_C = cases["user_idx"].to_numpy(), cases["position"].to_numpy()
    heads = np.concatenate([[0], np.cumsum(spec.head_I[chunk.items])])
    start_C = chunk.offsets[np.searchsorted(chunk.users, user_C)]
    past_C = (heads[start_C + position_C] - heads[start_C]) / np.maximum(position_C, 1)
    group_C = np.zeros(len(user_C), dtype=np.int64) if spec.group_U is None else spec.group_U[user_C].astype(int)
    chosen_C = spec.head_I[cases["target_idx"].to_numpy()]
    return CaseFacts(np.where(group_C < 0, spec.groups, group_C), np.stack([chosen_C, past_C], axis=1))


def columns(spec: CountSpec, head_B2: np.ndarray, rank_B: np.ndarray, top_BT: np.ndarray) -> np.ndarray:
    """Columns of every case under one variant, `(B, X)` float64."""
    row_N, place_N = np.nonzero(top_BT >= 0)
    held = sparse.csr_array(
        (np.ones(len(row_N)), (row_N, top_BT[row_N, place_N])), shape=(len(rank_B), spec.slots_IX.shape[0])
    )
    inside_B = rank_B <= TOP_K
    gain_B = np.where(inside_B, 1 / np.log2(1 + rank_B), 0.0)
    plain_BX = np.stack([np.ones(len(rank_B)), gain_B, inside_B], axis=1)
    return np.concatenate([plain_BX, head_B2, (held @ spec.slots_IX).toarray()], axis=1)


def sums(
    spec: CountSpec, facts: CaseFacts, rows: np.ndarray, ranks_VB: Sequence[np.ndarray], tops_VBT: Sequence[np.ndarray]
) -> np.ndarray:
    """Sums of a batch of cases by variant and group, `(V, G, X)` float64."""
    member_GB = sparse.csr_array(
        (np.ones(len(rows)), (facts.group_C[rows], np.arange(len(rows)))), shape=(spec.shape[0], len(rows))
    )
    head_B2 = facts.head_C2[rows]
    found = [
        member_GB @ columns(spec, head_B2, rank_B, top_BT) for rank_B, top_BT in zip(ranks_VB, tops_VBT, strict=True)
    ]
    return np.stack(found)


def _share(sum_X: np.ndarray, part: int, whole: int) -> np.ndarray:
    return np.asarray(sum_X[..., part] / np.maximum(sum_X[..., whole], 1))
