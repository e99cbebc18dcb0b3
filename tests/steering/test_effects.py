"""Sums over cases: against every intervention put in by hand, whatever the order and the number of groups."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from recsae.config.schema import Config
from recsae.data.chunks import n_chunks
from recsae.recommenders.evaluation import in_sample
from recsae.sae import model as sae_files
from recsae.stats.bootstrap import weights
from recsae.steering import effects as module
from recsae.steering.effects import Effects, SteeringSetup, chunk_effects, measure
from recsae.steering.outcomes import Outcome
from tests.conftest import committing
from tests.sae.fake_ray import without_ray
from tests.steering.steered_world import CONCEPTS, STEERED, Case, a_plan, a_setup, by_hand, in_chunks, questions, tried

SITES = ("user", "item", "block-0")
CLEAN = -1


@pytest.fixture(scope="module")
def setups(planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SteeringSetup]:
    folder = tmp_path_factory.mktemp("effects")
    commit = committing(folder)
    ingested = in_chunks(commit, planted_config)
    return {site: a_setup(commit, planted_config, ingested, str(folder / site), site) for site in SITES}


@pytest.fixture(scope="module")
def found(setups: dict[str, SteeringSetup]) -> dict[str, Effects]:
    return {site: whole(setup) for site, setup in setups.items()}


@pytest.fixture(scope="module")
def hands(setups: dict[str, SteeringSetup]) -> dict[str, dict[int, list[Case]]]:
    """By site and intervention the cases of score users; the clean model is intervention -1."""
    found = {}
    for site, setup in setups.items():
        edits = {intervention: edit for intervention, (_, edit) in tried(setup).items()}
        found[site] = by_hand(setup, "score", {CLEAN: lambda x_BD: x_BD, **edits})
    return found


def whole(setup: SteeringSetup, part: str = "score") -> Effects:
    return functools.reduce(Effects.plus, (chunk_effects(setup, part, n) for n in range(n_chunks(setup.ingested))))


def same(one: Effects, other: Effects, *, close: bool = False) -> None:
    """To the bit, or but for the order in which fractions were added."""
    for name in Effects._fields:
        if close and name in ("gain_E", "reported_SX"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
        else:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def held(setup: SteeringSetup, case: Case, concept: int) -> int:
    return sum(int(setup.bears_IC[item, concept]) for item in case.top)


def gain(case: Case) -> float:
    return float(1 / np.log2(1 + case.rank)) if case.rank <= 10 else 0.0


@pytest.mark.parametrize("site", SITES)
def test_sums_are_those_of_the_edits_put_in_by_hand(
    site: str, setups: dict[str, SteeringSetup], found: dict[str, Effects], hands: dict[str, dict[int, list[Case]]]
) -> None:
    setup, sums = setups[site], found[site]
    cases = hands[site][CLEAN]
    assert sums.users == len({case.user for case in cases}) and sums.cases == len(cases) > 20
    assert sums.places == sum(len(case.top) for case in cases)
    right = []
    for intervention, after in hands[site].items():
        e = 1 + intervention
        covered = np.unpackbits(sums.covered_EI[e], bitorder="little").nonzero()[0]
        right.append(
            [
                *(sums.hits_EC[e, c] == sum(held(setup, case, c) for case in after) for c in range(3)),
                sums.hr_E[e] == sum(case.rank <= 10 for case in after),
                np.isclose(sums.gain_E[e], sum(map(gain, after))),
                sums.popularity_E[e] == sum(setup.popularity_I[item] for case in after for item in case.top),
                set(covered) == {item for case in after for item in case.top},
            ]
        )
    assert np.mean(right) > 0.99  # scores are added in another order
    assert all(right[0])
    assert len({tuple(row) for row in sums.hits_EC.tolist()}) > len(right) / 4  # the interventions do something


@pytest.mark.parametrize("site", SITES)
def test_resamples_are_weighted_sums_over_users(
    site: str, setups: dict[str, SteeringSetup], found: dict[str, Effects], hands: dict[str, dict[int, list[Case]]]
) -> None:
    setup, sums, cases = setups[site], found[site], hands[site][CLEAN]
    own_T = setup.plan.own_E[: setup.plan.reported]
    plain = [sums.cases, sums.places, *sums.hits_EC[0], *sums.hits_EC[1 + np.arange(len(own_T)), own_T]]
    np.testing.assert_allclose(sums.reported_SX[0], [*plain, *sums.gain_E[: 1 + len(own_T)]], rtol=1e-12)
    user_N = np.array([case.user for case in cases])
    weight_NS = weights(user_N, setup.resamples, setup.seed).astype(float)
    wanted = {0: np.ones(len(cases)), 1: [len(case.top) for case in cases]}
    wanted |= {2 + c: [held(setup, case, c) for case in cases] for c in range(3)}
    for intervention, (own, _) in tried(setup).items():
        if intervention < len(own_T):
            wanted[5 + intervention] = [held(setup, case, own) for case in hands[site][intervention]]
            wanted[5 + len(own_T) + 1 + intervention] = [gain(case) for case in hands[site][intervention]]
    wanted[5 + len(own_T)] = [gain(case) for case in cases]
    assert (
        sums.reported_SX.shape == (1 + setup.resamples, 5 + 2 * len(own_T) + 1)
        and len(wanted) == 5 + 2 * len(own_T) + 1
    )
    right = [np.allclose(sums.reported_SX[1:, x], np.array(value_N) @ weight_NS) for x, value_N in wanted.items()]
    assert np.mean(right) > 0.98


def test_chunks_add_up_in_any_order(setups: dict[str, SteeringSetup], found: dict[str, Effects]) -> None:
    parts = [chunk_effects(setups["user"], "score", number) for number in range(n_chunks(setups["user"].ingested))]
    same(functools.reduce(Effects.plus, parts[::-1]), found["user"], close=True)
    assert len(parts) == 5 and sum(part.users for part in parts) == found["user"].users


def test_a_chunk_without_a_case_is_nothing(setups: dict[str, SteeringSetup], found: dict[str, Effects]) -> None:
    nothing = chunk_effects(setups["user"]._replace(users=0), "score", 0)
    assert nothing.users == nothing.cases == nothing.places == 0
    same(found["user"].plus(nothing), found["user"])


@pytest.mark.parametrize("site", SITES)
def test_groups_of_nudges_change_nothing(
    site: str, setups: dict[str, SteeringSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = chunk_effects(setups[site], "score", 0)
    assert once.cases > 2
    for at_once in (19, len(setups[site].plan.own_E) - 1):
        monkeypatch.setattr(module, "INTERVENTIONS_AT_ONCE", at_once)
        same(chunk_effects(setups[site], "score", 0), once)


def test_tasks_find_the_same_each_time(
    setups: dict[str, SteeringSetup], found: dict[str, Effects], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    same(measure(setups["user"], "score"), found["user"])
    assert measure(setups["user"], "select").hits_EC.tolist() != found["user"].hits_EC.tolist()


def test_users_are_drawn_whole_and_by_the_seed(setups: dict[str, SteeringSetup]) -> None:
    setup = setups["user"]._replace(users=12)
    of_part = setup.ingested.metrics["users_by_part"]["score"]
    user_N = np.array([user for user, _, _ in questions(setup.ingested, "score")])
    some = whole(setup)
    assert some.cases == in_sample(user_N, 12 / of_part, setup.seed).sum() and 4 < some.users < 20
    other = whole(setup._replace(seed=setup.seed + 1))
    assert (other.users, other.hits_EC.tolist()) != (some.users, some.hits_EC.tolist())
    assert whole(setup._replace(users=of_part)).users == of_part


def test_an_unseen_item_too_few(setups: dict[str, SteeringSetup], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes made up: the first case has two items under the clean model and one after each intervention, others
    none."""
    setup, cases = setups["user"], chunk_effects(setups["user"], "score", 0).cases
    asked = []

    def made_up(model, sae, interventions, chunk, table, device):  # type: ignore[no-untyped-def]
        E, B = len(interventions.row_E), table.num_rows
        asked.append(E)
        clean_BT, top_EBT = np.full((B, 10), -1, np.int32), np.full((E, B, 10), -1, np.int32)
        clean_BT[0, :2], top_EBT[:, 0, 0] = (4, 8), 9
        yield Outcome(np.arange(B), np.full(B, 11), clean_BT, np.full((E, B), 3), top_EBT)

    monkeypatch.setattr(module, "outcomes", made_up)
    sums = chunk_effects(setup, "score", 0)
    E = sum(asked)
    assert len(setup.plan.own_E) == E and (sums.cases, sums.places) == (cases, 2)
    assert sums.hits_EC.tolist() == [[2, 1, 1]] + [[0, 0, 0]] * E  # 4 bears concepts 0, 1 and 2, 8 concept 0, 9 none
    assert sums.hr_E.tolist() == [0] + [cases] * E and sums.gain_E.tolist() == [0] + [cases / 2] * E
    assert sums.reported_SX[0, :5].tolist() == [cases, 2, 2, 1, 1]
    popularity = setup.popularity_I
    assert sums.popularity_E.tolist() == [popularity[4] + popularity[8]] + [popularity[9]] * E
    bits = np.unpackbits(sums.covered_EI, axis=1, bitorder="little")
    assert bits[0].nonzero()[0].tolist() == [4, 8] and (bits[1:].nonzero()[1] == 9).all() and bits.sum() == 2 + E


def test_the_order_of_latents_is_of_no_account(setups: dict[str, SteeringSetup], found: dict[str, Effects]) -> None:
    for site in SITES:
        setup = setups[site]
        back = a_plan(sae_files.load(setup.sae), site, STEERED[::-1], CONCEPTS[::-1])
        steered, sums = whole(setup._replace(plan=back)), found[site]
        for name in ("steer_LS", "ablate_L", "null_LSR", "null_ablate_LR"):
            before, after = getattr(setup.plan, name), getattr(back, name)[::-1]
            for value in ("hits_EC", "gain_E", "popularity_E", "covered_EI"):
                np.testing.assert_array_equal(getattr(steered, value)[1 + after], getattr(sums, value)[1 + before])
