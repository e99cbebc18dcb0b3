"""The fidelity table: metrics of the unweighted sums, paired intervals, and missing rows."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.recommenders.ranking import EditComparison
from recsae.sae.accumulators import ActiveCounts, Bootstrap, ChunkSums, ShardSums, chunk_sums
from recsae.sae.fidelity_metrics import fidelity_table, fvu
from recsae.stats.ranking_metrics import count, figures, intervals

DRAWS = Bootstrap(500, 1)
USERS = 300


def vectors(resamples: int = DRAWS.resamples) -> ShardSums:
    """One case per user, of width 2; the first edit leaves about a tenth of the variance, the second about all."""
    draw = np.random.default_rng(0)
    x = draw.normal([3, -1], [1, 2], (USERS, 2))
    away = np.square(x - x.mean(0)).sum(1)
    error = away * draw.exponential([[0.1], [1]], (2, USERS))
    values = np.stack([np.ones(USERS), np.square(x).sum(1), *error, *x.T], axis=1)
    weight = np.concatenate([np.ones((1, USERS)), draw.poisson(1, (resamples, USERS))])
    return ShardSums(weight @ values, np.arange(USERS).repeat(2), {"sae": ActiveCounts(USERS, np.array([5, 0]))}, {})


def ranks(resamples: int = DRAWS.resamples) -> tuple[EditComparison, ChunkSums]:
    """The edit moves a few targets out of reach."""
    draw = np.random.default_rng(1)
    clean = draw.geometric(0.06, USERS)
    edited = np.where(draw.random(USERS) < 0.1, 90, clean)
    ten = np.full(USERS, 10)
    of = EditComparison(np.arange(USERS), clean, ten, {"sae": clean, "pca": edited}, {"sae": ten, "pca": ten - 3})
    return of, chunk_sums(of, Bootstrap(resamples, 1))


def test_fvu_is_about_the_mean_of_the_same_weights() -> None:
    draw = np.random.default_rng(0)
    x, weight = draw.normal(50, 1, (40, 3)), draw.poisson(1, (6, 40))
    error = draw.random((40, 2))
    found = fvu(weight @ np.concatenate([np.ones((40, 1)), np.square(x).sum(1, keepdims=True), error, x], axis=1), 2)
    for row, drawn in enumerate(weight):
        again = np.repeat(x, drawn, axis=0)
        variance = np.square(again - again.mean(0)).sum()
        np.testing.assert_allclose(found[row], np.repeat(error, drawn, axis=0).sum(0) / variance, rtol=1e-8)


def test_fvu_of_no_variance_is_no_number() -> None:
    assert np.isnan(fvu(np.zeros((1, 5)), 1)).all()
    same = np.full((4, 2), 0.1)
    sums = np.concatenate([np.ones((4, 1)), np.square(same).sum(1, keepdims=True), np.ones((4, 1)), same], axis=1)
    assert np.isnan(fvu(sums.sum(0)[None], 1)).all()


def test_rows_are_the_figures() -> None:
    of, summed = ranks()
    found = fidelity_table(["sae", "pca"], vectors(), summed)
    assert list(found.rows) == ["clean", "sae", "pca"]
    assert (found.cases, found.users) == (USERS, USERS)
    clean, edited = figures(count(of.clean_C)), figures(count(of.edited["pca"]))
    for name, value in clean.items():
        assert found.rows["clean"][name] == found.rows["sae"][name] == value
        assert found.rows["pca"][name] == edited[name]
        assert found.rows["pca"][f"{name}_kept"] == pytest.approx(edited[name] / value)
        assert found.rows["clean"][f"{name}_interval"] == intervals(summed.sum_SRK[1:, 0, :-1])[name]
    assert found.rows["sae"]["ndcg@10_kept"] == found.rows["sae"]["top10_overlap"] == 1
    assert found.rows["sae"]["ndcg@10_kept_interval"] == [1, 1]
    assert found.rows["pca"]["top10_overlap"] == pytest.approx(0.7)
    assert found.rows["sae"]["fvu"] == pytest.approx(0.1, rel=0.2) and found.rows["pca"]["fvu"] == pytest.approx(
        1, rel=0.2
    )
    assert set(found.rows["clean"]) == {*clean, *(f"{name}_interval" for name in clean)}


def test_every_figure_lies_in_its_interval() -> None:
    found = fidelity_table(["sae", "pca"], vectors(), ranks()[1])
    for row in found.rows.values():
        for name, value in row.items():
            if not name.endswith("_interval"):
                low, high = row[f"{name}_interval"]  # type: ignore[misc]
                assert low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)  # type: ignore[operator]


def test_what_is_kept_is_known_more_closely_than_unpaired() -> None:
    _, summed = ranks()
    kept = fidelity_table(["sae", "pca"], vectors(), summed).rows["pca"]["ndcg@10_kept_interval"]
    turned = np.concatenate(
        [summed.sum_SRK[:1], summed.sum_SRK[:0:-1]]
    )  # the edit's resamples meet others of the clean
    apart = summed.sum_SRK.copy()
    apart[:, 1:] = turned[:, 1:]
    unpaired = fidelity_table(["sae", "pca"], vectors(), ChunkSums(apart, USERS)).rows["pca"]["ndcg@10_kept_interval"]
    assert kept[1] - kept[0] < 0.6 * (unpaired[1] - unpaired[0])  # type: ignore[index]


def test_without_resamples_there_are_no_intervals() -> None:
    found = fidelity_table(["sae", "pca"], vectors(0), ranks(0)[1])
    assert not any("interval" in name for row in found.rows.values() for name in row)
    assert found.rows["pca"]["ndcg@10_kept"] > 0.5  # type: ignore[operator]


def test_without_ranking_there_is_fvu_alone() -> None:
    found = fidelity_table(["sae", "pca"], vectors(), None)
    assert list(found.rows) == ["sae", "pca"] and (found.cases, found.users) == (USERS, USERS)
    assert all(list(row) == ["fvu", "fvu_interval"] for row in found.rows.values())
    assert found.active["sae"].l0 == 5 / USERS


def test_a_clean_model_that_finds_nothing_has_nothing_to_keep() -> None:
    far, none = np.full(9, 70), np.zeros(9, dtype=np.int64)
    summed = chunk_sums(EditComparison(np.arange(9), far, none, {"sae": far}, {"sae": none}), Bootstrap(20, 0))
    row = fidelity_table(["sae"], ShardSums(np.zeros((21, 3)), none, {}, {}), summed).rows["sae"]
    assert row["hr@10_kept"] == row["top10_overlap"] == row["fvu"] == 0 and row["hr@10_kept_interval"] == [0, 0]
