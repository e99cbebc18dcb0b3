"""Which terms and pairs are proposed, and which items the language model reads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from recsae.data.terms import Vocabulary
from recsae.evidence.cases import LatentCases
from recsae.labels import candidates
from recsae.labels.candidates import (
    BASELINE_LISTS,
    Candidate,
    Usage,
    baseline_items,
    lift_bound,
    measure,
    pairs,
    prompt_items,
    propose,
)


def usage_of(items_by_term: dict[str, list[int]], popularity: list[int]) -> Usage:
    """Terms, given the items that have them."""
    bears = np.zeros((len(popularity), len(items_by_term)), np.float32)
    for column, items in enumerate(items_by_term.values()):
        bears[items, column] = 1
    return Usage(Vocabulary(list(items_by_term), sparse.csr_matrix(bears)), np.array(popularity))


SMALL = usage_of({"War": [0, 1], "Old": [1, 2], "All": [0, 1, 2, 3, 4]}, [2, 4, 5, 7, 5, 77])
"""100 events on six items."""


def proposed(items: list[int], count: int = 9, min_support: int = 1, usage: Usage = SMALL) -> dict[str, Candidate]:
    found = propose(np.array(items, dtype=np.int64), usage, count, min_support)
    return {usage.vocabulary.terms[one.terms[0]]: one for one in found}


def test_figures_by_hand() -> None:
    found = proposed([0, 1, 1, 3])
    assert list(found) == ["War", "All", "Old"]  # by TF-IDF
    war, old = found["War"], found["Old"]
    assert (war.support, war.share, war.background) == (2, 0.75, pytest.approx(7 / 101))
    assert war.tfidf == pytest.approx(0.75 * np.log(101 / 7)) and war.lift == pytest.approx(0.75 * 101 / 7)
    assert (old.support, old.share, old.background) == (1, 0.5, pytest.approx(10 / 101))
    # Three distinct items; two have War, where 3 * 7 / 101 are expected.
    assert war.lift_lower == pytest.approx(stats.gamma.ppf(0.025, 2.5, scale=1 / (3 * 7 / 101 + 0.5)))
    assert proposed([5]) == {} and proposed([]) == {}


def test_a_term_no_more_frequent_than_among_all_events_is_no_candidate() -> None:
    usage = usage_of({"Common": [0, 1, 2], "Rare": [3]}, [30, 30, 30, 10])
    assert list(proposed([0, 1, 2, 3], usage=usage)) == ["Rare"]


def test_support_is_of_different_items() -> None:
    """A repeated item counts once."""
    assert list(proposed([1, 1, 1, 5], min_support=2)) == []
    assert list(proposed([0, 1, 1, 3], min_support=2)) == ["War", "All"]


def test_the_lift_bound_is_not_fooled_by_small_supports() -> None:
    """Two items where .01 is expected have a lift of 200, but less support than 30 where 4 are expected."""
    rare, common = lift_bound(np.array([2, 30]), np.array([0.01, 4.0]))
    assert rare < common < 30 / 4
    assert lift_bound(np.array(0), np.array(0.0)) < 0.01
    supports = lift_bound(np.arange(50), np.full(50, 2.0))
    assert (np.diff(supports) > 0).all()
    # It is a lower bound: it exceeds the true ratio of 3 in hardly more than 2.5 % of 2,000 draws.
    draw = np.random.default_rng(0)
    wrong = np.mean(lift_bound(draw.poisson(3 * 4.0, 2000), np.full(2000, 4.0)) > 3)
    assert wrong < 0.04


def test_both_rankings_contribute_in_turn() -> None:
    """A broad term covers the evidence; narrow ones with many items lead by lift."""
    usage = usage_of(
        {"Broad": list(range(31)), "Narrow": list(range(12)), "Two": [0, 1]},
        [1] * 2 + [5] * 10 + [12] * 19 + [720],
    )
    items = list(range(30))
    every = proposed(items, usage=usage)
    assert list(every) == sorted(every, key=lambda name: -every[name].tfidf)
    assert list(every) == ["Broad", "Narrow", "Two"]
    assert sorted(every, key=lambda name: -every[name].lift_lower) == ["Narrow", "Broad", "Two"]
    assert sorted(every, key=lambda name: -every[name].lift) == ["Two", "Narrow", "Broad"]  # why raw lift is not used
    assert list(proposed(items, count=1, usage=usage)) == ["Broad"]
    assert list(proposed(items, count=2, usage=usage)) == ["Broad", "Narrow"]


def test_duplicates_of_a_better_term_are_skipped() -> None:
    usage = usage_of(
        {"Sci-Fi": [0, 1, 2, 3, 4, 5], "scifi": [0, 1, 2, 3, 4], "Sea": [4, 5, 6, 7]}, [5, 5, 5, 5, 5, 5, 5, 5, 200]
    )
    assert usage.are_duplicates(0, 1) and usage.are_duplicates(1, 0) and not usage.are_duplicates(0, 2)
    assert set(proposed([0, 1, 2, 3, 4, 5], usage=usage)) == {"Sci-Fi", "Sea"}


def test_shares_are_of_events_and_smoothed() -> None:
    assert SMALL.share((0,)) == pytest.approx(7 / 101) and SMALL.share((0, 1)) == pytest.approx(5 / 101)
    assert SMALL.share((1, 0)) == SMALL.share((0, 1)) and SMALL.share((2, 0, 1)) == SMALL.share((0, 1))
    rare = usage_of({"War": [0], "Sea": [1]}, [0, 100])
    assert 0 < rare.share((0,)) < 0.01 and 0 < rare.share((0, 1)) < 0.01


def test_measuring_several_terms_counts_items_with_all_of_them() -> None:
    found = measure(np.array([1, 1, 0, 5]), (0, 1), SMALL)
    assert found == Candidate((0, 1), 1, 0.5, pytest.approx(5 / 101), pytest.approx(found.lift_lower))
    one, same = measure(np.array([0, 1, 1, 3]), (0,), SMALL), proposed([0, 1, 1, 3])["War"]
    assert one.terms == same.terms and one[1:] == pytest.approx(same[1:])


EIGHTIES, HORROR, FILM, OTHER = list(range(20)), list(range(15, 30)), list(range(60)), list(range(60, 100))


def paired(items: list[int], items_by_term: dict[str, list[int]], min_support: int = 2, count: int = 9) -> list[str]:
    """The pairs proposed from all terms, as text."""
    usage = usage_of(items_by_term, [10] * 100)
    evidence = np.array(items)
    singles = [measure(evidence, (term,), usage) for term in range(len(items_by_term))]
    found = pairs(evidence, singles, usage, count, min_support)
    for pair in found:
        has_both = [
            item in set.intersection(*(set(list(items_by_term.values())[term]) for term in pair.terms))
            for item in items
        ]
        assert pair.share == pytest.approx(np.mean(has_both)) and pair.support == len(set(np.array(items)[has_both]))
    return ["+".join(list(items_by_term)[term] for term in pair.terms) for pair in found]


def test_a_pair_is_found_if_both_terms_together_are_more_informative() -> None:
    """Eight of ten cases are horror of the eighties, which only five of a hundred items are."""
    items = [15, 16, 17, 18, 19, 15, 16, 17, 0, 25]
    assert paired(items, {"1980s": EIGHTIES, "Horror": HORROR, "Other": OTHER}) == ["1980s+Horror"]
    # The more common term comes first, whatever the order of the singles.
    assert paired(items, {"Horror": HORROR, "1980s": EIGHTIES}) == ["1980s+Horror"]
    assert paired(items, {"1980s": EIGHTIES, "Horror": HORROR}, min_support=6) == []
    assert paired(items, {"1980s": EIGHTIES, "Horror": HORROR}, count=0) == []


def test_no_pair_of_a_term_and_what_it_implies() -> None:
    items = [15, 16, 17, 18, 19, 15, 16, 17, 0, 25]
    nested = {"Horror": HORROR, "Film": FILM, "Slasher": HORROR[:10], "horrors": HORROR[:14]}
    assert paired(items, nested) == []


def test_no_pair_that_leaves_out_most_of_the_evidence_or_adds_nothing() -> None:
    mostly_old = [*EIGHTIES[:14], 15, 16, 20, 21]  # 2 of 18 cases have both
    assert paired(mostly_old, {"1980s": EIGHTIES, "Horror": HORROR}) == []
    # Half the cases have both and all are horror: the pair would leave out half.
    assert paired([15, 16, 20, 21], {"1980s": EIGHTIES, "Horror": HORROR[:6]}) == []


def test_pairs_are_sought_among_the_singles_only_and_bounded() -> None:
    usage = usage_of({"1980s": EIGHTIES, "Horror": HORROR, "Film": FILM}, [10] * 100)
    items = np.array([15, 16, 17, 18, 19])
    singles = [measure(items, (term,), usage) for term in (0, 2)]
    assert all(set(pair.terms) <= {0, 2} for pair in pairs(items, singles, usage, 9, 1))
    assert pairs(items, [], usage, 9, 1) == []
    assert (
        candidates.PAIR_MARGIN * candidates.DUPLICATE_SHARE >= 1
    )  # so a term and one it nearly implies never form a pair


def latent_cases(part: str, roles: dict[str, list[int]]) -> LatentCases:
    items = [item for held in roles.values() for item in held]
    role = [name for name, held in roles.items() for _ in held]
    columns = ([part] * len(items), role, items, range(len(items)))
    return LatentCases(*(np.array(column) for column in columns))


def test_prompt_items_come_from_both_roles_without_repeats() -> None:
    cases = latent_cases("explain", {"level": [7, 8, 5], "random": [9], "top": [5, 5, 6]})
    assert prompt_items(cases, 10).tolist() == [5, 7, 8, 6]
    assert prompt_items(cases, 2).tolist() == [5, 7]
    assert prompt_items(latent_cases("score", {"top": [1]}), 5).tolist() == []


def test_baseline_items_come_from_random_explain_cases_by_the_seed() -> None:
    latents = {
        0: latent_cases("explain", {"top": [1, 2], "random": list(range(10, 40)), "near_miss": [3]}),
        1: latent_cases("score", {"random": [50, 51]}),
    }
    found = baseline_items(latents, 8, seed=1)
    assert len(found) == BASELINE_LISTS and len({tuple(items) for items in found}) == BASELINE_LISTS
    for items in found:
        assert len(set(items.tolist())) == len(items) == 8 and set(items.tolist()) <= set(range(10, 40))
    again = baseline_items(latents, 8, seed=1)
    assert [items.tolist() for items in found] == [items.tolist() for items in again]
    assert [items.tolist() for items in found] != [items.tolist() for items in baseline_items(latents, 8, seed=2)]


def test_without_random_cases_the_baselines_are_empty() -> None:
    for latents in ({}, {0: latent_cases("explain", {"top": [1]})}):
        assert [items.tolist() for items in baseline_items(latents, 8, 0)] == [[]] * BASELINE_LISTS
