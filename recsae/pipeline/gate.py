"""The gate before publishing: the night's figures against the thresholds of `[nights.gate]`.

A figure that the run does not have passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recsae.config.nightly import GateConfig
from recsae.store.run_store import Committed

AT_LEAST = ("interpretable_share",)


class Check(NamedTuple):
    """One figure of a night."""

    key: str
    """A key of `nights.gate`."""
    value: float | None
    """None: the run has no such figure."""
    limit: float
    passed: bool


def judge(gate: GateConfig, made: Mapping[str, Committed], last_recommender: Committed | None) -> tuple[Check, ...]:
    """One check for every key of the gate, on what the stages committed."""
    sae, concepts = made["sae"].metrics, made["concepts"].metrics
    drift, recommender = concepts.get("drift") or {}, made["recommender"].metrics
    kept = sae.get("fidelity", {}).get("rows", {}).get("sae", {}).get("ndcg@10_kept")
    values = {
        "interpretable_share": concepts["interpretable"] / max(concepts["latents"], 1),
        "fvu": sae.get("fvu"),
        "dead_share": sae.get("dead_share"),
        "ranking_loss": None if kept is None else 1 - kept,
        "ranking_fall": _fall(recommender, last_recommender.metrics if last_recommender else {}),
        "drift": drift.get("interpretable_gone"),
    }
    return tuple(_check(key, values[key], limit) for key, limit in gate.model_dump().items())


def _check(key: str, value: float | None, limit: float) -> Check:
    passed = value is None or (value >= limit if key in AT_LEAST else value <= limit)
    return Check(key, value, limit, passed)


def _fall(tonight: Mapping[str, Any], last: Mapping[str, Any]) -> float | None:
    """The share by which test NDCG@10 fell since last night; None where either is unknown."""
    now, before = (metrics.get("test", {}).get("ndcg@10") for metrics in (tonight, last))
    return None if now is None or not before else float(1 - now / before)


def failing(checks: Sequence[Check], served: str | None) -> str:
    """The sentence that says which checks failed and what is served instead."""
    failed = [
        f"{check.key} is {check.value:.3g}, {'below' if check.key in AT_LEAST else 'above'} "
        f"nights.gate.{check.key} = {check.limit:g}"
        for check in checks
        if not check.passed
    ]
    stays = f"{served} stays the one that is served" if served else "nothing is served yet"
    return f"this night is kept and not served: {'; '.join(failed)}; {stays}. Mend its cause, or the threshold"
