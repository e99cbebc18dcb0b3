"""The search on made-up sums, and moves evaluated on cases against the steered recommender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from recsae.data.chunks import n_chunks, read_chunk
from recsae.policies import balance, search
from recsae.policies.balance import CASES, CHOSEN, GAIN, HEAD, SLOTS, PopularityGap, ndcg
from recsae.policies.measuring import EvalData
from recsae.policies.search import LatentMoves, close_gap, evaluate_chunk, merged
from recsae.recommenders.ranking import rank_chunk
from recsae.steering.operations import Operation, Steering
from recsae.steering.steered import SteeredRecommender
from tests.conftest import committing
from tests.policies import biased

STEPS = (1.0, -1.0)


class Made:
    """Each latent closes part of a gap of .4 and costs NDCG in proportion to its amount; amounts add up."""

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
    found = close_gap(evaluate, PopularityGap(), candidates(1, 2, 3), 0.5, 0.5)
    assert found.operations == [Operation(1, "add", 3.0)] and found.met
    assert found.before == pytest.approx(0.4) and found.after == pytest.approx(0.1)
    assert found.loss == pytest.approx(3 * 0.02 / 0.5)


def test_the_loss_stays_within_its_limit_and_a_miss_is_reported() -> None:
    found = close_gap(Made({1: 0.1}, {1: 0.02}), PopularityGap(), candidates(1), 0.1, 0.06)
    assert found.operations == [Operation(1, "add", 1.0)] and not found.met
    assert found.loss <= 0.06 and found.after == pytest.approx(0.3)
    free = close_gap(Made({1: 0.1}, {1: 0.02}), PopularityGap(), candidates(1), 0.1, None)
    assert free.met and free.operations == [Operation(1, "add", 4.0)]


def test_damping_ends_at_ablation() -> None:
    evaluate = Made({1: 0.3, 2: -0.1}, {1: 0.0, 2: 0.0})
    found = close_gap(
        evaluate,
        PopularityGap(),
        [LatentMoves(1, search.DAMPING_FACTORS, ()), LatentMoves(2, search.DAMPING_FACTORS, ())],
        0.0,
        0.02,
    )
    assert found.operations == [Operation(1, "ablate")] and not found.met
    assert evaluate.asked[1] == [Operation(2, "scale", 0.5), Operation(2, "scale", 0.0)]


def test_without_a_useful_move_nothing_is_done() -> None:
    found = close_gap(Made({1: 0.0}, {1: 0.0}), PopularityGap(), candidates(1), 0.5, 0.02)
    assert found.operations == [] and not found.met and found.after == found.before
    assert close_gap(Made({}, {}), PopularityGap(), [], 0.5, 0.02).operations == []


def test_a_round_has_at_most_max_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_MOVES", 5)
    evaluate = Made(dict.fromkeys(range(5), 0.0), dict.fromkeys(range(5), 0.0))
    close_gap(evaluate, PopularityGap(), candidates(*range(5)), 0.5, 0.02)
    assert [len(moves) for moves in evaluate.asked] == [4]


def test_moves_on_one_latent_are_one_operation() -> None:
    assert merged([Operation(1, "add", 2.0)], Operation(1, "add", -0.5)) == [Operation(1, "add", 1.5)]
    assert merged([Operation(1, "add", 2.0)], Operation(1, "add", -2.0)) == []
    assert merged([Operation(1, "scale", 0.5)], Operation(1, "scale", 0.5)) == [Operation(1, "scale", 0.0)]
    assert len(merged([Operation(1, "scale", 0.5)], Operation(2, "add", 1.0))) == 2


def test_moves_on_cases_are_what_the_steered_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    biased.write(tmp_path / "data", 80)
    settings = biased.config(tmp_path / "data")
    made = biased.made(committing(tmp_path / "store"), settings)
    data, decided = made.eval_data(settings), (Operation(2, "add", 0.5), Operation(3, "scale", 0.5))
    moves = (Operation(0, "ablate"), Operation(2, "add", 0.25), Operation(3, "scale", 0.5), Operation(5, "add", -1.0))
    spec = balance.count_spec(np.arange(made.ingested.metrics["items"]))
    for number in range(n_chunks(made.ingested)):
        found = evaluate_chunk((data, None, spec, decided, moves), number)
        cases, chunk = data.cases(number, None, search.SPLITS), read_chunk(made.ingested, number)
        assert len(found) == 5 and found[:, 0, CASES].tolist() == [cases.num_rows] * 5 and cases.num_rows
        for variant, some in enumerate([list(decided), *(merged(decided, one) for one in moves)]):
            model = SteeredRecommender(data.model(), Steering(data.load_sae(), some))
            rank_C = rank_chunk(model, chunk, cases).full_C
            gain = np.where(rank_C <= 10, 1 / np.log2(1 + rank_C), 0).mean()
            assert ndcg(found[variant]) == pytest.approx(gain, abs=2e-3)  # rounding may separate equal scores
        clean = evaluate_chunk((data, None, spec, (), ()), number)
        assert len(clean) == 1 and ndcg(clean[0]) != ndcg(found[0])


def test_a_part_and_a_draw_of_users_are_those_of_the_world(tmp_path: Path) -> None:
    biased.write(tmp_path / "data", 80)
    settings = biased.config(tmp_path / "data")
    made = biased.made(committing(tmp_path / "store"), settings)
    data: EvalData = made.eval_data(settings)
    numbers = range(n_chunks(made.ingested))
    by_part = made.ingested.metrics["users_by_part"]
    assert sum(data.cases(number, "select").num_rows for number in numbers) == by_part["select"]
    assert sum(data.cases(number, "select", search.SPLITS).num_rows for number in numbers) == 2 * by_part["select"]
    assert sum(data.cases(number, None).num_rows for number in numbers) == 80
    some = data._replace(members=np.array([3, 9, 70]))
    assert sum(some.cases(number, None).num_rows for number in numbers) == 3
    fewer = data._replace(users=5)
    assert 0 < sum(fewer.cases(number, "select").num_rows for number in numbers) < by_part["select"]
