"""Runs the search over all latents by Ray tasks, and measures what it found on select users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from recsae.distributed import tasks
from recsae.statements import candidates
from recsae.statements.candidates import LatentCounts, SearchPlan
from recsae.statements.choice import Measured
from recsae.statements.counting import Counts
from recsae.statements.features import ItemFeatures
from recsae.statements.item_sets import ItemCounts
from recsae.statements.language import Statement
from recsae.statements.reading import ReadingPlan
from recsae.statements.tally import StatementOnLatent, TallyPlan, tally

LATENTS_AT_ONCE = 8
"""Latents searched for by one task."""


class _Search(NamedTuple):
    """The arguments of the tasks."""

    counts: Counts
    plan: SearchPlan
    seen_I: np.ndarray
    """1 for items that may be searched, 0 for those kept from it, float64."""


def search(
    counts: Counts, plan: SearchPlan, unseen_I: np.ndarray, latents: Sequence[int]
) -> dict[int, list[Statement]]:
    """The candidates of every latent, null ones among them."""
    by_latent = counts._replace(
        views={view: found._replace(fires_IH=found.fires_IH.tocsc()) for view, found in counts.views.items()}
    )
    shared = _Search(by_latent, plan, (~unseen_I).astype(np.float64))
    blocks = [tuple(latents[start : start + LATENTS_AT_ONCE]) for start in range(0, len(latents), LATENTS_AT_ONCE)]
    found: dict[int, list[Statement]] = {}
    for block in tasks.over(_candidates, shared, blocks, "searching for statements", "blocks of latents"):
        found |= block
    return found


def _candidates(shared: _Search, latents: Sequence[int]) -> dict[int, list[Statement]]:
    return {latent: candidates.candidates(_of_latent(shared, latent), shared.plan) for latent in latents}


def _of_latent(shared: _Search, latent: int) -> LatentCounts:
    views = {
        view: ItemCounts(
            found.fires_IH[:, [latent]].toarray()[:, 0] * shared.seen_I,
            found.total_I * shared.seen_I,
        )
        for view, found in shared.counts.views.items()
    }
    return LatentCounts(latent, views, shared.counts.fires_FQH[:, :, latent], shared.counts.total_FQ)


def measure(
    plan: ReadingPlan, features: ItemFeatures, unseen_I: np.ndarray, found: Mapping[int, Sequence[Statement]]
) -> dict[int, list[Measured]]:
    """The candidates of each latent on select users."""
    pairings = [StatementOnLatent(statement, latent) for latent, of in found.items() for statement in of]
    counted = tally(TallyPlan(plan, "select", features, pairings, unseen_I), "choosing on select users")
    value_P, error_P = counted.balanced_accuracy()
    values = iter(zip(value_P.tolist(), error_P.tolist(), counted.f1().tolist(), strict=True))
    return {latent: [Measured(statement, *next(values)) for statement in of] for latent, of in found.items()}
