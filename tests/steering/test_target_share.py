"""What a wished share costs, on curves that are made up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from recsae.schemas.steering import WISHES
from recsae.steering.effects import Effects
from recsae.steering.interventions import InterventionPlan
from recsae.steering.rows import Figures, SteeredLatent
from recsae.steering.target_share import Curve, curve, target_rows
from tests.steering.steered_world import CONCEPTS, STEERED, STRENGTHS, a_plan, an_sae

PLACES = CASES = 1000
CLEAN = (100, 400, 200)
"""Clean places of each concept, of 1000; a gain of 500."""
NAMES = ["first", "second", "third"]
SUBJECTS = [SteeredLatent(latent, concept) for latent, concept in zip(STEERED, CONCEPTS, strict=True)]
UP = [STRENGTHS.index(strength) for strength in (0.25, 0.5)]
Told = Mapping[tuple[str, int], tuple[tuple[int, int], tuple[int, int]]]
"""By sort and place (of the latent or the concept): places of the concept, then gains, at 0.25 and at 0.5."""


@pytest.fixture(scope="module")
def plan() -> InterventionPlan:
    return a_plan(an_sae("user"), "user")


def made(
    plan: InterventionPlan,
    told: Told,
    clean: tuple[int, ...] = CLEAN,
    gain: int = 500,
    concepts: tuple[int, ...] = CONCEPTS,
) -> Figures:
    """Turning down would buy everything for nothing; what is not told changes nothing."""
    E = 1 + len(plan.own_E)
    hits_EC, gain_E = np.tile(np.array(clean), (E, 1)), np.full(E, float(gain))
    assert plan.probe_CS is not None
    down = np.concatenate([plan.steer_LS[:, STRENGTHS.index(-0.25)], plan.probe_CS[:, STRENGTHS.index(-0.25)]])
    hits_EC[1 + down], gain_E[1 + down] = PLACES, 900
    for (sort, place), (places, gains) in told.items():
        intervention_S = 1 + (plan.steer_LS if sort == "latent" else plan.probe_CS)[place][UP]
        hits_EC[intervention_S, concepts[place] if sort == "latent" else place] = places
        gain_E[intervention_S] = gains
    nothing_E = np.zeros(E, int)
    reported_SX = np.ones((2, 2 + 3 + 2 * plan.reported + 1))
    effects = Effects(
        CASES, CASES, PLACES, hits_EC, nothing_E, gain_E, nothing_E, np.zeros((E, 6), np.uint8), reported_SX
    )
    return Figures(effects, plan, 3)


def test_a_curve_rises_from_the_clean_model_in_the_order_of_strengths(plan: InterventionPlan) -> None:
    figures = made(plan, {("latent", 1): ((500, 700), (480, 400))})
    found = curve(figures, plan.steer_LS[1], 1)
    assert found.strength_S.tolist() == [0, 0.25, 0.5]
    assert found.share_S.tolist() == [0.4, 0.5, 0.7] and found.ndcg_S.tolist() == [0.5, 0.48, 0.4]


def test_between_two_strengths_a_straight_line() -> None:
    one = Curve(np.array([0, 0.25, 0.5]), np.array([0.1, 0.2, 0.4]), np.array([0.5, 0.4, 0.1]))
    assert one.strength_for(0.25) == pytest.approx(0.25 + 0.25 / 4)
    assert one.at(0.25 + 0.25 / 4) == (pytest.approx(0.25), pytest.approx(0.4 - 0.3 / 4))
    assert one.strength_for(0.2) == 0.25 and one.strength_for(0.4) == 0.5
    assert one.strength_for(0.1) == one.strength_for(0.05) == 0
    assert one.strength_for(0.41) is None


def test_the_least_strength_that_reaches_it_counts_where_a_curve_turns_back() -> None:
    one = Curve(np.array([0, 1, 2, 3]), np.array([0.1, 0.3, 0.05, 0.4]), np.zeros(4))
    assert one.strength_for(0.2) == pytest.approx(0.5) and one.strength_for(0.35) == pytest.approx(2 + 0.3 / 0.35)


def test_chosen_on_select_and_told_for_score(plan: InterventionPlan) -> None:
    """Latents 0 and 2 stand for concept 0: on score users the other would cost less, and other strengths buy it."""
    select = made(plan, {("latent", 0): ((150, 250), (450, 350)), ("latent", 2): ((300, 400), (450, 100))})
    told: Told = {("latent", 0): ((120, 220), (499, 498)), ("latent", 2): ((180, 390), (300, 200))}
    score = made(plan, told, (120, 400, 200), 400)
    row = target_rows(select, score, SUBJECTS, NAMES, 2.0)[0]
    # latent 0 reaches 200 at 0.25 + 0.125 for 400; latent 2 at 0.125 for 475
    assert (row["concept"], row["direction"], row["latent"]) == ("first", "latent", STEERED[2])
    assert (row["clean_share"], row["wished_share"]) == (0.12, 0.24)
    assert row["strength"] == pytest.approx(0.125)
    assert row["share"] == pytest.approx(0.15) and row["ndcg_change"] == pytest.approx(0.35 / 0.4 - 1)


def test_the_order_of_latents_is_of_no_account(plan: InterventionPlan) -> None:
    told: Told = {("latent", 0): ((150, 250), (450, 350)), ("latent", 2): ((300, 400), (450, 100))}
    back = a_plan(an_sae("user"), "user", STEERED[::-1], CONCEPTS[::-1])
    turned_back = made(
        back, {("latent", 3): told["latent", 0], ("latent", 1): told["latent", 2]}, concepts=CONCEPTS[::-1]
    )
    before, after = made(plan, told), turned_back
    assert target_rows(before, before, SUBJECTS, NAMES, 2.0) == target_rows(after, after, SUBJECTS[::-1], NAMES, 2.0)


def test_the_probe_has_a_row_of_its_own(plan: InterventionPlan) -> None:
    select = made(plan, {("probe", 1): ((600, 1000), (500, 490))})
    rows = target_rows(select, select, SUBJECTS, NAMES, 2.0)
    assert [(row["concept"], row["direction"]) for row in rows] == [
        (name, direction) for name in NAMES for direction in ("latent", "probe")
    ]
    assert rows[3]["latent"] is None and rows[3]["strength"] == pytest.approx(0.375)
    assert rows[3]["share"] == pytest.approx(0.8) and rows[3]["ndcg_change"] == pytest.approx(0.495 / 0.5 - 1)


def test_a_share_that_no_strength_buys_is_null(plan: InterventionPlan) -> None:
    select = made(plan, {("latent", 3): ((300, 399), (500, 500))})
    score = made(plan, {("latent", 3): ((300, 800), (500, 500))})
    row = target_rows(select, score, SUBJECTS, NAMES, 2.0)[4]
    assert (row["concept"], row["wished_share"]) == ("third", 0.4)
    assert row["latent"] is row["strength"] is row["share"] is row["ndcg_change"] is None


def test_no_more_than_everything_is_wished(plan: InterventionPlan) -> None:
    select = made(plan, {("latent", 1): ((900, 1000), (400, 300))}, (100, 700, 200))
    row = target_rows(select, select, SUBJECTS, NAMES, 2.0)[2]
    assert row["wished_share"] == 1 and row["strength"] == 0.5 and row["ndcg_change"] == pytest.approx(-0.4)


def test_what_is_nothing_or_all_already_costs_nothing(plan: InterventionPlan) -> None:
    for clean in ((0, 400, 200), (PLACES, 400, 200)):
        same = made(plan, {}, clean)
        row = target_rows(same, same, SUBJECTS, NAMES, 2.0)[0]
        assert row["strength"] == row["ndcg_change"] == 0 and row["share"] == row["wished_share"] == clean[0] / PLACES


def test_without_a_gain_there_is_no_loss(plan: InterventionPlan) -> None:
    same = made(plan, {("latent", 1): ((900, 1000), (0, 0))}, gain=0)
    assert target_rows(same, same, SUBJECTS, NAMES, 2.0)[2]["ndcg_change"] == 0


def test_the_items_side_has_no_probe() -> None:
    plan = a_plan(an_sae("item"), "item")
    E = 1 + len(plan.own_E)
    sums = Effects(
        CASES, CASES, PLACES, np.tile(np.array(CLEAN), (E, 1)), np.zeros(E), np.full(E, 500.0), np.zeros(E),
        np.zeros((E, 6), np.uint8), np.ones((2, 2 + 3 + 2 * plan.reported + 1)),
    )  # fmt: skip
    figures = Figures(sums, plan, 3)
    rows = target_rows(figures, figures, SUBJECTS, NAMES, 1.5)
    assert [row["direction"] for row in rows] == ["latent"] * 3 and {row["strength"] for row in rows} == {None}


def test_rows_are_the_schema(plan: InterventionPlan) -> None:
    select = made(plan, {("latent", 1): ((900, 1000), (400, 300))})
    rows = target_rows(select, select, SUBJECTS, NAMES, 2.0)
    assert all(set(row) == set(WISHES.names) for row in rows)
    assert pa.Table.from_pylist(rows, WISHES).to_pylist() == rows
