"""A policy that recommends more of some concepts and less of others, to everybody or to some users.

Only the concepts' own latents are steered.
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
from recsae.policies.balance import ConceptShares, ShareShortfall
from recsae.policies.build import PolicyInputs, as_policy, measure_with_null
from recsae.policies.concept_lookup import RequestedConcept
from recsae.policies.policy import Policy, Users
from recsae.policies.search import LatentMoves
from recsae.statements import features
from recsae.statements.evaluation import satisfied_by
from recsae.statements.language import ITEM_BODIES
from recsae.steering.operations import typical_length

OVERSHOOT = 1.03
"""The search aims this much past a target share, because it stops when no move is worth the remaining distance."""


class ShareTarget(NamedTuple):
    """Target share of a concept in the top 10: `factor` times its current share. Messages begin with `option`."""

    option: str
    concept: str
    factor: float


def change_shares(
    config: Config,
    made: PolicyInputs,
    targets: Sequence[ShareTarget],
    users: Users | None = None,
    max_loss: float | None = None,
) -> Policy:
    """A policy that multiplies the shares of concepts by their factors, for everybody or for some users.

    With a list of users, the search and the figures use these users; with a segment, or for everybody, the search uses
    select users and the figures score users. Raises BadInput on a concept that the dictionary does not have, or that
    the model never recommends.
    """
    start = time.monotonic()
    concepts = find_concepts(made, targets)
    names = tuple(one.name for one in concepts)
    data = made.eval_data(config, audience.members("users", made.ingested, users))
    parts = (None, None) if users is not None and users.ids is not None else ("select", "score")
    catalogue = Catalogue.read(made.ingested)
    has_IA = sparse.csr_array(np.stack(items_of(made, concepts, catalogue), 1).astype(float))
    spec, shares = balance.count_spec(catalogue.popularity, has_IA), ConceptShares(names)
    evaluate = search.case_evaluator(data, parts[0], spec)
    clean_GX = evaluate((), ())[0]
    _refuse_empty(clean_GX, targets, shares)
    clean = [float(share) for share in shares.figures(clean_GX).values()]
    target_shares = [one.factor * share for one, share in zip(targets, clean, strict=True)]
    aimed = [
        share + OVERSHOOT * (target_share - share) for share, target_share in zip(clean, target_shares, strict=True)
    ]
    moves = _moves(targets, concepts, data.site, typical_length(data.load_sae()))
    found = search.close_gap(evaluate, ShareShortfall(tuple(clean), tuple(aimed)), moves, 0.0, max_loss)
    after = [float(share) for share in shares.figures(evaluate(found.operations, ())[0]).values()]
    on_score = measure_with_null(config, data, parts[1], shares, spec, found.operations, made.named.latents)
    findings = {
        "asked": {"wishes": [one._asdict() for one in targets], "max_loss": max_loss},
        "select": [
            {
                "concept": name,
                "factor": target.factor,
                "met": then >= target_share if target.factor > 1 else then <= target_share,
                "before": before,
                "after": then,
                "loss": found.loss,
            }
            for name, target, before, then, target_share in zip(
                names, targets, clean, after, target_shares, strict=True
            )
        ],
        "score": on_score,
        "seconds": time.monotonic() - start,
    }
    return as_policy(made, found.operations, users, findings)


def find_concepts(made: PolicyInputs, targets: Sequence[ShareTarget]) -> list[RequestedConcept]:
    """The concepts of the targets. Raises BadInput where the dictionary lacks one, or two targets name the same one."""
    concepts = [made.named.find(one.option, one.concept) for one in targets]
    for place, (target, concept) in enumerate(zip(targets, concepts, strict=True)):
        if concept.name in [one.name for one in concepts[:place]]:
            raise BadInput(f"{target.option} {target.concept}: named by two targets; leave one of them out")
    return concepts


def items_of(made: PolicyInputs, concepts: Sequence[RequestedConcept], catalogue: Catalogue) -> list[np.ndarray]:
    """Which items each concept has, `(I,)` bool: those with all of its terms, else the members of its statement.

    Raises BadInput where a piece of a gloss was asked for that is no term.
    """
    found = []
    vocabulary = terms.build(catalogue)
    for one in concepts:
        if one.statement is None:
            unknown = [term for term in one.terms if not vocabulary.has(term)]
            if unknown:
                raise BadInput(f"{unknown[0]} is a range or the lack of a term; give a term or the name of a concept")
            found.append(vocabulary.items_with(one.terms))
        else:
            assert made.statements is not None and isinstance(one.statement.body, ITEM_BODIES)
            found.append(satisfied_by(one.statement.body, features.read(catalogue, made.statements)))
    return found


def _moves(
    targets: Sequence[ShareTarget], concepts: Sequence[RequestedConcept], site: str, typical: float
) -> list[LatentMoves]:
    """Moves for the search: the first latent of each concept, then the second of each, and so on.

    At the site `item`, adding the same to all items changes no ranking, so activations are scaled there.
    """
    queues = []
    for target, concept in zip(targets, concepts, strict=True):
        up, on_items = target.factor > 1, site == "item"
        factors = (search.AMPLIFYING_FACTORS if on_items else ()) if up else search.DAMPING_FACTORS
        steps = () if on_items else tuple((1 if up else -1) * one * typical for one in search.STRENGTHS)
        queues.append([LatentMoves(latent, factors, steps) for latent in concept.latents])
    return [one for row in itertools.zip_longest(*queues) for one in row if one is not None]


def _refuse_empty(clean_GX: np.ndarray, targets: Sequence[ShareTarget], shares: ConceptShares) -> None:
    if not clean_GX[..., balance.CASES].any():
        raise BadInput("none of these users has a test case on which an adjustment can be chosen; give more users")
    for target, share in zip(targets, shares.figures(clean_GX).values(), strict=True):
        if not share:
            raise BadInput(
                f"{target.option} {target.concept}: these users are recommended none of its items, so there is no "
                "share to multiply; choose another concept"
            )
