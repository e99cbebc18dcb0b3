"""Interventions of a plan: what each does to a vector, against the operation itself, at every sort of site."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recsae.sae.model import Sae
from recsae.steering import interventions as module
from recsae.steering.interventions import InterventionPlan, plan_of, steer
from recsae.steering.operations import Operation, Steering
from recsae.steering.outcomes import amounts
from tests.steering.steered_world import WIDTH, an_sae

SITES = ["user", "item", "block-0"]
STEERED, CONCEPTS, STRENGTHS = (5, 2, 9), (1, 0, 1), (0.5, -0.25)
DIRECTIONS = 30


@pytest.fixture
def probe_CD() -> np.ndarray:
    made = np.random.default_rng(1).standard_normal((2, WIDTH)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


def planned(sae: Sae, probe_CD: np.ndarray, site: str, seed: int = 0) -> InterventionPlan:
    return plan_of(sae, STEERED, CONCEPTS, probe_CD, STRENGTHS, site, DIRECTIONS, seed)


def vectors(sae: Sae) -> torch.Tensor:
    return sae.scale * torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(3))


def shift(plan: InterventionPlan, sae: Sae, x_BD: torch.Tensor, intervention: int) -> torch.Tensor:
    direction_D = torch.from_numpy(plan.interventions.direction_MD[plan.interventions.row_E[intervention]])
    return amounts(sae, plan.interventions, x_BD)[:, intervention, None] * direction_D


@pytest.mark.parametrize("site", SITES)
def test_turning_and_ablating_are_the_operations(site: str, probe_CD: np.ndarray) -> None:
    sae = an_sae(site)
    plan, x_BD = planned(sae, probe_CD, site), vectors(sae)
    assert plan.steer_LS.shape == (3, 2) and plan.ablate_L.shape == (3,)
    for place, latent in enumerate(STEERED):
        for at, strength in enumerate(STRENGTHS):
            value = 1 + 2 * strength if site == "item" else 4 * strength  # the width is 16
            operation = Operation(latent, "scale" if site == "item" else "add", value)
            assert steer(sae, latent, strength, site) == operation
            wanted_BD = Steering(sae, [operation]).shift(x_BD)
            torch.testing.assert_close(shift(plan, sae, x_BD, int(plan.steer_LS[place, at])), wanted_BD)
            assert plan.own_E[plan.steer_LS[place, at]] == CONCEPTS[place] and wanted_BD.abs().max() > 0
        wanted_BD = Steering(sae, [Operation(latent, "ablate")]).shift(x_BD)
        torch.testing.assert_close(shift(plan, sae, x_BD, int(plan.ablate_L[place])), wanted_BD)
        assert plan.own_E[plan.ablate_L[place]] == CONCEPTS[place]


@pytest.mark.parametrize("site", ["user", "block-0"])
def test_a_strength_is_in_typical_lengths_of_a_centred_activation(site: str, probe_CD: np.ndarray) -> None:
    """An SAE of what has this length moves by that share of it: by turning, by probe and by null alike."""
    sae = an_sae(site)
    plan, x_BD = planned(sae, probe_CD, site), vectors(sae)
    typical = float(sae.scale) * math.sqrt(WIDTH)
    for at, strength in enumerate(STRENGTHS):
        assert plan.probe_CS is not None
        for intervention in (*plan.steer_LS[:, at], *plan.probe_CS[:, at], *plan.null_LSR[0, at]):
            length_B = shift(plan, sae, x_BD, int(intervention)).norm(dim=1)
            torch.testing.assert_close(length_B, torch.full((200,), abs(strength) * typical))


@pytest.mark.parametrize("site", ["user", "block-0"])
def test_probes_stand_beside_every_concept_once(site: str, probe_CD: np.ndarray) -> None:
    sae = an_sae(site)
    plan = planned(sae, probe_CD, site)
    assert plan.probe_CS is not None and plan.probe_CS.shape == (2, 2)
    for concept in range(2):
        for at, strength in enumerate(STRENGTHS):
            intervention = int(plan.probe_CS[concept, at])
            wanted_D = 4 * strength * float(sae.scale) * torch.from_numpy(probe_CD[concept])
            torch.testing.assert_close(shift(plan, sae, vectors(sae), intervention), wanted_D.expand(200, -1))
            assert plan.own_E[intervention] == concept and plan.interventions.latent_E[intervention] == -1


def test_what_is_added_to_all_items_alike_has_no_probe(probe_CD: np.ndarray) -> None:
    assert planned(an_sae("item"), probe_CD, "item").probe_CS is None


@pytest.mark.parametrize("site", ["user", "block-0"])
def test_what_is_added_has_one_null_for_all_latents(site: str, probe_CD: np.ndarray) -> None:
    plan = planned(an_sae(site), probe_CD, site)
    assert plan.null_LSR.shape == (3, 2, DIRECTIONS)
    assert (plan.null_LSR == plan.null_LSR[0]).all() and len(np.unique(plan.null_LSR)) == 2 * DIRECTIONS
    assert (plan.own_E[plan.null_LSR] == -1).all()
    by_strength = plan.interventions.row_E[plan.null_LSR[0]]
    assert (by_strength[0] == by_strength[1]).all() and len(set(by_strength[0])) == DIRECTIONS


@pytest.mark.parametrize("site", SITES)
def test_a_null_of_a_latent_is_as_long_as_its_own_shift_case_by_case(site: str, probe_CD: np.ndarray) -> None:
    sae = an_sae(site)
    plan, x_BD = planned(sae, probe_CD, site), vectors(sae)
    assert plan.null_ablate_LR.shape == (3, module.NULLS)
    pairs = [(plan.ablate_L, plan.null_ablate_LR)]
    if site == "item":
        assert plan.null_LSR.shape == (3, 2, module.NULLS)
        pairs += [(plan.steer_LS[:, at], plan.null_LSR[:, at]) for at in range(2)]
    for intervention_L, null_LR in pairs:
        for place, intervention in enumerate(intervention_L):
            moved_BD = shift(plan, sae, x_BD, int(intervention))
            for null in null_LR[place, [0, -1]]:
                away_BD = shift(plan, sae, x_BD, int(null))
                torch.testing.assert_close(away_BD.norm(dim=1), moved_BD.norm(dim=1))
                fires_B = moved_BD.norm(dim=1) > 0
                cosine_B = torch.nn.functional.cosine_similarity(away_BD, moved_BD)[fires_B]
                assert fires_B.any() and cosine_B.abs().max() < 0.95
            assert (plan.own_E[null_LR[place]] == CONCEPTS[place]).all()


@pytest.mark.parametrize("site", SITES)
def test_every_nudge_has_one_place_and_what_is_told_comes_first(site: str, probe_CD: np.ndarray) -> None:
    plan = planned(an_sae(site), probe_CD, site)
    told = [plan.steer_LS.ravel(), plan.ablate_L, *([] if plan.probe_CS is None else [plan.probe_CS.ravel()])]
    nulls = [np.unique(plan.null_LSR), plan.null_ablate_LR.ravel()]
    assert sorted(np.concatenate(told)) == list(range(plan.reported)) and plan.reported == (9 if site == "item" else 13)
    assert sorted(np.concatenate([*told, *nulls])) == list(range(len(plan.own_E)))
    assert {len(of) for of in plan.interventions[1:]} == {len(plan.own_E)}


def test_random_directions_are_of_length_one_and_of_the_seed(probe_CD: np.ndarray) -> None:
    sae = an_sae("user")
    random_RD, again_RD, other_RD = (
        planned(sae, probe_CD, "user", seed).interventions.direction_MD[5:] / float(sae.scale) for seed in (0, 0, 1)
    )
    np.testing.assert_allclose(np.linalg.norm(random_RD, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(random_RD, again_RD)
    assert np.abs(random_RD - other_RD).max(1).min() > 0.01
    cosine_RR = random_RD @ random_RD.T - np.eye(len(random_RD))
    assert abs(cosine_RR.mean()) < 0.05 and np.abs(cosine_RR).max() < 0.9 and len(random_RD) == DIRECTIONS


def test_few_directions_still_make_the_nulls_of_ablation(probe_CD: np.ndarray) -> None:
    sae = an_sae("user")
    plan = plan_of(sae, STEERED, CONCEPTS, probe_CD, STRENGTHS, "user", 3, 0)
    assert plan.null_LSR.shape == (3, 2, 3) and plan.null_ablate_LR.shape == (3, module.NULLS)
    assert plan.interventions.row_E.max() == len(plan.interventions.direction_MD) - 1 == 3 + 2 + module.NULLS - 1
