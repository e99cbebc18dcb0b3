"""Which terms are proposed, and what the language model reads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsae.concepts.candidates import ORDINARY_LISTS, ordinary_items, propose, shown_items, term_shares
from recsae.concepts.cases import LatentCases
from recsae.concepts.terms import Vocabulary

VOCABULARY = Vocabulary(
    ["War", "Old", "All"],
    sparse.csr_matrix(np.array([[1, 0, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1]], np.float32)),
)


def proposed(items: list[int], count: int = 9, min_support: int = 1) -> dict[str, float]:
    background = np.array([0.25, 0.5, 1.0])
    found = propose(np.array(items, dtype=np.int64), VOCABULARY, background, count, min_support)
    assert [one.background for one in found] == [background[one.term] for one in found]
    assert [one.tfidf for one in found] == pytest.approx([-one.share * np.log(one.background) for one in found])
    return {VOCABULARY.terms[one.term]: one.tfidf for one in found}


def test_tfidf_by_hand() -> None:
    assert proposed([0, 1, 1, 3]) == pytest.approx({"War": 0.75 * np.log(4), "Old": 0.5 * np.log(2)})
    assert list(proposed([2, 2, 1])) == ["Old", "War"]  # the best first
    assert list(proposed([2, 2, 1], count=1)) == ["Old"]
    assert proposed([3]) == {} and proposed([]) == {}


def test_support_is_of_different_items() -> None:
    """One item many times is one item."""
    assert proposed([0, 0, 0, 2], min_support=2) == {}
    assert list(proposed([0, 1, 1, 3], min_support=2)) == ["War"]


def test_shares_of_terms_are_of_events_and_smoothed() -> None:
    np.testing.assert_allclose(term_shares(VOCABULARY, np.array([5, 1, 0, 3])), [7 / 10, 2 / 10, 1])
    rare = Vocabulary(["War"], sparse.csr_matrix(np.array([[1], [0]], np.float32)))
    assert 0 < term_shares(rare, np.array([0, 100]))[0] < 0.01
    for seed in range(20):
        found = term_shares(VOCABULARY, np.random.default_rng(seed).integers(0, 10**9, 4))
        assert (found > 0).all() and (found <= 1).all()


def latent_cases(part: str, roles: dict[str, list[int]]) -> LatentCases:
    items = [item for held in roles.values() for item in held]
    role = [name for name, held in roles.items() for _ in held]
    columns = ([part] * len(items), role, items, range(len(items)))
    return LatentCases(*(np.array(column) for column in columns))


def test_items_shown_are_of_both_roles_and_each_once() -> None:
    cases = latent_cases("explain", {"level": [7, 8, 5], "random": [9], "top": [5, 5, 6]})
    assert shown_items(cases, 10).tolist() == [5, 7, 8, 6]
    assert shown_items(cases, 2).tolist() == [5, 7]
    assert shown_items(latent_cases("score", {"top": [1]}), 5).tolist() == []


def test_ordinary_items_are_of_silent_explain_cases_by_the_seed() -> None:
    latents = {
        0: latent_cases("explain", {"top": [1, 2], "random": list(range(10, 40)), "near_miss": [3]}),
        1: latent_cases("score", {"random": [50, 51]}),
    }
    found = ordinary_items(latents, 8, seed=1)
    assert len(found) == ORDINARY_LISTS and len({tuple(items) for items in found}) == ORDINARY_LISTS
    for items in found:
        assert len(set(items.tolist())) == len(items) == 8 and set(items.tolist()) <= set(range(10, 40))
    again = ordinary_items(latents, 8, seed=1)
    assert [items.tolist() for items in found] == [items.tolist() for items in again]
    assert [items.tolist() for items in found] != [items.tolist() for items in ordinary_items(latents, 8, seed=2)]


def test_no_silent_case_gives_empty_lists() -> None:
    for latents in ({}, {0: latent_cases("explain", {"top": [1]})}):
        assert [items.tolist() for items in ordinary_items(latents, 8, 0)] == [[]] * ORDINARY_LISTS
