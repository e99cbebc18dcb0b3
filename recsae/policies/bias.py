"""A policy that reduces a bias: over-recommendation of popular items, or a gap between groups of users.

Latents that correlate with the bias are found on explain users; the adjustment is searched on select users and
reported on score users.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from scipy import sparse

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.errors import BadInput
from recsae.policies import audience, balance, measuring, search, trait_latents
from recsae.policies.audience import Groups
from recsae.policies.balance import CountSpec, GroupGap, PopularityGap, SearchObjective
from recsae.policies.build import NULL_DRAWS, PolicyInputs, as_policy, measure_with_null
from recsae.policies.policy import Policy
from recsae.policies.search import LatentMoves
from recsae.policies.trait_latents import Trait, TraitLatents
from recsae.sae import attributes
from recsae.steering.operations import typical_length

log = logging.getLogger(__name__)

POPULARITY = "popularity"
MOST_CONCEPTS = 100
"""Most frequent catalogue attributes over which a gap between groups is averaged."""
LEAST_USERS = 50
"""Minimum users of a group: with fewer, a share is mostly noise."""
LISTED = 10
"""Correlated latents listed in the policy."""


def reduce_bias(config: Config, made: PolicyInputs, attribute: str, target: float, max_loss: float) -> Policy:
    """A policy that reduces a gap to `target` times its size, at a relative loss of NDCG@10 of at most `max_loss`.

    `attribute` is `popularity` or an attribute of the users table. Raises BadInput if nothing can be balanced.
    """
    start = time.monotonic()
    data, catalogue = made.eval_data(config), Catalogue.read(made.ingested)
    objective, spec, trait, groups = _bias(made, data.site, catalogue, attribute)
    traits = trait_latents.find(made.activations, data.sae, trait, data.device)
    log.info("%d of %d latents correlate with %s", len(traits.latent_N), len(traits.alive_N), attribute)
    evaluate = search.case_evaluator(data, "select", spec)
    steps = () if objective == GroupGap() or data.site == "item" else search.STRENGTHS
    # Adding is the same for all groups, so a gap that it closes on some users reappears on others. At the site `item`
    # it is the same for all items, so it changes no ranking.
    added = tuple(sign * one * typical_length(data.load_sae()) for one in steps for sign in (1, -1))
    moves = [LatentMoves(latent, search.DAMPING_FACTORS, added) for latent in traits.latent_N.tolist()]
    found = search.close_gap(evaluate, objective, moves, target, max_loss)
    permuted = None
    if groups is not None:
        permuted = measuring.permuted_groups(groups.group_U, groups.part_U, "score", NULL_DRAWS, config.seed)
    on_score = measure_with_null(config, data, "score", objective, spec, found.operations, traits.alive_N, permuted)
    change, cost = on_score["figures"]["gap"]["change"], on_score["figures"]["ndcg@10"]["change"]
    findings = {
        "asked": {"balance": attribute, "target": target, "max_loss": max_loss},
        "met": {"select": found.met, "score": bool(change <= target - 1 and cost >= -max_loss)},
        "groups": groups.values if groups is not None else None,
        "carriers": _described(made, traits, groups),
        "select": {"before": found.before, "after": found.after, "loss": found.loss},
        "score": on_score,
        "seconds": time.monotonic() - start,
    }
    return as_policy(made, found.operations, None, findings)


def _bias(
    made: PolicyInputs, site: str, catalogue: Catalogue, attribute: str
) -> tuple[SearchObjective, CountSpec, Trait, Groups | None]:
    """The objective, what to count, the trait to correlate latents with, and the groups, if any."""
    if attribute == POPULARITY:
        spec = balance.count_spec(catalogue.popularity)
        return PopularityGap(), spec, Trait(head_I=spec.head_I), None
    groups = audience.groups(made.ingested, attribute, LEAST_USERS)
    if site == "item":
        raise BadInput(
            f"--balance {attribute}: at the site item no latent is active for a user; balance popularity, or probe "
            "another site"
        )
    chosen = attributes.select_attributes(catalogue.attributes, catalogue.popularity, 1)
    if not chosen.pairs:
        raise BadInput(
            f"--balance {attribute}: the items have no attributes, and a gap between groups is one of concepts; read "
            "some with data.attributes"
        )
    has_IA = sparse.csr_array(chosen.has_IA[:, :MOST_CONCEPTS])
    count = len(groups.values)
    spec = balance.count_spec(catalogue.popularity, has_IA, groups.group_U, count)
    return GroupGap(), spec, Trait(group_U=groups.group_U, groups=count), groups


def _described(made: PolicyInputs, found: TraitLatents, groups: Groups | None) -> dict[str, Any]:
    strongest = [
        {
            "latent": int(latent),
            "concept": made.names.get(int(latent)),
            "of": None if groups is None else groups.values[int(trait)],
            "r": float(r),
            "q": float(q),
        }
        for latent, trait, r, q in zip(
            found.latent_N[:LISTED], found.trait_N[:LISTED], found.r_N[:LISTED], found.q_N[:LISTED], strict=True
        )
    ]
    return {"users": found.users, "tested": found.tested, "significant": len(found.latent_N), "strongest": strongest}
