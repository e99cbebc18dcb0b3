"""The search on made-up sums, and moves put to cases against the steered recommender itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from recsae.data.chunks import n_chunks, read_chunk
from recsae.policies import balance, search
from recsae.policies.balance import CASES, CHOSEN, GAIN, HEAD, SLOTS, Popular, ndcg
from recsae.policies.measuring import World
from recsae.policies.search import LatentMoves, close, joined, of_chunk
from recsae.recommenders.ranking import rank_chunk
from recsae.steering.operations import Operation, Steering
from recsae.steering.steered import SteeredRecommender
from tests.conftest import committing
from tests.policies import biased

STEPS = (1.0, -1.0)


class Made:
    """Every latent closes so much of a gap of .4 and costs so much NDCG, by its amount; amounts add up."""

    def __init__(self, closes: dict[int, float], costs: dict[int, float]) -> None:
        self.closes, self.costs = closes, costs
        self.asked: list[list[Operation]] = []

    def __call__(self, decided: Sequence[Operation], moves: Sequence[Operation]) -> np.ndarray:
        self.asked.append(list(moves))
        return np.stack([self.sums([*decided, *some]) for some in ([], *([one] for one in moves))])

    def sums(self, done: Sequence[Operation]) -> np.ndarray:
        amount = {one.latent: 0.0 for one in done}
        for one in done:
            amount[one.latent] += one.value if one.kind == "add" else 1 - one.keep
        gap = 0.4 - sum(self.closes[latent] * of for latent, of in amount.items())
        gain = 0.5 - sum(self.costs[latent] * abs(of) for latent, of in amount.items())
        found = np.zeros((2, 9))
        found[0, [CASES, GAIN, CHOSEN, SLOTS, HEAD]] = 1, gain, 0.5, 1, 0.5 + gap
        return found


def candidates(*latents: int) -> list[LatentMoves]:
    return [LatentMoves(latent, (), STEPS) for latent in latents]


def test_the_cheapest_is_taken_until_the_target_is_met() -> None:
    evaluate = Made({1: 0.1, 2: 0.1, 3: 0.0}, {1: 0.02, 2: 0.1, 3: 0.0})
    found = close(evaluate, Popular(), candidates(1, 2, 3), 0.5, 0.5)
    assert found.operations == [Operation(1, "add", 3.0)] and found.met
    assert found.before == pytest.approx(0.4) and found.after == pytest.approx(0.1)
    assert found.loss == pytest.approx(3 * 0.02 / 0.5)


def test_the_bound_on_the_loss_is_kept_and_a_miss_is_told() -> None:
    found = close(Made({1: 0.1}, {1: 0.02}), Popular(), candidates(1), 0.1, 0.06)
    assert found.operations == [Operation(1, "add", 1.0)] and not found.met
    assert found.loss <= 0.06 and found.after == pytest.approx(0.3)
    free = close(Made({1: 0.1}, {1: 0.02}), Popular(), candidates(1), 0.1, None)
    assert free.met and free.operations == [Operation(1, "add", 4.0)]


def test_damping_goes_on_to_ablation_and_no_further() -> None:
    evaluate = Made({1: 0.3, 2: -0.1}, {1: 0.0, 2: 0.0})
    found = close(
        evaluate, Popular(), [LatentMoves(1, search.DAMPED, ()), LatentMoves(2, search.DAMPED, ())], 0.0, 0.02
    )
    assert found.operations == [Operation(1, "ablate")] and not found.met
    assert evaluate.asked[1] == [Operation(2, "scale", 0.5), Operation(2, "scale", 0.0)]


def test_where_nothing_helps_nothing_is_done() -> None:
    found = close(Made({1: 0.0}, {1: 0.0}), Popular(), candidates(1), 0.5, 0.02)
    assert found.operations == [] and not found.met and found.after == found.before
    assert close(Made({}, {}), Popular(), [], 0.5, 0.02).operations == []


def test_a_round_has_so_many_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOVES", 5)
    evaluate = Made(dict.fromkeys(range(5), 0.0), dict.fromkeys(range(5), 0.0))
    close(evaluate, Popular(), candidates(*range(5)), 0.5, 0.02)
    assert [len(moves) for moves in evaluate.asked] == [4]


def test_moves_on_one_latent_are_one_operation() -> None:
    assert joined([Operation(1, "add", 2.0)], Operation(1, "add", -0.5)) == [Operation(1, "add", 1.5)]
    assert joined([Operation(1, "add", 2.0)], Operation(1, "add", -2.0)) == []
    assert joined([Operation(1, "scale", 0.5)], Operation(1, "scale", 0.5)) == [Operation(1, "scale", 0.0)]
    assert len(joined([Operation(1, "scale", 0.5)], Operation(2, "add", 1.0))) == 2


def test_moves_on_cases_are_what_the_steered_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    biased.write(tmp_path / "data", 80)
    settings = biased.config(tmp_path / "data")
    made = biased.made(committing(tmp_path / "store"), settings)
    world, decided = made.world(settings), (Operation(2, "add", 0.5), Operation(3, "scale", 0.5))
    moves = (Operation(0, "ablate"), Operation(2, "add", 0.25), Operation(3, "scale", 0.5), Operation(5, "add", -1.0))
    ground = balance.ground(np.arange(made.ingested.metrics["items"]))
    for number in range(n_chunks(made.ingested)):
        found = of_chunk((world, None, ground, decided, moves), number)
        cases, chunk = world.cases(number, None, search.SPLITS), read_chunk(made.ingested, number)
        assert len(found) == 5 and found[:, 0, CASES].tolist() == [cases.num_rows] * 5 and cases.num_rows
        for variant, some in enumerate([list(decided), *(joined(decided, one) for one in moves)]):
            model = SteeredRecommender(world.model(), Steering(world.load_sae(), some))
            rank_C = rank_chunk(model, chunk, cases).full_C
            gain = np.where(rank_C <= 10, 1 / np.log2(1 + rank_C), 0).mean()
            assert ndcg(found[variant]) == pytest.approx(gain, abs=2e-3)  # equal scores may be rounded apart
        clean = of_chunk((world, None, ground, (), ()), number)
        assert len(clean) == 1 and ndcg(clean[0]) != ndcg(found[0])


def test_a_part_and_a_draw_of_users_are_those_of_the_world(tmp_path: Path) -> None:
    biased.write(tmp_path / "data", 80)
    settings = biased.config(tmp_path / "data")
    made = biased.made(committing(tmp_path / "store"), settings)
    world: World = made.world(settings)
    numbers = range(n_chunks(made.ingested))
    by_part = made.ingested.metrics["users_by_part"]
    assert sum(world.cases(number, "select").num_rows for number in numbers) == by_part["select"]
    assert sum(world.cases(number, "select", search.SPLITS).num_rows for number in numbers) == 2 * by_part["select"]
    assert sum(world.cases(number, None).num_rows for number in numbers) == 80
    some = world._replace(members=np.array([3, 9, 70]))
    assert sum(some.cases(number, None).num_rows for number in numbers) == 3
    fewer = world._replace(users=5)
    assert 0 < sum(fewer.cases(number, "select").num_rows for number in numbers) < by_part["select"]
