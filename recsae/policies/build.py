"""The committed stages that a policy is made from, its measurement on held-out users, and the finished policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.policies import measuring
from recsae.policies.balance import CountSpec, SearchObjective
from recsae.policies.concept_lookup import Dictionary
from recsae.policies.measuring import EvalData, MeasurementPlan
from recsae.policies.policy import MadeFor, Policy, PolicyStep, Users
from recsae.steering.operations import Operation
from recsae.store.filesystem import finite
from recsae.store.run_store import Committed

NULL_DRAWS = 20
"""Draws of random latents, and permutations of users' groups."""


class PolicyInputs(NamedTuple):
    """The committed stages that a policy is made from."""

    ingested: Committed
    recommender: Committed
    activations: Committed
    sae: Committed
    dictionary: Dictionary | None
    statements: Committed | None = None
    """Tells which items are members of a concept that has no terms."""

    @classmethod
    def of(cls, made: Mapping[str, Committed]) -> Self:
        """From committed stages by name; `concepts` and `statements` are optional."""
        concepts = made.get("concepts")
        dictionary = None if concepts is None else Dictionary.read(concepts)
        return cls(
            made["ingest"], made["recommender"], made["activations"], made["sae"], dictionary, made.get("statements")
        )

    def eval_data(self, config: Config, members: np.ndarray | None = None) -> EvalData:
        site = str(self.activations.metrics["site"])
        folder = self.sae.data.child("model")
        sample = config.ranking.users if members is None else None
        return EvalData(
            self.ingested, self.recommender, folder, site, config.seed, sample, members, config.resources.device
        )

    @property
    def named(self) -> Dictionary:
        """The dictionary. Raises BadInput if the stage `concepts` has not run."""
        if self.dictionary is None:
            raise BadInput(
                "concepts are named by the dictionary, which this config has not made yet; run `recsae stage "
                "concepts` first"
            )
        return self.dictionary

    @property
    def names(self) -> dict[int, str]:
        """Concept names by latent, for latents that have one."""
        return {} if self.dictionary is None else self.dictionary.names


def measure_with_null(
    config: Config,
    data: EvalData,
    part: str | None,
    objective: SearchObjective,
    spec: CountSpec,
    operations: Sequence[Operation],
    others: np.ndarray,
    permuted_RU: np.ndarray | None = None,
) -> dict[str, Any]:
    """Figures of operations on a part of the users, and of the same operations on random latents among `others`."""
    null = measuring.random_latents(operations, others, NULL_DRAWS, config.seed)
    variants = ((), tuple(operations), *null)
    plan = MeasurementPlan(data, part, spec, variants, permuted_RU, config.ranking.bootstrap)
    return measuring.describe(objective, measuring.measure(plan))


def as_policy(
    made: PolicyInputs, operations: Sequence[Operation], users: Users | None, findings: dict[str, Any]
) -> Policy:
    """A policy for this recommender, SAE and site, with its measurements `findings`."""
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
        found=finite(findings),
    )
