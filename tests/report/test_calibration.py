"""The picture of calibration: where a confidence holds the dot lies on the diagonal."""

from __future__ import annotations

from typing import Any

import pytest

from recsae.report.calibration import LARGEST, calibration

BINS = [{"expected": 0.9, "right": 0.9, "latents": 4}, {"expected": 0.55, "right": 0.7, "latents": 16}]


def test_a_bin_that_holds_lies_on_the_diagonal() -> None:
    found = calibration(0.05, BINS)
    assert found is not None
    above, holds = found.bins
    assert (above.expected, holds.expected) == (0.55, 0.9)
    width, height = found.right - found.left, found.bottom - found.top
    assert (holds.at_x - found.left) / width == pytest.approx((found.bottom - holds.at_y) / height, abs=1e-3) == 0.8
    assert (found.bottom - above.at_y) / height > (above.at_x - found.left) / width
    assert above.radius == LARGEST > holds.radius


def test_low_bins_widen_the_picture() -> None:
    found = calibration(0.05, [*BINS, {"expected": 0.5, "right": 0.31, "latents": 1}])
    assert found is not None
    assert [tick.label for tick in found.x_ticks] == ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1"]
    assert all(found.left <= one.at_x <= found.right and found.top <= one.at_y <= found.bottom for one in found.bins)


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
