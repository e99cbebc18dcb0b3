"""Counts the explain cases in which each latent fires, by item and by bin of each behaviour.

The search reads these counts alone, so it costs items times literals, not cases times literals. Shape suffixes: I
items, H latents with the null ones behind, F features, Q bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.distributed import tasks
from recsae.statements import reading
from recsae.statements.evaluation import Cases
from recsae.statements.language import ITEM_VIEWS, USER_VIEWS
from recsae.statements.reading import ReadingPlan, ShardCases

BINS = 32
SAMPLED_SHARDS = 4
"""Shards, the first ones, whose cases decide the bins of behaviours."""


class Bins(NamedTuple):
    """Where the values of a behaviour are parted, in values that occur."""

    lows: np.ndarray
    """The least value of each bin but the first, ascending."""
    highs: np.ndarray
    """The greatest value that is seen of each bin but the last."""


class CountingPlan(NamedTuple):
    """What to count; the same for all shards."""

    reading: ReadingPlan
    bins: Mapping[str, Bins]
    """Of each behaviour."""
    n_items: int


class ViewCounts(NamedTuple):
    """Counts of one view. In the view `history` an event counts, elsewhere a case."""

    fires_IH: sparse.csr_matrix | sparse.csc_matrix
    total_I: np.ndarray

    def plus(self, other: ViewCounts) -> ViewCounts:
        return ViewCounts(self.fires_IH + other.fires_IH, self.total_I + other.total_I)


class Counts(NamedTuple):
    """Counts over explain cases."""

    views: dict[str, ViewCounts]
    fires_FQH: np.ndarray
    total_FQ: np.ndarray
    cases: int
    fires_H: np.ndarray

    def plus(self, other: Counts) -> Counts:
        return Counts(
            {view: found.plus(other.views[view]) for view, found in self.views.items()},
            self.fires_FQH + other.fires_FQH,
            self.total_FQ + other.total_FQ,
            self.cases + other.cases,
            self.fires_H + other.fires_H,
        )


def find_bins(plan: ReadingPlan) -> dict[str, Bins]:
    """The bins of each behaviour, between quantiles over explain cases of the first shards."""
    names = reading.names(plan.activations)[:SAMPLED_SHARDS]
    found = list(tasks.over(_behaviours, plan, names, "behaviours"))
    return {feature: bins_of(np.concatenate([part[feature] for part in found])) for feature in found[0]}


def bins_of(values: np.ndarray) -> Bins:
    """A bin for each value, or BINS bins of about equally many values where there are more; NaN does not count."""
    seen = np.unique(values[~np.isnan(values)])
    if len(seen) <= BINS:
        return Bins(seen[1:], seen[:-1])
    quantiles = np.unique(np.quantile(values[~np.isnan(values)], np.arange(1, BINS) / BINS, method="higher"))
    lows = quantiles[quantiles > seen[0]]
    return Bins(lows, seen[np.searchsorted(seen, lows) - 1])


def _behaviours(plan: ReadingPlan, name: str) -> Mapping[str, np.ndarray]:
    return reading.read_behaviours(plan, name, "explain")


def count(plan: CountingPlan) -> Counts:
    """The counts over all shards."""
    counted: Counts = tasks.total(_count, plan, reading.names(plan.reading.activations), "counting by item")
    return counted


def _count(plan: CountingPlan, name: str) -> Counts:
    return count_cases(reading.read_part(plan.reading, name, "explain"), plan)


def count_cases(found: ShardCases, plan: CountingPlan) -> Counts:
    """The counts of one shard."""
    latents = plan.reading.num_latents + len(plan.reading.nulls)
    cases = found.cases
    events = {view: _events(cases, view) for view in (USER_VIEWS if plan.reading.has_history else ITEM_VIEWS)}
    views: dict[str, ViewCounts] = {}
    fires_BH = sparse.csr_matrix(
        (np.ones(len(found.case_A), np.int32), (found.case_A, found.latent_A)), shape=(len(found.group_B), latents)
    )
    for view, (case_E, item_E) in events.items():
        ones = np.ones(len(case_E), dtype=np.int32)
        of_item = sparse.csr_matrix((ones, (item_E, case_E)), shape=(plan.n_items, len(found.group_B)))
        views[view] = ViewCounts(of_item @ fires_BH, np.bincount(item_E, minlength=plan.n_items))
    fires_FQH = np.zeros((len(plan.bins), BINS, latents), dtype=np.int64)
    total_FQ = np.zeros((len(plan.bins), BINS), dtype=np.int64)
    for feature, (name, parted) in enumerate(plan.bins.items()):
        bin_B = bin_of(cases.behaviour[name], parted)
        total_FQ[feature] = np.bincount(bin_B[bin_B >= 0], minlength=BINS)
        bin_A = bin_B[found.case_A]
        known = bin_A >= 0
        flat = np.bincount(bin_A[known] * latents + found.latent_A[known], minlength=BINS * latents)
        fires_FQH[feature] = flat.reshape(BINS, latents)
    fires_H = np.bincount(found.latent_A, minlength=latents)
    return Counts(views, fires_FQH, total_FQ, len(found.group_B), fires_H)


def _events(cases: Cases, view: str) -> tuple[np.ndarray, np.ndarray]:
    """Case and item of every event that a view counts."""
    if view == "history":
        case_E, place_E = np.nonzero(cases.history_BL >= 0)
        return case_E, cases.history_BL[case_E, place_E]
    item_B = cases.of_view(view)
    case_E = np.flatnonzero(item_B >= 0)
    return case_E, item_B[case_E]


def bin_of(values: np.ndarray, parted: Bins) -> np.ndarray:
    """The bin of each value, int64; -1 for NaN."""
    return np.where(np.isnan(values), -1, np.searchsorted(parted.lows, values, side="right"))
