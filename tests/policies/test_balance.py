"""Figures of a balance against loops over cases and slots."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from recsae.data.chunks import Chunk
from recsae.policies.balance import (
    CaseFacts,
    ConceptShares,
    GroupGap,
    PopularityGap,
    ShareShortfall,
    case_facts,
    common_figures,
    count_spec,
    head_items,
    ndcg,
    sums,
)

ITEMS, CASES, VARIANTS = 30, 50, 3
DRAW = np.random.default_rng(0)
POPULARITY = DRAW.integers(0, 100, ITEMS)
HAS = DRAW.random((ITEMS, 4)) < 0.3
RANK = DRAW.integers(1, 25, (VARIANTS, CASES))
TOP = np.stack([DRAW.permutation(ITEMS)[:10] for _ in range(VARIANTS * CASES)]).reshape(VARIANTS, CASES, 10)
TOP[:, :5, 7:] = -1  # users who have seen nearly every item
GROUP = DRAW.integers(0, 4, CASES)  # 3: none
HEADS = DRAW.random((CASES, 2))


def table() -> np.ndarray:
    spec = count_spec(POPULARITY, sparse.csr_array(HAS.astype(float)), np.zeros(1), 3)
    rows = DRAW.permutation(CASES)
    facts = CaseFacts(GROUP, HEADS)
    halves = [rows[:20], rows[20:]]
    return np.sum([sums(spec, facts, some, list(RANK[:, some]), list(TOP[:, some])) for some in halves], axis=0)


def test_head_items_hold_half_of_the_events() -> None:
    found = head_items(np.array([5, 1, 9, 5, 0, 0]))  # 20 events: 9, then the first 5
    assert found.tolist() == [True, False, True, False, False, False]
    assert head_items(np.array([9, 1])).tolist() == [True, False]
    kept = head_items(POPULARITY)
    assert POPULARITY[kept].sum() >= POPULARITY.sum() / 2 > POPULARITY[kept].sum() - POPULARITY[kept].min()


def test_ranks_and_popularity_equal_a_loop() -> None:
    found = common_figures(table())
    for variant in range(VARIANTS):
        gains = [1 / np.log2(1 + rank) if rank <= 10 else 0 for rank in RANK[variant]]
        items = [item for item in TOP[variant].ravel() if item >= 0]
        assert found["ndcg@10"][variant] == pytest.approx(np.mean(gains)) == pytest.approx(ndcg(table())[variant])
        assert found["hr@10"][variant] == pytest.approx(np.mean(RANK[variant] <= 10))
        assert found["popularity"][variant] == pytest.approx(np.mean(POPULARITY[items]))
        assert found["head share"][variant] == pytest.approx(np.mean(head_items(POPULARITY)[items]))


def test_the_popularity_gap_is_relative_to_choices() -> None:
    found = PopularityGap().figures(table())
    for variant in range(VARIANTS):
        items = [item for item in TOP[variant].ravel() if item >= 0]
        gap = abs(np.mean(head_items(POPULARITY)[items]) - HEADS[:, 0].mean())
        assert found["gap"][variant] == pytest.approx(gap)
        assert found["head share of histories"][variant] == pytest.approx(HEADS[:, 1].mean())


def test_the_gap_between_groups_is_over_pairs_and_concepts() -> None:
    for variant in range(VARIANTS):
        shares = []
        for group in range(3):  # users in no group do not count
            items = [item for item in TOP[variant][group == GROUP].ravel() if item >= 0]
            shares.append(HAS[items].mean(0))
        gaps = [np.abs(one - other).mean() for one, other in itertools.combinations(shares, 2)]
        assert GroupGap().figures(table())["gap"][variant] == pytest.approx(np.mean(gaps))


def test_shares_of_concepts_and_their_shortfall() -> None:
    found = ConceptShares(("a", "b", "c", "d")).figures(table())
    items = [item for item in TOP[1].ravel() if item >= 0]
    assert [float(of[1]) for of in found.values()] == pytest.approx(HAS[items].mean(0))
    share = [float(of[0]) for of in found.values()]
    lacking = ShareShortfall(tuple(share), (2 * share[0], 0.5 * share[1], share[2], 2 * share[3]))
    assert float(lacking.figures(table())["gap"][0]) == pytest.approx(0.75)  # the third is at its target
    there = table()[0] * 1.0
    there[:, -4] *= 1.5
    there[:, -3] *= 0.4
    assert float(lacking.figures(there)["gap"]) == pytest.approx((0.5 + 0.03 * 0.2 + 0 + 1) / 4)


def test_case_facts_cover_the_history_before_the_case() -> None:
    popularity = np.array([10, 0, 10, 0])
    chunk = Chunk(np.array([4, 6]), np.array([0, 4, 6]), np.array([0, 1, 3, 2, 1, 0]), np.zeros(6, np.int8))
    cases = pa.table({"user_idx": [4, 4, 6], "position": [1, 3, 1], "target_idx": [1, 2, 0]})
    group_U = np.array([0, 0, 0, 0, 1, 0, -1])
    found = case_facts(count_spec(popularity, None, group_U, 2), chunk, cases)
    assert found.group_C.tolist() == [1, 1, 2]
    heads = head_items(popularity).tolist()
    assert heads == [True, False, False, False]
    assert found.head_C2.tolist() == [[0, 1], [0, pytest.approx(1 / 3)], [1, 0]]
