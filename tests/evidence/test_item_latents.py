"""Items of latents and latents of items against plain loops, in any order of shards."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsae.errors import BadInput
from recsae.evidence import item_latents
from recsae.evidence.item_latents import FIXED_POINT, MIN_FOR_LIFT, ItemLatentSums, PairAccumulator
from recsae.schemas.concepts import ITEM_LATENTS, LATENT_ITEMS
from recsae.store.run_store import Attempt, RunStore

ITEMS, LATENTS, FIRST = 12, 7, 4
Case = tuple[int, dict[int, float]]


def cases(count: int = 400) -> list[Case]:
    """An item, -1 for some, and the latents that fire; activations of few values, so that there are ties."""
    draw = np.random.default_rng(3)
    made = []
    for _ in range(count):
        fires = draw.choice(LATENTS, int(draw.integers(0, 4)), replace=False, p=np.arange(1, 8) / 28)
        values = np.float32(draw.choice([0.1, 0.25, 1 / 3, 7.5], len(fires)))
        item = int(draw.choice(ITEMS + 1, p=np.arange(1, ITEMS + 2) / 91)) - 1
        made.append((item, dict(zip(fires.tolist(), values.tolist(), strict=True))))
    return made


def summed(shard: list[Case], block: int = 50) -> ItemLatentSums:
    sums = PairAccumulator()
    for start in range(0, len(shard), block):
        part = shard[start : start + block]
        rows = [(row, latent, value) for row, (_, fires) in enumerate(part) for latent, value in fires.items()]
        row, latent, value = zip(*rows, strict=True) if rows else ((), (), ())
        columns = np.array(row, dtype=np.int64), np.array(latent, dtype=np.int32), np.array(value, dtype=np.float32)
        sums.add(np.array([item for item, _ in part], dtype=np.int32), *columns)
    return sums.total()


def attempt(folder: Path) -> Attempt:
    store = RunStore(str(folder), "test")
    return store.attempt("evidence", "f", store.lease("evidence", "f", 20))


def written(folder: Path, shards: list[ItemLatentSums], memory_gb: float = 1.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    out = attempt(folder)
    with item_latents.item_latent_tables(memory_gb) as views:
        for pairs in shards:
            views.add(pairs)
        views.write(out, FIRST)
    tables = [out.data.read_table(f"{name}.parquet") for name in ("latent_items", "item_latents")]
    assert [table.schema for table in tables] == [LATENT_ITEMS, ITEM_LATENTS]
    return tables[0].to_pandas(), tables[1].to_pandas()


def in_shards(made: list[Case], sizes: list[int]) -> list[ItemLatentSums]:
    stops = np.cumsum(sizes)
    assert stops[-1] == len(made)
    return [summed(made[stop - size : stop]) for size, stop in zip(sizes, stops, strict=True)]


def test_the_tables_are_those_of_plain_loops(tmp_path: Path) -> None:
    made = cases()
    of_latents, of_items = written(tmp_path, in_shards(made, [150, 1, 249]))
    known = [(item, fires) for item, fires in made if item >= 0]
    per_item = Counter(item for item, _ in known)
    count: Counter[tuple[int, int]] = Counter()
    strength: Counter[tuple[int, int]] = Counter()
    for item, fires in known:
        for latent, value in fires.items():
            count[latent, item] += 1
            strength[latent, item] += round(value * FIXED_POINT)  # Python integers
    assert max(strength.values()) > 2**32
    expected = set()
    for latent in range(LATENTS):
        items = [item for other, item in count if other == latent]
        fires = sum(count[latent, item] for item in items)
        lift = {item: Fraction(count[latent, item] * len(known), fires * per_item[item]) for item in items}
        ranks = (
            sorted(items, key=lambda item: (-count[latent, item], item)),
            sorted(items, key=lambda item: (-strength[latent, item], item)),
            sorted(
                (item for item in items if count[latent, item] >= MIN_FOR_LIFT), key=lambda item: (-lift[item], item)
            ),
        )
        listed = {item for rank in ranks for item in rank[:FIRST]}
        rows = of_latents[of_latents.latent == latent].set_index("item_idx")
        assert rows.index.tolist() == sorted(listed)
        for item in listed:
            row = rows.loc[item]
            assert row.activations == count[latent, item]
            assert row.strength == strength[latent, item] / FIXED_POINT
            assert row.lift == pytest.approx(float(lift[item]), rel=1e-12)
            for name, rank in zip(("rank_activations", "rank_strength", "rank_lift"), ranks, strict=True):
                place = rank.index(item) if item in rank[:FIRST] else None
                assert math.isnan(row[name]) if place is None else row[name] == place
        expected |= listed
    assert of_latents.rank_lift.notna().sum() < of_latents.rank_strength.notna().sum()  # some are too rare for lift
    for item in range(ITEMS):
        latents = sorted((other for other, of in count if of == item), key=lambda one: (-strength[one, item], one))
        rows = of_items[of_items.item_idx == item]
        assert rows.latent.tolist() == latents[:FIRST]
        assert rows["rank"].tolist() == list(range(len(rows)))
        assert rows.activations.tolist() == [count[latent, item] for latent in latents[:FIRST]]
        assert rows.strength.tolist() == [strength[latent, item] / FIXED_POINT for latent in latents[:FIRST]]
    assert of_items.item_idx.is_monotonic_increasing and of_latents.latent.is_monotonic_increasing


@pytest.mark.parametrize("seed", range(4))
def test_the_order_and_the_size_of_shards_change_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    made = cases()
    first = written(tmp_path / "whole", [summed(made)])
    draw = np.random.default_rng(seed)
    shuffled = [made[place] for place in draw.permutation(len(made))]
    monkeypatch.setattr(item_latents, "_MIN_PAIRS", 10)
    monkeypatch.setattr(item_latents, "_MIN_ROWS", 25)
    second = written(tmp_path / "parts", in_shards(shuffled, [100, 1, 99, 150, 50]))
    for one, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_where_nothing_fires_the_tables_are_empty(tmp_path: Path) -> None:
    of_latents, of_items = written(tmp_path, [summed([(1, {}), (-1, {2: 1.0})])])
    assert of_latents.empty and of_items.empty


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    pair = draw.permutation(4_000_000)
    whole = np.ones(len(pair), dtype=np.int64)
    pairs = ItemLatentSums(
        (pair // 2000).astype(np.int32), (pair % 2000).astype(np.int32), whole, whole, whole[:0], whole[:0]
    )
    with pytest.raises(BadInput, match=r"resources.ingest_memory_gb = 0.002 is too little"):
        written(tmp_path, [pairs], memory_gb=0.002)
