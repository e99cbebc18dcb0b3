"""Counts for the histogram of confidence and of its two controls; plots.py draws them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from recsae.text.formatting import count, decimal

BINS = 20


@dataclass(frozen=True)
class HistogramBin:
    """One bin [lower, upper); the last one is closed."""

    lower: float
    upper: float
    concepts: int
    controls: int
    """Statements before another latent."""
    nulls: int
    """What the search finds where activations are dealt to other users."""


@dataclass(frozen=True)
class Histogram:
    bins: tuple[HistogramBin, ...]
    bar: float | None
    """The value that the lower bound of an interpretable concept exceeds."""
    concepts: int
    controls: int
    nulls: int
    median: float | None
    median_control: float | None
    median_null: float | None

    @property
    def description(self) -> str:
        """The chart in words."""
        return (
            f"{count(self.concepts)} concepts with median confidence {decimal(self.median, 2)} as bars, "
            f"{count(self.controls)} shuffled controls with median {decimal(self.median_control, 2)} as an outline, "
            f"{count(self.nulls)} search nulls with median {decimal(self.median_null, 2)} as a dashed one. "
            "The numbers are in the table below."
        )


def histogram(
    confidence: Sequence[float | None],
    control: Sequence[float | None],
    null: Sequence[float | None],
    bar: float | None,
) -> Histogram:
    """Bins over [0, 1]; None and non-finite values are left out."""
    measured, shuffled, searched = _finite(confidence), _finite(control), _finite(null)
    counts = zip(_counts(measured), _counts(shuffled), _counts(searched), strict=True)
    return Histogram(
        bins=tuple(HistogramBin(place / BINS, (place + 1) / BINS, *each) for place, each in enumerate(counts)),
        bar=bar if bar is not None and 0 <= bar <= 1 else None,
        concepts=len(measured),
        controls=len(shuffled),
        nulls=len(searched),
        median=statistics.median(measured) if measured else None,
        median_control=statistics.median(shuffled) if shuffled else None,
        median_null=statistics.median(searched) if searched else None,
    )


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and 0 <= value <= 1]


def _counts(values: Sequence[float]) -> list[int]:
    counts = [0] * BINS
    for value in values:
        counts[min(int(value * BINS), BINS - 1)] += 1
    return counts
