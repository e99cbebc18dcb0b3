"""What everyone gets and what is a user's own: sums, means over users, what the average user gets, shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsae.explain.explainer import Explainer, Explanations
from recsae.explain.own import OwnParts, carried
from recsae.explain.population import Population
from recsae.recommenders.base import Histories, Recommender, Trainable, last_position
from recsae.sae.model import Sae
from recsae.steering.user_batches import Present
from tests.explain.explained_world import ITEMS, LATENTS, USERS, model_at, sae_of, users

NAMED_H = np.arange(LATENTS) % 3 == 0


@torch.no_grad()
def population_of(model: Recommender, sae: Sae, present: Present) -> Population:
    """The means over the users of the batch, by hand."""
    histories = present.histories
    h_BLD = model.probe(histories)
    vectors = []
    for row, length in enumerate(histories.length_B.tolist()):
        vectors += [h_BLD[row, length - 1 : length] if model.site == "user" else h_BLD[row, :length]]
    x_ND = torch.cat(vectors)
    activation_H = torch.zeros(LATENTS, dtype=torch.float64)
    if model.site == "item":
        x_ND = last_position(model.proceed(h_BLD, histories), histories)
    else:
        index_NK, value_NK = sae.encode(x_ND)
        activation_H.index_add_(0, index_NK.flatten().long(), value_NK.flatten().double())
    return Population(USERS, x_ND.double().mean(0).numpy(), (activation_H / len(x_ND)).numpy())


def explained(kind: str, site: str, item_BT: np.ndarray | None = None) -> Explanations:
    model, sae, present = model_at(kind, site), sae_of(), users()
    return Explainer(model, sae, "cpu", population_of(model, sae, present), NAMED_H)(present, item_BT)


def whole(own: OwnParts) -> np.ndarray:
    return np.asarray(own.everyone_BT + own.own_BT)


def every_item() -> np.ndarray:
    return np.tile(np.arange(ITEMS), (USERS, 1))


@pytest.mark.parametrize(
    ("kind", "site"), [("sasrec", "user"), ("bprmf", "user"), ("sasrec", "item"), ("sasrec", "block-0")]
)
def test_the_parts_sum_to_the_score_beyond_the_average_item(kind: str, site: str) -> None:
    found = explained(kind, site)
    np.testing.assert_allclose(whole(found.own), found.beyond.score_BT, atol=1e-9)
    assert (found.own.rest_BT == 0).all() == found.exact
    for part_BT in found.own[:4]:
        assert np.abs(part_BT).max() > 1e-3


@pytest.mark.parametrize(("kind", "site"), [("sasrec", "user"), ("bprmf", "user"), ("sasrec", "item")])
def test_everyone_gets_the_mean_over_users_and_what_is_own_has_the_mean_0(kind: str, site: str) -> None:
    found = explained(kind, site, every_item())
    mean_T = found.beyond.score_BT.mean(0)
    np.testing.assert_allclose(found.own.everyone_BT, np.tile(mean_T, (USERS, 1)), atol=1e-6)
    for part_BT in found.own[1:4]:
        np.testing.assert_allclose(part_BT.mean(0), 0, atol=1e-6)


@pytest.mark.parametrize("site", ["user", "item"])
def test_named_and_unnamed_latents_by_hand(site: str) -> None:
    """(activation − mean activation) × direction · item, over all latents, whether they fire or not."""
    model, sae, present = model_at("sasrec", site), sae_of(), users()
    assert isinstance(model, Trainable)
    found = explained("sasrec", site, every_item())
    u_BD = last_position(model.proceed(model.probe(present.histories), present.histories), present.histories).double()
    item_ND = model.item_vectors(0, ITEMS).double()
    d_HD = sae.scale.double() * sae.W_dec.double()
    x_ND = item_ND if site == "item" else u_BD
    index_NK, value_NK = sae.encode(x_ND.float())
    z_NH = torch.zeros(len(x_ND), LATENTS, dtype=torch.float64).scatter_(1, index_NK.long(), value_NK.double())
    own_NH = z_NH - z_NH.mean(0)
    if site == "user":
        own_BTH = own_NH[:, None] * ((item_ND - item_ND.mean(0)) @ d_HD.T)[None]
    else:
        own_BTH = own_NH[None] * ((u_BD - u_BD.mean(0)) @ d_HD.T)[:, None]
    np.testing.assert_allclose(found.own.named_BT, own_BTH[:, :, NAMED_H].sum(2), atol=1e-6)
    np.testing.assert_allclose(found.own.unnamed_BT, own_BTH[:, :, ~NAMED_H].sum(2), atol=1e-6)
    fires_BTK = found.latent_BTK >= 0
    listed_BTK = np.take_along_axis(own_BTH.numpy(), found.latent_BTK.clip(min=0), 2)
    np.testing.assert_allclose(found.own.contribution_BTK[fires_BTK], listed_BTK[fires_BTK], atol=1e-6)
    assert fires_BTK.any() and (found.own.contribution_BTK[~fires_BTK] == 0).all()


def test_at_a_block_a_user_of_mean_vectors_has_nothing_of_their_own() -> None:
    """Named, unnamed and error cancel; what is left is the error of the approximation."""
    model, sae, present = model_at("sasrec", "block-0"), sae_of(), users()
    population = population_of(model, sae, present)
    mean_D = torch.from_numpy(population.vector_D).float()
    model.probe = lambda histories: mean_D.expand(*histories.items_BL.shape, -1).clone()  # type: ignore[method-assign]
    own = Explainer(model, sae, "cpu", population, NAMED_H)(present).own
    assert np.abs(own.named_BT + own.unnamed_BT + own.error_BT).max() < 1e-4


def test_without_a_population_everyone_gets_the_centre() -> None:
    found = Explainer(model_at("sasrec", "user"), sae_of())(users())
    np.testing.assert_allclose(found.own.everyone_BT, found.beyond.bias_BT, atol=1e-9)
    np.testing.assert_allclose(found.own.contribution_BTK, found.beyond.contribution_BTK, atol=1e-9)
    assert (found.own.named_BT == 0).all()


def test_missing_items_have_no_parts() -> None:
    model, sae, present = model_at("sasrec", "user"), sae_of(), users()
    one = slice(0, 1)
    histories = Histories(*(of[one] for of in present.histories))
    some = Present(present.user_B[one], histories, [np.arange(3, ITEMS, dtype=np.int32)])
    own = Explainer(model, sae, "cpu", population_of(model, sae, present), NAMED_H)(some).own
    assert np.isnan(own.everyone_BT[0, 3:]).all() and np.isfinite(whole(own)[0, :3]).all()
    assert sum(carried(own, 0)) == pytest.approx(1)


def test_shares_are_of_sums_over_items() -> None:
    def parts(*values: float) -> np.ndarray:
        return np.array([values])

    own = OwnParts(parts(5, 5), parts(3, 1), parts(1, -1), parts(0.5, 0.3), parts(0.2, 0), np.zeros((1, 2, 0)))
    assert carried(own, 0) == pytest.approx((0.8, 0.0, 0.2))
    nothing = OwnParts(*(parts(0, 0) for _ in range(5)), np.zeros((1, 2, 0)))
    assert np.isnan(carried(nothing, 0)).all()
