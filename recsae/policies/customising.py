"""A policy that recommends more of some concepts and less of others, to everybody or to some users.

Only the concepts' own latents are turned. It knows the dictionary, the search and the order of things.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.errors import BadInput
from recsae.policies import audience, balance, search
from recsae.policies.balance import Lacking, Shares
from recsae.policies.build import Made, measured, written
from recsae.policies.concept_lookup import RequestedConcept
from recsae.policies.policy import Policy, Users
from recsae.policies.search import LatentMoves
from recsae.steering.operations import typical_length

FARTHER = 1.03
"""Of the way to a wanted share: the search ends where what is left of it is not worth a move."""


class ShareTarget(NamedTuple):
    """More of a concept, or less: its share is to become `factor` times what it is."""

    option: str
    concept: str
    factor: float


def customise(
    config: Config, made: Made, wishes: Sequence[ShareTarget], users: Users | None = None, max_loss: float | None = None
) -> Policy:
    """Bring the shares of concepts to their factors, for everybody or for some users, by the concepts' own latents.

    Of a list of users the search and the figures are of these users; of a segment, or of everybody, of select users and
    of score users. Raises BadInput on a concept that the dictionary has not, or that the model never recommends.
    """
    start = time.monotonic()
    concepts = wished(made, wishes)
    names = tuple(one.name for one in concepts)
    world = made.world(config, audience.members("users", made.ingested, users))
    parts = (None, None) if users is not None and users.ids is not None else ("select", "score")
    catalogue = Catalogue.read(made.ingested)
    vocabulary = terms.build(catalogue)
    bears_IA = sparse.csr_array(np.stack([vocabulary.bearing(one.terms) for one in concepts], 1).astype(float))
    ground, shares = balance.ground(catalogue.popularity, bears_IA), Shares(names)
    evaluate = search.on_cases(world, parts[0], ground)
    clean_GX = evaluate((), ())[0]
    _refuse_empty(clean_GX, wishes, shares)
    clean = [float(share) for share in shares.figures(clean_GX).values()]
    wanted = [one.factor * share for one, share in zip(wishes, clean, strict=True)]
    sought = [share + FARTHER * (enough - share) for share, enough in zip(clean, wanted, strict=True)]
    turns = _turns(wishes, concepts, world.site, typical_length(world.load_sae()))
    found = search.close(evaluate, Lacking(tuple(clean), tuple(sought)), turns, 0.0, max_loss)
    after = [float(share) for share in shares.figures(evaluate(found.operations, ())[0]).values()]
    on_score = measured(config, world, parts[1], shares, ground, found.operations, made.named.latents)
    told = {
        "asked": {"wishes": [one._asdict() for one in wishes], "max_loss": max_loss},
        "select": [
            {
                "concept": name,
                "factor": wish.factor,
                "met": then >= enough if wish.factor > 1 else then <= enough,
                "before": before,
                "after": then,
                "loss": found.loss,
            }
            for name, wish, before, then, enough in zip(names, wishes, clean, after, wanted, strict=True)
        ],
        "score": on_score,
        "seconds": time.monotonic() - start,
    }
    return written(made, found.operations, users, told)


def wished(made: Made, wishes: Sequence[ShareTarget]) -> list[RequestedConcept]:
    """The concepts of the wishes. Raises BadInput where one is not there, or is named twice."""
    concepts = [made.named.find(one.option, one.concept) for one in wishes]
    for place, (wish, concept) in enumerate(zip(wishes, concepts, strict=True)):
        if concept.name in [one.name for one in concepts[:place]]:
            raise BadInput(f"{wish.option} {wish.concept}: named by two wishes; leave one of them out")
    return concepts


def _turns(
    wishes: Sequence[ShareTarget], concepts: Sequence[RequestedConcept], site: str, typical: float
) -> list[LatentMoves]:
    """The latents of all concepts in turn, so that each has its first ones among those that are tried.

    At the site `item` what is added to all items alike moves none of them past another: there activations are scaled.
    """
    queues = []
    for wish, concept in zip(wishes, concepts, strict=True):
        up, on_items = wish.factor > 1, site == "item"
        factors = (search.RAISED if on_items else ()) if up else search.DAMPED
        steps = () if on_items else tuple((1 if up else -1) * one * typical for one in search.STRENGTHS)
        queues.append([LatentMoves(latent, factors, steps) for latent in concept.latents])
    return [one for row in itertools.zip_longest(*queues) for one in row if one is not None]


def _refuse_empty(clean_GX: np.ndarray, wishes: Sequence[ShareTarget], shares: Shares) -> None:
    if not clean_GX[..., balance.CASES].any():
        raise BadInput("none of these users has a test case on which an adjustment can be chosen; give more users")
    for wish, share in zip(wishes, shares.figures(clean_GX).values(), strict=True):
        if not share:
            raise BadInput(
                f"{wish.option} {wish.concept}: these users are recommended none of its items, so there is no share to "
                "multiply; choose another concept"
            )
