"""What is tried on every case, as one list of interventions: steered latents, with nulls and a baseline beside them.

    steer     each latent at each strength: add α = strength · √d; of items' vectors scale by 1 + 2 strength (at least
              0), since what is added to all items alike ranks nothing
    ablate    each latent taken out
    probe     the direction of each concept (probes.py) at each strength, where vectors are added to
    null      random directions, as long: of what is added shared by all latents, else some for each latent, moved
              by as much as the latent would be

Shape suffixes: L latents, S strengths, C concepts, R random directions, E interventions, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsae.sae.model import Sae
from recsae.steering.operations import Operation, typical_length
from recsae.steering.outcomes import Interventions, interventions_of

NULLS = 20
"""Random directions of a null that is one latent's own."""
TIMES = 2
"""At the item side, by how much a strength of 1 lengthens what a latent adds to a vector."""


class InterventionPlan(NamedTuple):
    """The interventions, and the places of each kind among them."""

    interventions: Interventions
    own_E: np.ndarray
    """The concept that each is meant to move; -1: all of them."""
    strengths: tuple[float, ...]
    steer_LS: np.ndarray
    ablate_L: np.ndarray
    probe_CS: np.ndarray | None
    null_LSR: np.ndarray
    null_ablate_LR: np.ndarray

    @property
    def reported(self) -> int:
        """How many, the first ones, are reported with intervals; the rest are nulls."""
        return int(self.null_LSR.min(initial=len(self.own_E)))


def steer(sae: Sae, latent: int, strength: float, site: str) -> Operation:
    """How a latent is steered at a strength: added to, or at the site `item` scaled."""
    if site == "item":
        return Operation(latent, "scale", max(0.0, 1 + TIMES * strength))
    return Operation(latent, "add", strength * typical_length(sae))


def plan_of(
    sae: Sae,
    latents: Sequence[int],
    concept_L: Sequence[int],
    probe_CD: np.ndarray,
    strengths: tuple[float, ...],
    site: str,
    directions: int,
    seed: int,
) -> InterventionPlan:
    """`concept_L`: which concept each latent stands for; `probe_CD`: their probes, of length 1."""
    draw = np.random.default_rng((seed, 6))
    random_RD = draw.standard_normal((max(directions, NULLS), sae.width)).astype(np.float32)
    random_RD /= np.linalg.norm(random_RD, axis=1, keepdims=True)
    unit_MD = np.concatenate([sae.W_dec.detach().cpu().numpy()[list(latents)], probe_CD, random_RD])
    of_probe, of_random = len(latents), len(latents) + len(probe_CD)
    rows: list[tuple[int, Operation, int]] = []

    def placed(row: int, operation: Operation, own: int) -> int:
        rows.append((row, operation, own))
        return len(rows) - 1

    shared = site != "item"
    every = list(zip(range(len(latents)), latents, concept_L, strict=True))
    steer_LS = [[placed(place, steer(sae, latent, s, site), own) for s in strengths] for place, latent, own in every]
    ablate_L = [placed(place, Operation(latent, "ablate"), own) for place, latent, own in every]
    probe_CS = [
        [placed(of_probe + own, steer(sae, -1, s, site), own) for s in strengths]
        for own in range(len(probe_CD) if shared else 0)
    ]
    if shared:
        of_strength = [
            [placed(of_random + r, steer(sae, -1, s, site), -1) for r in range(directions)] for s in strengths
        ]
        null_LSR = [of_strength for _ in every]
    else:
        null_LSR = [
            [[placed(of_random + r, steer(sae, latent, s, site), own) for r in range(NULLS)] for s in strengths]
            for _, latent, own in every
        ]
    null_ablate_LR = [
        [placed(of_random + r, Operation(latent, "ablate"), own) for r in range(NULLS)] for _, latent, own in every
    ]
    return InterventionPlan(
        interventions_of([one for _, one, _ in rows], float(sae.scale) * unit_MD, [row for row, _, _ in rows]),
        np.array([own for _, _, own in rows], dtype=np.int64),
        strengths,
        np.array(steer_LS).reshape(len(latents), len(strengths)),
        np.array(ablate_L, dtype=np.int64),
        np.array(probe_CS).reshape(-1, len(strengths)) if shared else None,
        np.array(null_LSR).reshape(len(latents), len(strengths), -1),
        np.array(null_ablate_LR).reshape(len(latents), -1),
    )
