"""Calibration: what is measured is kept, and nothing that is odd."""

from __future__ import annotations

from typing import Any

import pytest

from recsae.report.sections.calibration import calibration

BINS = [{"expected": 0.9, "right": 0.9, "latents": 4}, {"expected": 0.55, "right": 0.7, "latents": 16}]


@pytest.mark.parametrize(("right", "low"), [(0.7, 0.5), (0.31, 0.3)])
def test_axes_start_at_a_half_or_at_a_lower_bin(right: float, low: float) -> None:
    found = calibration(0.05, [*BINS, {"expected": 0.5, "right": right, "latents": 1}])
    assert found is not None and found.low == low
    assert [one.expected for one in found.bins] == [0.5, 0.55, 0.9]


@pytest.mark.parametrize("error", [None, "x", float("nan")])
def test_without_an_error_there_is_no_picture(error: Any) -> None:
    assert calibration(error, BINS) is None


@pytest.mark.parametrize(
    "odd",
    [{}, {"expected": 0.5}, {"expected": 0.5, "right": None, "latents": 3}, BINS[0] | {"latents": 0}]
    + [BINS[0] | {"right": value} for value in (float("nan"), 1.2, True)],
)
def test_an_odd_bin_is_left_out(odd: dict[str, Any]) -> None:
    assert calibration(0.05, [odd]) is None
    found = calibration(0.05, [*BINS, odd])
    assert found is not None and len(found.bins) == 2
