"""Explanations: their parts against the model's scores, ablation, and means over the catalogue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsae.config.sae import Kind
from recsae.explain import explainer
from recsae.explain.explainer import Explainer, Explanations, ScoreParts, explain
from recsae.explain.slopes import slopes
from recsae.recommenders.base import Recommender, Trainable, last_position
from recsae.sae.model import Sae
from recsae.steering.operations import Operation, Steering
from recsae.steering.user_batches import Present
from tests.explain.explained_world import ITEMS, LATENTS, USERS, model_at, sae_of, users

EXACT = [
    ("sasrec", "user"),
    ("gpt", "user"),
    ("timirec", "user"),
    ("bprmf", "user"),
    ("lightgcn", "user"),
    ("sasrec", "item"),
    ("lightgcn", "item"),
]


@torch.no_grad()
def scores(model: Recommender, present: Present) -> np.ndarray:
    """The model's scores of all items, `(B, N)`."""
    h_BLD = model.probe(present.histories)
    u_BU = last_position(model.proceed(h_BLD, present.histories), present.histories)
    return model.scores(u_BU, 0, model.n_items).double().numpy()


def sums(parts: ScoreParts) -> np.ndarray:
    return np.asarray(parts.bias_BT + parts.error_BT + parts.rest_BT + parts.contribution_BTK.sum(2))


def by_latent(found: Explanations, parts: ScoreParts) -> np.ndarray:
    """Contributions `(B, T, H)`."""
    dense = np.zeros((*found.item_BT.shape, LATENTS))
    for place in zip(*np.nonzero(found.latent_BTK >= 0), strict=True):
        dense[place[0], place[1], found.latent_BTK[place]] += parts.contribution_BTK[place]
    return dense


def all_items(model: Recommender, sae: Sae) -> Explanations:
    return explain(model, sae, users(), np.tile(np.arange(ITEMS), (USERS, 1)))


@pytest.mark.parametrize("sae_kind", ["topk", "relu"])
@pytest.mark.parametrize(("kind", "site"), EXACT)
def test_parts_sum_to_the_score_of_the_model(kind: str, site: str, sae_kind: Kind) -> None:
    model = model_at(kind, site)
    found = explain(model, sae_of(sae_kind), users())
    assert found.exact and found.item_BT.shape == (USERS, 10)
    score_BT = np.take_along_axis(scores(model, users()), found.item_BT.astype(int), 1)
    bound_BT = 1e-5 * np.maximum(1, np.abs(score_BT))
    assert (np.abs(found.item.score_BT - score_BT) < bound_BT).all()
    assert (np.abs(sums(found.item) - score_BT) < bound_BT).all()
    assert (found.item.rest_BT == 0).all()
    assert np.abs(found.item.error_BT).min() > 1e-4 and np.abs(found.item.bias_BT).min() > 1e-4
    np.testing.assert_allclose(sums(found.average), found.average.score_BT, atol=1e-9)


@pytest.mark.parametrize(("kind", "site"), [("sasrec", "user"), ("bprmf", "user"), ("sasrec", "item")])
def test_a_contribution_is_the_score_lost_by_ablation(kind: str, site: str) -> None:
    model, sae = model_at(kind, site), sae_of()
    dense_BNH = by_latent(found := all_items(model, sae), found.item)
    assert isinstance(model, Trainable)
    u_BD = last_position(model.probe(users().histories), users().histories)
    for latent in range(LATENTS):
        ablate = Steering(sae, [Operation(latent, "ablate")])
        item_ND = model.item_vectors(0, ITEMS)
        after = ablate(u_BD) @ item_ND.T if site == "user" else u_BD @ ablate(item_ND).T
        lost_BN = scores(model, users()) - after.double().numpy()
        np.testing.assert_allclose(dense_BNH[:, :, latent], lost_BN, atol=2e-5)
    assert (dense_BNH != 0).any((0, 1)).sum() > LATENTS / 8


@pytest.mark.parametrize(("kind", "site"), [*EXACT, ("sasrec", "block-0")])
def test_the_average_item_is_the_mean_over_the_catalogue(kind: str, site: str) -> None:
    found = all_items(model_at(kind, site), sae_of())
    mean_B1H = by_latent(found, found.item).mean(1, keepdims=True)
    fires_BTH = by_latent(found, found.item) != 0
    average_BTH = by_latent(found, found.average)
    close = {"atol": 1e-5 if site.startswith("block") else 1e-9}
    np.testing.assert_allclose(average_BTH, np.where(fires_BTH, mean_B1H, 0), **close)
    for name in ("score_BT", "bias_BT", "error_BT"):
        mean = np.broadcast_to(getattr(found.item, name).mean(1, keepdims=True), (USERS, ITEMS))
        np.testing.assert_allclose(getattr(found.average, name), mean, **close)
    if site == "item":  # latents that do not fire for an item still have a mean over the catalogue
        np.testing.assert_allclose(found.average.rest_BT, (mean_B1H - average_BTH).sum(2), **close)
        assert np.abs(found.average.rest_BT).max() > 0.1
    np.testing.assert_allclose(sums(found.beyond), found.item.score_BT - found.average.score_BT, atol=1e-9)


def test_items_and_ranks_are_those_of_the_ranking_of_unseen_items() -> None:
    model, present = model_at("sasrec", "user"), users()
    score_BN, found = scores(model, present), explain(model, sae_of(), users())
    every = all_items(model, sae_of())
    for row, seen in enumerate(present.seen):
        open_N = ~np.isin(np.arange(ITEMS), seen)
        best = sorted(np.flatnonzero(open_N), key=lambda item: -score_BN[row, item])
        assert found.item_BT[row].tolist() == best[:10] and found.rank_BT[row].tolist() == list(range(1, 11))
        for item in range(ITEMS):
            others_N = open_N & (np.arange(ITEMS) != item)
            assert every.rank_BT[row, item] == 1 + (score_BN[row][others_N] >= score_BN[row, item]).sum()


@pytest.mark.parametrize("site", ["user", "item", "block-0"])
def test_a_user_who_has_seen_nearly_every_item(site: str) -> None:
    present, one = users(), slice(0, 1)
    histories = type(present.histories)(*(of[one] for of in present.histories))
    some = Present(present.user_B[one], histories, [np.arange(3, ITEMS, dtype=np.int32)])
    found = explain(model_at("sasrec", site), sae_of(), some)
    assert sorted(found.item_BT[0].tolist()) == [-1] * 7 + [0, 1, 2]
    assert np.isfinite(found.item.score_BT[0, :3]).all() and np.isnan(found.item.score_BT[0, 3:]).all()
    assert all(np.isnan(of[0, 3:]).all() for of in found.item)


@pytest.mark.parametrize("kind", ["sasrec", "gpt"])
def test_before_further_layers_parts_are_approximate_and_sum_to_the_score(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_at(kind, "block-0")
    found = explain(model, sae_of(), users())
    assert not found.exact
    score_BT = np.take_along_axis(scores(model, users()), found.item_BT.astype(int), 1)
    np.testing.assert_allclose(found.item.score_BT, score_BT, rtol=1e-5)
    np.testing.assert_allclose(sums(found.item), score_BT, rtol=1e-5)
    sae, histories, item_BT = sae_of(), users().histories, torch.from_numpy(found.item_BT.astype(np.int64))
    h_BLD, c_D = model.probe(histories), sae.mean_D + sae.scale * sae.b_dec
    slope_SBLD = slopes(model, h_BLD, c_D, histories, item_BT).slope_SBLD
    parts_BT = (slope_SBLD[:-1] * (h_BLD - c_D)).sum((2, 3)).T.numpy()
    np.testing.assert_allclose(found.item.score_BT - found.item.bias_BT - found.item.rest_BT, parts_BT, atol=1e-4)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.parameters())
    monkeypatch.setattr(explainer, "SLOPES_AT_ONCE", 1)  # one user at a time
    alone = explain(model, sae_of(), users())
    for some, other in zip(found.item, alone.item, strict=True):
        np.testing.assert_allclose(some, other, atol=1e-4)
    assert (alone.latent_BTK == found.latent_BTK).all()


def test_at_a_block_activations_are_summed_over_the_history() -> None:
    model, sae, present = model_at("sasrec", "block-0"), sae_of(), users()
    found = explain(model, sae, present)
    h_BLD = model.probe(present.histories)
    for row, length in enumerate(present.histories.length_B.tolist()):
        index_LK, value_LK = sae.encode(h_BLD[row, :length])
        wanted = torch.zeros(LATENTS).index_add_(0, index_LK.flatten().long(), value_LK.flatten()).numpy()
        there = found.latent_BTK[row, 0] >= 0
        assert sorted(found.latent_BTK[row, 0][there].tolist()) == np.flatnonzero(wanted).tolist()
        np.testing.assert_allclose(found.activation_BTK[row, 0][there], wanted[wanted > 0], rtol=1e-5)


def test_one_explainer_serves_many_batches() -> None:
    explainer, present = Explainer(model_at("sasrec", "user"), sae_of()), users()
    whole, halves = explainer(present), []
    for rows in (slice(0, 4), slice(4, USERS)):
        histories = type(present.histories)(*(of[rows] for of in present.histories))
        halves.append(explainer(Present(present.user_B[rows], histories, present.seen[rows])))
    np.testing.assert_allclose(
        np.concatenate([half.item.contribution_BTK.sum(2) for half in halves]), whole.item.contribution_BTK.sum(2),
        atol=1e-5,
    )  # fmt: skip
