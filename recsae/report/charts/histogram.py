"""A histogram of confidence with the shuffled control over it: the counts. How they look, plots.py says."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from recsae.text.formatting import count, decimal

# Confidence over n active and n silent cases is a multiple of 1 / 2n, and n is 8, 16 or 32 in practice: sixteenths give
# every bin equally many of the possible values, where twentieths would draw a saw.
BINS = 16


@dataclass(frozen=True)
class HistogramBin:
    """One bin [lower, upper), the last one closed."""

    lower: float
    upper: float
    concepts: int
    controls: int


@dataclass(frozen=True)
class Histogram:
    bins: tuple[HistogramBin, ...]
    bar: float | None
    """What a lower bound must pass to be called interpretable."""
    concepts: int
    controls: int
    median: float | None
    median_control: float | None

    @property
    def described(self) -> str:
        """The picture in words."""
        return (
            f"{count(self.concepts)} concepts with median confidence {decimal(self.median, 2)} as bars, "
            f"{count(self.controls)} shuffled controls with median {decimal(self.median_control, 2)} as an outline. "
            "The numbers are in the table below."
        )


def histogram(confidence: Sequence[float | None], control: Sequence[float | None], bar: float | None) -> Histogram:
    """Bins over [0, 1]; nulls and values that are not finite are left out."""
    known, shuffled = _finite(confidence), _finite(control)
    counts = zip(_counts(known), _counts(shuffled), strict=True)
    return Histogram(
        bins=tuple(HistogramBin(place / BINS, (place + 1) / BINS, *both) for place, both in enumerate(counts)),
        bar=bar if bar is not None and 0 <= bar <= 1 else None,
        concepts=len(known),
        controls=len(shuffled),
        median=statistics.median(known) if known else None,
        median_control=statistics.median(shuffled) if shuffled else None,
    )


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and 0 <= value <= 1]


def _counts(values: Sequence[float]) -> list[int]:
    counts = [0] * BINS
    for value in values:
        counts[min(int(value * BINS), BINS - 1)] += 1
    return counts
