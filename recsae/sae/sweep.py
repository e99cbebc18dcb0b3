"""The table of a sweep, and which of its SAEs goes on.

It knows figures, by select users and by score users, and nothing of how they were measured. Only those by select users
choose; those by score users are what the table reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recsae.config.sae import SweepConfig, SweepMember
from recsae.sae.accumulators import Active
from recsae.sae.attributes import Correlated
from recsae.sae.fidelity_metrics import Row

KEPT = ("hr@10", "ndcg@10", "hr@10_kept", "ndcg@10_kept", "top10_overlap")


def described(candidate: SweepMember) -> dict[str, Any]:
    """What tells this SAE from the others; null where its kind does not have it."""
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


def figures(row: Row, active: Active, on_explain: Active, correlated: Correlated) -> dict[str, Any]:
    """One SAE's figures on one part of users; dead latents by explain users. Null: there is no model to rank with."""
    return {
        "fvu": row["fvu"],
        "l0": active.l0,
        "dead_share": on_explain.dead_share,
        **{name: row.get(name) for name in KEPT},
        "correlation": correlated.mean,
    }


def pick(on_select: Sequence[dict[str, Any]], config: SweepConfig) -> int:
    """The place of the SAE that goes on, by the config's rule; of equal ones the first.

    Without a model to rank with, or without attributes, where the rule asks for them, the lowest FVU decides.
    """
    ranked = all(found["ndcg@10_kept"] is not None for found in on_select)
    allowed = list(range(len(on_select)))
    if config.keep_ndcg is not None and ranked:
        enough = [place for place in allowed if on_select[place]["ndcg@10_kept"] >= config.keep_ndcg]
        allowed = enough or [max(allowed, key=lambda place: on_select[place]["ndcg@10_kept"])]
    by = {"fvu": "fvu", "ndcg": "ndcg@10", "correlation": "correlation"}[config.pick]
    if by == "fvu" or any(found[by] is None for found in on_select):
        return min(allowed, key=lambda place: on_select[place]["fvu"])
    return max(allowed, key=lambda place: on_select[place][by])
