"""Counts by item and by bin of made-up shards, against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsae.statements import counting
from recsae.statements.behaviour import About
from recsae.statements.counting import BINS, CountingPlan
from recsae.statements.reading import ReadingPlan
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed
from tests.statements.made import fires, random_shard

N_ITEMS, LATENTS, NULLS = 6, 3, 2


def reading_plan(has_history: bool = True, seed: int = 0) -> ReadingPlan:
    """A plan for shards that are handed in."""
    nowhere = cast(Committed, None)
    about = About(np.zeros(N_ITEMS), np.zeros((N_ITEMS, 1), np.float32), {}, None)
    return ReadingPlan(nowhere, nowhere, Folder(str(Path())), LATENTS, about, np.arange(NULLS), has_history, seed)


def _plan(values: np.ndarray) -> CountingPlan:
    return CountingPlan(reading_plan(), {"pace": counting.bins_of(values)}, N_ITEMS)


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_plain_loops(seed: int) -> None:
    draw = np.random.default_rng(seed)
    shards = [random_shard(draw, 40, N_ITEMS, LATENTS + NULLS) for _ in range(2)]
    plan = _plan(shards[0].cases.behaviour["pace"])
    counts = counting.count_cases(shards[0], plan).plus(counting.count_cases(shards[1], plan))
    assert counts.cases == 80
    for latent in range(LATENTS + NULLS):
        fires_B = np.concatenate([fires(shard, latent) for shard in shards])
        assert counts.fires_H[latent] == fires_B.sum()
        for view, found in counts.views.items():
            events = [_events(shard.cases, view) for shard in shards]
            flat = [of_case for shard in events for of_case in shard]
            for item in range(N_ITEMS):
                assert found.total_I[item] == sum(of.count(item) for of in flat)
                assert found.fires_IH[item, latent] == sum(
                    of.count(item) for of, fired in zip(flat, fires_B, strict=True) if fired
                )
        pace_B = np.concatenate([shard.cases.behaviour["pace"] for shard in shards])
        bin_B = counting.bin_of(pace_B, plan.bins["pace"])
        for number in range(BINS):
            assert counts.total_FQ[0, number] == (bin_B == number).sum()
            assert counts.fires_FQH[0, number, latent] == (fires_B & (bin_B == number)).sum()
    assert set(counts.views) == {"recommended", "last", "history"}


def _events(cases: counting.Cases, view: str) -> list[list[int]]:
    if view == "history":
        return [[item for item in row if item >= 0] for row in cases.history_BL.tolist()]
    return [[item] if item >= 0 else [] for item in cases.of_view(view).tolist()]


def test_a_case_that_is_an_item_has_one_view_and_no_behaviour() -> None:
    shard = random_shard(np.random.default_rng(0), 20, N_ITEMS, LATENTS + NULLS)
    counts = counting.count_cases(shard, CountingPlan(reading_plan(has_history=False), {}, N_ITEMS))
    assert set(counts.views) == {"item"} and counts.fires_FQH.shape[0] == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 60) | st.just(None), max_size=200))
def test_bins_part_all_values_at_values_that_occur(drawn: list[int | None]) -> None:
    values = np.array([np.nan if value is None else value for value in drawn], dtype=np.float64)
    parted, seen = counting.bins_of(values), values[~np.isnan(values)]
    bin_B = counting.bin_of(values, parted)
    assert ((bin_B == -1) == np.isnan(values)).all() and (bin_B < BINS).all()
    for number in range(len(parted.lows)):
        assert seen[bin_B[~np.isnan(values)] == number].max() == parted.highs[number]
        assert seen[bin_B[~np.isnan(values)] == number + 1].min() == parted.lows[number]
