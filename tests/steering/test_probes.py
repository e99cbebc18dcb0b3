"""Directions from means, against numpy on the whole table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from recsae.schemas.base import PARTS, activations
from recsae.steering.probes import Means, probes, shard_means
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit
from tests.sae.fake_ray import without_ray

WIDTH, ITEMS, CASES, CONCEPTS = 6, 30, 400, 4


def bears_IC() -> np.ndarray:
    """Concept 2 is borne by all items, concept 3 by an item that no case has."""
    draw = np.random.default_rng(1)
    bears = np.stack([np.arange(ITEMS) % 3 == 0, draw.random(ITEMS) < 0.5, np.ones(ITEMS), np.arange(ITEMS) == 29], 1)
    return bears.astype(np.int64)


def cases() -> pa.Table:
    """Vectors off centre; a tenth of the cases have no recommended item."""
    draw = np.random.default_rng(0)
    top = draw.integers(0, 29, CASES)
    return pa.table(
        {
            "case_id": np.arange(CASES), "user_idx": np.arange(CASES), "position": np.ones(CASES, np.int32),
            "item_idx": draw.integers(0, 29, CASES), "top_idx": pa.array(top, mask=draw.random(CASES) < 0.1),
            "part": draw.integers(0, 3, CASES).astype(np.int8),
            "activation": shards.column(draw.standard_normal((CASES, WIDTH)) + 5 + (top % 3 == 0)[:, None]),
        }
    ).cast(activations(WIDTH))  # fmt: skip


def by_hand(table: pa.Table, view: str) -> np.ndarray:
    rows = [row for row in table.to_pylist() if row["part"] == PARTS.index("explain")]
    rows = [row for row in rows if row[view] is not None]
    found_CD = np.zeros((CONCEPTS, WIDTH))
    for concept, bears_I in enumerate(bears_IC().T):
        on = [row["activation"] for row in rows if bears_I[row[view]]]
        off = [row["activation"] for row in rows if not bears_I[row[view]]]
        if on and off:
            apart_D = np.mean(on, axis=0) - np.mean(off, axis=0)
            found_CD[concept] = apart_D / np.linalg.norm(apart_D)
    return found_CD


@pytest.fixture
def committed(commit: Commit) -> Committed:
    def write(out: Attempt) -> Metrics:
        for number, start in enumerate(range(0, CASES, 150)):
            shards.write(out.data, f"shards/{number}.arrow", cases()[start : start + 150], activations(WIDTH))
        return {}

    return commit("activations", write)


@pytest.mark.parametrize(("view", "column"), [("recommended", "top_idx"), ("input", "item_idx")])
def test_directions_are_differences_of_means(
    view: str, column: str, committed: Committed, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    found_CD = probes(committed, view, sparse.csr_array(bears_IC()))
    assert found_CD.dtype == np.float32
    np.testing.assert_allclose(found_CD, by_hand(cases(), column), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found_CD, axis=1), [1, 1, 0, 0], atol=1e-6)


def test_the_two_views_differ() -> None:
    assert np.abs(by_hand(cases(), "top_idx") - by_hand(cases(), "item_idx")).max() > 0.1


def test_shards_add_up() -> None:
    bears, table = sparse.csr_array(bears_IC()), cases()
    whole = shard_means(table, "recommended", bears)
    parts = [shard_means(table[start : start + 90], "recommended", bears) for start in range(0, CASES, 90)]
    for order in (parts, parts[::-1]):
        total = order[0]
        for part in order[1:]:
            total = total.plus(part)
        assert (total.cases, total.bearing_C.tolist()) == (whole.cases, whole.bearing_C.tolist())
        np.testing.assert_allclose(total.total_CD, whole.total_CD)
        np.testing.assert_allclose(total.total_D, whole.total_D)
        np.testing.assert_allclose(total.directions(), whole.directions(), atol=1e-6)


def test_a_shard_without_an_explain_case_is_nothing() -> None:
    table = cases().filter(pa.compute.not_equal(cases()["part"], PARTS.index("explain")))
    found = shard_means(table, "recommended", sparse.csr_array(bears_IC()))
    assert found.cases == 0 and not found.total_CD.any() and not found.directions().any()


def test_means_that_are_the_same_have_no_direction() -> None:
    found = Means(4, np.array([4.0, 8.0]), np.array([1]), np.array([[1.0, 2.0]]))
    assert found.directions().tolist() == [[0, 0]]
