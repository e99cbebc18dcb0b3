"""The compiled passes over scores, against loops in Python: odd scores, ties, ranges, and sums over first items."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from recsae.steering import ranking_kernel

T = 4
"""First items that are asked for."""


class Asked(NamedTuple):
    """Users, interventions and items; intervention 0 is the clean model."""

    base_BN: np.ndarray
    """Before anything seen is masked."""
    direction_MN: np.ndarray
    row_E: np.ndarray
    c_EB: np.ndarray
    seen_BN: np.ndarray
    target_B: np.ndarray


def asked(
    seed: int = 0, users: int = 12, items: int = 300, whole: int | None = None, *, target_seen: bool = False
) -> Asked:
    """`whole`: scores are whole numbers below it, so that ties abound; a third of the interventions move nothing."""
    draw = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        made = draw.standard_normal(shape) if whole is None else draw.integers(-whole, whole, shape)
        return np.asarray(made, dtype=np.float32)

    c_EB = np.concatenate([np.zeros((1, users), np.float32), numbers(9, users)])
    c_EB[1::3] *= draw.integers(0, 2, (3, users))
    seen_BN, target_B = draw.random((users, items)) < 0.3, draw.integers(0, items, users)
    seen_BN[np.arange(users), target_B] = target_seen
    return Asked(numbers(users, items), numbers(4, items), draw.integers(0, 4, 10), c_EB, seen_BN, target_B)


def run(of: Asked, ranges: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best scores, first items, and how many score less than the target."""
    base_BN = np.where(of.seen_BN, -np.inf, of.base_BN).astype(np.float32)
    users, items = base_BN.shape
    at_B = np.arange(users)
    along_EB = of.direction_MN[of.row_E][:, of.target_B]
    target_EB = of.base_BN[at_B, of.target_B] + of.c_EB * along_EB
    best_EBT = np.full((*of.c_EB.shape, T), -np.inf, np.float32)
    item_EBT, less_EB = np.full(best_EBT.shape, -1, np.int32), np.zeros(of.c_EB.shape, np.int32)
    bounds = np.linspace(0, items, ranges + 1).astype(int)
    for start, stop in pairwise(bounds):
        place_B = np.where((of.target_B >= start) & (of.target_B < stop), of.target_B - start, -1)
        here_Bn = np.ascontiguousarray(base_BN[:, start:stop])
        along_Mn = np.ascontiguousarray(of.direction_MN[:, start:stop])
        ranking_kernel.rank_moved(
            here_Bn, along_Mn, of.row_E, of.c_EB, target_EB, place_B, start, best_EBT, item_EBT, less_EB
        )
    return best_EBT, item_EBT, less_EB


def moved(of: Asked, e: int, b: int) -> np.ndarray:
    """Scores of all items, float32 after each step, unmasked."""
    return np.asarray(of.base_BN[b] + of.c_EB[e, b] * of.direction_MN[of.row_E[e]], dtype=np.float32)


def check(of: Asked, ranges: int) -> None:
    """Items that tie may come in any order, so that scores are compared; NaN is never first, and never less."""
    best_EBT, item_EBT, less_EB = run(of, ranges)
    for e in range(len(of.row_E)):
        for b, target in enumerate(of.target_B):
            score_N = moved(of, e, b)
            open_ = [item for item in range(len(score_N)) if not of.seen_BN[b, item] and score_N[item] > -np.inf]
            wanted = sorted((score_N[item] for item in open_), reverse=True)[:T]
            items = item_EBT[e, b][: len(wanted)].tolist()
            assert score_N[items].tolist() == best_EBT[e, b][: len(wanted)].tolist() == wanted
            assert len(set(items)) == len(items) and set(items) <= set(open_)
            assert (item_EBT[e, b][len(wanted) :] == -1).all()
            less = 0
            for item, score in enumerate(score_N):
                known = -np.inf if of.seen_BN[b, item] else score
                less += item != target and bool(known < score_N[target])
            assert less_EB[e, b] == less


@pytest.mark.parametrize("ranges", [1, 2, 7])
@pytest.mark.parametrize("whole", [None, 2, 40])
@pytest.mark.parametrize("target_seen", [False, True])
def test_ranks_and_first_items_are_those_of_a_loop(ranges: int, whole: int | None, target_seen: bool) -> None:
    check(asked(1, whole=whole, target_seen=target_seen), ranges)


@pytest.mark.parametrize("ranges", [1, 3])
def test_all_scores_equal(ranges: int) -> None:
    """A tie counts against the target: nothing is less than it but what was seen."""
    of = asked(2)
    of = of._replace(base_BN=np.ones_like(of.base_BN), direction_MN=np.full_like(of.direction_MN, 0.5))
    check(of, ranges)
    _, item_EBT, less_EB = run(of, ranges)
    assert (less_EB == of.seen_BN.sum(1)).all()
    assert (item_EBT == item_EBT[0]).all()  # where ties allow it, the first items stay


@pytest.mark.parametrize("ranges", [1, 3])
def test_scores_that_are_no_numbers(ranges: int) -> None:
    """A target without a number has nothing below it, and an item without one is ahead of every target."""
    of = asked(3)
    of.base_BN[np.random.default_rng(4).random(of.base_BN.shape) < 0.05] = np.nan
    of.base_BN[0] = np.nan
    of.base_BN[1, of.target_B[1]] = np.nan
    of.base_BN[2, of.target_B[2]] = -np.inf
    check(of, ranges)
    _, item_EBT, less_EB = run(of, ranges)
    assert (item_EBT[:, 0] == -1).all() and (less_EB[:, :3] == 0).all()


@pytest.mark.parametrize("ranges", [1, 5])
def test_fewer_left_than_are_asked_for(ranges: int) -> None:
    of = asked(5, users=6, items=20)
    for b, left in enumerate(range(6)):
        of.seen_BN[b] = True
        of.seen_BN[b, np.random.default_rng(b).choice(20, left, replace=False)] = False
    check(of, ranges)
    assert ((run(of, ranges)[1] >= 0).sum(2) == np.minimum(np.arange(6), T)).all()


def test_more_ranges_than_first_items_in_each() -> None:
    check(asked(6, items=30, whole=5), 15)


def test_what_moves_nothing_is_the_clean_model_to_the_bit() -> None:
    of = asked(7, whole=3)
    of.c_EB[4:] = 0
    best_EBT, item_EBT, less_EB = run(of, 3)
    for found in (best_EBT, item_EBT, less_EB):
        assert (found[4:] == found[0]).all() and (found[1:4] != found[0]).any()


def test_tally_adds_up_what_first_items_are() -> None:
    draw = np.random.default_rng(0)
    users, interventions, items, concepts = 9, 6, 21, 5
    bears_IC = draw.random((items, concepts)) < 0.3
    bears_IC[3] = False
    starts_I = np.concatenate([[0], np.cumsum(bears_IC.sum(1))]).astype(np.int32)
    concept_N = np.nonzero(bears_IC)[1].astype(np.int32)
    popularity_I, own_E = draw.integers(0, 1000, items), np.array([-1, 0, 4, 2, 2, -1])
    top_EBT = np.stack([[draw.permutation(items)[:T] for _ in range(users)] for _ in range(interventions)]).astype(
        np.int32
    )
    top_EBT[2, 3, 1:] = top_EBT[4, 5] = -1
    hits_EC, own_EB = np.full((interventions, concepts), 7), np.zeros((interventions, users), np.int64)
    popularity_E, covered_EI = np.full(interventions, 100), np.zeros((interventions, 3), np.uint8)
    covered_EI[:, 2] = 1 << 4  # item 20, from a batch before
    ranking_kernel.tally(top_EBT, own_E, starts_I, concept_N, popularity_I, hits_EC, own_EB, popularity_E, covered_EI)
    for e in range(interventions):
        first = [item for of_user in top_EBT[e] for item in of_user if item >= 0]
        assert hits_EC[e].tolist() == (7 + sum(bears_IC[item].astype(int) for item in first)).tolist()
        assert popularity_E[e] == 100 + sum(popularity_I[item] for item in first)
        assert set(np.unpackbits(covered_EI[e], bitorder="little").nonzero()[0]) == {*first, 20}
        for b in range(users):
            of_user = [item for item in top_EBT[e, b] if item >= 0]
            assert own_EB[e, b] == (sum(bears_IC[item, own_E[e]] for item in of_user) if own_E[e] >= 0 else 0)
