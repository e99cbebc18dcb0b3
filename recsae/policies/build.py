"""What a policy is made of, and how it is written down once it has been found and measured.

It knows what the stages before have made and what a policy holds, and not what it is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.policies import measuring
from recsae.policies.balance import Aim, Ground
from recsae.policies.concept_lookup import Dictionary
from recsae.policies.measuring import MeasurementPlan, World
from recsae.policies.policy import MadeFor, Policy, PolicyStep, Users
from recsae.steering.operations import Operation
from recsae.store.filesystem import finite
from recsae.store.run_store import Committed

NULLS = 20
"""Draws of random latents, and deals of users."""


class Made(NamedTuple):
    """What the stages before have made."""

    ingested: Committed
    recommender: Committed
    activations: Committed
    sae: Committed
    dictionary: Dictionary | None

    @classmethod
    def of(cls, made: Mapping[str, Committed]) -> Self:
        """From stages by name; `concepts` may be missing."""
        concepts = made.get("concepts")
        dictionary = None if concepts is None else Dictionary.read(concepts)
        return cls(made["ingest"], made["recommender"], made["activations"], made["sae"], dictionary)

    def world(self, config: Config, members: np.ndarray | None = None) -> World:
        site = str(self.activations.metrics["site"])
        folder = self.sae.data.child("model")
        sample = config.ranking.users if members is None else None
        return World(
            self.ingested, self.recommender, folder, site, config.seed, sample, members, config.resources.device
        )

    @property
    def named(self) -> Dictionary:
        """Raises BadInput where there is no dictionary."""
        if self.dictionary is None:
            raise BadInput(
                "concepts are named by the dictionary, which this config has not made yet; run `recsae stage "
                "concepts` first"
            )
        return self.dictionary

    @property
    def names(self) -> dict[int, str]:
        """Of latents that have one."""
        return {} if self.dictionary is None else self.dictionary.names


def measured(
    config: Config,
    world: World,
    part: str | None,
    aim: Aim,
    ground: Ground,
    operations: Sequence[Operation],
    others: np.ndarray,
    deals_RU: np.ndarray | None = None,
) -> dict[str, Any]:
    """Figures of operations on a part of the users, beside the same ones on random latents among `others`."""
    null = measuring.elsewhere(operations, others, NULLS, config.seed)
    variants = ((), tuple(operations), *null)
    asked = MeasurementPlan(world, part, ground, variants, deals_RU, config.ranking.bootstrap)
    return measuring.described(aim, measuring.measure(asked))


def written(made: Made, operations: Sequence[Operation], users: Users | None, told: dict[str, Any]) -> Policy:
    """A policy for this recommender, SAE and site; `told` is what was measured."""
    return Policy(
        made_for=MadeFor(
            recommender=made.recommender.fingerprint,
            sae=made.sae.fingerprint,
            site=str(made.activations.metrics["site"]),
        ),
        users=users,
        operations=tuple(
            PolicyStep(
                latent=one.latent, concept=made.names.get(one.latent), operation=one.kind, value=float(one.value)
            )
            for one in operations
        ),
        found=finite(told),
    )
