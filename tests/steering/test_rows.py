"""Rows of the table against sums over users made up at random, by plain loops; and end to end against edits by hand."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.config.schema import Config
from recsae.data.chunks import n_chunks
from recsae.schemas.steering import STEERING
from recsae.stats.bootstrap import weights
from recsae.steering.effects import Effects, chunk_effects
from recsae.steering.interventions import InterventionPlan, steer
from recsae.steering.rows import Figures, SteeredLatent, steering_rows
from tests.conftest import Commit
from tests.steering.steered_world import (
    CONCEPTS,
    STEERED,
    STRENGTHS,
    a_plan,
    a_setup,
    an_sae,
    by_hand,
    in_chunks,
    tried,
)

USERS, ITEMS, RESAMPLES, C = 40, 48, 80, 3
NAMES = ["first", "second", "third"]
SUBJECTS = [SteeredLatent(latent, concept) for latent, concept in zip(STEERED, CONCEPTS, strict=True)]


class Made:
    """Figures of every user after every intervention, index 0 the clean model, all at random; one case a user."""

    def __init__(self, plan: InterventionPlan, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        E = 1 + len(plan.own_E)
        self.plan, self.places_U = plan, draw.integers(5, 11, USERS)
        self.hits_ECU = draw.integers(0, 6, (E, C, USERS))
        self.hit_EU, self.popularity_E = draw.random((E, USERS)) < 0.3, draw.integers(100, 1000, E)
        self.gain_EU = self.hit_EU * draw.random((E, USERS))
        self.covered_EI = draw.random((E, ITEMS)) < 0.5
        self.weight_SU = weights(np.arange(USERS), RESAMPLES, seed).T.astype(float)

    def effects(self) -> Effects:
        told = self.plan.reported
        own_TU = self.hits_ECU[1 + np.arange(told), self.plan.own_E[:told]]
        value_XU = np.concatenate(
            [np.ones((1, USERS)), self.places_U[None], self.hits_ECU[0], own_TU, self.gain_EU[: 1 + told]]
        )
        return Effects(
            USERS, USERS, int(self.places_U.sum()), self.hits_ECU.sum(2), self.hit_EU.sum(1), self.gain_EU.sum(1),
            self.popularity_E, np.packbits(self.covered_EI, axis=1, bitorder="little"),
            np.concatenate([np.ones((1, USERS)), self.weight_SU]) @ value_XU.T,
        )  # fmt: skip

    def change(self, intervention: int, concept: int) -> float:
        after, before = (self.hits_ECU[e, concept].sum() for e in (1 + intervention, 0))
        return float((after - before) / self.places_U.sum())

    def share_changes(self, intervention: int, concept: int) -> list[float]:
        """Of every resample."""
        return [
            float(
                weight_U
                @ (self.hits_ECU[1 + intervention, concept] - self.hits_ECU[0, concept])
                / (weight_U @ self.places_U)
            )
            for weight_U in self.weight_SU
        ]

    def gain_changes(self, intervention: int) -> list[float]:
        return [float(np.average(self.gain_EU[1 + intervention] - self.gain_EU[0], weights=w)) for w in self.weight_SU]


def rows_of(made: Made, site: str) -> list[dict[str, Any]]:
    sae = an_sae(site)
    figures = Figures(made.effects(), made.plan, C)
    return steering_rows("score", figures, SUBJECTS, NAMES, ITEMS, lambda latent, s: steer(sae, latent, s, site))


@pytest.mark.parametrize("site", ["user", "item"])
def test_every_column_is_its_formula(site: str) -> None:
    made = Made(plan := a_plan(an_sae(site), site))
    rows = rows_of(made, site)
    asked = [(place, at) for place in range(len(STEERED)) for at in [*range(len(STRENGTHS)), None]]
    assert [(row["latent"], row["strength"]) for row in rows] == [
        (STEERED[place], None if at is None else STRENGTHS[at]) for place, at in asked
    ]
    for row, (place, at) in zip(rows, asked, strict=True):
        concept, name = CONCEPTS[place], NAMES[CONCEPTS[place]]
        intervention = int(plan.ablate_L[place] if at is None else plan.steer_LS[place, at])
        null_R = plan.null_ablate_LR[place] if at is None else plan.null_LSR[place, at]
        assert (row["part"], row["concept"], row["users"], row["cases"]) == ("score", name, USERS, USERS)
        change = made.change(intervention, concept)
        assert row["share_change"] == pytest.approx(change)
        assert row["share"] == pytest.approx(made.hits_ECU[1 + intervention, concept].sum() / made.places_U.sum())
        of_resamples = np.quantile(made.share_changes(intervention, concept), [0.025, 0.975])
        np.testing.assert_allclose([row["share_lower"], row["share_upper"]], of_resamples)
        nulls = [made.change(int(null), concept) for null in null_R]
        found = [row["null_mean"], row["null_lower"], row["null_upper"]]
        np.testing.assert_allclose(found, [np.mean(nulls), np.quantile(nulls, 0.05), np.quantile(nulls, 0.95)])
        gain_E = made.gain_EU.mean(1)
        assert row["null_ndcg_change"] == pytest.approx(np.mean([gain_E[1 + null] - gain_E[0] for null in null_R]))
        assert row["ndcg"] == pytest.approx(gain_E[1 + intervention])
        assert row["ndcg_change"] == pytest.approx(gain_E[1 + intervention] - gain_E[0])
        of_resamples = np.quantile(made.gain_changes(intervention), [0.025, 0.975])
        np.testing.assert_allclose([row["ndcg_lower"], row["ndcg_upper"]], of_resamples)
        assert row["hr"] == pytest.approx(made.hit_EU[1 + intervention].mean())
        assert row["coverage"] == made.covered_EI[1 + intervention].sum() / ITEMS
        assert row["popularity"] == pytest.approx(made.popularity_E[1 + intervention] / made.places_U.sum())
        others = {other: made.change(intervention, other) for other in range(C) if other != concept}
        assert row["side_effect"] == pytest.approx(sum(abs(value) for value in others.values()) / 2)
        most = max(others, key=lambda other: abs(others[other]))
        assert row["side_concept"] == NAMES[most] and row["side_change"] == pytest.approx(others[most])
        if at is None or plan.probe_CS is None:
            assert row["probe_share_change"] is row["probe_ndcg_change"] is None
        else:
            probe = int(plan.probe_CS[concept, at])
            assert row["probe_share_change"] == pytest.approx(made.change(probe, concept))
            assert row["probe_ndcg_change"] == pytest.approx(gain_E[1 + probe] - gain_E[0])
        if at is None:
            assert (row["operation"], row["value"]) == ("ablate", 0)
        elif site == "item":
            assert (row["operation"], row["value"]) == ("scale", 1 + 2 * STRENGTHS[at])
        else:
            assert (row["operation"], row["value"]) == ("add", 4 * STRENGTHS[at])


def test_rows_are_the_schema() -> None:
    rows = rows_of(Made(a_plan(an_sae("user"), "user")), "user")
    assert all(set(row) == set(STEERING.names) for row in rows)
    assert pa.Table.from_pylist(rows, STEERING).to_pylist() == rows


def test_one_concept_has_no_other_to_move() -> None:
    plan = a_plan(an_sae("user"), "user", STEERED[:1], CONCEPTS[:1])
    made = Made(plan)
    whole = made.effects()
    first = np.delete(whole.reported_SX, [3, 4], axis=1)  # the clean hits of the other two
    figures = Figures(whole._replace(hits_EC=whole.hits_EC[:, :1], reported_SX=first), plan, 1)
    sae = an_sae("user")
    rows = steering_rows("score", figures, SUBJECTS[:1], NAMES[:1], ITEMS, lambda h, s: steer(sae, h, s, "user"))
    for row in rows:
        assert row["side_effect"] == 0 and row["side_concept"] is row["side_change"] is None
        assert row["share_lower"] < row["share_change"] < row["share_upper"]


def test_no_cases_are_zeros() -> None:
    plan = a_plan(an_sae("user"), "user")
    nothing = Effects(*(of * 0 for of in Made(plan).effects()))
    sae = an_sae("user")
    rows = steering_rows(
        "select", Figures(nothing, plan, C), SUBJECTS, NAMES, ITEMS, lambda h, s: steer(sae, h, s, "user")
    )
    figures = [row[name] for row in rows for name in ("share_change", "share_upper", "ndcg", "ndcg_lower", "coverage")]
    assert figures == [0.0] * len(figures) and {row["cases"] for row in rows} == {0}


def test_of_the_clean_model_nothing_changes() -> None:
    """Every intervention does what the clean model does: no change, no interval, no null."""
    plan = a_plan(an_sae("user"), "user")
    made = Made(plan)
    for of in (made.hits_ECU, made.gain_EU, made.hit_EU):
        of[:] = of[:1]
    for row in rows_of(made, "user"):
        names = ("share_change", "share_lower", "share_upper", "null_upper", "ndcg_change", "ndcg_upper", "side_effect")
        assert [row[name] for name in names] == [0] * len(names)


@pytest.mark.parametrize("site", ["user", "item", "block-0"])
def test_from_events_to_rows(site: str, commit: Commit, planted_config: Config, tmp_path: Any) -> None:
    """The changes of every latent, and the interval of one, against edits put in by hand."""
    setup = a_setup(commit, planted_config, in_chunks(commit, planted_config, 2), str(tmp_path / "sae"), site)
    numbers = range(n_chunks(setup.ingested))
    sums = functools.reduce(Effects.plus, (chunk_effects(setup, "score", number) for number in numbers))
    sae = an_sae(site)
    rows = steering_rows(
        "score", Figures(sums, setup.plan, C), SUBJECTS, NAMES, ITEMS, lambda h, s: steer(sae, h, s, site)
    )
    edits = {
        intervention: edit
        for intervention, (_, edit) in tried(setup).items()
        if intervention < len(STEERED) * (len(STRENGTHS) + 1)
    }
    hands = by_hand(setup, "score", {-1: lambda x_BD: x_BD, **edits})
    weight_SU = weights(np.array([case.user for case in hands[-1]]), setup.resamples, setup.seed).T.astype(float)
    places_U = np.array([len(case.top) for case in hands[-1]])
    right = []
    for number, row in enumerate(rows):
        place, at = divmod(number, len(STRENGTHS) + 1)
        intervention = int([*setup.plan.steer_LS[place], setup.plan.ablate_L[place]][at])
        before_U, after_U = (
            np.array([setup.bears_IC[case.top, CONCEPTS[place]].sum() for case in hands[name]])
            for name in (-1, intervention)
        )
        change_S = weight_SU @ (after_U - before_U) / (weight_SU @ places_U)
        lower, upper = np.quantile(change_S, [0.025, 0.975])
        right.append(np.isclose(row["share_change"], (after_U - before_U).sum() / places_U.sum()))
        right.append(np.allclose([row["share_lower"], row["share_upper"]], [lower, upper]))
    assert np.mean(right) > 0.95 and len(right) == 2 * len(rows)
    assert max(row["share_change"] for row in rows) > 0.01
