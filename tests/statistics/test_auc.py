"""Exact AUC against scipy's Mann-Whitney U over all cases, for any split of the pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import sparse, stats

from recsae.sae import correlation
from recsae.sae.model import Sae
from recsae.statistics import auc as ranks
from recsae.statistics.accumulate import ScoreCases
from recsae.statistics.auc import (
    FiringPairs,
    auc,
    firing_pairs,
    mean_ranks,
    merge,
    partitions,
    ranges,
    rank,
    rank_sums,
    split,
)

CASES, WIDTH, LATENTS, ITEMS, BORNE = 400, 6, 15, 30, 4


def some_cases(seed: int = 0, views: int = 1) -> ScoreCases:
    """Integers, so that activations tie and are exact; a tenth has no item."""
    draw = np.random.default_rng(seed)
    x = draw.integers(-3, 4, (60, WIDTH)).astype(np.float32)[draw.integers(0, 60, CASES)]
    items = np.where(draw.random((views, CASES)) < 0.1, -1, draw.integers(0, ITEMS, (views, CASES))).astype(np.int32)
    return ScoreCases(x, np.arange(CASES), np.arange(CASES), items)


def bears() -> sparse.csr_array:
    return sparse.csr_array((np.random.default_rng(5).random((ITEMS, BORNE)) < 0.4).astype(np.float64))


@pytest.fixture
def sae(monkeypatch: pytest.MonkeyPatch) -> Sae:
    torch.manual_seed(1)
    made = Sae(WIDTH, LATENTS, "topk", 4).requires_grad_(False)
    made.W_enc.copy_(torch.randint(-4, 5, (LATENTS, WIDTH)))
    made.b_enc[3] = -100  # never fires
    made.b_enc[4] = 100  # always fires
    monkeypatch.setattr(correlation, "load_code", lambda code: code)
    return made


def dense(sae: Sae, cases: ScoreCases) -> np.ndarray:
    """`(CASES, LATENTS)` float32."""
    index, value = sae.encode(torch.from_numpy(cases.x_BD))
    whole = torch.zeros(CASES, LATENTS)
    return whole.scatter_add(1, index.long(), value).numpy()


def plain(z: np.ndarray, item: np.ndarray, latent: int, row: int) -> float:
    """AUC by scipy, over all cases with an item."""
    known = item >= 0
    borne = bears().toarray()[item[known], row] == 1
    value = z[known, latent]
    found = stats.mannwhitneyu(value[borne], value[~borne], method="asymptotic")
    return float(found.statistic / (borne.sum() * (~borne).sum()))


def all_rows() -> tuple[np.ndarray, np.ndarray]:
    latents = np.array([latent for latent in range(LATENTS) if latent != 3])
    return np.repeat(latents, BORNE), np.tile(np.arange(BORNE), len(latents))


def aucs(z: np.ndarray, item: np.ndarray, sums: np.ndarray, rows: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """AUC by the formula, with the other terms counted."""
    known = item >= 0
    borne, fires = bears().toarray()[item[known]], z[known] > 0
    both = borne.T @ fires
    latent, row = rows
    return auc(sums, both[row, latent], fires.sum(0)[latent], borne.sum(0)[row].astype(np.int64), int(known.sum()))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("most", [1, 100, 10**6])
def test_auc_is_that_of_all_cases(sae: Sae, seed: int, most: int) -> None:
    cases, rows = some_cases(seed), all_rows()
    z = dense(sae, cases)
    cuts = (slice(0, 150), slice(150, 151), slice(151, CASES))
    shards = [ScoreCases(*(column[some] for column in cases[:3]), cases.item_VB[:, some]) for some in cuts]
    parts = partitions(ranges((z > 0).sum(0), most), 2)
    dealt = [split(firing_pairs(shard, sae), [0, parts[1][0], LATENTS]) for shard in shards]
    sums = []
    for part, pieces in zip(parts, zip(*dealt, strict=True), strict=True):
        mine = slice(*np.searchsorted(rows[0], [part[0], part[-1]]))
        sums += rank(pieces, [bears()], [(rows[0][mine], rows[1][mine])], part)
    found = aucs(z, cases.item_VB[0], np.concatenate(sums), rows)
    expected = [plain(z, cases.item_VB[0], latent, row) for latent, row in zip(*rows, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(set(expected)) > BORNE  # of different latents, and the one that is always active among them
    assert (z[:, 4] > 0).all() and not (z[:, 3] > 0).any()


def test_a_latent_that_fires_for_an_attribute_alone_has_the_auc_of_its_share() -> None:
    """Half of the cases with the attribute above all others, which are all tied with the other half."""
    found = auc(np.array([1.0 + 2 + 3]), np.array([3]), np.array([3]), np.array([6]), 20)
    assert found.tolist() == pytest.approx([0.5 + 0.5 * 0.5])
    assert auc(np.array([0.0]), np.array([0]), np.array([0]), np.array([6]), 20).tolist() == [0.5]


def test_large_counts_stay_exact() -> None:
    """A billion cases, a latent that fires in a tenth of them; with Python integers."""
    cases, fires, support, both = 10**9, 10**8, 3 * 10**7, 2 * 10**7
    rank_sum = both * fires // 2 + both // 4
    twice = 2 * (rank_sum + both * (cases - fires)) + (support - both) * (cases - fires + 1) - support * (support + 1)
    exact = twice / (2 * support * (cases - support))
    found = auc(*(np.array([value]) for value in (float(rank_sum), both, fires, support)), cases)
    assert found[0] == pytest.approx(exact, rel=1e-14)


def test_mean_ranks_are_those_of_scipy() -> None:
    values = np.sort(np.random.default_rng(0).integers(0, 9, 50)).astype(np.uint64)
    assert mean_ranks(values).tolist() == stats.rankdata(values).tolist()
    assert mean_ranks(values[:0]).tolist() == [] and mean_ranks(values[:1]).tolist() == [1]


@pytest.mark.parametrize("most", [1, 7, 50, 10**6])
def test_ranges_hold_about_as_many_pairs(most: int) -> None:
    fired = np.random.default_rng(2).integers(0, 12, 200)
    bounds = ranges(fired, most)
    assert bounds[0] == 0 and bounds[-1] == len(fired) and bounds == sorted(bounds)
    assert len(bounds) - 1 == max(2, -(-int(fired.sum()) // most))
    held = [fired[start:stop].sum() for start, stop in itertools.pairwise(bounds)]
    assert sum(held) == fired.sum() and max(held) <= max(most, fired.sum() / 2) + fired.max()


@pytest.mark.parametrize("fired", [[0, 0, 0], [5], [0, 9, 0]])
def test_ranges_of_little(fired: list[int]) -> None:
    bounds = ranges(np.array(fired), 4)
    assert bounds[0] == 0 and bounds[-1] == len(fired) and len(bounds) > 2 and bounds == sorted(bounds)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_partitions_are_runs_of_ranges(number: int) -> None:
    bounds = [0, 3, 3, 8, 20, 21]
    found = partitions(bounds, number)
    assert len(found) == number
    assert [*itertools.chain.from_iterable(itertools.pairwise(part) for part in found)] == [*itertools.pairwise(bounds)]


def test_pairs_are_sorted_by_latent_and_activation(sae: Sae) -> None:
    cases = some_cases(views=2)
    found, z = firing_pairs(cases, sae), dense(sae, cases)
    latent = (found.key_N >> np.uint64(32)).astype(int)
    value = (found.key_N & np.uint64(2**32 - 1)).astype(np.uint32).view(np.float32)
    expected = sorted((h, z[row, h]) for row, h in zip(*np.nonzero(z), strict=True))
    assert list(zip(latent.tolist(), value.tolist(), strict=True)) == [(h, float(v)) for h, v in expected]
    # Every pair with the items of its case, in both views.
    rows = sorted((h, float(z[row, h]), *cases.item_VB[:, row].tolist()) for row, h in zip(*np.nonzero(z), strict=True))
    assert sorted(zip(latent.tolist(), value.tolist(), *found.item_VN.tolist(), strict=True)) == rows


def test_splitting_loses_nothing() -> None:
    key = np.array([0, 5, 2**32, 3 * 2**32 + 1, 3 * 2**32 + 2], dtype=np.uint64)
    pairs = FiringPairs(key, np.arange(10, dtype=np.int32).reshape(2, 5))
    found = split(pairs, [0, 1, 1, 3, 4])
    assert [piece.key_N.tolist() for piece in found] == [[0, 5], [], [2**32], key[3:].tolist()]
    assert found[3].item_VN.tolist() == [[3, 4], [8, 9]]
    again = merge([found[3], found[0], found[1], found[2]])
    assert again.key_N.tolist() == key.tolist() and again.item_VN.tolist() == pairs.item_VN.tolist()


def test_no_rows_are_no_work() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert not len(rank_sums(np.empty(0, np.uint64), np.empty(0, np.int32), bears(), empty, empty))


def test_pieces_of_a_partition_stay_out_of_the_drivers_memory() -> None:
    """Ray inlines results below 100 KB; a partition has one piece per split task."""
    assert ranks.MAX_PAIRS / ranks.MAX_SPLIT_TASKS * 12 > 100_000 and ranks.MAX_SORTED_PAIRS < ranks.MAX_PAIRS <= 2**24
