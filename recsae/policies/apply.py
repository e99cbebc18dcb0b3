"""Applies a policy to a request for recommendations, after checking that it was made for these models."""

from __future__ import annotations

from recsae.policies import audience, policy
from recsae.policies.policy import Policy
from recsae.sae.model import CONFIG
from recsae.steering.recommending import RecommendationRequest
from recsae.store.run_store import Committed


def steer(
    option: str, source: str, given: Policy, asked: RecommendationRequest, sae: Committed
) -> RecommendationRequest:
    """The request, steered by the policy for the policy's users. Raises BadInput if the policy does not match it."""
    model = sae.data.child("model")
    num_latents = int(model.read_json(CONFIG)["num_latents"])
    policy.check(option, source, given, asked.recommender, sae, asked.site, num_latents)
    return asked._replace(
        sae=model,
        operations=tuple(given.steps()),
        steered=audience.members(f"{option} {source}", asked.ingested, given.users),
    )
