"""Evaluates concepts by their terms on all cases of score users, without a language model, in one pass over the shards.

A concept with terms makes a prediction for every case: the latent fires if the case's item has the terms. For pairings
of a concept and a latent, the pass counts the cases at each activation level, and the hits among them: cases whose item
has the concept. Only the active latents of a case are visited; level 0 is the remainder. Shape suffixes: B cases, K
active latents of a case, P pairings, V levels (0 not firing, 1 to 10), I items, N (case, active latent) pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from recsae.distributed import tasks
from recsae.evidence.case_selection import LEVELS, level_of
from recsae.evidence.sketch import runs
from recsae.labels.judges import in_sorted
from recsae.sae import model
from recsae.sae.model import Sae
from recsae.schemas.base import PARTS
from recsae.stats.classification import ConfusionCounts
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

PART = "score"
CASES_AT_ONCE = 65_536
"""Number of cases whose active latents are held in memory at once."""


class Pairing(NamedTuple):
    """A concept to be evaluated on a latent."""

    latent: int
    items: np.ndarray
    """All items that have the concept, ascending."""


class HeldOutPlan(NamedTuple):
    """What to count; the same for all shards."""

    activations: Committed
    sae: Folder
    view: str
    edges: Mapping[int, np.ndarray]
    """For each latent, the nine inner deciles of its positive activations on explain users."""
    pairings: Sequence[Pairing]
    n_items: int


class HeldOutCounts(NamedTuple):
    """Counts over the cases that have an item in the view."""

    cases_PV: np.ndarray
    hits_PV: np.ndarray
    items_I: np.ndarray
    """Number of cases of each item."""

    def plus(self, other: HeldOutCounts) -> HeldOutCounts:
        return HeldOutCounts(*(one + another for one, another in zip(self, other, strict=True)))

    def counts(self, number: int) -> ConfusionCounts:
        """Confusion counts of one pairing: predicted active if the item has the concept, active if the latent fires."""
        cases_V, hits_V = self.cases_PV[number], self.hits_PV[number]
        tp, fp = int(hits_V[1:].sum()), int(hits_V[0])
        return ConfusionCounts(tp, fp, int(cases_V[0]) - fp, int(cases_V[1:].sum()) - tp)


def count(plan: HeldOutPlan) -> HeldOutCounts:
    """The counts over all shards, computed by Ray tasks."""
    if not plan.pairings:
        return _zeros(plan)
    names = plan.activations.files(shards.PREFIX)
    active: HeldOutCounts = tasks.total(_count, plan, names, "concepts on held-out cases")
    return with_level_zero(active, plan.pairings)


def _count(plan: HeldOutPlan, name: str) -> HeldOutCounts:
    return count_shard(plan, shards.read(plan.activations.data, name), model.load(plan.sae))


def count_shard(plan: HeldOutPlan, table: pa.Table, sae: Sae) -> HeldOutCounts:
    """The counts of one shard, without level 0, which `with_level_zero` adds at the end."""
    found = _zeros(plan)
    of_latent: dict[int, list[int]] = {}
    for number, pairing in enumerate(plan.pairings):
        of_latent.setdefault(pairing.latent, []).append(number)
    for item_N, latent_N, value_N, item_B in _active_latents(table, plan.view, sae):
        found.items_I[:] += np.bincount(item_B, minlength=plan.n_items)
        order = np.argsort(latent_N, kind="stable")
        item_N, value_N = item_N[order], value_N[order]
        for latent, span in runs(latent_N[order]):
            numbers = of_latent.get(latent, [])
            if not numbers:
                continue
            level = level_of(value_N[span], plan.edges[latent])
            cases_V = np.bincount(level, minlength=LEVELS + 1)
            for number in numbers:
                has_concept = in_sorted(plan.pairings[number].items, item_N[span])
                found.cases_PV[number] += cases_V
                found.hits_PV[number] += np.bincount(level[has_concept], minlength=LEVELS + 1)
    return found


def with_level_zero(active: HeldOutCounts, pairings: Sequence[Pairing]) -> HeldOutCounts:
    """Adds level 0: all cases, and all cases whose item has the concept, minus those in which the latent fires."""
    cases_PV, hits_PV = active.cases_PV.copy(), active.hits_PV.copy()
    cases_PV[:, 0] = active.items_I.sum() - cases_PV[:, 1:].sum(axis=1)
    with_concept_P = np.array([active.items_I[pairing.items].sum() for pairing in pairings], dtype=np.int64)
    hits_PV[:, 0] = with_concept_P - hits_PV[:, 1:].sum(axis=1)
    return HeldOutCounts(cases_PV, hits_PV, active.items_I)


def level_rows(concept: str, number: int, pairing: Pairing, tally: HeldOutCounts, popularity: np.ndarray) -> list[Any]:
    """The rows of LEVELS of one pairing."""
    shared = {
        "latent": pairing.latent,
        "concept": concept,
        "catalogue_share": len(pairing.items) / len(popularity),
        "popular_share": float(popularity[pairing.items].sum() / max(popularity.sum(), 1)),
    }
    return [
        {**shared, "level": level, "cases": int(cases), "hits": int(hits)}
        for level, (cases, hits) in enumerate(zip(tally.cases_PV[number], tally.hits_PV[number], strict=True))
    ]


def _zeros(plan: HeldOutPlan) -> HeldOutCounts:
    shape = len(plan.pairings), LEVELS + 1
    return HeldOutCounts(np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(plan.n_items, np.int64))


def _active_latents(
    table: pa.Table, view: str, sae: Sae
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields per block: item, latent and value of every active latent `(N,)`, and the items of the cases `(B,)`."""
    item = shards.items(table, view)
    rows = np.flatnonzero((table["part"].to_numpy() == PARTS.index(PART)) & (item >= 0))
    # K can approach the number of latents if many fire.
    at_once = max(1, model.MAX_FLOATS_PER_BLOCK // sae.num_latents)
    vectors = shards.vectors(table)
    for start in range(0, len(rows), CASES_AT_ONCE):
        block = rows[start : start + CASES_AT_ONCE]
        pieces = []
        for first in range(0, len(block), at_once):
            here = block[first : first + at_once]
            with torch.inference_mode():
                index_BK, value_BK = (of.numpy() for of in sae.encode(torch.from_numpy(vectors[here])))
            case, place = np.nonzero(value_BK > 0)
            latent = index_BK[case, place].astype(np.int32)
            pieces.append((item[here][case], latent, value_BK[case, place]))
        items, latents, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
        yield items, latents, values, item[block]
