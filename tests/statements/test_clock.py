"""The unit of timestamps, by their size."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.statements.clock import Clock, of_ingest, of_times
from recsae.store.run_store import Committed

BEGIN = 1_700_000_000  # November 2023


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_real_times_have_a_day(unit: int) -> None:
    assert of_times(np.array([BEGIN, BEGIN + 5]) * unit) == Clock(86_400 * unit)


def test_steps_have_an_order_but_no_day() -> None:
    assert of_times(np.arange(100)) == Clock(None)


@pytest.mark.parametrize("times", [[], [0, 0, 0]])
def test_no_clock_where_all_events_have_one_time(times: list[int]) -> None:
    assert of_times(np.array(times, dtype=np.int64)) is None


def test_the_planted_data_counts_its_events(ingested: Committed) -> None:
    assert of_ingest(ingested) == Clock(None)
