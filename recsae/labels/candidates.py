"""Which terms of the catalogue, and which pairs of them, might name a latent; and what the language model reads.

Terms are ranked twice over the items of a latent's explain evidence. TF-IDF asks how much of the evidence a term
covers; lift asks how far beyond its usual share. Raw lift is the wrong order: a title word that three items bear has a
lift of hundreds once two of them occur, and names nothing else. So terms are ordered by a bound that the true lift
exceeds with 97.5 % certainty, in which each item counts once, however many cases show it. The module knows items and
terms, and no language model.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv

from recsae.data.terms import Vocabulary
from recsae.evidence.cases import LatentCases

ORDINARY_LISTS = 3
"""Lists of ordinary items against which evidence is compared."""
SAME = 0.8
"""Two terms are one where the events of both are so large a share of the events of either."""
PAIR_SHARE = 0.25
"""Of the evidence, what must bear both terms of a pair: a name for less would miss most of the latent."""
PAIR_MARGIN = 1.25
"""How far the lift of a pair lies above that of each of its terms; 1 / SAME, so that no spelling pairs with another."""


class Candidate(NamedTuple):
    """One term, or two that an item must both bear, and how it fares on a latent's evidence."""

    terms: tuple[int, ...]
    support: int
    """Different items of the evidence that bear it."""
    share: float
    """Of the evidence's cases, those whose item bears it."""
    background: float
    """Of all events, the same, smoothed by one event."""
    lower: float
    """Bound of the lift; see `lift_bound`."""

    @property
    def tfidf(self) -> float:
        return float(-self.share * np.log(self.background))

    @property
    def lift(self) -> float:
        return self.share / self.background


class Usage:
    """Shares of all events whose item bears given terms: the catalogue as it is used."""

    def __init__(self, vocabulary: Vocabulary, popularity: np.ndarray) -> None:
        """`popularity`: `(items,)` events."""
        self.vocabulary = vocabulary
        self._popularity = popularity
        self._total = popularity.sum()
        self._columns = vocabulary.bears.tocsc()
        self._shares: dict[tuple[int, ...], float] = {}

    def share(self, terms: tuple[int, ...]) -> float:
        """Of events whose item bears all the terms, smoothed by one event, so that it is never 0."""
        terms = tuple(sorted(terms))
        if terms not in self._shares:
            first, *others = (self._columns.indices[slice(*self._columns.indptr[term : term + 2])] for term in terms)
            for other in others:
                first = np.intersect1d(first, other, assume_unique=True)
            self._shares[terms] = float((self._popularity[first].sum() + 1) / (self._total + 1))
        return self._shares[terms]

    def same(self, one: int, other: int) -> bool:
        """Whether nearly the same events bear two terms: spellings of one thing, a parent and its only child."""
        fewer, more = sorted((self.share((one,)), self.share((other,))))
        return fewer >= SAME * more and self.share((one, other)) >= SAME * more


def lift_bound(support: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """What the ratio of observed to expected items exceeds with 97.5 % certainty, elementwise.

    The shrunken observed-to-expected ratio (O + 1/2)/(E + 1/2) of Norén, Hopstadius & Bate (2013), whose posterior is
    the gamma distribution with shape O + 1/2 and rate E + 1/2; its 2.5 % quantile.
    """
    return np.asarray(gammaincinv(support + 0.5, 0.025) / (expected + 0.5))


def propose(items: np.ndarray, usage: Usage, count: int, min_support: int) -> list[Candidate]:
    """`count` terms of the evidence: the best by TF-IDF and by the bound of their lift, taken in turn.

    `items` has one entry a case. A term that fewer than `min_support` different items bear is left out, and so is one
    that says the same as a term before it, or that the evidence bears no more often than all events do.
    """
    bears = usage.vocabulary.bears
    different = np.unique(items)
    terms, cases = np.unique(bears[items].indices, return_counts=True)
    _, support = np.unique(bears[different].indices, return_counts=True)  # of the same terms
    background = np.array([usage.share((term,)) for term in terms.tolist()])
    share = cases / max(len(items), 1)
    lower = lift_bound(support, background * len(different))
    fit = (support >= min_support) & (share > background)
    columns = (terms, support, share, background, lower)
    found = [
        Candidate((term,), *rest) for term, *rest in zip(*(column[fit].tolist() for column in columns), strict=True)
    ]
    by_tfidf = sorted(found, key=lambda one: -one.tfidf)
    by_lift = sorted(found, key=lambda one: -one.lower)
    chosen: list[Candidate] = []
    for one in chain.from_iterable(zip(by_tfidf, by_lift, strict=True)):
        if len(chosen) == count:
            break
        if one not in chosen and not any(usage.same(one.terms[0], other.terms[0]) for other in chosen):
            chosen.append(one)
    return sorted(chosen, key=lambda one: -one.tfidf)


def weigh(items: np.ndarray, terms: tuple[int, ...], usage: Usage) -> Candidate:
    """How the terms together fare on the evidence; `items` has one entry a case and at least one."""
    both = np.asarray(usage.vocabulary.bears[items][:, list(terms)].sum(axis=1)).ravel() == len(terms)
    support, background = len(np.unique(items[both])), usage.share(terms)
    lower = lift_bound(np.array(support), np.array(background * len(np.unique(items))))
    return Candidate(terms, support, float(both.mean()), background, float(lower))


def pairs(items: np.ndarray, singles: list[Candidate], usage: Usage, count: int, min_support: int) -> list[Candidate]:
    """Up to `count` pairs of `singles` whose joint bearing says more than either term, the best TF-IDF first.

    A pair covers PAIR_SHARE of the evidence, has a higher TF-IDF than both its terms, and a lift that lies PAIR_MARGIN
    above theirs: given one, the other is more frequent in the evidence than in all events. Of a term and what it
    implies (a child and its parent, two spellings) the joint lift is no more than the child's, so that no such pair is
    left. The commoner term comes first, whatever the latent, so that a pair has one text.
    """
    columns = [single.terms[0] for single in singles]
    bears = usage.vocabulary.bears[items][:, columns].toarray()
    joint = bears.T @ bears / max(len(items), 1)
    found = []
    for one, other in combinations(range(len(singles)), 2):
        if joint[one, other] < PAIR_SHARE:
            continue
        ordered = sorted((singles[one], singles[other]), key=lambda single: (-single.background, single.terms))
        pair = weigh(items, (ordered[0].terms[0], ordered[1].terms[0]), usage)
        if (
            pair.support >= min_support
            and pair.lift >= PAIR_MARGIN * max(single.lift for single in ordered)
            and pair.tfidf > max(single.tfidf for single in ordered)
        ):
            found.append(pair)
    return sorted(found, key=lambda pair: (-pair.tfidf, pair.terms))[:count]


def shown_items(cases: LatentCases, count: int) -> np.ndarray:
    """Items that the labeller reads: of the strongest cases and of cases across the range, each item once."""
    found = cases.active("explain", len(cases.items("explain")))
    return np.array(list(dict.fromkeys(found.item.tolist()))[:count], dtype=np.int64)


def ordinary_items(latents: Mapping[int, LatentCases], count: int, seed: int) -> list[np.ndarray]:
    """Seeded lists of up to `count` items that are recommended when a latent is silent."""
    silent = [cases.of_role("explain", "random").item for cases in latents.values()]
    offered = np.concatenate([np.empty(0, dtype=np.int64), *silent])
    draw = np.random.default_rng(seed)
    return [draw.permutation(np.unique(draw.permutation(offered)[:count])) for _ in range(ORDINARY_LISTS)]
