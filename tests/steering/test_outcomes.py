"""Moved vectors, case by case: every intervention against the same edit put into the ranking by hand, at every site."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsae.recommenders.base import Recommender
from recsae.recommenders.ranking import compare_chunk
from recsae.sae.model import Sae
from recsae.steering import outcomes as module
from recsae.steering.operations import Operation, Steering, dense
from recsae.steering.outcomes import Interventions, Outcome, amounts, outcomes
from tests.recommenders.test_ranking import build, random_chunk

WIDTH, LATENTS = 16, 24
SITES = [("sasrec", "user"), ("bprmf", "user"), ("timirec", "user"), ("bprmf", "item"), ("sasrec", "item")]
WITHIN = [("sasrec", "block-0"), ("gpt", "block-1")]
OPERATIONS = {
    "add": Operation(3, "add", 1.5),
    "less": Operation(3, "add", -2.0),
    "ablate": Operation(5, "ablate"),
    "double": Operation(7, "scale", 2.0),
    "set": Operation(9, "set", 0.7),
    "nothing": Operation(9, "add", 0.0),
}


def an_sae(model: Recommender) -> Sae:
    """Of untrained weights, in the units of what the model is read at."""
    torch.manual_seed(2)
    sae = Sae(WIDTH, LATENTS, "topk", 4)
    sae.scale.copy_(torch.tensor(0.05 if model.site == "item" else 0.5))
    return sae.eval().requires_grad_(False)


def interventions(sae: Sae) -> Interventions:
    latent = np.array([one.latent for one in OPERATIONS.values()])
    return Interventions(
        (sae.scale * sae.W_dec).numpy(),
        latent,
        np.where([one.kind == "add" for one in OPERATIONS.values()], -1, latent),
        np.array([one.keep for one in OPERATIONS.values()]),
        np.array([one.plus for one in OPERATIONS.values()]),
    )


def together(found: list[Outcome], cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks `(1 + E, cases)` and first items `(1 + E, cases, 10)`, the clean model's first."""
    rank_EC, top_ECT = np.zeros((1 + len(OPERATIONS), cases), int), np.zeros((1 + len(OPERATIONS), cases, 10), int)
    for one in found:
        rank_EC[:, one.rows] = np.concatenate([one.clean_rank_B[None], one.rank_EB])
        top_ECT[:, one.rows] = np.concatenate([one.clean_top_BT[None], one.top_EBT])
    return rank_EC, top_ECT


@pytest.mark.parametrize("before", [(), (Operation(11, "add", 1.0), Operation(2, "ablate"))], ids=["clean", "steered"])
@pytest.mark.parametrize(("kind", "site"), [*SITES, *WITHIN])
def test_a_nudge_is_the_edit_in_the_ranking(
    kind: str, site: str, before: tuple[Operation, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 23)  # several ranges, and a last one that is short
    monkeypatch.setattr(module, "STATE_AT_ONCE", 50 * 70)
    chunk, cases = random_chunk(20)
    model = build(kind, site)
    sae = an_sae(model)
    first = Steering(sae, before) if before else None
    found = list(outcomes(model, sae, interventions(sae), chunk, cases, before=first))
    assert sorted(np.concatenate([one.rows for one in found]).tolist()) == list(range(cases.num_rows))
    rank_EC, top_ECT = together(found, cases.num_rows)
    edits = {"clean": Steering(sae, before)} | {name: Steering(sae, [*before, one]) for name, one in OPERATIONS.items()}
    wanted = compare_chunk(model, edits, chunk, cases)
    for number, name in enumerate(edits):
        assert np.mean(rank_EC[number] == wanted.edited[name]) > 0.995, name  # scores are added in another order
        if not before:
            shared_C = (top_ECT[0][:, :, None] == top_ECT[number][:, None, :]).any(2).sum(1)
            assert np.mean(shared_C == wanted.shared[name]) > 0.995, name
    assert (rank_EC[1] != rank_EC[0]).mean() > 0.3 or site == "item"  # there, the same for all items ranks nothing
    assert (top_ECT[-1] == top_ECT[0]).all() and (rank_EC[-1] == rank_EC[0]).all()


def test_first_items_are_the_best_unseen_ones_in_order() -> None:
    chunk, cases = random_chunk(20)
    model = build("bprmf", "user")
    sae = an_sae(model)
    _, top_ECT = together(list(outcomes(model, sae, interventions(sae), chunk, cases)), cases.num_rows)
    user_CD = model.user.weight.detach()[cases["user_idx"].to_numpy().copy()]
    edits = [Steering(sae, [one]) for one in OPERATIONS.values()]
    for number, edit in enumerate([torch.clone, *edits]):
        score_CN = (edit(user_CD) @ model.item.weight.detach().T).numpy()
        for row, case in enumerate(cases.to_pylist()):
            begin = chunk.offsets[chunk.users.tolist().index(case["user_idx"])]
            score_CN[row, chunk.items[begin : begin + case["position"]]] = -np.inf
        assert np.mean(np.argsort(-score_CN, axis=1)[:, :10] == top_ECT[number]) > 0.995


def test_where_nothing_is_left_there_is_no_item() -> None:
    chunk, cases = random_chunk(8, items=12)
    model = build("bprmf", "user")
    model.n_items = 12
    sae = an_sae(model)
    _, top_ECT = together(list(outcomes(model, sae, interventions(sae), chunk, cases)), cases.num_rows)
    for row, case in enumerate(cases.to_pylist()):
        begin = chunk.offsets[chunk.users.tolist().index(case["user_idx"])]
        left = set(range(12)) - set(chunk.items[begin : begin + case["position"]].tolist())
        for items in top_ECT[:, row]:
            assert set(items[: len(left)].tolist()) == left if len(left) <= 10 else set(items.tolist()) <= left
            assert (items[len(left) :] == -1).all()


def test_amounts_are_the_formula() -> None:
    sae = an_sae(build("bprmf", "user"))
    x_BD = torch.randn(50, WIDTH)
    z_BH = dense(sae.encode(x_BD), torch.arange(LATENTS), LATENTS)
    c_BE = amounts(sae, interventions(sae), x_BD)
    wanted = [
        torch.full((50,), 1.5),
        torch.full((50,), -2.0),
        -z_BH[:, 5],
        z_BH[:, 7],
        0.7 - z_BH[:, 9],
        torch.zeros(50),
    ]
    torch.testing.assert_close(c_BE, torch.stack(wanted, 1))
