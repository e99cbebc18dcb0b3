"""The rows of a sweep's table, and the rule that picks one of its SAEs.

The rule uses metrics on select users only; the table reports those on score users as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recsae.config.sae import SweepConfig, SweepMember
from recsae.sae.accumulators import ActiveCounts
from recsae.sae.attributes import BestCorrelations
from recsae.sae.fidelity_metrics import Row

RANKING_METRICS = ("hr@10", "ndcg@10", "hr@10_kept", "ndcg@10_kept", "top10_overlap")


def describe(candidate: SweepMember) -> dict[str, Any]:
    """The settings by which the SAEs of a sweep differ; null if the kind does not use one."""
    config = candidate.config
    relu = config.kind == "relu"
    return {
        "kind": config.kind,
        "num_latents": config.num_latents,
        "k": None if relu else config.k,
        "l1": config.l1 if relu else None,
        "learning_rate": config.rate,
        "seed": candidate.seed,
    }


def metrics_of(
    row: Row, active: ActiveCounts, on_explain: ActiveCounts, correlated: BestCorrelations
) -> dict[str, Any]:
    """One SAE's metrics on one part of users, with dead latents on explain users; ranking metrics are null if there is
    no model to rank with."""
    return {
        "fvu": row["fvu"],
        "l0": active.l0,
        "dead_share": on_explain.dead_share,
        **{name: row.get(name) for name in RANKING_METRICS},
        "correlation": correlated.mean,
    }


def pick(on_select: Sequence[dict[str, Any]], config: SweepConfig) -> int:
    """Index of the SAE that the config's rule picks; ties go to the first.

    If the rule needs a model to rank with, or attributes, and there are none, the lowest FVU decides.
    """
    ranked = all(metrics["ndcg@10_kept"] is not None for metrics in on_select)
    allowed = list(range(len(on_select)))
    if config.keep_ndcg is not None and ranked:
        enough = [index for index in allowed if on_select[index]["ndcg@10_kept"] >= config.keep_ndcg]
        allowed = enough or [max(allowed, key=lambda index: on_select[index]["ndcg@10_kept"])]
    by = {"fvu": "fvu", "ndcg": "ndcg@10", "correlation": "correlation"}[config.pick]
    if by == "fvu" or any(metrics[by] is None for metrics in on_select):
        return min(allowed, key=lambda index: on_select[index]["fvu"])
    return max(allowed, key=lambda index: on_select[index][by])
