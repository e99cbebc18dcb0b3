"""Which terms of the catalogue might name a latent, and what the language model reads to rank them.

TF-IDF over the items of a latent's explain evidence. It knows items and terms, and no language model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from recsae.concepts.cases import LatentCases
from recsae.concepts.terms import Vocabulary

ORDINARY_LISTS = 3
"""Lists of ordinary items against which evidence is compared."""


class Candidate(NamedTuple):
    """A term, its TF-IDF, and the shares of the latent's evidence and of all events whose item bears it."""

    term: int
    tfidf: float
    share: float
    background: float


def term_shares(vocabulary: Vocabulary, popularity: np.ndarray) -> np.ndarray:
    """Share of events whose item bears each term, smoothed by one event, `(terms,)`: the catalogue as it is used."""
    total = popularity.sum()
    return np.asarray((vocabulary.bears.T @ popularity + 1) / (total + 1)).ravel()


def propose(
    items: np.ndarray, vocabulary: Vocabulary, background: np.ndarray, count: int, min_support: int
) -> list[Candidate]:
    """The `count` terms with the highest share of the evidence times log(1 / background share).

    Terms that fewer than `min_support` different items of the evidence bear are left out.
    """
    if not len(items):
        return []
    share = np.asarray(vocabulary.bears[items].mean(axis=0)).ravel()
    support = np.asarray(vocabulary.bears[np.unique(items)].sum(axis=0)).ravel()
    value = np.where(support >= min_support, share * -np.log(background), 0.0)
    best = np.argsort(-value, kind="stable")[:count]
    return [
        Candidate(int(term), float(value[term]), float(share[term]), float(background[term]))
        for term in best
        if value[term] > 0
    ]


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
