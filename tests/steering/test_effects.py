"""Sums over cases: against every nudge put in by hand, whatever the order and the number of groups."""

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
from tests.steering.steered_world import CONCEPTS, TURNED, Case, a_plan, a_trial, by_hand, in_chunks, questions, tried

SITES = ("user", "item", "block-0")
CLEAN = -1


@pytest.fixture(scope="module")
def trials(planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SteeringSetup]:
    folder = tmp_path_factory.mktemp("effects")
    commit = committing(folder)
    ingested = in_chunks(commit, planted_config)
    return {site: a_trial(commit, planted_config, ingested, str(folder / site), site) for site in SITES}


@pytest.fixture(scope="module")
def found(trials: dict[str, SteeringSetup]) -> dict[str, Effects]:
    return {site: whole(trial) for site, trial in trials.items()}


@pytest.fixture(scope="module")
def hands(trials: dict[str, SteeringSetup]) -> dict[str, dict[int, list[Case]]]:
    """By site and nudge the cases of score users; the clean model is nudge -1."""
    found = {}
    for site, trial in trials.items():
        edits = {nudge: edit for nudge, (_, edit) in tried(trial).items()}
        found[site] = by_hand(trial, "score", {CLEAN: lambda x_BD: x_BD, **edits})
    return found


def whole(trial: SteeringSetup, part: str = "score") -> Effects:
    return functools.reduce(Effects.plus, (chunk_effects(trial, part, n) for n in range(n_chunks(trial.ingested))))


def same(one: Effects, other: Effects, *, close: bool = False) -> None:
    """To the bit, or but for the order in which fractions were added."""
    for name in Effects._fields:
        if close and name in ("gain_E", "told_SX"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
        else:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def held(trial: SteeringSetup, case: Case, concept: int) -> int:
    return sum(int(trial.bears_IC[item, concept]) for item in case.top)


def gain(case: Case) -> float:
    return float(1 / np.log2(1 + case.rank)) if case.rank <= 10 else 0.0


@pytest.mark.parametrize("site", SITES)
def test_sums_are_those_of_the_edits_put_in_by_hand(
    site: str, trials: dict[str, SteeringSetup], found: dict[str, Effects], hands: dict[str, dict[int, list[Case]]]
) -> None:
    trial, sums = trials[site], found[site]
    cases = hands[site][CLEAN]
    assert sums.users == len({case.user for case in cases}) and sums.cases == len(cases) > 20
    assert sums.places == sum(len(case.top) for case in cases)
    right = []
    for nudge, after in hands[site].items():
        e = 1 + nudge
        covered = np.unpackbits(sums.covered_EI[e], bitorder="little").nonzero()[0]
        right.append(
            [
                *(sums.hits_EC[e, c] == sum(held(trial, case, c) for case in after) for c in range(3)),
                sums.hr_E[e] == sum(case.rank <= 10 for case in after),
                np.isclose(sums.gain_E[e], sum(map(gain, after))),
                sums.popularity_E[e] == sum(trial.popularity_I[item] for case in after for item in case.top),
                set(covered) == {item for case in after for item in case.top},
            ]
        )
    assert np.mean(right) > 0.99  # scores are added in another order
    assert all(right[0])
    assert len({tuple(row) for row in sums.hits_EC.tolist()}) > len(right) / 4  # the nudges do something


@pytest.mark.parametrize("site", SITES)
def test_resamples_are_weighted_sums_over_users(
    site: str, trials: dict[str, SteeringSetup], found: dict[str, Effects], hands: dict[str, dict[int, list[Case]]]
) -> None:
    trial, sums, cases = trials[site], found[site], hands[site][CLEAN]
    own_T = trial.plan.own_E[: trial.plan.told]
    plain = [sums.cases, sums.places, *sums.hits_EC[0], *sums.hits_EC[1 + np.arange(len(own_T)), own_T]]
    np.testing.assert_allclose(sums.told_SX[0], [*plain, *sums.gain_E[: 1 + len(own_T)]], rtol=1e-12)
    user_N = np.array([case.user for case in cases])
    weight_NS = weights(user_N, trial.resamples, trial.seed).astype(float)
    wanted = {0: np.ones(len(cases)), 1: [len(case.top) for case in cases]}
    wanted |= {2 + c: [held(trial, case, c) for case in cases] for c in range(3)}
    for nudge, (own, _) in tried(trial).items():
        if nudge < len(own_T):
            wanted[5 + nudge] = [held(trial, case, own) for case in hands[site][nudge]]
            wanted[5 + len(own_T) + 1 + nudge] = [gain(case) for case in hands[site][nudge]]
    wanted[5 + len(own_T)] = [gain(case) for case in cases]
    assert sums.told_SX.shape == (1 + trial.resamples, 5 + 2 * len(own_T) + 1) and len(wanted) == 5 + 2 * len(own_T) + 1
    right = [np.allclose(sums.told_SX[1:, x], np.array(value_N) @ weight_NS) for x, value_N in wanted.items()]
    assert np.mean(right) > 0.98


def test_chunks_add_up_in_any_order(trials: dict[str, SteeringSetup], found: dict[str, Effects]) -> None:
    parts = [chunk_effects(trials["user"], "score", number) for number in range(n_chunks(trials["user"].ingested))]
    same(functools.reduce(Effects.plus, parts[::-1]), found["user"], close=True)
    assert len(parts) == 5 and sum(part.users for part in parts) == found["user"].users


def test_a_chunk_without_a_case_is_nothing(trials: dict[str, SteeringSetup], found: dict[str, Effects]) -> None:
    nothing = chunk_effects(trials["user"]._replace(users=0), "score", 0)
    assert nothing.users == nothing.cases == nothing.places == 0
    same(found["user"].plus(nothing), found["user"])


@pytest.mark.parametrize("site", SITES)
def test_groups_of_nudges_change_nothing(
    site: str, trials: dict[str, SteeringSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = chunk_effects(trials[site], "score", 0)
    assert once.cases > 2
    for at_once in (19, len(trials[site].plan.own_E) - 1):
        monkeypatch.setattr(module, "NUDGES_AT_ONCE", at_once)
        same(chunk_effects(trials[site], "score", 0), once)


def test_tasks_find_the_same_each_time(
    trials: dict[str, SteeringSetup], found: dict[str, Effects], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    same(measure(trials["user"], "score"), found["user"])
    assert measure(trials["user"], "select").hits_EC.tolist() != found["user"].hits_EC.tolist()


def test_users_are_drawn_whole_and_by_the_seed(trials: dict[str, SteeringSetup]) -> None:
    trial = trials["user"]._replace(users=12)
    of_part = trial.ingested.metrics["users_by_part"]["score"]
    user_N = np.array([user for user, _, _ in questions(trial.ingested, "score")])
    some = whole(trial)
    assert some.cases == in_sample(user_N, 12 / of_part, trial.seed).sum() and 4 < some.users < 20
    other = whole(trial._replace(seed=trial.seed + 1))
    assert (other.users, other.hits_EC.tolist()) != (some.users, some.hits_EC.tolist())
    assert whole(trial._replace(users=of_part)).users == of_part


def test_an_unseen_item_too_few(trials: dict[str, SteeringSetup], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes made up: the first case has two items under the clean model and one after each nudge, others none."""
    trial, cases = trials["user"], chunk_effects(trials["user"], "score", 0).cases
    asked = []

    def made_up(model, sae, nudges, chunk, table, device):  # type: ignore[no-untyped-def]
        E, B = len(nudges.row_E), table.num_rows
        asked.append(E)
        clean_BT, top_EBT = np.full((B, 10), -1, np.int32), np.full((E, B, 10), -1, np.int32)
        clean_BT[0, :2], top_EBT[:, 0, 0] = (4, 8), 9
        yield Outcome(np.arange(B), np.full(B, 11), clean_BT, np.full((E, B), 3), top_EBT)

    monkeypatch.setattr(module, "outcomes", made_up)
    sums = chunk_effects(trial, "score", 0)
    E = sum(asked)
    assert len(trial.plan.own_E) == E and (sums.cases, sums.places) == (cases, 2)
    assert sums.hits_EC.tolist() == [[2, 1, 1]] + [[0, 0, 0]] * E  # 4 bears concepts 0, 1 and 2, 8 concept 0, 9 none
    assert sums.hr_E.tolist() == [0] + [cases] * E and sums.gain_E.tolist() == [0] + [cases / 2] * E
    assert sums.told_SX[0, :5].tolist() == [cases, 2, 2, 1, 1]
    popularity = trial.popularity_I
    assert sums.popularity_E.tolist() == [popularity[4] + popularity[8]] + [popularity[9]] * E
    bits = np.unpackbits(sums.covered_EI, axis=1, bitorder="little")
    assert bits[0].nonzero()[0].tolist() == [4, 8] and (bits[1:].nonzero()[1] == 9).all() and bits.sum() == 2 + E


def test_the_order_of_latents_is_of_no_account(trials: dict[str, SteeringSetup], found: dict[str, Effects]) -> None:
    for site in SITES:
        trial = trials[site]
        back = a_plan(sae_files.load(trial.sae), site, TURNED[::-1], CONCEPTS[::-1])
        turned, sums = whole(trial._replace(plan=back)), found[site]
        for name in ("turn_LS", "ablate_L", "null_LSR", "null_ablate_LR"):
            before, after = getattr(trial.plan, name), getattr(back, name)[::-1]
            for value in ("hits_EC", "gain_E", "popularity_E", "covered_EI"):
                np.testing.assert_array_equal(getattr(turned, value)[1 + after], getattr(sums, value)[1 + before])
