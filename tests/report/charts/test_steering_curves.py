"""Charts show the useful strengths over a shared range, and missing values do not break them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recsae.report.charts.steering_curves import MAX_DRAWN_LOSS, Picture, SteeredConcept, pictures
from recsae.report.steering_steps import SteeringStep


def step(strength: float | None, share: float, ndcg: float | None, **values: Any) -> SteeringStep:
    """A step from a share of 0.1; random directions range from 0.06 to 0.14, at half the cost."""
    plain: dict[str, Any] = dict.fromkeys(SteeringStep._fields) | {
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
    return SteeringStep(**(plain | values))


def steered(*steps: SteeringStep, concept: str = "Sci-Fi", target_share: float | None = 0.2) -> SteeredConcept:
    return SteeredConcept(concept, 7, 0.1, target_share, steps)


def picture(*steps: SteeringStep, target_share: float | None = 0.2) -> Picture:
    (found,) = pictures([steered(*steps, target_share=target_share)])
    return found


def test_negative_strengths_ablation_and_large_losses_are_left_out() -> None:
    made = picture(
        step(-0.25, 0.02, -0.1), step(0.25, 0.3, -0.02), step(1.0, 0.9, MAX_DRAWN_LOSS - 0.01), step(None, 0.09, -0.01)
    )
    assert made.latent == ((-0.02, 0.3, 0.25),) and made.probe == ()
    assert made.latent[0].tooltip == "strength 0.25: share 30.0\u00a0%, NDCG@10 \u22122.0\u00a0%"


def test_chance_is_where_both_sides_and_the_mean_are() -> None:
    made = picture(step(0.25, 0.3, -0.2), step(0.5, 0.4, -0.1, null_upper=None))
    assert made.chance == ((-0.1, 0.1, 0.06, 0.14),)


def test_all_pictures_share_the_range_of_ndcg() -> None:
    first, second = pictures([steered(step(0.5, 0.9, -0.3)), steered(step(0.5, 0.12, 0.01), concept="Western")])
    assert first.reach == second.reach == (-0.3, 0.01)
    (flat,) = pictures([steered(step(0.5, 0.9, 0.0, null_ndcg=0.0))])
    assert flat.reach[0] < flat.reach[1] == 0


@pytest.mark.parametrize("odd", [None, math.nan])
def test_without_a_mark_there_is_no_picture(odd: float | None) -> None:
    assert pictures([steered(step(0.5, 0.3, odd)), steered(step(None, 0.3, -0.1)), steered()]) == ()
    assert pictures([steered(step(0.5, math.nan, -0.1))]) == ()


def test_the_chart_is_described_in_words() -> None:
    tooltip = picture(step(0.5, 0.5, -0.2, probe=0.55, probe_ndcg=-0.3)).description
    assert tooltip == (
        "From 10.0\u00a0% of the top 10, latent 7 to 50.0\u00a0%, NDCG@10 \u221220.0\u00a0%; the linear probe to "
        "55.0\u00a0%, NDCG@10 \u221230.0\u00a0%; chance to 10.0\u00a0%, NDCG@10 \u221210.0\u00a0%. The numbers are in "
        "the table below."
    )
