"""Reads the effects of steering from the table `steering`: shares of the top 10, and relative changes of NDCG@10."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow.compute as pc

from recsae.report.tables import read_optional
from recsae.store.run_store import Committed
from recsae.text.formatting import number

COLUMNS = (
    *("latent", "concept", "operation", "strength", "users", "share", "share_change", "share_lower", "share_upper"),
    *("null_mean", "null_lower", "null_upper", "null_ndcg_change", "probe_share_change", "probe_ndcg_change"),
    *("ndcg", "ndcg_change", "ndcg_lower", "ndcg_upper", "side_concept", "side_change"),
)


class SteeringStep(NamedTuple):
    """One latent at one strength. Shares are of the places in the top 10; NDCG is the change relative to the clean
    model, None if the clean NDCG is 0. Intervals are at 95 %."""

    concept: str
    strength: float | None
    """None for ablation."""
    scaled: bool
    """Whether the latent's contribution is scaled rather than added to."""
    users: int
    clean: float
    """Share without steering."""
    share: float
    lower: float
    upper: float
    ndcg: float | None
    ndcg_lower: float | None
    ndcg_upper: float | None
    probe: float | None
    """Share by the concept's linear probe, at the same length; None if there is no probe."""
    probe_ndcg: float | None
    null_mean: float
    """Share by random directions of the same length: mean, 5th and 95th percentile."""
    null_lower: float
    null_upper: float
    null_ndcg: float | None
    side: str | None
    """The other concept whose share changes most."""
    side_change: float | None

    @property
    def above_chance(self) -> float:
        """The lower bound of the share minus the 95th percentile of random directions."""
        return self.lower - self.null_upper


def read_steps(inputs: Mapping[str, Committed], where: pc.Expression | None = None) -> dict[int, list[SteeringStep]]:
    """For each latent, its steps on score users that match `where`, by ascending strength, ablation last."""
    scored = pc.field("part") == "score"
    table = read_optional(
        inputs, "steering", "steering.parquet", ["part", *COLUMNS], scored if where is None else scored & where
    )
    found: dict[int, list[SteeringStep]] = {}
    for row in table.to_pylist() if table is not None else []:
        found.setdefault(row["latent"], []).append(_step(row))
    for steps in found.values():
        steps.sort(key=lambda step: math.inf if step.strength is None else step.strength)
    return found


def _step(row: Mapping[str, Any]) -> SteeringStep:
    share_before, ndcg_before = row["share"] - row["share_change"], row["ndcg"] - row["ndcg_change"]

    def ndcg(name: str) -> float | None:
        change = number(row[name])
        return None if change is None or not ndcg_before > 0 else change / ndcg_before

    def share(name: str) -> float:
        return float(share_before + row[name])

    return SteeringStep(
        concept=row["concept"],
        strength=None if row["operation"] == "ablate" else row["strength"],
        scaled=row["operation"] == "scale",
        users=row["users"],
        clean=share_before,
        share=row["share"],
        lower=share("share_lower"),
        upper=share("share_upper"),
        ndcg=ndcg("ndcg_change"),
        ndcg_lower=ndcg("ndcg_lower"),
        ndcg_upper=ndcg("ndcg_upper"),
        probe=None if row["probe_share_change"] is None else share("probe_share_change"),
        probe_ndcg=ndcg("probe_ndcg_change"),
        null_mean=share("null_mean"),
        null_lower=share("null_lower"),
        null_upper=share("null_upper"),
        null_ndcg=ndcg("null_ndcg_change"),
        side=row["side_concept"],
        side_change=number(row["side_change"]),
    )
