"""Calibration: the confidence told beforehand against the share of right answers, by bins of latents. How it looks,
plots.py says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recsae.text.formatting import number


class CalibrationBin(NamedTuple):
    expected: float
    right: float
    latents: int
    """Counted once for either half of their users."""


class CalibrationCurve(NamedTuple):
    error: float
    bins: tuple[CalibrationBin, ...]
    low: float
    """Where both axes start: latents gather in the upper half, and from 0 the bins would lie on top of each other."""

    @property
    def described(self) -> str:
        """The picture in words."""
        return (
            f"{len(self.bins)} bins of latents by the confidence expected, against the share of right answers. On the "
            "diagonal both are the same. The numbers are in the table below."
        )


def calibration(error: Any, bins: Sequence[Mapping[str, Any]]) -> CalibrationCurve | None:
    """What the stage measured; None where it could not, for want of latents.

    A bin without a latent, or with a figure that is not a number in [0, 1], is left out.
    """
    known = []
    for one in bins:
        expected, right, latents = (number(one.get(name)) for name in ("expected", "right", "latents"))
        if expected is not None and right is not None and latents and 0 <= expected <= 1 and 0 <= right <= 1:
            known.append(CalibrationBin(expected, right, round(latents)))
    measured = number(error)
    if measured is None or not known:
        return None
    low = min(0.5, *(math.floor(10 * value) / 10 for one in known for value in (one.expected, one.right)))
    return CalibrationCurve(measured, tuple(sorted(known)), low)
