"""Pictures: what stands where is read back off the axes, and nothing in them is the page's enemy."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from recsae.report.charts import plots
from recsae.report.charts.curves import MARKS, STYLES, Level, Series, curves
from recsae.report.charts.histogram import histogram
from recsae.report.charts.steering_curves import pictures
from recsae.report.sections.calibration import calibration
from recsae.text import html
from tests.report.charts.test_steering_curves import steered, step
from tests.report.concepts_table import HOSTILE
from tests.report.drawn import Drawn
from tests.report.sections.test_calibration import BINS

CSS = (Path(html.__file__).parent / "static" / "base.css").read_text()
CONFIDENCE = ([0.03, 0.5, 0.53, 0.53, 1.0, None], [0.5, 0.51], [0.46, 0.46, 0.46])
STEPS = (
    step(0.25, 0.3, -0.02, probe=0.25, probe_ndcg=-0.05),
    step(0.5, 0.5, -0.2, probe=0.55, probe_ndcg=-0.3),
)


def of_confidence() -> str:
    return plots.histogram(histogram(*CONFIDENCE, 0.61))


def of_calibration() -> str:
    found = calibration(0.05, BINS)
    assert found is not None
    return plots.calibration(found)


def of_sweep(*series: Series, levels: tuple[Level, ...] = (), title: str = "Width", number: int = 1) -> str:
    series = series or (Series("topk", [(512, 0.3), (1024, 0.45), (2048, 0.5)]),)
    found = curves(series, title=title, x_label="latents", y_label="mean best correlation", levels=levels)
    assert found is not None
    return plots.curves(found, number)


def of_turning(concept: str = "Sci-Fi", number: int = 1) -> str:
    (found,) = pictures([steered(*STEPS, concept=concept)])
    return plots.steering(found, number)


ALL = (of_confidence, of_calibration, of_sweep, of_turning)


@pytest.mark.parametrize("make", ALL)
def test_a_picture_is_one_with_a_title_and_scales_and_asks_nothing_of_the_policy(make: Callable[[], str]) -> None:
    text = make()
    root = Drawn(text).root
    assert root.get("role") == "img" and "viewBox" in root.attrib and not {"width", "height"} & set(root.attrib)
    ids = {element.get("id"): element.tag for element in root.iter() if "id" in element.attrib}
    assert [ids[name] for name in root.attrib["aria-labelledby"].split()] == ["title", "desc"] and len(ids) == 2
    below = {name for element in root.iter() if element is not root for name in element.attrib}
    assert not {name for name in below if name.startswith(("aria", "on", "font", "xmlns")) or name in ("style", "role")}
    assert not re.search(r"url\(|href|<image|<style|<script|clip", text)
    assert make() == text


@pytest.mark.parametrize("make", ALL)
def test_every_colour_is_one_of_both_schemes(make: Callable[[], str]) -> None:
    colours = {one.get(name) for one in Drawn(make()).root.iter() for name in ("fill", "stroke")} - {None, "none"}
    assert colours
    for colour in colours:
        name = re.fullmatch(r"var\((--[a-z]+(?:-\d)?)\)", str(colour))
        assert name and len(re.findall(rf"{name[1]}: #", CSS)) == 2


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_text(hostile: str) -> None:
    series = Series(hostile, [(1, 0.1), (2, 0.2)])
    for text, clean in (
        (of_turning(hostile), of_turning()),
        (of_sweep(series, title=hostile), of_sweep(Series("topk", series.points))),
    ):
        assert re.findall(r"<[/\w]+", text) == re.findall(r"<[/\w]+", clean)
        assert hostile.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in text


def test_pictures_of_one_page_share_no_id() -> None:
    texts = of_sweep(number=1), of_sweep(number=2), of_turning(number=1), of_turning(number=2)
    ids = [name for text in texts for name in re.findall(r'id="(.*?)"', text)]
    assert len(ids) == len(set(ids)) == 8


@pytest.mark.slow
def test_only_the_stage_that_draws_imports_the_library() -> None:
    code = (
        "import recsae.pipeline.runner, recsae.report.stage, sys; "
        "sys.exit(bool({'altair', 'vl_convert'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bars_stair_and_bar_stand_at_their_values() -> None:
    made = Drawn(of_confidence())
    bars = [shape.corners for shape in made.shapes(fill="var(--concept)")]
    tops = {int(sum(x for x, _ in bar) / len(bar) * 20): max(y for _, y in bar) for bar in bars}
    assert {place: height for place, height in tops.items() if height > 0.1} == pytest.approx(
        {0: 1, 10: 3, 19: 1}, abs=0.02
    )
    (stair,) = made.shapes(stroke="var(--control)")
    assert max(y for _, y in stair.corners) == pytest.approx(2, abs=0.02)
    assert {round(x, 2) for x, y in stair.corners if y > 1.9} == {0.5, 0.55}
    (null,) = made.shapes(stroke="var(--quiet)", stroke_dasharray="2,3")
    assert max(y for _, y in null.corners) == pytest.approx(3, abs=0.02)
    assert {round(x, 2) for x, y in null.corners if y > 2.9} == {0.45, 0.5}
    (rule,) = made.shapes(stroke="var(--ink)")
    assert [x for x, _ in rule.corners] == pytest.approx([0.61, 0.61], abs=0.002)


@pytest.mark.parametrize(
    ("latents", "labels"),
    [(1, "0 1"), (5, "0 1 2 3 4 5"), (7, "0 1 2 3 4 5 6 7"), (4321, "0 1,000 2,000 3,000 4,000 5,000")],
)
def test_counts_are_whole(latents: int, labels: str) -> None:
    made = Drawn(plots.histogram(histogram([0.5] * latents, [0.5], [], None)))
    assert " ".join(one.text for one in made.y_labels) == labels


def test_a_bin_that_holds_lies_on_the_diagonal_and_many_latents_are_a_large_dot() -> None:
    made = Drawn(of_calibration())
    (diagonal,) = made.shapes(stroke="var(--ink)")
    assert diagonal.corners[0] == pytest.approx((0.5, 0.5), abs=0.005) and diagonal.corners[-1] == pytest.approx(
        (1, 1), abs=0.005
    )
    above, holds = made.shapes(fill="var(--concept)")
    assert above.at == pytest.approx((0.55, 0.7), abs=0.005) and holds.at == pytest.approx((0.9, 0.9), abs=0.005)
    assert above.told == "expected 0.550, right 0.700, 16 latents"
    width = [max(x for x, _ in one.corners) - min(x for x, _ in one.corners) for one in (above, holds)]
    assert width[0] == pytest.approx(2 * width[1], rel=0.05)


def test_equal_factors_are_equal_distances() -> None:
    made = Drawn(of_sweep())
    assert [one.text for one in made.x_labels] == ["512", "1,024", "2,048"]
    first, second, third = (one.at[0] for one in made.x_labels)
    assert second == pytest.approx((first + third) / 2, abs=0.1)
    marks = made.shapes(fill="var(--series-0)")
    assert [mark.told for mark in marks] == ["topk, 512: 0.300", "topk, 1,024: 0.450", "topk, 2,048: 0.500"]
    assert [mark.at[1] for mark in marks] == pytest.approx([0.3, 0.45, 0.5], abs=0.003)
    (line,) = made.shapes(stroke="var(--series-0)")
    assert [y for _, y in line.corners] == pytest.approx([0.3, 0.45, 0.5], abs=0.003)


def test_a_missing_figure_breaks_the_line_and_a_point_alone_has_its_mark() -> None:
    made = Drawn(of_sweep(Series("topk", [(1, 0.1), (2, 0.2), (4, None), (8, 0.3), (16, None), (32, 0.4), (64, 0.5)])))
    (line,) = made.shapes(stroke="var(--series-0)")
    assert line.breaks == 3
    assert [mark.told for mark in made.shapes(fill="var(--series-0)")][2] == "topk, 8: 0.300"
    assert len(made.shapes(fill="var(--series-0)")) == 5


@pytest.mark.parametrize("value", [0.0, 1.0, -0.2, 1e-7, 123456.0])
@pytest.mark.parametrize("places", [(1024,), (1, 10)])
def test_a_flat_line_and_a_point_are_inside_and_have_an_axis(value: float, places: tuple[float, ...]) -> None:
    made = Drawn(of_sweep(Series("topk", [(place, value) for place in places])))
    assert made.y_labels and [one.text for one in made.x_labels] == [f"{place:,}" for place in places]
    assert len(made.shapes(fill="var(--series-0)")) == len(places)
    assert_inside(made)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((0.554, 0.567), ["0.554", "0.556", "0.558", "0.560", "0.562", "0.564", "0.566", "0.568"]),
        ((0.1, 0.9), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((-0.1, 0.3), ["\u22120.1", "0.0", "0.1", "0.2", "0.3"]),
        ((3.0, 40.0), ["0", "10", "20", "30", "40"]),
    ],
)
def test_the_axis_is_round_and_starts_at_0_where_curves_stay_apart(
    values: tuple[float, float], labels: list[str]
) -> None:
    made = Drawn(of_sweep(Series("topk", [(1, values[0]), (2, values[1])])))
    assert [one.text for one in made.y_labels] == labels


def test_labels_of_a_crowded_axis_have_room_on_a_phone() -> None:
    made = Drawn(of_sweep(Series("topk", [(float(x), 0.5) for x in range(1, 60)])))
    places = [one.at[0] for one in made.x_labels]
    assert len(places) > 4 and made.x_labels[0].text == "1"
    assert min(other - one for one, other in itertools.pairwise(places)) >= plots.SPACED


def test_a_level_is_on_the_same_axis() -> None:
    made = Drawn(of_sweep(levels=(Level("raw", 0.31), Level("untrained", None))))
    (level,) = made.shapes(stroke="var(--ink)")
    assert [y for _, y in level.corners] == pytest.approx([0.31, 0.31], abs=0.003)


def test_lines_are_told_apart_by_colour_and_mark_together() -> None:
    series = [Series(f"line {number}", [(1, 0.1), (2, 0.2)]) for number in range(STYLES * len(MARKS))]
    made = Drawn(of_sweep(*series))
    marks = [(one.element.get("fill"), one.element.get("d")) for one in made.shapes(stroke="var(--sheet)")]
    assert len(marks) == 2 * len(series) and len(set(marks)) == len(series)


def test_turns_are_read_off_the_axes() -> None:
    made = Drawn(of_turning())
    expected = {"0": [(-0.02, 0.3), (-0.2, 0.5)], "1": [(-0.05, 0.25), (-0.3, 0.55)]}
    for style, places in expected.items():
        marks = made.shapes(fill=f"var(--series-{style})")
        (line,) = made.shapes(stroke=f"var(--series-{style})")
        found = [*(mark.at for mark in marks), *line.corners]
        for at, place in zip(found, [*places, (0, 0.1), *places], strict=True):
            assert at == pytest.approx(place, abs=0.005)
    (clean,) = made.shapes(fill="var(--sheet)")
    assert clean.at == pytest.approx((0, 0.1), abs=0.005) and clean.told.startswith("the unchanged model: share 10.0")
    (target_share,) = made.shapes(stroke_dasharray="2,4")
    assert target_share.corners[0][1] == pytest.approx(0.2, abs=0.005)
    first, _ = made.shapes(fill="var(--series-0)")
    assert first.told == "latent 7, strength 0.25: share 30.0\u00a0%, NDCG@10 \u22122.0\u00a0%"


def test_chance_is_an_area_from_the_clean_model_on() -> None:
    # The longer push costs less here: the outline goes by NDCG all the same.
    (found,) = pictures([steered(step(0.25, 0.3, -0.2), step(0.5, 0.4, -0.1))])
    made = Drawn(plots.steering(found, 1))
    (area,) = made.shapes(fill="var(--track)")
    outline = [(-0.1, 0.06), (-0.05, 0.06), (0, 0.1), (0, 0.1), (-0.05, 0.14), (-0.1, 0.14)]
    for corner, place in zip(area.corners, outline, strict=True):
        assert corner == pytest.approx(place, abs=0.005)
    (mean,) = [one for one in made.shapes(stroke="var(--quiet)") if len(one.corners) == 3]
    assert [y for _, y in mean.corners] == pytest.approx([0.1] * 3, abs=0.005)


def test_a_flat_turn_is_inside() -> None:
    flat = step(0.5, 0.0, 0.0, clean=0.0, null_mean=0.0, null_lower=0.0, null_upper=0.0)
    (found,) = pictures([steered(flat, target_share=None)._replace(clean=0.0)])
    made = Drawn(plots.steering(found, 1))
    assert made.x_labels and made.y_labels
    assert_inside(made)


def assert_inside(made: Drawn) -> None:
    width, height = map(float, made.root.attrib["viewBox"].split()[2:])
    for at, corners, *_ in made.raw:
        for x, y in (at, *corners):
            assert math.isfinite(x) and 0 <= x <= width and 0 <= y <= height
