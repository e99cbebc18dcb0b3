"""The statements that compete for a latent, found on explain users from the counts by item and by bin.

Item sets and lists compete twice: cut for balanced accuracy, and narrower, for F1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import numpy as np

from recsae.statements import formulas, item_sets
from recsae.statements.counting import Bins
from recsae.statements.features import ItemFeatures
from recsae.statements.formulas import Searchable
from recsae.statements.item_sets import ItemCounts
from recsae.statements.language import MAX_LISTED, ONE_ITEM, Behaviour, Body, ItemList, ItemSet, Statement, View

HISTORY_SHARES = (0.1, 0.3, 0.5, 0.7)
"""Least shares of the last ten events that are tried."""
MIN_CASES = 5
"""Fewest explain cases in which a latent must fire to be searched for."""
BEHAVIOURS = 3
"""Behaviours that compete for a latent, those that tell it best by the bins."""


class LatentCounts(NamedTuple):
    """The counts of one latent over explain cases."""

    latent: int
    views: Mapping[str, ItemCounts]
    fires_FQ: np.ndarray
    total_FQ: np.ndarray


class SearchPlan(NamedTuple):
    """What the search reads; the same for all latents."""

    features: ItemFeatures
    formulas: Searchable
    bins: Mapping[str, Bins]


def candidates(counts: LatentCounts, plan: SearchPlan) -> list[Statement]:
    """The candidates of one latent."""
    found: list[Statement] = []
    for view, of_view in counts.views.items():
        if of_view.fires_I.sum() < MIN_CASES:
            continue
        if view in ONE_ITEM:
            bodies: list[Body] = [
                *formulas.search(of_view.w_I, plan.formulas),
                *_sets(of_view, plan, True),
                *_lists(of_view, plan),
            ]
            found += [Statement(view=cast(View, view), body=body) for body in bodies]
        else:
            shared: list[Body] = [*formulas.search(of_view.w_I, plan.formulas)[-1:], *_sets(of_view, plan, False)]
            found += [
                Statement(view="history", body=body, min_share=share) for body in shared for share in HISTORY_SHARES
            ]
    return found + [Statement(view="history", body=body) for body in _behaviours(counts, plan)]


def _sets(counts: ItemCounts, plan: SearchPlan, narrow: bool) -> Iterator[ItemSet]:
    """An item set in each space; with `narrow`, cut for F1 as well."""
    for space, vectors in plan.features.spaces.items():
        one = item_sets.find_set(counts, vectors)
        if one:
            seeds = tuple(plan.features.ids[seed] for seed in one.seeds)
            for least in dict.fromkeys((one.broad, one.narrow) if narrow else (one.broad,)):
                yield ItemSet(space=space, seeds=seeds, min_cosine=least)


def _lists(counts: ItemCounts, plan: SearchPlan) -> Iterator[ItemList]:
    lists = (item_sets.telling(counts, MAX_LISTED), item_sets.purest(counts))
    for listed in dict.fromkeys(tuple(of.tolist()) for of in lists):
        if listed:
            yield ItemList(items=tuple(plan.features.ids[item] for item in listed))


def _behaviours(counts: LatentCounts, plan: SearchPlan) -> list[Behaviour]:
    """The best range by the bins of those behaviours that tell most."""
    found: list[tuple[float, Behaviour]] = []
    for (name, parted), fires_Q, total_Q in zip(plan.bins.items(), counts.fires_FQ, counts.total_FQ, strict=True):
        others_Q = total_Q - fires_Q
        if fires_Q.sum() < MIN_CASES or not others_Q.sum():
            continue
        w_Q = fires_Q / fires_Q.sum() - others_Q / others_Q.sum()
        start, stop = formulas.best_run(w_Q)
        inner = len(parted.lows)
        if start < stop and not (start == 0 and stop > inner):
            low = float(parted.lows[start - 1]) if start else None
            high = float(parted.highs[stop - 1]) if stop <= inner else None
            found.append((float(w_Q[start:stop].sum()), Behaviour(feature=name, low=low, high=high)))
    found.sort(key=lambda one: -one[0])
    return [one for _, one in found[:BEHAVIOURS]]
