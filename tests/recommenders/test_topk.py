"""Ranks and top-k items against a loop in numpy, for any block size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders import registry, topk

N_ITEMS = 60


class Products:
    """Scores are dot products."""

    def __init__(self, item_ND: Tensor) -> None:
        self.n_items, self.item_ND = len(item_ND), item_ND

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU @ self.item_ND[start:stop].T


class Given:
    """The vectors are the scores, and a piece of them is returned."""

    n_items = N_ITEMS

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU[:, start:stop]


@pytest.fixture(params=[4_000_000, 100, 1], ids=["one", "some", "single"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topk, "SCORES_PER_BLOCK", request.param)
    monkeypatch.setattr(topk, "ROWS_PER_BLOCK", 7)


def asked(users: int = 40) -> tuple[list[np.ndarray], np.ndarray]:
    """Events with repeats, sometimes none, and targets of which some were seen before."""
    draw = np.random.default_rng(1)
    seen = [draw.integers(0, N_ITEMS, draw.integers(0, 50)).astype(np.int32) for _ in range(users)]
    return seen, draw.integers(0, N_ITEMS, users).astype(np.int32)


def brute_force(score_XN: np.ndarray, seen: list[np.ndarray], target_X: np.ndarray) -> list[int]:
    found = []
    for scores, before, target in zip(score_XN, seen, target_X, strict=True):
        rank = 1
        for item in range(N_ITEMS):
            if item != target and item not in before.tolist() and not scores[item] < scores[target]:
                rank += 1
        found.append(rank)
    return found


def first_items(scores: np.ndarray, before: np.ndarray, k: int) -> list[int]:
    order = [item for item in np.argsort(-scores, kind="stable").tolist() if item not in before.tolist()]
    order = [item for item in order if scores[item] > -np.inf]
    return (order + [-1] * k)[:k]


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("levels", [3, 1_000_000])
def test_ranks_equal_brute_force(levels: int) -> None:
    seen, target_X = asked()
    draw = torch.Generator().manual_seed(0)
    u_XU = torch.randint(1, levels, (40, N_ITEMS), generator=draw).float()
    expected = brute_force(u_XU.numpy(), seen, target_X)
    assert sum(target in before for target, before in zip(target_X, seen, strict=True)) > 5
    assert topk.ranks(Products(torch.eye(N_ITEMS)), u_XU, seen, target_X).tolist() == expected


@pytest.mark.usefixtures("blocks")
def test_nan_and_infinities_never_help_the_model() -> None:
    seen, target_X = asked()
    draw = np.random.default_rng(2)
    score_XN = draw.choice([np.nan, -np.inf, np.inf, 0.0, 1.0], (40, N_ITEMS)).astype(np.float32)
    u_XU = torch.from_numpy(score_XN.copy())
    assert topk.ranks(Given(), u_XU, seen, target_X).tolist() == brute_force(score_XN, seen, target_X)
    top_X3 = topk.top_k(Given(), u_XU, seen, 3)
    for scores, before, found in zip(np.nan_to_num(score_XN, nan=-np.inf, posinf=2), seen, top_X3, strict=True):
        wanted = first_items(np.where(scores < -1, -np.inf, scores), before, 3)
        assert scores[found].tolist() == scores[wanted].tolist() and (found < 0).tolist() == [i < 0 for i in wanted]
    np.testing.assert_array_equal(u_XU.numpy(), score_XN)  # what belongs to the model is left alone


@pytest.mark.parametrize("users", [1, 2, 3, 5])
@pytest.mark.parametrize("n_items", [61, 3001])
def test_a_model_that_tells_no_items_apart_ranks_every_target_last(
    n_items: int, users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    u_XU = torch.randn(users, 64, generator=torch.Generator().manual_seed(0))
    collapsed = Products(torch.randn(64, generator=torch.Generator().manual_seed(1)).expand(n_items, 64).clone())
    seen, target_X = [np.arange(10)] * users, np.array([0, 7, 30, 59, 60])[:users]
    expected = (n_items - 10 + (target_X < 10)).tolist()
    assert topk.ranks(collapsed, u_XU, seen, target_X).tolist() == expected
    monkeypatch.setattr(topk, "SCORES_PER_BLOCK", 1000)
    assert topk.ranks(collapsed, u_XU, seen, target_X).tolist() == expected


def test_a_small_catalogue_is_multiplied_once_and_a_large_one_little_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[tuple[int, int]] = []

    class Counting(Products):
        def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
            asked_for.append((start, stop))
            return super().scores(u_XU, start, stop)

    model, u_XU, seen = Counting(torch.randn(1000, 8)), torch.randn(20, 8), [np.arange(5)] * 20
    topk.ranks(model, u_XU, seen, np.arange(20))
    assert asked_for == [(0, 1000)]
    monkeypatch.setattr(topk, "SCORES_PER_BLOCK", 4000)
    asked_for.clear()
    topk.ranks(model, u_XU, seen, np.arange(20))  # targets side by side
    assert sorted(asked_for) == [(0, 200), *((start, start + 200) for start in range(0, 1000, 200))]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = registry.build(RecommenderConfig(kind="bprmf", width=16), 300, 2000, 0)
    draw = np.random.default_rng(0)
    seen = [draw.integers(0, 2000, 100) for _ in range(300)]
    target_X, negative_XM = draw.integers(0, 2000, 300), draw.integers(0, 2000, (300, 20))
    u_XU = model.get_parameter("user.weight")

    def everything() -> list[np.ndarray]:
        return [
            topk.ranks(model, u_XU, seen, target_X),
            topk.sampled_ranks(model, u_XU, target_X, negative_XM),
            topk.top_k(model, u_XU, seen, 10),
        ]

    whole = everything()
    monkeypatch.setattr(topk, "SCORES_PER_BLOCK", 100_000)
    for one, other in zip(whole, everything(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("blocks")
def test_sampled_ranks_are_among_the_negatives_alone() -> None:
    _, target_X = asked()
    draw = np.random.default_rng(3)
    negative_XM = draw.integers(0, N_ITEMS, (40, 12))
    negative_XM[0] = -1  # nothing was left to draw
    score_XN = draw.integers(0, 9, (40, N_ITEMS)).astype(np.float32)
    target_X1 = np.take_along_axis(score_XN, target_X[:, None], 1)
    expected = 1 + (~(np.take_along_axis(score_XN, negative_XM, 1) < target_X1)).sum(1)
    expected[0] = 1
    found = topk.sampled_ranks(Given(), torch.from_numpy(score_XN), target_X, negative_XM)
    assert found.tolist() == expected.tolist()


@pytest.mark.usefixtures("blocks")
def test_first_items_equal_brute_force() -> None:
    seen, _ = asked()
    seen[3] = np.arange(N_ITEMS)
    seen[4] = np.arange(N_ITEMS - 2)
    u_XU = torch.randn(40, N_ITEMS, generator=torch.Generator().manual_seed(0))
    found = topk.top_k(Given(), u_XU, seen, 5)
    wanted = [first_items(scores, before, 5) for scores, before in zip(u_XU.numpy(), seen, strict=True)]
    assert found.dtype == np.int32 and found.tolist() == wanted
    assert (found[3] == -1).all() and (found[4, 2:] == -1).all() and (found[4, :2] >= N_ITEMS - 2).all()
    first = topk.first_unseen(Given(), u_XU, seen)
    assert first.shape == (40,) and first.dtype == np.int32 and first.tolist() == [row[0] for row in wanted]


def test_more_first_items_than_a_small_catalogue_has() -> None:
    found = topk.top_k(Products(torch.eye(3)), torch.tensor([[1.0, 3.0, 2.0]]), [np.array([], dtype=np.int32)], 5)
    assert found.tolist() == [[1, 2, 0, -1, -1]]
