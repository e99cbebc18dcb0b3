"""Counts for the histogram of confidence and of the shuffled controls; plots.py draws them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from recsae.text.formatting import count, decimal

# Confidence over n active and n non-activating cases is a multiple of 1 / 2n, and n is 8, 16 or 32 in practice: with
# sixteenths, every bin has the same number of possible values; twentieths would give a sawtooth.
BINS = 16


@dataclass(frozen=True)
class HistogramBin:
    """One bin [lower, upper); the last one is closed."""

    lower: float
    upper: float
    concepts: int
    controls: int


@dataclass(frozen=True)
class Histogram:
    bins: tuple[HistogramBin, ...]
    bar: float | None
    """The value that the lower bound of an interpretable concept exceeds."""
    concepts: int
    controls: int
    median: float | None
    median_control: float | None

    @property
    def description(self) -> str:
        """The chart in words."""
        return (
            f"{count(self.concepts)} concepts with median confidence {decimal(self.median, 2)} as bars, "
            f"{count(self.controls)} shuffled controls with median {decimal(self.median_control, 2)} as an outline. "
            "The numbers are in the table below."
        )


def histogram(confidence: Sequence[float | None], control: Sequence[float | None], bar: float | None) -> Histogram:
    """Bins over [0, 1]; nulls and non-finite values are left out."""
    measured, shuffled = _finite(confidence), _finite(control)
    counts = zip(_counts(measured), _counts(shuffled), strict=True)
    return Histogram(
        bins=tuple(HistogramBin(place / BINS, (place + 1) / BINS, *both) for place, both in enumerate(counts)),
        bar=bar if bar is not None and 0 <= bar <= 1 else None,
        concepts=len(measured),
        controls=len(shuffled),
        median=statistics.median(measured) if measured else None,
        median_control=statistics.median(shuffled) if shuffled else None,
    )


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and 0 <= value <= 1]


def _counts(values: Sequence[float]) -> list[int]:
    counts = [0] * BINS
    for value in values:
        counts[min(int(value * BINS), BINS - 1)] += 1
    return counts
