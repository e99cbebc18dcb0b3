"""Figures against their formulas, and intervals against numpy's plain bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recsae.stats.bootstrap import weighted_sums
from recsae.stats.ranking_metrics import (
    CUTOFFS,
    DEEPEST,
    count,
    count_by_user,
    figures,
    intervals,
    resample,
)

NOBODY = np.zeros(DEEPEST + 1, dtype=np.int64)


def test_figures_are_the_formulas() -> None:
    ranks = np.random.default_rng(2).integers(1, 70, 500)
    counts = count(ranks)
    assert counts.sum() == 500 and len(counts) == DEEPEST + 1
    found = figures(counts)
    for k in CUTOFFS:
        assert found[f"hr@{k}"] == pytest.approx(np.mean(ranks <= k))
        assert found[f"ndcg@{k}"] == pytest.approx(np.mean([1 / math.log2(1 + r) if r <= k else 0 for r in ranks]))


def test_no_cases_give_zeros() -> None:
    empty = np.array([], dtype=np.int64)
    assert count(empty).tolist() == NOBODY.tolist()
    assert figures(NOBODY)["ndcg@10"] == 0
    resampled = resample(empty, empty, 7, np.random.default_rng(0))
    assert resampled.shape == (7, DEEPEST + 1) and intervals(resampled)["hr@5"] == [0, 0]


def test_the_point_lies_within_its_interval() -> None:
    draw = np.random.default_rng(0)
    ranks = draw.geometric(0.05, 400)
    found, resampled = figures(count(ranks)), resample(ranks, np.arange(400), 1000, draw)
    for name, (low, high) in intervals(resampled).items():
        assert low < found[name] < high and high - low < 0.12


def test_one_user_has_no_spread() -> None:
    ranks = np.array([3, 1, 80])
    resampled = resample(ranks, np.zeros(3, dtype=np.int32), 200, np.random.default_rng(0))
    assert (resampled.sum(1) == 0).any()  # he is not always drawn, and such resamples say nothing
    for name, bounds in intervals(resampled).items():
        assert bounds == pytest.approx([figures(count(ranks))[name]] * 2)


def test_intervals_are_those_of_the_plain_bootstrap() -> None:
    """One case a user, and up to six: users are drawn, not cases."""
    draw = np.random.default_rng(1)
    for most in (1, 6):
        user = np.repeat(np.arange(300), draw.integers(1, most + 1, 300))
        taste = draw.uniform(0.01, 0.4, 300)
        ranks = draw.geometric(taste[user])
        resampled = resample(ranks, user, 4000, np.random.default_rng(2))
        per_user = np.stack([count(ranks[user == one]) for one in range(300)])
        plain = draw.multinomial(300, np.full(300, 1 / 300), 4000) @ per_user
        for name, (low, high) in intervals(plain).items():
            width = high - low
            assert intervals(resampled)[name] == pytest.approx([low, high], abs=0.08 * width)


def test_cases_of_a_user_are_drawn_together() -> None:
    ranks = np.concatenate([np.full(50, 1), np.full(50, 90)])
    apart = resample(ranks, np.arange(100), 1000, np.random.default_rng(0))
    together = resample(ranks, np.repeat(np.arange(4), 25), 1000, np.random.default_rng(0))
    low, high = intervals(apart)["hr@5"]
    assert 0.15 < high - low < 0.25
    assert intervals(together)["hr@5"] == [0, 1]
    assert (together % 25 == 0).all()


def test_every_user_has_a_mean_weight_of_one_and_its_variance() -> None:
    weights = resample(np.repeat([1, 2, 60], 100), np.arange(300), 5000, np.random.default_rng(0))[:, [0, 1, DEEPEST]]
    assert weights.mean(0) == pytest.approx([100] * 3, rel=0.01)
    assert weights.var(0) == pytest.approx([100] * 3, rel=0.1)
    assert np.abs(np.corrcoef(weights.T) - np.eye(3)).max() < 0.05


def test_few_draws_at_once_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks, user = np.random.default_rng(0).integers(1, 60, 200), np.repeat(np.arange(50), 4)
    whole = resample(ranks, user, 100, np.random.default_rng(0))
    monkeypatch.setattr("recsae.stats.ranking_metrics.DRAWS_AT_ONCE", 130)
    assert (resample(ranks, user, 100, np.random.default_rng(0)) == whole).all()


def test_weighted_intervals_are_those_of_resample() -> None:
    ranks, users = np.random.default_rng(0).geometric(0.05, 1000), np.repeat(np.arange(500), 2)
    named, counts = count_by_user(ranks, users)
    by_hash = intervals(weighted_sums(counts, named, 4000, 5)[1:])
    for name, plain in intervals(resample(ranks, users, 4000, np.random.default_rng(0))).items():
        assert by_hash[name] == pytest.approx(plain, abs=0.08 * (plain[1] - plain[0]))
