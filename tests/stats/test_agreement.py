"""Kappas against published tables and other forms of the formulas; intervals against what must hold of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from recsae.stats.agreement import agreeing, balanced_interval, cells, cohen, fleiss, interval, share, wilson

PSYCHOLOGISTS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
"""Fourteen raters, ten subjects, five categories: the worked example of Fleiss' kappa that textbooks hand on."""
DIAGNOSES = [
    "00060", "03003", "01401", "00006", "03030", "20400", "00402", "20310", "20040", "00006",
    "10050", "11040", "03300", "10050", "02031", "00501", "30012", "51000", "02040", "10203",
    "00006", "01050", "02013", "20040", "10041", "05010", "40002", "02040", "10500", "00006",
]  # fmt: skip
"""Fleiss (1971), table 1: thirty patients, six psychiatrists, five diagnoses."""
NAN = np.nan


def of_all(counts: Sequence[Sequence[int]]) -> float:
    """Fleiss' kappa of counts by question and category."""
    return float(fleiss(agreeing(np.array(counts)).sum(0)))


def test_fleiss_gives_what_is_published() -> None:
    assert of_all(PSYCHOLOGISTS) == pytest.approx(0.210, abs=0.0005)
    assert of_all([[int(count) for count in row] for row in DIAGNOSES]) == pytest.approx(0.430, abs=0.0005)


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),  # the grant proposals of textbooks: p_o = .7, p_e = .5
        ([[45, 15], [25, 15]], 0.1304),  # the same agreement of .6 as in the next, by other margins
        ([[25, 35], [5, 35]], 0.2593),
        ([[53, 5, 2], [11, 14, 5], [1, 6, 3]], 0.4286),  # p_o = .70, p_e = .39 + .075 + .01
        ([[0, 10], [10, 0]], -1.0),
    ],
)
def test_cohen_gives_what_is_published(table: list[list[int]], kappa: float) -> None:
    assert cohen(np.array(table).ravel()) == pytest.approx(kappa, abs=0.0001)


def test_questions_without_an_answer_count_nowhere() -> None:
    first = np.array([1, 1, 0, 0, NAN, 1, NAN])
    second = np.array([1, 0, 0, 0, 1, NAN, NAN])
    assert cells(first, second).sum(0).tolist() == [1, 1, 0, 2]
    assert of_all([*PSYCHOLOGISTS, [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]) == pytest.approx(of_all(PSYCHOLOGISTS))


def test_people_who_answered_different_numbers_of_questions_agree_as_far_as_worked_out() -> None:
    """P̄ = (1 + 1/3 + 0) / 3; of seven answers four are yes: P̄_e = (16 + 9) / 49."""
    assert of_all([[2, 0], [1, 2], [1, 1], [0, 1]]) == pytest.approx((4 / 9 - 25 / 49) / (24 / 49))


def test_where_chance_alone_would_agree_there_is_no_kappa() -> None:
    assert np.isnan(cohen(np.array([5, 0, 0, 0]))) and np.isnan(cohen(np.zeros(4)))
    assert np.isnan(of_all([[3, 0], [3, 0]])) and np.isnan(of_all([[1, 0], [0, 1]]))


def test_a_score_interval_is_the_published_one_and_no_point_at_the_ends() -> None:
    low, high = wilson(15 / 148, 148)  # Newcombe (1998), 15 of 148: .0624 to .1605
    assert (low, high) == pytest.approx((0.0624, 0.1605), abs=0.0001)
    low, high = wilson(1.0, 4)
    assert low < 0.6 and high == pytest.approx(1)
    for n in range(1, 200):
        assert 0 <= wilson(0.0, n)[0] < 1e-9 and 1 - 1e-9 < wilson(1.0, n)[1] <= 1


def test_of_two_shares_the_interval_is_half_that_of_their_sum() -> None:
    """Newcombe's method 10 for 56/70 − 48/80 gives .0524 to .3339; for the sum one share is turned round."""
    low, high = balanced_interval(56 / 70, 70, 1 - 48 / 80, 80)
    assert (2 * low - 1, 2 * high - 1) == pytest.approx((0.0524, 0.3339), abs=0.0001)
    assert balanced_interval(1.0, 4, 1.0, 4)[1] == 1 and balanced_interval(1.0, 4, 1.0, 4)[0] < 0.7


def test_resampling_concepts_covers_the_truth_as_often_as_it_says() -> None:
    """Answers of a concept go together, so that resampling them one by one would be far too sure."""
    draw, covered, runs = np.random.default_rng(0), 0, 60
    group_Q = np.repeat(np.arange(20), 8)
    everything = np.ones(len(group_Q), dtype=bool)
    for seed in range(runs):
        right_Q = (draw.random(len(group_Q)) < np.repeat(draw.choice([0.4, 0.9], 20), 8)).astype(np.float64)
        bounds = interval(share, np.column_stack([right_Q, everything]), group_Q, [everything], seed)
        assert bounds is not None
        covered += bounds[0] <= 0.65 <= bounds[1]
    assert covered / runs >= 0.85


def test_of_few_concepts_on_either_side_there_is_no_interval() -> None:
    group_Q = np.repeat(np.arange(8), 4)
    many, few = group_Q < 6, group_Q >= 6
    terms = np.ones((len(group_Q), 2))
    assert interval(share, terms, group_Q, [many], 0) == (1, 1)
    assert interval(share, terms, group_Q, [many, few], 0) is None
    assert interval(share, 0 * terms, group_Q, [many], 0) is None
