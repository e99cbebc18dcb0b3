"""AUC, counts and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.stats.classification import LEAST_USERS, ConfusionCounts, auc, auc_error, count, interval, youden


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_all_pairs_with_ties_half(seed: int) -> None:
    draw = np.random.default_rng(seed)
    value, active = draw.integers(0, 6, 40).astype(float), draw.random(40) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in value[active] for b in value[~active]]
    assert auc(value, active) == pytest.approx(np.mean(pairs))


def test_auc_needs_both_kinds() -> None:
    assert auc(np.ones(3), np.ones(3, bool)) is None
    assert auc(np.ones(3), np.zeros(3, bool)) is None
    assert auc(np.array([2.0, 1.0]), np.array([True, False])) == 1


def test_counts_and_their_ratios() -> None:
    judged = np.array([1, 1, 0, 1, 0, 0, 0], bool)
    active = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    found = count(judged, active)
    assert found == ConfusionCounts(tp=2, fp=1, tn=3, fn=1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.true_negative_rate == pytest.approx(3 / 4)
    assert found.f1 == pytest.approx(2 / 3)
    assert found.confidence == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_ratios_of_nothing_are_none() -> None:
    nothing = ConfusionCounts(0, 0, 0, 0)
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.confidence) == (None, None, None, None)
    assert ConfusionCounts(0, 0, 4, 2).precision is None and ConfusionCounts(0, 0, 4, 2).recall == 0
    assert ConfusionCounts(3, 0, 0, 1).confidence is None and ConfusionCounts(0, 1, 3, 0).confidence is None


def judgements(users: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    active = np.arange(users) % 2 == 0
    judged = np.where(draw.random(users) < 0.75, active, ~active)
    return judged, active, np.arange(users)


def test_the_interval_holds_the_estimate_and_repeats_by_seed() -> None:
    judged, active, user = judgements(40)
    found = interval(judged, active, user, 1000, 3)
    assert found is not None
    assert found == interval(judged, active, user, 1000, 3) != interval(judged, active, user, 1000, 4)
    estimate = count(judged, active).confidence
    assert estimate is not None and 0 <= found[0] < estimate < found[1] <= 1
    # The normal approximation of two proportions of 20 each.
    rates = [judged[active].mean(), 1 - judged[~active].mean()]
    deviation = np.sqrt(sum(rate * (1 - rate) / 20 for rate in rates)) / 2
    assert found[1] - found[0] == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_the_interval_is_that_of_users_drawn_one_by_one() -> None:
    """Against plain loops over the same draws: users with several cases, of either kind or of one."""
    draw = np.random.default_rng(1)
    user, active, judged = draw.integers(0, 25, 60) * 7, draw.random(60) < 0.5, draw.random(60) < 0.6
    users = np.unique(user)
    times = np.random.default_rng(9).multinomial(len(users), np.full(len(users), 1 / len(users)), size=200)
    found = []
    for drawn in times:
        cases = [
            case
            for one, often in zip(users, drawn, strict=True)
            for case in np.flatnonzero(user == one)
            for _ in range(often)
        ]
        hits = [judged[case] for case in cases if active[case]]
        misses = [not judged[case] for case in cases if not active[case]]
        found.append((np.mean(hits) + np.mean(misses)) / 2)
    assert interval(judged, active, user, 200, 9) == pytest.approx(tuple(np.percentile(found, [2.5, 97.5])))


def test_users_are_resampled_and_not_cases() -> None:
    """Four times the cases of the same users are no more evidence; of four times the users they are."""
    judged, active, user = judgements(40)
    repeated = [np.repeat(column, 4) for column in (judged, active, user)]
    plain = interval(judged, active, user, 2000, 0)
    same_users = interval(repeated[0], repeated[1], repeated[2], 2000, 0)
    more_users = interval(repeated[0], repeated[1], np.arange(160), 2000, 0)
    assert plain and same_users and more_users
    assert same_users == pytest.approx(plain)
    assert more_users[1] - more_users[0] == pytest.approx((plain[1] - plain[0]) / 2, rel=0.2)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(200):
        found = interval(*judgements(64, seed), 300, seed)
        inside += found is not None and found[0] <= 0.75 <= found[1]
    assert 175 <= inside <= 200


def test_few_users_give_no_interval() -> None:
    """A few right answers would resample to a lower bound of 1."""
    nobody = np.zeros(0, bool)
    assert interval(nobody, nobody, np.zeros(0, int), 100, 0) is None
    active = np.arange(40) < 20
    assert interval(active, active, np.arange(40) // 20, 100, 0) is None  # all active cases of one user
    few = np.arange(40) < LEAST_USERS - 1
    assert interval(few, few, np.arange(40), 100, 0) is None
    assert interval(~few, ~few, np.arange(40), 100, 0) is None
    enough = np.arange(40) < LEAST_USERS
    assert interval(enough, enough, np.arange(40), 100, 0) == (1, 1)
    assert interval(active, np.ones(40, bool), np.arange(40), 100, 0) is None


def test_the_standard_error_of_an_auc_is_that_of_repeated_draws() -> None:
    """Exponential values, the distribution that the formula holds for."""
    draw = np.random.default_rng(0)
    active = np.arange(40) < 25
    drawn = [auc(draw.exponential(np.where(active, 3.0, 1.0)), active) for _ in range(4000)]
    found = np.array(drawn, dtype=np.float64)
    assert auc_error(float(found.mean()), 25, 15) == pytest.approx(found.std(), rel=0.05)
    assert auc_error(1.0, 8, 8) == 0


def test_youdens_j_is_the_best_threshold() -> None:
    value = np.array([3.0, 2.0, 1.0, 0.0, 2.5])
    active = np.array([True, True, False, False, False])
    # Above 1: both active ones and one of three others.
    assert youden(value, active) == pytest.approx(2 / 3)
    assert youden(-value, active) == 0
    assert youden(value, np.ones(5, dtype=bool)) is None
