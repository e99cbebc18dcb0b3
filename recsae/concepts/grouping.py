"""The structure of a dictionary: groups of latents with the same concept, and latents with two meanings.

Latents belong to one group if their concepts have the same terms or the same name (ignoring case), directly or through
other latents. A latent is polysemantic if two terms divide its evidence between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from recsae.evidence.cases import LatentCases

Concept = tuple[str, Sequence[str]]
"""A name and its terms."""


class Rule(NamedTuple):
    """When two terms count as two meanings of one latent. Shares are of its evidence cases, by the case's item."""

    share: float = 0.25
    """Minimum share that each of the two terms covers."""
    lift: float = 2.0
    """Minimum lift of each term: its share of the evidence divided by its share of all events."""
    overlap: float = 0.1
    """Maximum share of cases with both terms among those with either (Jaccard)."""
    together: float = 0.7
    """Minimum share that the two terms cover together."""
    single: float = 0.6
    """If a single term, or the concept, covers this share, it is the only meaning."""

    def loosened(self, by: float) -> Rule:
        """The rule with minimum thresholds multiplied, and maximum thresholds divided, by `by`."""
        least, most = (self.share, self.lift, self.together), (self.overlap, self.single)
        share, lift, together = (value * by for value in least)
        overlap, single = (value / by for value in most)
        return Rule(share, lift, overlap, together, single)


RULE = Rule()
CONFIRMING = RULE.loosened(0.75)
"""For select users: terms selected among many fit the evidence they were selected on better than any other."""


def groups(concepts: Mapping[int, Concept]) -> dict[int, int]:
    """For each latent, the smallest latent of its group."""
    latents = sorted(concepts)
    key_index: dict[str | frozenset[str], int] = {}
    links: list[tuple[int, int]] = []
    for index, latent in enumerate(latents):
        name, terms = concepts[latent]
        for key in (name.casefold(), frozenset(term.casefold() for term in terms)):
            if key:  # free names without terms have none in common
                links.append((index, key_index.setdefault(key, len(key_index))))
    index_N, key_N = np.array(links, dtype=np.int64).reshape(-1, 2).T
    # A bipartite graph of latents and the names and term sets that they have.
    size = len(latents) + len(key_index)
    graph = sparse.csr_array((np.ones(len(links)), (index_N, len(latents) + key_N)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(latents)].tolist()
    leader: dict[int, int] = {}
    for latent, one in zip(latents, component, strict=True):  # in ascending order: the first is the smallest
        leader.setdefault(one, latent)
    return {latent: leader[one] for latent, one in zip(latents, component, strict=True)}


def meanings(
    cases: LatentCases,
    candidates: Sequence[int],
    chosen: Sequence[int],
    has_term: sparse.csr_matrix,
    background: Callable[[int], float],
) -> tuple[int, int] | None:
    """The two terms that divide a latent's explain evidence (RULE), confirmed on select users; None if there are none.

    `candidates` are the latent's own terms and `chosen` those of its concept, as columns of `has_term`
    `(items, terms)`; `background` returns a term's share of all events. If several pairs qualify, the one that covers
    most is returned.
    """
    columns = list(dict.fromkeys([*candidates, *chosen]))
    explain = has_term[cases.items("explain")][:, columns].toarray() > 0
    found = _pairs(explain, RULE, background, columns, len(candidates), chosen)
    if not found:
        return None
    select = has_term[cases.items("select")][:, columns].toarray() > 0
    confirmed = {pair for _, pair in _pairs(select, CONFIRMING, background, columns, len(candidates), chosen)}
    pairs = [(cover, pair) for cover, pair in found if pair in confirmed]
    if not pairs:
        return None
    _, (one, other) = min(pairs, key=lambda pair: (-pair[0], pair[1]))
    return columns[one], columns[other]


def _pairs(
    has_term_EC: np.ndarray,
    rule: Rule,
    background: Callable[[int], float],
    columns: Sequence[int],
    candidates: int,
    chosen: Sequence[int],
) -> list[tuple[float, tuple[int, int]]]:
    """Pairs among the first `candidates` columns that satisfy the rule, with their coverage; E cases, C terms."""
    cases = len(has_term_EC)
    if not cases:
        return []
    share_C = has_term_EC.mean(axis=0)
    concept = [columns.index(term) for term in chosen]
    if share_C[:candidates].max(initial=0) >= rule.single:
        return []
    if concept and has_term_EC[:, concept].all(axis=1).mean() >= rule.single:
        return []
    eligible = [
        place
        for place in range(candidates)
        if share_C[place] >= rule.share and share_C[place] >= rule.lift * background(columns[place])
    ]
    found: list[tuple[float, tuple[int, int]]] = []
    for one, other in combinations(eligible, 2):
        both = np.count_nonzero(has_term_EC[:, one] & has_term_EC[:, other])
        either = np.count_nonzero(has_term_EC[:, one] | has_term_EC[:, other])
        if either >= rule.together * cases and both <= rule.overlap * either:
            found.append((float(either / cases), (one, other)))
    return found
