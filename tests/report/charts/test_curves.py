"""A chart's lines have what is there and break where nothing is, and each can be told from the others."""

from __future__ import annotations

import math

import pytest

from recsae.report.charts.curves import MARKS, STYLES, Curves, Level, Series, curves


def chart(*series: Series, levels: tuple[Level, ...] = ()) -> Curves:
    found = curves(series, title="Width", x_label="latents", y_label="mean best correlation", levels=levels)
    assert found is not None
    return found


def of(*points: tuple[float, float | None]) -> Series:
    return Series("topk", points)


def test_points_go_by_x_and_say_it_as_it_is() -> None:
    (line,) = chart(of((2048, 0.5), (0.01, 0.2), (1024, 0.45))).lines
    assert [(point.x, point.y) for point in line.points] == [("0.01", 0.2), ("1,024", 0.45), ("2,048", 0.5)]


@pytest.mark.parametrize("absent", [None, math.nan, math.inf])
def test_a_missing_figure_stays_among_the_points(absent: float | None) -> None:
    (line,) = chart(of((1, 0.1), (2, 0.2), (4, absent), (8, 0.3))).lines
    assert [point.y for point in line.points] == [0.1, 0.2, None, 0.3]


def test_an_x_that_has_no_logarithm_is_left_out() -> None:
    (line,) = chart(of((0, 0.5), (-1, 0.4), (math.nan, 0.3), (4, 0.2))).lines
    assert [point.x for point in line.points] == ["4"]


def test_levels_are_those_that_were_measured() -> None:
    found = chart(of((1, 0.5)), levels=(Level("raw", 0.31), Level("untrained", None), Level("odd", math.nan)))
    assert found.levels == (("raw", 0.31),)


@pytest.mark.parametrize("series", [[], [of()], [of((512, None)), of((0, 0.5))]])
def test_without_a_point_there_is_no_chart(series: list[Series]) -> None:
    assert curves(series, title="", x_label="", y_label="", levels=[Level("raw", 0.3)]) is None


def test_lines_are_told_apart_by_colour_and_mark_together() -> None:
    found = chart(*(Series(f"line {number}", [(1, 0.1), (2, 0.2)]) for number in range(STYLES * len(MARKS))))
    assert len({(line.style, line.mark) for line in found.lines}) == STYLES * len(MARKS)
    assert all(0 <= line.style < STYLES for line in found.lines)


def test_the_picture_is_told_in_words() -> None:
    told = chart(of((512, 0.3), (1024, None)), of((2048, 0.5))).description
    assert told.startswith("mean best correlation over latents from 512 to 2,048: 2 lines, from 0.300 to 0.500.")
