"""LightGCN's propagation against dense matrices."""

from __future__ import annotations

import torch

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders.factors import LightGCN

USERS, ITEMS, WIDTH = 5, 7, 3
PAIRS = [(0, 0), (0, 1), (1, 1), (2, 3), (3, 3), (3, 0), (3, 6)]  # user 4, items 2, 4 and 5 have no event


def graph(layers: int = 2) -> LightGCN:
    torch.manual_seed(0)
    model = LightGCN(RecommenderConfig(kind="lightgcn", width=WIDTH, layers=layers, heads=1), USERS, ITEMS)
    user, item = torch.tensor([*PAIRS, PAIRS[0]]).T  # one pair twice: it counts once
    model.set_graph(user, item)
    return model


def dense(layers: int) -> torch.Tensor:
    """`mean of (D^-½ A D^-½)^l`, on users and items stacked."""
    adjacency = torch.zeros(USERS + ITEMS, USERS + ITEMS)
    for user, item in PAIRS:
        adjacency[user, USERS + item] = adjacency[USERS + item, user] = 1
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    step = scale[:, None] * adjacency * scale
    power, total = torch.eye(USERS + ITEMS), torch.zeros_like(adjacency)
    for _ in range(layers + 1):
        total, power = total + power, power @ step
    return total / (layers + 1)


def test_tables_are_the_mean_over_layers() -> None:
    for layers in (1, 2, 3):
        model = graph(layers)
        expected = dense(layers) @ torch.cat([model.user.weight, model.item.weight])
        found = model.tables()
        torch.testing.assert_close(torch.cat([found["user.weight"], found["item.weight"]]), expected)
        model.refresh()
        torch.testing.assert_close(torch.cat([model.user_out, model.item_out]), expected)


def test_pulled_back_gradients_are_those_of_autograd() -> None:
    model = graph()
    both = torch.cat([model.user.weight, model.item.weight]).detach().requires_grad_()
    weight = torch.randn(USERS + ITEMS, WIDTH)
    (expected,) = torch.autograd.grad(((dense(2) @ both) * weight).sum(), [both])
    found = model.pull_back({"user.weight": weight[:USERS], "item.weight": weight[USERS:]})
    torch.testing.assert_close(torch.cat([found["user.weight"], found["item.weight"]]), expected)


def test_who_has_no_event_keeps_a_share_of_his_own_vector() -> None:
    model = graph()
    model.refresh()
    torch.testing.assert_close(model.user_out[4], model.user.weight[4].detach() / 3)
