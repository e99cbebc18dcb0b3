"""Draws the shuffled control of each concept: another latent, on whose evidence the concept is judged.

A blind derangement may judge "2000s" on another latent that fires for films of the 2000s; the judge would rightly
agree, and the control would look like a good concept. A latent for which the concept, or any of its terms, was proposed
is therefore not eligible as its control. The remaining latents fire for the concept slightly less often than cases do
overall, so a control's confidence may lie a little below one half.
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
"""Latents offered to the matching for each concept; enough that almost every concept gets its own."""


def draw_controls(chosen: Sequence[Finalist], words: Mapping[int, AbstractSet[str]], seed: int) -> dict[int, int]:
    """For each latent, the control latent on whose evidence its concept is judged, if there is one.

    Controls are drawn by the seed from the chosen latents for which neither the concept's text nor any of its terms was
    proposed (`words`). A maximum matching uses each latent once if possible; if all eligible latents are taken, one is
    reused. If no latent is eligible, any latent of another concept group is used.
    """
    count = len(chosen)
    generator = np.random.default_rng(seed)
    position = generator.permutation(count)  # position of each latent among those offered
    proposed_for: dict[str, list[int]] = {}
    for number, finalist in enumerate(chosen):
        for word in words[finalist.latent]:
            proposed_for.setdefault(word, []).append(int(position[number]))
    offers, fallback = [], []
    group_of = groups({finalist.latent: (finalist.concept, finalist.terms) for finalist in chosen})
    grouped = np.empty(count, dtype=np.int64)
    grouped[position] = [group_of[finalist.latent] for finalist in chosen]
    for number, finalist in enumerate(chosen):
        allowed = np.ones(count, dtype=bool)
        allowed[position[number]] = False
        for word in finalist.words:
            allowed[proposed_for.get(word, [])] = False
        eligible = generator.permutation(np.flatnonzero(allowed))
        other = (
            generator.permutation(np.flatnonzero(grouped != group_of[finalist.latent]))
            if not len(eligible)
            else eligible
        )
        offers.append(np.sort(eligible[:OFFERED]))
        fallback.append(int(other[0]) if len(other) else None)
    matched = _max_matching(offers, count)
    latent_at = dict(zip(position.tolist(), (finalist.latent for finalist in chosen), strict=True))
    control = {
        finalist.latent: matched[number] if matched[number] >= 0 else fallback[number]
        for number, finalist in enumerate(chosen)
    }
    return {latent: latent_at[at] for latent, at in control.items() if at is not None}


def _max_matching(offers: Sequence[np.ndarray], count: int) -> list[int]:
    """For each concept one of its offers, none used twice, for as many as possible; -1 for the rest."""
    if not count:
        return []
    ends = np.cumsum([0, *(len(offer) for offer in offers)])
    graph = sparse.csr_matrix((np.ones(ends[-1], dtype=np.int8), np.concatenate(offers), ends), shape=(count, count))
    matched: list[int] = maximum_bipartite_matching(graph, perm_type="column").tolist()
    return matched
