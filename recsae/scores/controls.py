"""On whose evidence a concept is judged as a control: a latent of which nobody said that the concept is true.

A derangement that looks at nothing may put "2000s" before another latent that fires at films of the 2000s; the judge is
then right to agree, and the control passes for a good concept. So a latent that the concept was proposed for, or any of
its terms, is no control for it. What is left fires, if anything, less often at the concept than cases do on the whole:
a control's confidence may lie a little below one half. It knows concepts and latents, and nothing of scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from recsae.concepts.finalists import Finalist
from recsae.concepts.grouping import groups

OFFERED = 64
"""Latents drawn for each concept, of which the matching takes one: enough that hardly anyone goes without."""


def draw_controls(chosen: Sequence[Finalist], words: Mapping[int, AbstractSet[str]], seed: int) -> dict[int, int]:
    """By latent the one whose evidence its concept is judged on; a latent that is missing has no control.

    Drawn by the seed among the chosen latents for which neither the concept's text nor any of its terms was proposed,
    as `words` tells, each used once where that can be (a maximum matching). Where every such latent is taken, one is
    used again; where there is none, any latent of another group of concepts serves.
    """
    count = len(chosen)
    draw = np.random.default_rng(seed)
    place = draw.permutation(count)  # where each latent stands among those offered
    known: dict[str, list[int]] = {}
    for number, finalist in enumerate(chosen):
        for word in words[finalist.latent]:
            known.setdefault(word, []).append(int(place[number]))
    offers, fallback = [], []
    group_of = groups({finalist.latent: (finalist.concept, finalist.terms) for finalist in chosen})
    grouped = np.empty(count, dtype=np.int64)
    grouped[place] = [group_of[finalist.latent] for finalist in chosen]
    for number, finalist in enumerate(chosen):
        free = np.ones(count, dtype=bool)
        free[place[number]] = False
        for word in finalist.words:
            free[known.get(word, [])] = False
        fit = draw.permutation(np.flatnonzero(free))
        other = draw.permutation(np.flatnonzero(grouped != group_of[finalist.latent])) if not len(fit) else fit
        offers.append(np.sort(fit[:OFFERED]))
        fallback.append(int(other[0]) if len(other) else None)
    taken = _matched(offers, count)
    latent_at = dict(zip(place.tolist(), (finalist.latent for finalist in chosen), strict=True))
    given = {
        finalist.latent: taken[number] if taken[number] >= 0 else fallback[number]
        for number, finalist in enumerate(chosen)
    }
    return {latent: latent_at[at] for latent, at in given.items() if at is not None}


def _matched(offers: Sequence[np.ndarray], count: int) -> list[int]:
    """One of its offers for each, none used twice, for as many as can be; -1 for the rest."""
    if not count:
        return []
    ends = np.cumsum([0, *(len(offer) for offer in offers)])
    graph = sparse.csr_matrix((np.ones(ends[-1], dtype=np.int8), np.concatenate(offers), ends), shape=(count, count))
    found: list[int] = maximum_bipartite_matching(graph, perm_type="column").tolist()
    return found
