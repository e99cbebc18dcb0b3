"""Prepares the calibration chart: expected confidence against the share of right answers, by bins of latents. plots.py
draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recsae.text.formatting import number


class CalibrationBin(NamedTuple):
    expected: float
    right: float
    latents: int
    """Each latent counts once per half of its users."""


class CalibrationCurve(NamedTuple):
    error: float
    bins: tuple[CalibrationBin, ...]
    low: float
    """Start of both axes: latents concentrate in the upper half, so the bins would overlap on axes from 0."""

    @property
    def description(self) -> str:
        """The chart in words."""
        return (
            f"{len(self.bins)} bins of latents: expected confidence against the share of right answers. On the "
            "diagonal both are equal. The numbers are in the table below."
        )


def calibration(error: Any, bins: Sequence[Mapping[str, Any]]) -> CalibrationCurve | None:
    """The chart of what the stage measured; None if there were too few latents.

    Bins without latents, or with a value outside [0, 1], are left out.
    """
    valid = []
    for one in bins:
        expected, right, latents = (number(one.get(name)) for name in ("expected", "right", "latents"))
        if expected is not None and right is not None and latents and 0 <= expected <= 1 and 0 <= right <= 1:
            valid.append(CalibrationBin(expected, right, round(latents)))
    measured = number(error)
    if measured is None or not valid:
        return None
    low = min(0.5, *(math.floor(10 * value) / 10 for one in valid for value in (one.expected, one.right)))
    return CalibrationCurve(measured, tuple(sorted(valid)), low)
