"""The effect side of a latent: which items it promotes and holds down, in the language of statements.

At the site `user` of a model whose scores are dot products, a firing latent adds scale · activation · (W_dec E) to the
scores of all items. What ranks is the difference to the average item, so the items' mean is taken off. The tenth of the
catalogue that gains most is what the latent promotes, the tenth that loses most what it holds down. Both are described
by the search for statements, on items that it may see, and measured on those kept from it. Shape suffixes: I items, H
latents, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from recsae.distributed import tasks
from recsae.statements import formulas, item_sets
from recsae.statements.candidates import SearchPlan
from recsae.statements.evaluation import satisfied_by
from recsae.statements.item_sets import ItemCounts
from recsae.statements.language import ITEM_BODIES, Formula, ItemSet, Statement
from recsae.statements.wording import body_in_words
from recsae.stats import classification

SHARE = 0.1
"""Share of the catalogue that counts as promoted, and as held down."""
LEAST_UNSEEN = 5
"""Fewest promoted items kept from the search for a confidence."""
SIGNIFICANT = 0.01
FORMULA_LOSS = 0.05
"""Balanced accuracy that a set must gain on a formula, on the items searched, to describe the items instead."""

Row = dict[str, Any]


class EffectPlan(NamedTuple):
    """What the tasks read; the same for all latents."""

    item_ID: np.ndarray
    """The vectors that score the items, float32."""
    W_dec_HD: np.ndarray
    search: SearchPlan
    unseen_I: np.ndarray
    chosen: Mapping[int, Statement]
    """The statement of each latent that has one."""
    titles: Mapping[str, str]
    """By external item id."""


def effect_rows(plan: EffectPlan, latents: Sequence[int], at_once: int) -> list[Row]:
    """Rows of EFFECTS, one for each latent."""
    blocks = [tuple(latents[start : start + at_once]) for start in range(0, len(latents), at_once)]
    found: list[Row] = []
    for rows in tasks.over(_rows, plan, blocks, "what latents promote", "blocks of latents"):
        found += rows
    return found


def _rows(plan: EffectPlan, latents: Sequence[int]) -> list[Row]:
    effect_HI = plan.W_dec_HD[list(latents)] @ plan.item_ID.T
    return [row(plan, latent, effect_I) for latent, effect_I in zip(latents, effect_HI, strict=True)]


def row(plan: EffectPlan, latent: int, effect_I: np.ndarray) -> Row:
    """The row of EFFECTS of one latent; `effect_I` is what it adds to the score of each item."""
    most = max(1, round(SHARE * len(effect_I)))
    order = np.argsort(-effect_I, kind="stable")
    promoted_I, held_I = (np.isin(np.arange(len(effect_I)), side) for side in (order[:most], order[-most:]))
    promotes, holds_down = (_describe(plan, side_I) for side_I in (promoted_I, held_I))
    return {
        "latent": latent,
        **_columns("promotes", promotes, plan),
        **_columns("holds_down", holds_down, plan),
        "effect_confidence": _confidence(plan, promotes, promoted_I),
        "agrees": _agrees(plan, latent, promoted_I),
    }


def _columns(side: str, body: Formula | ItemSet | None, plan: EffectPlan) -> Row:
    return {
        side: body_in_words(body, plan.titles) if body else None,
        f"{side}_statement": Statement(view="recommended", body=body).to_json() if body else None,
    }


def _describe(plan: EffectPlan, side_I: np.ndarray) -> Formula | ItemSet | None:
    """The formula or the item set that tells these items from all others, found on the items that may be searched."""
    seen_I = (~plan.unseen_I).astype(np.float64)
    counts = ItemCounts(side_I * seen_I, seen_I)
    found = formulas.search(counts.w_I, plan.search.formulas)[-1:]
    bodies: list[Formula | ItemSet] = list(found)
    for space, vectors in list(plan.search.features.spaces.items())[:1]:
        one = item_sets.find_set(counts, vectors)
        if one:
            seeds = tuple(plan.search.features.ids[seed] for seed in one.seeds)
            bodies.append(ItemSet(space=space, seeds=seeds, min_cosine=one.broad))
    if not bodies:
        return None
    gain = [
        counts.w_I[satisfied_by(body, plan.search.features)].sum() / 2 - FORMULA_LOSS * isinstance(body, ItemSet)
        for body in bodies
    ]
    return bodies[int(np.argmax(gain))]


def _confidence(plan: EffectPlan, body: Formula | ItemSet | None, side_I: np.ndarray) -> float | None:
    """Balanced accuracy of the description on the items kept from the search; None where too few are promoted."""
    truth = side_I[plan.unseen_I]
    if body is None or min(truth.sum(), (~truth).sum()) < LEAST_UNSEEN:
        return None
    said = satisfied_by(body, plan.search.features)[plan.unseen_I]
    return classification.count(said, truth).confidence


def _agrees(plan: EffectPlan, latent: int, promoted_I: np.ndarray) -> bool | None:
    """Whether more of the promoted items satisfy the input side's statement than chance gives (hypergeometric, 1 %).

    False where they are no more than by chance; None where the statement is not about items.
    """
    statement = plan.chosen.get(latent)
    if statement is None or not isinstance(statement.body, ITEM_BODIES):
        return None
    satisfied_I = satisfied_by(statement.body, plan.search.features)
    both = int((satisfied_I & promoted_I).sum())
    chance = stats.hypergeom.sf(both - 1, len(promoted_I), int(satisfied_I.sum()), int(promoted_I.sum()))
    return bool(chance < SIGNIFICANT)
