"""The structure of a dictionary: latents that share a concept, and latents that stand for two.

A group are latents whose concepts name the same terms, or bear the same name whatever its capitals, or are linked by
others that do. A latent is polysemantic where two terms share its evidence between them. It knows concepts, terms and
evidence, and nothing of scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsae.evidence.cases import LatentCases

Concept = tuple[str, Sequence[str]]
"""A name and its terms."""


class Rule(NamedTuple):
    """When two terms are two meanings of one latent. Shares are of the cases of its evidence, by the items shown."""

    share: float = 0.25
    """That each of the two covers, at least."""
    lift: float = 2.0
    """Of each: its share of the evidence by its share of all events, at least."""
    overlap: float = 0.1
    """Cases whose item bears both, of those whose item bears either (Jaccard), at most."""
    together: float = 0.7
    """That the two cover, at least."""
    single: float = 0.6
    """Were one term to cover so much, it would be the meaning."""

    def loosened(self, by: float) -> Rule:
        """Every threshold eased to the given share of its strictness."""
        least, most = (self.share, self.lift, self.together), (self.overlap, self.single)
        share, lift, together = (value * by for value in least)
        overlap, single = (value / by for value in most)
        return Rule(share, lift, overlap, together, single)


RULE = Rule()
CONFIRMING = RULE.loosened(0.75)
"""For select users: terms that were sought among many fit the evidence they were sought in better than any other."""


def groups(concepts: Mapping[int, Concept]) -> dict[int, int]:
    """For each latent the smallest latent of its group."""
    leader: dict[int, int] = {}
    first: dict[str | frozenset[str], int] = {}

    def lead(latent: int) -> int:
        while leader[latent] != latent:
            latent = leader[latent]
        return latent

    for latent, (name, terms) in sorted(concepts.items()):
        leader[latent] = latent
        of_terms = frozenset(term.casefold() for term in terms)
        for key in (name.casefold(), of_terms):
            if key:  # a free name without terms shares none
                one, other = lead(first.setdefault(key, latent)), lead(latent)
                leader[max(one, other)] = min(one, other)
    return {latent: lead(latent) for latent in leader}


def meanings(
    cases: LatentCases,
    candidates: Sequence[int],
    chosen: Sequence[int],
    bears: sparse.csr_matrix,
    background: Callable[[int], float],
) -> tuple[int, int] | None:
    """The two terms that share a latent's explain evidence (RULE), confirmed on select users'; None of one meaning.

    `candidates` are the latent's own terms and `chosen` those of its concept, as columns of `bears` `(items, terms)`;
    `background` gives a term's share of all events. Of several pairs the one that covers most.
    """
    columns = list(dict.fromkeys([*candidates, *chosen]))
    explain = bears[cases.items("explain")][:, columns].toarray() > 0
    found = _pairs(explain, RULE, background, columns, len(candidates), chosen)
    if not found:
        return None
    select = bears[cases.items("select")][:, columns].toarray() > 0
    confirmed = {pair for _, pair in _pairs(select, CONFIRMING, background, columns, len(candidates), chosen)}
    kept = [(cover, pair) for cover, pair in found if pair in confirmed]
    if not kept:
        return None
    _, (one, other) = min(kept, key=lambda pair: (-pair[0], pair[1]))
    return columns[one], columns[other]


def _pairs(
    bears_EC: np.ndarray,
    rule: Rule,
    background: Callable[[int], float],
    columns: Sequence[int],
    candidates: int,
    chosen: Sequence[int],
) -> list[tuple[float, tuple[int, int]]]:
    """Pairs among the first `candidates` columns that meet the rule, with what they cover; E cases, C terms."""
    cases = len(bears_EC)
    if not cases:
        return []
    share_C = bears_EC.mean(axis=0)
    concept = [columns.index(term) for term in chosen]
    if share_C[:candidates].max(initial=0) >= rule.single:
        return []
    if concept and bears_EC[:, concept].all(axis=1).mean() >= rule.single:
        return []
    fit = [
        place
        for place in range(candidates)
        if share_C[place] >= rule.share and share_C[place] >= rule.lift * background(columns[place])
    ]
    found: list[tuple[float, tuple[int, int]]] = []
    for one, other in combinations(fit, 2):
        both = np.count_nonzero(bears_EC[:, one] & bears_EC[:, other])
        either = np.count_nonzero(bears_EC[:, one] | bears_EC[:, other])
        if either >= rule.together * cases and both <= rule.overlap * either:
            found.append((float(either / cases), (one, other)))
    return found
