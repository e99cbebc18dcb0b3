"""A chart's points stand where their values are, and nothing that is missing breaks it."""

from __future__ import annotations

import itertools
import math
import re

import pytest

from recsae.report.curves import HEIGHT, MARKS, STYLES, TICK_GAP, WIDTH, Curves, Level, Series, curves


def chart(*series: Series, levels: tuple[Level, ...] = ()) -> Curves:
    found = curves(series, title="Width", x_label="latents", y_label="mean best correlation", levels=levels)
    assert found is not None
    return found


def of(*points: tuple[float, float | None]) -> Series:
    return Series("topk", points)


def corners(path: str) -> list[tuple[str, float, float]]:
    found = re.findall(r"([ML])([\d.]+) ([\d.]+)", path)
    assert "".join(f"{pen}{x} {y}" for pen, x, y in found) == path
    return [(pen, float(x), float(y)) for pen, x, y in found]


def test_equal_factors_are_equal_distances_and_the_axis_is_read_off_its_ticks() -> None:
    found = chart(of((2048, 0.5), (512, 0.3), (1024, 0.45)))
    (line,) = found.lines
    assert [point.x for point in line.points] == ["512", "1,024", "2,048"]
    first, second, third = (point.at_x for point in line.points)
    assert first == found.left and third == found.right and second == pytest.approx((first + third) / 2)
    assert [(tick.at, tick.label) for tick in found.x_ticks] == [(first, "512"), (second, "1,024"), (third, "2,048")]
    heights = {float(tick.label): tick.at for tick in found.y_ticks}
    (low, bottom), (high, top) = min(heights.items()), max(heights.items())
    assert bottom == found.bottom and top == found.top and low <= 0.3 and high >= 0.5
    for point in line.points:
        assert point.y is not None
        assert point.at_y == pytest.approx(bottom + (point.y - low) / (high - low) * (top - bottom), abs=0.01)
    assert corners(line.path) == [(pen, point.at_x, point.at_y) for pen, point in zip("MLL", line.points, strict=True)]


@pytest.mark.parametrize("absent", [None, math.nan, math.inf])
def test_a_missing_figure_breaks_the_line_and_stays_among_the_points(absent: float | None) -> None:
    found = chart(of((1, 0.1), (2, 0.2), (4, absent), (8, 0.3), (16, 0.4)))
    (line,) = found.lines
    assert [pen for pen, *_ in corners(line.path)] == ["M", "L", "M", "L"]
    assert [point.y for point in line.points] == [0.1, 0.2, None, 0.3, 0.4]
    assert line.points[2].at_y is None


def test_a_point_between_missing_ones_has_a_mark_and_no_line() -> None:
    (line,) = chart(of((1, None), (2, 0.2), (4, None))).lines
    assert line.path == "" and line.points[1].at_y is not None


def test_one_point_stands_in_the_middle() -> None:
    found = chart(of((1024, 0.5)))
    (point,) = found.lines[0].points
    assert point.at_x == (found.left + found.right) / 2 and found.lines[0].path == ""
    assert point.at_y is not None and found.top < point.at_y < found.bottom
    assert [tick.label for tick in found.x_ticks] == ["1,024"]


@pytest.mark.parametrize("value", [0.0, 1.0, -0.2, 1e-7, 123456.0])
def test_a_flat_line_has_an_axis(value: float) -> None:
    found = chart(of((1, value), (10, value)))
    assert len(found.y_ticks) > 1 and len({tick.label for tick in found.y_ticks}) == len(found.y_ticks)
    assert all(point.at_y is not None and found.top <= point.at_y <= found.bottom for point in found.lines[0].points)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((0.554, 0.567), ["0.550", "0.555", "0.560", "0.565", "0.570"]),
        ((0.1, 0.9), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0.0, 0.05), ["0.00", "0.01", "0.02", "0.03", "0.04", "0.05"]),
        ((-0.1, 0.3), ["-0.1", "0.0", "0.1", "0.2", "0.3"]),
        ((3.0, 40.0), ["0", "10", "20", "30", "40"]),
    ],
)
def test_the_axis_is_round_and_starts_at_0_where_curves_stay_apart(
    values: tuple[float, float], labels: list[str]
) -> None:
    found = chart(of((1, values[0]), (2, values[1])))
    assert [tick.label for tick in found.y_ticks] == labels


def test_labels_of_ticks_do_not_touch_and_the_ends_have_theirs() -> None:
    found = chart(of(*((float(x), 0.5) for x in range(1, 60))))
    ticks = found.x_ticks
    assert (ticks[0].label, ticks[-1].label) == ("1", "59")
    assert len(ticks) > 4
    assert all(other.at - one.at >= TICK_GAP for one, other in itertools.pairwise(ticks))


def test_l1_weights_are_written_as_they_are() -> None:
    assert [tick.label for tick in chart(of((0.01, 0.5), (0.1, 0.4), (1, 0.3))).x_ticks] == ["0.01", "0.1", "1"]


def test_levels_are_on_the_same_axis_and_within_the_picture() -> None:
    found = chart(of((1, 0.5), (2, 0.6)), levels=(Level("raw", 0.31), Level("untrained", None), Level("odd", math.nan)))
    (level,) = found.levels
    assert (level.label, level.value) == ("raw", 0.31)
    lowest = max(point.at_y or 0 for point in found.lines[0].points)
    assert lowest < level.at <= found.bottom


def test_an_x_that_has_no_logarithm_is_left_out() -> None:
    (line,) = chart(of((0, 0.5), (-1, 0.4), (math.nan, 0.3), (4, 0.2))).lines
    assert [point.x for point in line.points] == ["4"]


@pytest.mark.parametrize("series", [[], [of()], [of((512, None)), of((0, 0.5))]])
def test_without_a_point_there_is_no_chart(series: list[Series]) -> None:
    assert curves(series, title="", x_label="", y_label="", levels=[Level("raw", 0.3)]) is None


def test_lines_are_told_apart_by_colour_and_mark_together() -> None:
    found = chart(*(Series(f"line {number}", [(1, 0.1), (2, 0.2)]) for number in range(STYLES * len(MARKS))))
    assert len({(line.style, line.mark) for line in found.lines}) == STYLES * len(MARKS)
    assert all(0 <= line.style < STYLES for line in found.lines)


def test_the_picture_is_told_in_words() -> None:
    told = chart(of((512, 0.3), (1024, None)), of((2048, 0.5))).described
    assert told.startswith("mean best correlation over latents from 512 to 2,048: 2 lines, from 0.300 to 0.500.")


def test_all_points_are_inside_the_view_box() -> None:
    found = chart(of((1e-6, 1e-3), (1e6, 7.77), (3, 0.02)), of((5, -2.5)))
    for line in found.lines:
        for point in line.points:
            assert 0 <= point.at_x <= WIDTH and point.at_y is not None and 0 <= point.at_y <= HEIGHT
