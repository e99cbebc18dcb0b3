"""A policy that reduces a bias: over-recommendation of popular items, or a gap between groups of users.

The latents that correlate with it are found on explain users, the adjustment is searched on select users and reported
on score users.
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
from recsae.policies.balance import Aim, Between, Ground, Popular
from recsae.policies.build import NULLS, Made, measured, written
from recsae.policies.policy import Policy
from recsae.policies.search import LatentMoves
from recsae.policies.trait_latents import Carriers, Trait
from recsae.sae import attributes
from recsae.steering.operations import typical_length

log = logging.getLogger(__name__)

POPULARITY = "popularity"
MOST_CONCEPTS = 100
"""Catalogue attributes, the most frequent, over which a gap between groups is averaged."""
LEAST_USERS = 50
"""Users that a group must have to be balanced: with fewer, a share is mostly noise."""
TOLD = 10
"""Correlated latents that a policy lists."""


def reduce_bias(config: Config, made: Made, attribute: str, target: float, max_loss: float) -> Policy:
    """A policy that reduces a gap to `target` times what it is, at a relative loss of NDCG@10 of at most `max_loss`.

    `attribute` is `popularity` or one of the users table. Raises BadInput where nothing can be balanced.
    """
    start = time.monotonic()
    world, catalogue = made.world(config), Catalogue.read(made.ingested)
    aim, ground, trait, groups = _bias(made, world.site, catalogue, attribute)
    carriers = trait_latents.find(made.activations, world.sae, trait, world.device)
    log.info("%d of %d latents carry %s", len(carriers.latent_N), len(carriers.alive_N), attribute)
    evaluate = search.on_cases(world, "select", ground)
    steps = () if aim == Between() or world.site == "item" else search.STRENGTHS
    # An addition is the same for all groups, so a gap that it seems to close on some users stays on others; and the
    # same for all items, so it changes no ranking.
    added = tuple(sign * one * typical_length(world.load_sae()) for one in steps for sign in (1, -1))
    moves = [LatentMoves(latent, search.DAMPED, added) for latent in carriers.latent_N.tolist()]
    found = search.close(evaluate, aim, moves, target, max_loss)
    deals = None
    if groups is not None:
        deals = measuring.deals(groups.group_U, groups.part_U, "score", NULLS, config.seed)
    on_score = measured(config, world, "score", aim, ground, found.operations, carriers.alive_N, deals)
    change, cost = on_score["figures"]["gap"]["change"], on_score["figures"]["ndcg@10"]["change"]
    told = {
        "asked": {"balance": attribute, "target": target, "max_loss": max_loss},
        "met": {"select": found.met, "score": bool(change <= target - 1 and cost >= -max_loss)},
        "groups": groups.values if groups is not None else None,
        "carriers": _carriers(made, carriers, groups),
        "select": {"before": found.before, "after": found.after, "loss": found.loss},
        "score": on_score,
        "seconds": time.monotonic() - start,
    }
    return written(made, found.operations, None, told)


def _bias(made: Made, site: str, catalogue: Catalogue, attribute: str) -> tuple[Aim, Ground, Trait, Groups | None]:
    """What is measured, and the trait of users that latents may carry."""
    if attribute == POPULARITY:
        ground = balance.ground(catalogue.popularity)
        return Popular(), ground, Trait(head_I=ground.head_I), None
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
    bears_IA = sparse.csr_array(chosen.has_IA[:, :MOST_CONCEPTS])
    count = len(groups.values)
    ground = balance.ground(catalogue.popularity, bears_IA, groups.group_U, count)
    return Between(), ground, Trait(group_U=groups.group_U, groups=count), groups


def _carriers(made: Made, found: Carriers, groups: Groups | None) -> dict[str, Any]:
    strongest = [
        {
            "latent": int(latent),
            "concept": made.names.get(int(latent)),
            "of": None if groups is None else groups.values[int(trait)],
            "r": float(r),
            "q": float(q),
        }
        for latent, trait, r, q in zip(
            found.latent_N[:TOLD], found.trait_N[:TOLD], found.r_N[:TOLD], found.q_N[:TOLD], strict=True
        )
    ]
    return {"users": found.users, "tested": found.tested, "significant": len(found.latent_N), "strongest": strongest}
