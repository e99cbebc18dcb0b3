"""Item sets and lists against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsae.statements import item_sets
from recsae.statements.evaluation import centre
from recsae.statements.item_sets import ItemCounts
from recsae.statements.language import MAX_LISTED, MAX_SEEDS


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _drawn(seed: int, items: int = 30) -> tuple[ItemCounts, np.ndarray]:
    draw = np.random.default_rng(seed)
    total_I = draw.integers(0, 20, items).astype(float)
    fires_I = np.floor(total_I * draw.random(items))
    return ItemCounts(fires_I, total_I), _unit(draw.standard_normal((items, 4)))


def _f1(counts: ItemCounts, holds_I: np.ndarray) -> float:
    return float(2 * counts.fires_I[holds_I].sum() / (counts.total_I[holds_I].sum() + counts.fires_I.sum()))


def test_weights_are_shares_of_firing_less_shares_of_the_rest() -> None:
    counts = ItemCounts(np.array([3.0, 1, 0]), np.array([3.0, 5, 6]))
    assert counts.w_I.tolist() == pytest.approx([3 / 4 - 0, 1 / 4 - 4 / 10, -6 / 10])
    assert counts.f1(np.array([0, 1])).tolist() == pytest.approx([2 * 3 / (3 + 4), 2 * 4 / (8 + 4)])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_thresholds_are_the_best_of_all_thresholds(seed: int) -> None:
    counts, vectors = _drawn(seed)
    found = item_sets.find_set(counts, vectors)
    if found is None:
        assert not (counts.w_I > 0).any()
        return
    cosine_I = vectors @ centre(vectors, found.seeds)
    worths = [counts.w_I[cosine_I >= least].sum() for least in cosine_I]
    f1s = [_f1(counts, cosine_I >= least) for least in cosine_I]
    assert counts.w_I[cosine_I >= found.broad].sum() == pytest.approx(max(worths))
    assert _f1(counts, cosine_I >= found.narrow) == pytest.approx(max(f1s))
    assert len(found.seeds) <= MAX_SEEDS and (counts.w_I[found.seeds] > 0).all()


def test_a_region_is_found_whole_with_the_items_that_were_not_searched() -> None:
    draw = np.random.default_rng(0)
    centres = _unit(draw.standard_normal((4, 16)))
    vectors = _unit(np.repeat(centres, 25, axis=0) + 0.1 * draw.standard_normal((100, 16)))
    seen_I = np.arange(100) % 10 != 0
    total_I = 40.0 * seen_I
    fires_I = np.where(np.arange(100) < 25, 36.0, 2.0) * seen_I
    found = item_sets.find_set(ItemCounts(fires_I, total_I), vectors)
    assert found is not None
    cosine_I = vectors @ centre(vectors, found.seeds)
    assert np.flatnonzero(cosine_I >= found.broad).tolist() == list(range(25))


def test_equal_vectors_are_never_parted() -> None:
    vectors = np.array([[1, 0]] * 3 + [[0, 1]] * 3, dtype=np.float32)
    found = item_sets.find_set(ItemCounts(np.array([9.0, 9, 1, 0, 0, 0]), np.full(6, 10.0)), vectors)
    assert found is not None and 0 < found.broad < 0.9 and 0 < found.narrow < 0.9


def test_no_set_where_nothing_tells_or_nothing_has_a_vector() -> None:
    even = ItemCounts(np.full(5, 2.0), np.full(5, 4.0))
    assert item_sets.find_set(even, np.eye(5, dtype=np.float32)) is None
    telling = ItemCounts(np.array([4.0, 0, 0, 0, 0]), np.full(5, 4.0))
    assert item_sets.find_set(telling, np.zeros((5, 2), dtype=np.float32)) is None


def test_pursuit_stops_at_the_direction() -> None:
    offered = _unit(np.array([[1, 0.1], [1, -0.1], [0, 1], [-1, 0]]))
    assert sorted(item_sets.pursue(np.array([2.0, 0]), offered).tolist()) == [0, 1]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_the_most_telling_items(seed: int) -> None:
    counts, _ = _drawn(seed)
    found = item_sets.telling(counts, 5).tolist()
    positive = sorted((item for item in range(30) if counts.w_I[item] > 0), key=lambda item: (-counts.w_I[item], item))
    assert found == positive[:5]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_the_purest_items_have_the_best_f1_of_their_order(seed: int) -> None:
    counts, _ = _drawn(seed)
    found = item_sets.purest(counts)
    usual = counts.fires_I.sum() / max(counts.total_I.sum(), 1)
    rates = (counts.fires_I + 10 * usual) / (counts.total_I + 10)
    order = [item for item in np.argsort(-rates, kind="stable")[:MAX_LISTED] if counts.fires_I[item] > 0]
    f1s = counts.f1(np.array(order, dtype=np.int64)) if order else np.zeros(0)
    assert found.tolist() == order[: int(np.argmax(f1s)) + 1] if order else not len(found)
