"""The cost of a target share: the strength that reaches a multiple of a concept's share at the least loss of NDCG.

Chosen on select users, among all latents of the concept; reported for score users. Between two strengths that were
tried, linear interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from recsae.steering.rows import Figures, SteeredLatent


class Curve(NamedTuple):
    """Share and NDCG by strength, ascending, from the clean model at 0."""

    strength_S: np.ndarray
    share_S: np.ndarray
    ndcg_S: np.ndarray

    def strength_for(self, share: float) -> float | None:
        """The least strength at which the share is reached; None where it is not."""
        reached = np.flatnonzero(self.share_S >= share)
        if not len(reached):
            return None
        at = int(reached[0])
        if at == 0:
            return float(self.strength_S[0])
        before, after = self.share_S[at - 1], self.share_S[at]
        part = (share - before) / (after - before)
        return float(self.strength_S[at - 1] + part * (self.strength_S[at] - self.strength_S[at - 1]))

    def at(self, strength: float) -> tuple[float, float]:
        """Share and NDCG."""
        share = np.interp(strength, self.strength_S, self.share_S)
        return float(share), float(np.interp(strength, self.strength_S, self.ndcg_S))


def curve(figures: Figures, intervention_S: np.ndarray, concept: int) -> Curve:
    """The curve of interventions at all strengths of the plan above 0."""
    up = [
        (0.0, 0),
        *sorted((s, 1 + int(e)) for s, e in zip(figures.plan.strengths, intervention_S, strict=True) if s > 0),
    ]
    places = [place for _, place in up]
    return Curve(np.array([s for s, _ in up]), figures.share_EC[places, concept], figures.ndcg_E[places])


def target_rows(
    select: Figures, score: Figures, steered: Sequence[SteeredLatent], names: Sequence[str], factor: float
) -> list[dict[str, Any]]:
    """WISHES: for every concept its best latent, and its probe where there is one."""
    rows = []
    for concept, name in enumerate(names):
        ways: list[tuple[int, np.ndarray]] = [
            (one.latent, select.plan.steer_LS[place]) for place, one in enumerate(steered) if one.concept == concept
        ]
        rows.append(_row("latent", concept, name, _cheapest(select, ways, concept, factor), score, factor))
        if select.plan.probe_CS is not None:
            probe = [(-1, select.plan.probe_CS[concept])]
            rows.append(_row("probe", concept, name, _cheapest(select, probe, concept, factor), score, factor))
    return rows


class _Way(NamedTuple):
    latent: int
    intervention_S: np.ndarray
    strength: float
    ndcg: float


def _cheapest(select: Figures, ways: Sequence[tuple[int, np.ndarray]], concept: int, factor: float) -> _Way | None:
    """The way that reaches the share on select users and leaves the highest NDCG there."""
    found = []
    for latent, intervention_S in ways:
        tried = curve(select, intervention_S, concept)
        strength = tried.strength_for(min(1.0, factor * tried.share_S[0]))
        if strength is not None:
            found.append(_Way(latent, intervention_S, strength, tried.at(strength)[1]))
    return max(found, key=lambda way: way.ndcg, default=None)


def _row(direction: str, concept: int, name: str, way: _Way | None, score: Figures, factor: float) -> dict[str, Any]:
    clean = float(score.share_EC[0, concept])
    row: dict[str, Any] = {
        "concept": name,
        "direction": direction,
        "latent": None,
        "clean_share": clean,
        "wished_share": min(1.0, factor * clean),
        "strength": None,
        "share": None,
        "ndcg_change": None,
    }
    if way is not None:
        share, ndcg = curve(score, way.intervention_S, concept).at(way.strength)
        ndcg_change = ndcg / score.ndcg_E[0] - 1 if score.ndcg_E[0] else 0.0
        row |= {"strength": way.strength, "share": share, "ndcg_change": ndcg_change}
        row["latent"] = way.latent if direction == "latent" else None
    return row
