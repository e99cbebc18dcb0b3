"""The optimiser step: it learns a synthetic pattern, updates only touched rows, and is the same for any workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders import registry
from recsae.recommenders.base import Trainable, last_position
from recsae.recommenders.losses import LOSSES
from recsae.recommenders.ranking import pad
from recsae.recommenders.step import NegativeSampler, Stepper
from recsae.recommenders.windows import Batch, pair_keys

N_USERS, N_ITEMS = 32, 24
BATCH = Batch(np.arange(5), np.zeros((5, 2), dtype=np.int32), np.ones((5, 2), dtype=np.int32))
SEQUENTIAL = ("sasrec", "gpt", "timirec")


def config_of(kind: str, **changes: Any) -> RecommenderConfig:
    sizes = {"width": 16, "heads": 2, "blocks": 1, "max_length": 6, "dropout": 0.1, "learning_rate": 1e-2}
    return RecommenderConfig.model_validate({"kind": kind, **sizes, **changes})


def batch_of(kind: str, draw: np.random.Generator, rows: int = N_USERS) -> Batch:
    """Users who go round the catalogue: after item i comes i + 5.

    Interests are sums of items, so TiMiRec gets likeness instead: users who stay among the same four items. A user
    without order chooses items near his own number.
    """
    user = draw.permutation(N_USERS)[:rows]
    if kind == "timirec":
        events = draw.integers(0, N_ITEMS // 4, (rows, 1)) * 4 + draw.integers(0, 4, (rows, 7))
        return Batch(user, events[:, :-1].astype(np.int32), events[:, 1:].astype(np.int32))
    if kind in SEQUENTIAL:
        events = (draw.integers(0, N_ITEMS, rows)[:, None] + 5 * np.arange(7)) % N_ITEMS
        return Batch(user, events[:, :-1].astype(np.int32), events[:, 1:].astype(np.int32))
    near = (user * N_ITEMS // N_USERS + draw.integers(0, 3, rows)) % N_ITEMS
    return Batch(user, np.zeros((rows, 1), dtype=np.int32), near[:, None].astype(np.int32))


def stepper_of(config: RecommenderConfig, seed: int = 0) -> Stepper:
    model = registry.build(config, N_USERS, N_ITEMS, seed).train()
    draw = np.random.default_rng(5)
    pairs = [batch_of("bprmf", draw) for _ in range(6)]
    model.set_graph(
        torch.from_numpy(np.concatenate([pair.user_B for pair in pairs])),
        torch.from_numpy(np.concatenate([pair.target_BL[:, 0] for pair in pairs])),
    )
    return Stepper(model, config, np.arange(N_ITEMS), seed, 0, 1, "cpu")


def trained(config: RecommenderConfig, steps: int, batch: Batch | None = None) -> tuple[Stepper, list[float]]:
    stepper, draw = stepper_of(config), np.random.default_rng(0)
    losses = [stepper.step(batch or batch_of(config.kind, draw), number) for number in range(steps)]
    return stepper, losses


@torch.inference_mode()
def found(model: Trainable, kind: str) -> float:
    """How often the first item is the planted one."""
    model.eval().refresh()
    user = np.arange(N_USERS)
    start = user % N_ITEMS
    items = (start[:, None] + (0 if kind == "timirec" else 5) * np.arange(6)) % N_ITEMS
    histories = pad(list(items), "cpu", user)
    top = model.scores(last_position(model.probe(histories), histories), 0, N_ITEMS).argmax(1).numpy()
    if kind == "timirec":
        return float((top // 4 == start // 4).mean())
    if kind in SEQUENTIAL:
        return float((top == (start + 30) % N_ITEMS).mean())
    return float((((top - user * N_ITEMS // N_USERS) % N_ITEMS) < 3).mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "loss", "negatives"),
    [(kind, "cross-entropy", 8) for kind in sorted(registry.KINDS)]
    + [("sasrec", "cross-entropy", 0), ("sasrec", "bce", 0), ("sasrec", "bpr", 0)]
    + [("bprmf", loss, 8) for loss in sorted(LOSSES)],
)
def test_what_is_planted_is_learnt(kind: str, loss: str, negatives: int) -> None:
    config = config_of(
        kind, loss=loss, negatives=negatives, dropout=0.0, learning_rate=3e-2 if loss == "gbce" else 1e-2
    )
    stepper, losses = trained(config, 100 if loss == "gbce" else 50)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert found(stepper.model, kind) > 0.7


def test_popular_negatives_are_drawn_by_popularity_and_corrected() -> None:
    config = config_of("sasrec", negatives=2000, sampling="popularity")
    popularity = np.array([0, 10, 100, 1000])
    item_M, correction_M = NegativeSampler(config, popularity, 0).draw(3, BATCH)
    assert item_M is not None and correction_M is not None and (np.diff(item_M) >= 0).all()
    share = (popularity + 1) / (popularity + 1).sum()
    np.testing.assert_allclose(np.bincount(item_M, minlength=4) / 2000, share, atol=0.03)
    np.testing.assert_allclose(correction_M, -np.log(2000 * share[item_M]), rtol=1e-5)


def test_uniform_negatives_estimate_the_whole_sum() -> None:
    item_M, correction_M = NegativeSampler(config_of("sasrec", negatives=6), np.zeros(24), 0).draw(0, BATCH)
    assert item_M is not None and correction_M is not None
    np.testing.assert_allclose(correction_M, np.full(6, np.log(24 / 6)), rtol=1e-6)
    assert NegativeSampler(config_of("sasrec", negatives=6, loss="bce"), np.zeros(24), 0).draw(0, BATCH)[1] is None
    assert NegativeSampler(config_of("sasrec", negatives=0), np.zeros(24), 0).draw(0, BATCH) == (None, None)


@pytest.mark.parametrize("kind", ["sasrec", "gpt", "timirec", "bprmf"])
def test_only_touched_rows_change(kind: str) -> None:
    stepper = stepper_of(config_of(kind, negatives=2, weight_decay=0.1))
    before = {name: table.detach().clone() for name, table in stepper.tables.items()}
    batch = batch_of(kind, np.random.default_rng(0), rows=3)
    stepper.step(batch, 0)
    negatives = stepper.negatives.draw(0, batch)[0]
    assert negatives is not None
    items = {*batch.target_BL.ravel().tolist(), *negatives.tolist()}
    items |= {*batch.items_BL.ravel().tolist()} if kind in SEQUENTIAL else set()
    expected = {"item.weight": items, "user.weight": {*batch.user_B.tolist()}}
    for name, table in stepper.tables.items():
        moved = (table.detach() != before[name]).any(1).nonzero().flatten().tolist()
        assert {*moved} == expected[name], name


@pytest.mark.parametrize("kind", ["sasrec", "bprmf"])
def test_sampling_every_item_is_the_whole_catalogue(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sparse path with all items as negatives makes the first step of the dense path."""
    batch = batch_of(kind, np.random.default_rng(0))
    every = (np.arange(N_ITEMS), np.zeros(N_ITEMS, dtype=np.float32))
    dense, sparse = (stepper_of(config_of(kind, negatives=count, dropout=0.0)) for count in (0, N_ITEMS))
    monkeypatch.setattr(sparse.negatives, "draw", lambda number, batch: every)
    losses = [stepper.step(batch, 0) for stepper in (dense, sparse)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, value in dense.model.named_parameters():
        # Of steps of .01; lazy Adam adds its ε elsewhere.
        torch.testing.assert_close(sparse.model.get_parameter(name), value, atol=5e-3, rtol=0)


def test_each_target_has_negatives_of_its_own() -> None:
    draw = NegativeSampler(config_of("bprmf", negatives=3, loss="bpr"), np.zeros(24), 0).draw
    item, correction = draw(0, BATCH)
    assert item is not None and item.shape == (5, 2, 3) and correction is None


def test_negatives_are_items_that_the_user_has_not_had() -> None:
    taken = np.sort(np.concatenate([pair_keys(np.full(8, user), np.arange(user, user + 8)) for user in range(5)]))
    draw = NegativeSampler(config_of("bprmf", negatives=50, loss="bpr"), np.zeros(24), 0).draw
    free, _ = draw(0, BATCH._replace(taken=taken))
    assert free is not None
    for user in range(5):
        assert {*free[user].ravel().tolist()} == {*range(24)} - {*range(user, user + 8)}


def test_dropout_and_draws_are_of_the_seed() -> None:
    config = config_of("sasrec", negatives=8)
    batch = batch_of("sasrec", np.random.default_rng(0))
    first, again = (trained(config, 3, batch)[0].model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_fewer_rows_than_lanes() -> None:
    batch = batch_of("sasrec", np.random.default_rng(0), rows=3)
    _, losses = trained(config_of("sasrec", negatives=4), 2, batch)
    assert np.isfinite(losses).all()
