"""What the timestamps of the events are: real times, steps of an unknown unit, or nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsae.data.chunks import read_chunk
from recsae.store.run_store import Committed

SECONDS_A_DAY = 86_400
UNITS = (1, 1_000, 1_000_000, 1_000_000_000)
"""Units of a second: seconds, milliseconds, microseconds (what ingest makes of dates), nanoseconds."""
EARLIEST, LATEST = 315_532_800, 4_102_444_800
"""Seconds since 1970 at the beginning of 1980 and of 2100, between which real times lie."""


class Clock(NamedTuple):
    """How to read timestamps."""

    per_day: int | None
    """Units of a day since 1970, UTC; None where the unit is not known."""


def of_ingest(ingested: Committed) -> Clock | None:
    """The clock of the data, by the first range of users; None where all events have the same timestamp."""
    times = read_chunk(ingested, 0, with_times=True).times
    return of_times(times) if times is not None else None


def of_times(times: np.ndarray) -> Clock | None:
    """The clock of these timestamps: the unit in which their median is a time between 1980 and 2100."""
    if not len(times) or times.min() == times.max():
        return None
    median = float(np.median(times))
    for unit in UNITS:
        if EARLIEST <= median / unit < LATEST:
            return Clock(SECONDS_A_DAY * unit)
    return Clock(None)
