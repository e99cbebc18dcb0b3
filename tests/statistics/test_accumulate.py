"""Both passes over one shard, and merging of shards."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from recsae.sae.attributes import Attributes
from recsae.schemas.base import PARTS, activations
from recsae.statistics import accumulate
from recsae.statistics.accumulate import (
    FirstPass,
    StatisticsPlan,
    case_hash,
    first_pass_shard,
    score_cases,
    second_pass_shard,
    smallest,
)
from recsae.store import shards

CASES, WIDTH, ITEMS, SEED = 120, 3, 9, 7
SCORE = PARTS.index("score")


def a_shard(seed: int = 0, cases: int = CASES) -> pa.Table:
    draws = np.random.default_rng(seed)
    top = draws.integers(0, ITEMS, cases)
    return pa.table(
        {
            "case_id": draws.permutation(10_000)[:cases] + 10_000 * seed,
            "user_idx": draws.integers(0, 30, cases),
            "position": np.arange(cases),
            "item_idx": draws.integers(0, ITEMS, cases),
            "top_idx": pa.array(top, mask=draws.random(cases) < 0.2),
            "part": draws.integers(0, 3, cases),
            "activation": shards.column(draws.normal(2, 1, (cases, WIDTH))),
        }
    ).cast(activations(WIDTH))


def score_rows(table: pa.Table) -> pa.Table:
    return table.filter(pa.array(table["part"].to_numpy() == SCORE))


def test_score_cases_keep_their_places_and_lack_items() -> None:
    table = a_shard()
    found, rows = score_cases(table, ["input", "recommended"]), score_rows(table)
    assert (
        found.user_B.tolist() == rows["user_idx"].to_pylist() and found.case_B.tolist() == rows["case_id"].to_pylist()
    )
    assert found.item_VB[0].tolist() == rows["item_idx"].to_pylist()
    assert found.item_VB[1].tolist() == [-1 if item is None else item for item in rows["top_idx"].to_pylist()]
    assert (found.item_VB[1] == -1).any()
    assert found.x_BD.tolist() == rows["activation"].to_pylist()


@pytest.mark.parametrize("most", [1, 10, 1000])
def test_a_look_over_shards_is_one_over_all_cases(most: int) -> None:
    tables = [a_shard(seed) for seed in range(3)]
    views = ["recommended", "input"]
    known: FirstPass = first_pass_shard(tables[0], views, ITEMS, most, SEED)
    for table in tables[1:]:
        known = known.plus(first_pass_shard(table, views, ITEMS, most, SEED))
    whole = pa.concat_tables(tables)
    rows, explain = score_rows(whole), whole.filter(pa.array(whole["part"].to_numpy() == 0))
    x = shards.vectors(explain).astype(np.float64)
    np.testing.assert_allclose(known.stream.scatter_DD, (x - x.mean(0)).T @ (x - x.mean(0)))
    for place, column in enumerate(("top_idx", "item_idx")):
        items = rows[column].to_pylist()
        assert known.cases_VI[place].tolist() == [items.count(item) for item in range(ITEMS)]
        with_item = [case for case, item in zip(rows["case_id"].to_pylist(), items, strict=True) if item is not None]
        expected = sorted(case_hash(np.array(with_item), SEED).tolist())[:most]
        assert sorted(known.drawn[place].tolist()) == expected
    other = first_pass_shard(tables[0], views, ITEMS, 5, SEED + 1)
    assert set(other.drawn[0].tolist()) != set(first_pass_shard(tables[0], views, ITEMS, 5, SEED).drawn[0].tolist())


def test_the_smallest_are_so_many_or_all() -> None:
    values = np.array([5, 3, 9, 1], dtype=np.uint64)
    assert sorted(smallest(values, 2).tolist()) == [1, 3]
    assert [smallest(values, most).tolist() for most in (4, 9)] == [values.tolist()] * 2
    assert not len(smallest(values[:0], 3))


def test_cases_up_to_the_limit_are_drawn_with_their_item() -> None:
    table = a_shard()
    rows = score_rows(table)
    hashes = case_hash(rows["case_id"].to_numpy(), SEED)
    limits = [np.sort(hashes)[12], np.uint64(0)]
    nothing = Attributes([], np.empty(0, np.int64), sparse.csr_array((ITEMS, 0)), 0)
    # Only the first view's limit lets cases through; there those without an item are left out.
    plan = StatisticsPlan(
        None, {"raw": None}, {"recommended": nothing, "input": nothing}, np.zeros(WIDTH), limits, SEED
    )  # type: ignore[arg-type]
    found = second_pass_shard(table, plan).drawn
    inside = [
        (int(h), item, x)
        for h, item, x in zip(hashes, rows["top_idx"].to_pylist(), rows["activation"].to_pylist(), strict=True)
        if item is not None and h <= limits[0]
    ]
    some = found["recommended"]
    assert list(zip(some.hash_N.tolist(), some.item_N.tolist(), some.x_ND.tolist(), strict=True)) == inside
    assert 0 < len(inside) <= 13 and not len(found["input"].hash_N)
    by_hash = accumulate._by_hash([some, found["input"]])
    assert by_hash.hash_N.tolist() == sorted(some.hash_N.tolist())
