"""Proposes catalogue terms, and pairs of terms, as names of a latent, and selects the items the language model reads.

Terms are ranked twice on the items of a latent's explain evidence: by TF-IDF (how much of the evidence a term covers)
and by lift (how far that exceeds its usual share). Raw lift ranks poorly: a title word of three items has a lift in the
hundreds as soon as two of them occur, yet describes nothing else. Terms are therefore ordered by a lower bound that the
true lift exceeds with 97.5 % probability; it counts each item once, however many cases show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv

from recsae.data.terms import Vocabulary
from recsae.evidence.cases import LatentCases

BASELINE_LISTS = 3
"""Number of baseline item lists the evidence is compared with."""
DUPLICATE_SHARE = 0.8
"""Two terms count as duplicates if the events they share are at least this fraction of the events of each."""
PAIR_SHARE = 0.25
"""Minimum share of the evidence that has both terms of a pair; a name for less would miss most of the latent."""
PAIR_MARGIN = 1.25
"""Minimum ratio of a pair's lift to that of each term; 1 / DUPLICATE_SHARE, so that two spellings never form a pair."""


class Candidate(NamedTuple):
    """One term, or a pair of terms that an item must both have, with its statistics on a latent's evidence."""

    terms: tuple[int, ...]
    support: int
    """Number of distinct evidence items that have it."""
    share: float
    """Share of the evidence's cases whose item has it."""
    background: float
    """Share of all events whose item has it, smoothed by one event."""
    lift_lower: float
    """Lower bound of the lift; see `lift_bound`."""

    @property
    def tfidf(self) -> float:
        return float(-self.share * np.log(self.background))

    @property
    def lift(self) -> float:
        return self.share / self.background


class Usage:
    """How often terms occur in all events: the share of events whose item has the given terms."""

    def __init__(self, vocabulary: Vocabulary, popularity: np.ndarray) -> None:
        """`popularity`: `(items,)`, number of events."""
        self.vocabulary = vocabulary
        self._popularity = popularity
        self._total = popularity.sum()
        self._columns = vocabulary.item_terms.tocsc()
        self._shares: dict[tuple[int, ...], float] = {}

    def share(self, terms: tuple[int, ...]) -> float:
        """The share of events whose item has all the terms, smoothed by one event so that it is never 0."""
        terms = tuple(sorted(terms))
        if terms not in self._shares:
            items, *others = (self._columns.indices[slice(*self._columns.indptr[term : term + 2])] for term in terms)
            for other in others:
                items = np.intersect1d(items, other, assume_unique=True)
            self._shares[terms] = float((self._popularity[items].sum() + 1) / (self._total + 1))
        return self._shares[terms]

    def are_duplicates(self, one: int, other: int) -> bool:
        """Whether two terms cover nearly the same events: two spellings, or a parent and its only child."""
        fewer, more = sorted((self.share((one,)), self.share((other,))))
        return fewer >= DUPLICATE_SHARE * more and self.share((one, other)) >= DUPLICATE_SHARE * more


def lift_bound(support: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The lower bound that the ratio of observed to expected items exceeds with 97.5 % probability, elementwise.

    The shrunken observed-to-expected ratio (O + 1/2)/(E + 1/2) of Norén, Hopstadius & Bate (2013), whose posterior is
    the gamma distribution with shape O + 1/2 and rate E + 1/2; its 2.5 % quantile.
    """
    return np.asarray(gammaincinv(support + 0.5, 0.025) / (expected + 0.5))


def propose(items: np.ndarray, usage: Usage, count: int, min_support: int) -> list[Candidate]:
    """Up to `count` terms of the evidence, taken alternately from the rankings by TF-IDF and by the bound of the lift.

    `items` has one entry per case. Terms of fewer than `min_support` distinct items are skipped, as are duplicates of a
    term taken before and terms that are no more frequent in the evidence than in all events.
    """
    bears = usage.vocabulary.item_terms
    distinct = np.unique(items)
    terms, cases = np.unique(bears[items].indices, return_counts=True)
    _, support = np.unique(bears[distinct].indices, return_counts=True)  # for the same terms
    background = np.array([usage.share((term,)) for term in terms.tolist()])
    share = cases / max(len(items), 1)
    lift_lower = lift_bound(support, background * len(distinct))
    eligible = (support >= min_support) & (share > background)
    columns = (terms, support, share, background, lift_lower)
    proposed = [
        Candidate((term,), *rest)
        for term, *rest in zip(*(column[eligible].tolist() for column in columns), strict=True)
    ]
    by_tfidf = sorted(proposed, key=lambda one: -one.tfidf)
    by_lift = sorted(proposed, key=lambda one: -one.lift_lower)
    chosen: list[Candidate] = []
    for one in chain.from_iterable(zip(by_tfidf, by_lift, strict=True)):
        if len(chosen) == count:
            break
        if one not in chosen and not any(usage.are_duplicates(one.terms[0], other.terms[0]) for other in chosen):
            chosen.append(one)
    return sorted(chosen, key=lambda one: -one.tfidf)


def measure(items: np.ndarray, terms: tuple[int, ...], usage: Usage) -> Candidate:
    """The statistics of the terms taken together; `items` has one entry per case and is not empty."""
    both = np.asarray(usage.vocabulary.item_terms[items][:, list(terms)].sum(axis=1)).ravel() == len(terms)
    support, background = len(np.unique(items[both])), usage.share(terms)
    lift_lower = lift_bound(np.array(support), np.array(background * len(np.unique(items))))
    return Candidate(terms, support, float(both.mean()), background, float(lift_lower))


def pairs(items: np.ndarray, singles: list[Candidate], usage: Usage, count: int, min_support: int) -> list[Candidate]:
    """Up to `count` pairs of `singles` that are more informative together than either term, highest TF-IDF first.

    A pair covers at least PAIR_SHARE of the evidence, has a higher TF-IDF than both its terms, and at least PAIR_MARGIN
    times their lift: given one term, the other is more frequent in the evidence than in all events. For a term and one
    that it implies (a child and its parent, two spellings) the joint lift is at most the child's, so no such pair
    qualifies. The more common term comes first for every latent, so a pair always has the same text.
    """
    columns = [single.terms[0] for single in singles]
    bears = usage.vocabulary.item_terms[items][:, columns].toarray()
    joint = bears.T @ bears / max(len(items), 1)
    proposed = []
    for one, other in combinations(range(len(singles)), 2):
        if joint[one, other] < PAIR_SHARE:
            continue
        ordered = sorted((singles[one], singles[other]), key=lambda single: (-single.background, single.terms))
        pair = measure(items, (ordered[0].terms[0], ordered[1].terms[0]), usage)
        if (
            pair.support >= min_support
            and pair.lift >= PAIR_MARGIN * max(single.lift for single in ordered)
            and pair.tfidf > max(single.tfidf for single in ordered)
        ):
            proposed.append(pair)
    return sorted(proposed, key=lambda pair: (-pair.tfidf, pair.terms))[:count]


def prompt_items(cases: LatentCases, count: int) -> np.ndarray:
    """The items shown to the labelling model: from the strongest cases and from across the range, without repeats."""
    active = cases.active("explain", len(cases.items("explain")))
    return np.array(list(dict.fromkeys(active.item.tolist()))[:count], dtype=np.int64)


def baseline_items(latents: Mapping[int, LatentCases], count: int, seed: int) -> list[np.ndarray]:
    """Seeded lists of up to `count` items from random cases in which the latent does not fire."""
    non_activating = [cases.of_role("explain", "random").item for cases in latents.values()]
    pool = np.concatenate([np.empty(0, dtype=np.int64), *non_activating])
    generator = np.random.default_rng(seed)
    return [generator.permutation(np.unique(generator.permutation(pool)[:count])) for _ in range(BASELINE_LISTS)]
