"""Weights by hash against Poisson(1), sums against their formula, and draws with replacement against numpy's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recsae.stats.bootstrap import POISSON, interval, resampled_sums, weighted_sums, weights
from recsae.stats.ranking_metrics import count, count_by_user


def test_a_user_has_the_same_weights_everywhere() -> None:
    users = np.random.default_rng(0).permutation(5000).astype(np.int32)
    whole = weights(users, 30, 7)
    assert whole.shape == (5000, 30)
    assert (weights(users[100:200], 30, 7) == whole[100:200]).all()
    assert (weights(np.sort(users), 30, 7) == whole[np.argsort(users)]).all()
    assert (weights(users, 9, 7) == whole[:, :9]).all()
    assert (weights(users, 30, 8) != whole).mean() > 0.5


def test_weights_are_poisson() -> None:
    """Its mean and variance are 1, and users and resamples go their own ways."""
    assert POISSON.mean() == pytest.approx(1, abs=1e-4) and POISSON.var() == pytest.approx(1, abs=1e-3)
    found = weights(np.arange(4000, dtype=np.int32), 400, 3).astype(np.float64)
    shares = np.bincount(found.astype(int).ravel(), minlength=5)[:5] / found.size
    assert shares == pytest.approx([math.exp(-1) / math.factorial(k) for k in range(5)], abs=2e-3)
    assert found.mean() == pytest.approx(1, abs=3e-3) and found.var() == pytest.approx(1, abs=6e-3)
    assert found.mean(0).std() == pytest.approx(1 / 4000**0.5, rel=0.15)
    assert found.mean(1).std() == pytest.approx(1 / 400**0.5, rel=0.15)
    for across in (np.corrcoef(found[:, :40].T), np.corrcoef(found[:40])):
        assert np.abs(across - np.eye(40)).max() < 5 / len(found[0]) ** 0.5


def test_weighted_sums_are_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsae.stats.bootstrap.DRAWS_AT_ONCE", 100)
    draw = np.random.default_rng(0)
    users, values = np.repeat(np.arange(40), 3), draw.integers(0, 9, (120, 5))
    found = weighted_sums(values, users, 11, 2)
    assert found[0].tolist() == values.sum(0).tolist()
    assert found[1:].tolist() == (weights(users, 11, 2).T.astype(int) @ values).tolist()
    assert weighted_sums(values, users, 0, 2).tolist() == [values.sum(0).tolist()]
    assert weighted_sums(values[:0], users[:0], 4, 2).tolist() == np.zeros((5, 5)).tolist()


def test_weighted_sums_of_counts_do_not_depend_on_the_order_of_chunks() -> None:
    draw = np.random.default_rng(0)
    users, ranks = np.repeat(np.arange(300), 2), draw.geometric(0.05, 600)
    _, counts = count_by_user(ranks, users)
    assert counts.sum(0).tolist() == count(ranks).tolist()
    whole = weighted_sums(counts, np.arange(300), 50, 1)
    parts = [weighted_sums(counts[rows], np.arange(300)[rows], 50, 1) for rows in (slice(90), slice(90, 300))]
    assert (parts[1] + parts[0] == whole).all() and (whole == whole.astype(int)).all()


def test_an_interval_passes_over_what_is_no_number() -> None:
    assert interval(np.array([np.nan, 1, 2, 3, np.nan])) == pytest.approx([1.05, 2.95])
    assert interval(np.array([np.nan])) == [0, 0]


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_groups_are_drawn_with_replacement(kind: type[np.generic]) -> None:
    sums = np.random.default_rng(1).integers(0, 50, (23, 4)).astype(kind)
    draws = np.random.default_rng(5).multinomial(23, np.full(23, 1 / 23), 300)
    assert (draws.sum(1) == 23).all()
    assert (resampled_sums(sums, 300, 5) == draws @ sums).all()


def test_an_interval_is_the_middle_95_percent_to_the_bit() -> None:
    values = np.random.default_rng(0).normal(size=(50, 997))
    for one in values:
        assert interval(one) == np.percentile(one, [2.5, 97.5]).tolist()
