"""Marks stand where their values are, on an axis that all pictures share, and what is dear beyond use is left out."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from recsae.report.turned import Step
from recsae.report.turning_curves import WORST, Picture, Turn, pictures


def step(strength: float | None, share: float, ndcg: float | None, **values: Any) -> Step:
    """A share of 0.1 before; random directions stay between 0.06 and 0.14, at half the cost."""
    plain: dict[str, Any] = dict.fromkeys(Step._fields) | {
        "strength": strength,
        "scaled": False,
        "users": 10,
        "clean": 0.1,
        "share": share,
        "ndcg": ndcg,
        "null_mean": 0.1,
        "null_lower": 0.06,
        "null_upper": 0.14,
        "null_ndcg": None if ndcg is None else ndcg / 2,
    }
    return Step(**(plain | values))


def turn(*steps: Step, concept: str = "Sci-Fi", wished: float | None = 0.2) -> Turn:
    return Turn(concept, 7, 0.1, wished, steps)


def picture(*steps: Step, wished: float | None = 0.2) -> Picture:
    (found,) = pictures([turn(*steps, wished=wished)])
    return found


def corners(path: str) -> list[tuple[float, float]]:
    found = re.findall(r"[ML]([\d.]+) ([\d.]+)", path)
    return [(float(x), float(y)) for x, y in found]


def read_off(made: Picture, x: float, y: float) -> tuple[float, float]:
    """Change of NDCG and share at a place, by the labels of the ticks."""

    def value(label: str) -> float:
        return float(label.removesuffix("\u00a0%").replace("\u2212", "-")) / 100

    def between(ticks: Any, at: float) -> float:
        first, last = ticks[0], ticks[-1]
        return value(first.label) + (at - first.at) / (last.at - first.at) * (value(last.label) - value(first.label))

    return between(made.x_ticks, x), between(made.y_ticks, y)


def test_marks_are_read_off_the_axes() -> None:
    made = picture(
        step(0.25, 0.3, -0.02, probe=0.25, probe_ndcg=-0.05), step(0.5, 0.5, -0.2, probe=0.55, probe_ndcg=-0.3)
    )
    expected = {
        "latent_dots": [(-0.02, 0.3), (-0.2, 0.5)],
        "probe_dots": [(-0.05, 0.25), (-0.3, 0.55)],
    }
    for name, places in expected.items():
        dots = getattr(made, name)
        for dot, place in zip(dots, places, strict=True):
            assert read_off(made, dot.at_x, dot.at_y) == pytest.approx(place, abs=1e-4)
        line = corners(getattr(made, name.removesuffix("_dots")))
        assert line == [(made.clean.at_x, made.clean.at_y), *((dot.at_x, dot.at_y) for dot in dots)]
    assert read_off(made, made.clean.at_x, made.clean.at_y) == pytest.approx((0, 0.1), abs=1e-4)
    assert made.wished_at is not None and read_off(made, 0, made.wished_at)[1] == pytest.approx(0.2, abs=1e-4)
    first, last = made.latent_dots
    assert first.told == "latent 7, turned up by 0.25: share 30.0\u00a0%, NDCG@10 \u22122.0\u00a0%"
    assert last.at_x < first.at_x < made.clean.at_x and last.at_y < first.at_y


def test_chance_is_an_outline_from_the_clean_model_and_back() -> None:
    # The longer push costs less here: the outline goes by NDCG all the same.
    made = picture(step(0.25, 0.3, -0.2), step(0.5, 0.4, -0.1))
    places = [read_off(made, x, y) for x, y in corners(made.chance)]
    for place, expected in zip(
        places, [(0, 0.1), (-0.05, 0.14), (-0.1, 0.14), (-0.1, 0.06), (-0.05, 0.06)], strict=True
    ):
        assert place == pytest.approx(expected, abs=1e-4)
    assert made.chance.endswith("Z")
    assert [read_off(made, x, y)[1] for x, y in corners(made.chance_mean)] == pytest.approx([0.1] * 3, abs=1e-4)


def test_down_out_and_dear_are_left_out() -> None:
    made = picture(
        step(-0.25, 0.02, -0.1), step(0.25, 0.3, -0.02), step(1.0, 0.9, WORST - 0.01), step(None, 0.09, -0.01)
    )
    assert [dot.told.split(":")[0] for dot in made.latent_dots] == ["latent 7, turned up by 0.25"]
    assert made.probe == "" and made.probe_dots == ()


def test_all_pictures_share_the_range_of_ndcg_and_not_of_shares() -> None:
    first, second = pictures([turn(step(0.5, 0.9, -0.3)), turn(step(0.5, 0.12, -0.01), concept="Western")])
    assert [(tick.at, tick.label) for tick in first.x_ticks] == [(tick.at, tick.label) for tick in second.x_ticks]
    assert first.y_ticks[-1].label != second.y_ticks[-1].label
    assert first.clean.at_x == second.clean.at_x


@pytest.mark.parametrize("odd", [None, math.nan])
def test_without_a_mark_there_is_no_picture(odd: float | None) -> None:
    assert pictures([turn(step(0.5, 0.3, odd)), turn(step(None, 0.3, -0.1)), turn()]) == ()
    assert pictures([turn(step(0.5, math.nan, -0.1))]) == ()


def test_all_marks_are_inside_the_view_box() -> None:
    made = picture(step(0.1, 0.9999, 0.07), step(0.2, 0.0001, -0.3999, probe=1.0, probe_ndcg=0.0), wished=1.0)
    for dot in (*made.latent_dots, *made.probe_dots, made.clean):
        assert made.left <= dot.at_x <= made.right and made.top <= dot.at_y <= made.bottom
    for x, y in (*corners(made.chance), *corners(made.chance_mean)):
        assert made.left <= x <= made.right and made.top <= y <= made.bottom


def test_a_flat_turn_has_axes() -> None:
    made = picture(step(0.5, 0.0, 0.0, clean=0.0, null_mean=0.0, null_lower=0.0, null_upper=0.0), wished=None)
    assert len({tick.label for tick in made.x_ticks}) > 1 and len({tick.label for tick in made.y_ticks}) > 1


def test_the_picture_is_told_in_words() -> None:
    told = picture(step(0.5, 0.5, -0.2, probe=0.55, probe_ndcg=-0.3)).described
    assert told == (
        "From 10.0\u00a0% of the top 10, latent 7 to 50.0\u00a0%, NDCG@10 \u221220.0\u00a0%; the linear probe to "
        "55.0\u00a0%, NDCG@10 \u221230.0\u00a0%; chance to 10.0\u00a0%, NDCG@10 \u221210.0\u00a0%. The numbers are in "
        "the table below."
    )
