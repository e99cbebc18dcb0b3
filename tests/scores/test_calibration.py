"""The expected confidence on unseen cases, and its calibration."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.scores.calibration import MIN_LATENTS, calibrate, expected_confidence, user_halves
from recsae.scores.evaluation import Prediction
from recsae.stats.classification import ConfusionCounts

NOBODY = np.zeros(0, dtype=bool)


def observed(rate_L: np.ndarray, cases: int, draw: np.random.Generator) -> list[ConfusionCounts]:
    """Counts of latents with `cases` active and `cases` non-activating cases, answered right at the given rates."""
    hits, passes = draw.binomial(cases, rate_L), draw.binomial(cases, rate_L)
    return [
        ConfusionCounts(int(tp), cases - int(tn), int(tn), cases - int(tp)) for tp, tn in zip(hits, passes, strict=True)
    ]


def test_the_posterior_mean_under_the_prior_that_was_planted() -> None:
    """Two clusters, compared with Bayes' rule under the true prior, by hand."""
    draw = np.random.default_rng(0)
    high = draw.random(4000) < 0.3
    counts = observed(np.where(high, 0.95, 0.55), 8, draw)
    right = np.array([one.tp + one.tn for one in counts])
    weight = {rate: share * rate**right * (1 - rate) ** (16 - right) for rate, share in ((0.95, 0.3), (0.55, 0.7))}
    truth = sum(rate * one for rate, one in weight.items()) / sum(weight.values())
    found = expected_confidence(counts)
    assert np.abs(found - truth).mean() < 0.015
    confidence = right / 16
    assert (
        np.abs(found - np.where(high, 0.95, 0.55)).mean() < np.abs(confidence - np.where(high, 0.95, 0.55)).mean() / 2
    )


def test_identical_latents_get_the_same_expectation() -> None:
    """They differ by luck alone: the best of 500 coins is a coin."""
    found = expected_confidence(observed(np.full(500, 0.5), 16, np.random.default_rng(1)))
    assert found.min() > 0.46 and found.max() < 0.54


def test_more_cases_are_shrunk_less() -> None:
    draw = np.random.default_rng(2)
    others = observed(draw.beta(8, 8, 500), 16, draw)
    few, many = ConfusionCounts(7, 1, 7, 1), ConfusionCounts(70, 10, 70, 10)
    found = expected_confidence([*others, few, many])
    assert 0.55 < found[-2] < found[-1] < 0.875


def test_without_cases_nothing_is_expected() -> None:
    found = expected_confidence([ConfusionCounts(0, 1, 4, 0), ConfusionCounts(6, 1, 4, 1), ConfusionCounts(0, 0, 0, 0)])
    assert np.isnan(found[[0, 2]]).all() and 0.7 < found[1] < 0.9
    assert expected_confidence([]).shape == (0,) and np.isnan(expected_confidence([ConfusionCounts(0, 0, 0, 0)])).all()


def predictions(rate_L: np.ndarray, cases: int, draw: np.random.Generator, drift: float = 0.0) -> list[Prediction]:
    """Half the cases are active; for users of the second half the rate is lower by `drift`."""
    found = []
    for rate in rate_L:
        user, active = draw.integers(0, 5000, 2 * cases), np.arange(2 * cases) % 2 == 0
        right = draw.random(2 * cases) < rate - drift * user_halves(user, 0)
        found.append(Prediction("llm", 0.0, active == right, active, user, right * 1.0, NOBODY, NOBODY))
    return found


@pytest.mark.parametrize("clusters", [(0.95, 0.55), (0.97, 0.97), (0.5, 0.5)])
def test_the_expectation_holds_on_the_other_half(clusters: tuple[float, float]) -> None:
    draw = np.random.default_rng(3)
    rate_L = np.where(draw.random(400) < 0.4, *clusters)
    found = calibrate(predictions(rate_L, 16, draw), 0)
    assert found.error is not None and found.error < 0.03
    assert sum(one["latents"] for one in found.bins) == 800
    assert min(one["latents"] for one in found.bins) >= 2 * MIN_LATENTS
    expectations = [one["expected"] for one in found.bins]
    assert expectations == sorted(expectations)
    by_hand = sum(abs(one["expected"] - one["right"]) * one["latents"] for one in found.bins) / 800
    assert found.error == pytest.approx(by_hand)


def test_a_confidence_that_does_not_generalise_shows_as_error() -> None:
    draw = np.random.default_rng(4)
    found = calibrate(predictions(np.full(200, 0.9), 32, draw, drift=0.3), 0)
    assert found.error is not None and found.error > 0.2
    # Each half predicts the other: one overestimates as much as the other underestimates.
    assert abs(sum((one["expected"] - one["right"]) * one["latents"] for one in found.bins)) / 400 < 0.01


def test_few_latents_are_one_bin_and_none_are_no_error() -> None:
    draw = np.random.default_rng(5)
    assert [one["latents"] for one in calibrate(predictions(np.full(6, 0.8), 16, draw), 0).bins] == [12]
    assert calibrate([], 0) == (None, [])
    one_sided = Prediction("llm", 0.0, np.ones(9, bool), np.ones(9, bool), np.arange(9), np.ones(9), NOBODY, NOBODY)
    assert calibrate([one_sided], 0).error is None


def test_users_are_split_consistently_by_the_seed() -> None:
    users = np.arange(10_000, dtype=np.int32)
    first = user_halves(users, 0)
    assert set(first.tolist()) == {0, 1} and abs(first.mean() - 0.5) < 0.02
    np.testing.assert_array_equal(user_halves(users[::-1], 0), first[::-1])
    assert abs((user_halves(users, 1) == first).mean() - 0.5) < 0.02
