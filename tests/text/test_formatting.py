"""A figure is written for people, and what is no figure as a dash."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recsae.text.formatting import (
    DASH,
    binary_size,
    count,
    decimal,
    duration,
    figure,
    fine_share,
    interval,
    listed,
    look_up,
    percent,
    plain,
    share,
    short,
    signed_share,
    with_interval,
)


def test_an_odd_figure_is_a_dash() -> None:
    assert count("many") == decimal(float("nan")) == share(1, 0) == duration(None) == count(True) == plain(None) == "—"
    assert share(1, 8) == "12.5\u00a0%"
    assert [duration(s) for s in (9.96, 75, 3725)] == [
        "10.0\u00a0s",
        "1\u00a0min 15\u00a0s",
        "1\u00a0h 2\u00a0min 05\u00a0s",
    ]


def test_a_change_has_its_sign_and_a_small_share_its_digits() -> None:
    changes = [signed_share(value) for value in (0.0121, -0.1536, -0.0004, 0, None, math.nan)]
    assert changes == ["+1.2\u00a0%", "\u221215.4\u00a0%", "±0.0\u00a0%", "±0.0\u00a0%", "—", "—"]
    shares = [fine_share(value) for value in (0.2956, 0.01, 0.0036, 0.000404, 0, None, math.inf)]
    assert shares == ["29.6\u00a0%", "1.0\u00a0%", "0.36\u00a0%", "0.040\u00a0%", "0.0\u00a0%", "—", "—"]


def test_a_number_of_the_page_is_cut_short() -> None:
    odd = [math.nan, math.inf, None, True, "0.123456", 123456]
    assert [short(value) for value in odd] == [None, None, None, True, "0.123456", 123456]
    assert [short(value, 3) for value in (0.123456, 1.0, 35.3333, 0.00012345, 1234.5)] == [
        0.123,
        1,
        35.3,
        0.000123,
        1230,
    ]
    assert [str(short(value)) for value in (2.0, 1e300, -0.5)] == ["2", "1e+300", "-0.5"]


def test_a_setting_is_as_a_config_has_it() -> None:
    assert [plain(value) for value in (0, 4294967295, 0.0016, 0.1, 1.0, 0.00113137)] == [
        "0",
        "4294967295",
        "0.0016",
        "0.1",
        "1",
        "0.001131",
    ]


def test_an_interval_has_two_ends() -> None:
    assert interval([0.91104, 1.0], 4) == "[0.9110, 1.0000]"
    assert interval((0.911, 1.004), 1, 100) == "[91.1, 100.4]"


@pytest.mark.parametrize("odd", [None, [], [0.1], [0.1, None], [0.1, math.nan], [0.1, 0.2, 0.3], "ab", {"low": 1}])
def test_an_odd_interval_is_none(odd: Any) -> None:
    assert interval(odd, 3) == ""


def test_what_is_not_there_is_empty() -> None:
    assert look_up({"a": {"b": 1}}, "a", "b") == 1
    assert look_up({"a": [1]}, "a", "b") is look_up({}, "a") is None
    assert listed([{"a": 1}, None, "b"]) == [{"a": 1}]
    assert listed(None) == listed({"a": 1}) == []


def test_a_share_in_the_terminal_has_a_plain_space() -> None:
    assert [percent(value) for value in (0.5, 0, None, math.nan)] == ["50.0 %", "0.0 %", DASH, DASH]
    assert percent(0.12345, 2) == "12.35 %"


def test_a_figure_stands_before_its_interval() -> None:
    assert with_interval(0.8, 0.734, 0.861) == "0.80 [0.73, 0.86]"
    assert with_interval(0.8, None, None) == "0.80"
    assert with_interval(None, 0.1, 0.2) == DASH


@pytest.mark.parametrize(
    ("value", "said"), [(12345, "12,345"), (1234.5, "1,234"), (0.03512, "0.0351"), (3.0, "3"), (-2500.6, "-2,501")]
)
def test_a_count_is_whole_and_any_other_figure_has_three_digits(value: float, said: str) -> None:
    assert figure(value) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1536, "1.5 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (2**30, "1.0 GiB"),
        (3 * 2**50, "3,072.0 TiB"),
    ],
)
def test_bytes_take_the_largest_unit_that_fits(count: int, said: str) -> None:
    assert binary_size(count) == said
