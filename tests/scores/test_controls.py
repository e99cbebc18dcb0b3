"""Which latent serves as the control of a concept."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from recsae.concepts.finalists import Finalist
from recsae.scores.controls import draw_controls


def world(concepts: list[str], others: dict[int, set[str]] | None = None) -> tuple[list[Finalist], dict[int, set[str]]]:
    """Latent 10 + i has the i-th concept, whose words are its terms; `others` were also proposed for it."""
    chosen = [Finalist(10 + place, 0, text, text.split(" and ")) for place, text in enumerate(concepts)]
    return chosen, {one.latent: set(one.words) | (others or {}).get(one.latent, set()) for one in chosen}


@pytest.mark.parametrize("count", [2, 3, 17, 256])
def test_all_different_concepts_are_deranged(count: int) -> None:
    chosen, words = world([f"concept {place}" for place in range(count)])
    for seed in range(5):
        found = draw_controls(chosen, words, seed)
        assert sorted(found) == sorted(found.values()) == [one.latent for one in chosen]
        assert all(latent != other for latent, other in found.items())
    assert draw_controls(chosen, words, 1) == draw_controls(chosen, words, 1)
    assert count < 17 or draw_controls(chosen, words, 1) != draw_controls(chosen, words, 2)


def test_one_and_none_have_no_control() -> None:
    assert draw_controls([], {}, 0) == {}
    assert draw_controls(*world(["a"]), 0) == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_concept_was_not_proposed_for_its_control(seed: int) -> None:
    """Not as its concept, a rejected candidate or one of its terms, ignoring case."""
    concepts = ["Old", "old", "War", "Old and War", "Crime", "Crime and Comedy", "Comedy", "Space"]
    chosen, words = world(concepts, {16: {"space"}, 17: {"crime", "old"}})
    found = draw_controls(chosen, words, seed)
    for one in chosen:
        if one.latent in found:
            assert one.words.isdisjoint(words[found[one.latent]])
    assert len(set(found.values())) == len(found) == len(chosen)


def test_as_many_concepts_as_possible_get_their_own_control() -> None:
    """Only two latents are eligible for the first three concepts, so one of the two is reused."""
    chosen, words = world(list("aaabc"))
    for seed in range(10):
        found = draw_controls(chosen, words, seed)
        assert {found[10], found[11], found[12]} == {13, 14}
        assert found[13] != 13 and found[14] != 14
        free = [other for other in combinations(range(10, 15), 2) if set(other) == {found[13], found[14]}]
        assert free and len(set(found.values())) == 4


def test_without_an_eligible_latent_one_of_another_group_is_used() -> None:
    chosen, words = world(["a", "a", "b"], {12: {"a"}})
    found = draw_controls(chosen, words, 0)
    assert found[10] == found[11] == 12 and found[12] in (10, 11)
    chosen, words = world(["a", "a"])
    assert draw_controls(chosen, words, 0) == {}


def test_eligible_latents_are_drawn_uniformly() -> None:
    chosen, words = world([f"c{place}" for place in range(12)])
    drawn = [draw_controls(chosen, words, seed)[10] for seed in range(600)]
    counts = np.bincount(np.array(drawn) - 10, minlength=12)
    assert counts[0] == 0 and counts[1:].min() > 25 and counts[1:].max() < 95  # 54.5 expected


def test_two_thousand_latents() -> None:
    """Forty concepts of fifty latents each; half of them are proposed for most latents."""
    chosen, words = world([f"c{place % 40}" for place in range(2000)])
    for latent, own in words.items():
        own |= {f"c{place}" for place in range(20) if (latent + place) % 10}
    found = draw_controls(chosen, words, 0)
    assert len(found) == 2000
    fit = [one for one in chosen if any(one.words.isdisjoint(known) for known in words.values())]
    assert all(one.words.isdisjoint(words[found[one.latent]]) for one in fit)
