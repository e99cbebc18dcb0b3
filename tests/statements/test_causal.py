"""Statements of behaviour, tried on a recommender whose vector carries what they speak of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from recsae.recommenders.base import Histories, Recommender
from recsae.sae.model import Sae
from recsae.statements import behaviour, causal
from recsae.statements.behaviour import About
from recsae.statements.language import HISTORY, Behaviour, Formula, Statement, Term

ITEMS = 60
DRAW = np.random.default_rng(0)
GROUP_I = np.arange(ITEMS) % 4
VECTORS = DRAW.normal(size=(ITEMS, 3)).astype(np.float32)
ABOUT = About(
    (np.arange(ITEMS) + 0.5) / ITEMS,
    VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True),
    {"genres": sparse.csr_matrix(np.eye(4, dtype=np.int32)[GROUP_I])},
    None,
)
FEATURES = [
    behaviour.LENGTH,
    behaviour.POPULARITY,
    behaviour.REPEATS,
    behaviour.DIVERSITY,
    behaviour.SAME_ITEM,
    behaviour.same_attribute("genres"),
]


class Carrier(Recommender):
    """A recommender whose vector is one feature of the history, or a coin."""

    def __init__(self, feature: str | None) -> None:
        super().__init__(ITEMS, 1, 40)
        self.feature = feature

    def probe(self, histories: Histories) -> torch.Tensor:
        items, length = histories.items_BL.numpy(), histories.length_B.numpy()
        recent = np.full((len(items), HISTORY), -1)
        for row, of, stop in zip(recent, items, length.tolist(), strict=True):
            row[: min(stop, HISTORY)] = of[max(0, stop - HISTORY) : stop][::-1]
        value_N = np.random.default_rng(1).random(len(items))
        if self.feature:
            value_N = behaviour.features(recent, length, ABOUT)[self.feature]
        return torch.tensor(value_N, dtype=torch.float32)[:, None, None].expand(-1, items.shape[1], 1)

    def proceed(self, h_BLD: torch.Tensor, histories: Histories) -> torch.Tensor:
        return h_BLD

    def scores(self, u_XU: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        return u_XU.expand(-1, stop - start)


def sae_at(threshold: float) -> Sae:
    """Latent 0 fires where the vector is above the threshold, latent 1 where it is not."""
    sae = Sae(1, 2, "relu")
    with torch.no_grad():
        sae.W_enc[:] = torch.tensor([[1.0, -1.0]]).T
        sae.b_enc[:] = torch.tensor([-threshold, threshold])
    return sae


def threshold_of(feature: str) -> float:
    return {behaviour.LENGTH: 20.5, behaviour.REPEATS: 0.45, behaviour.DIVERSITY: 0.9}.get(feature, 0.4973)


def tried(feature: str, model: Recommender) -> dict[int, dict[str, Any]]:
    above = Statement(view="history", body=Behaviour(feature=feature, low=threshold_of(feature)))
    return causal.check({0: above, 1: above}, model, sae_at(threshold_of(feature)), ABOUT, 0)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_vector_that_carries_the_feature_agrees_and_its_opposite_contradicts(feature: str) -> None:
    agrees, contradicts = tried(feature, Carrier(feature)).values()
    assert (agrees["causal_check"], contradicts["causal_check"]) == ("agrees", "contradicts")
    assert agrees["causal_change"] == pytest.approx(1)
    assert contradicts["causal_change"] == pytest.approx(-1)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_vector_that_is_a_coin_is_not_said_to_agree(feature: str) -> None:
    assert {row["causal_check"] for row in tried(feature, Carrier(None)).values()} == {"unclear"}


def test_what_items_cannot_move_is_untested() -> None:
    hour = Statement(view="history", body=Behaviour(feature=behaviour.HOUR, low=18))
    never = Statement(view="history", body=Behaviour(feature=behaviour.LENGTH, low=1000))
    genre = Statement(view="last", body=Formula(literal=Term(term="Drama")))
    found = causal.check({0: hour, 1: never, 2: genre}, Carrier(behaviour.LENGTH), sae_at(0.5), ABOUT, 0)
    assert {latent: row["causal_check"] for latent, row in found.items()} == {0: "untested", 1: "untested"}
