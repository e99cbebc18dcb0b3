"""Requirements on every recommender; new kinds take part through `registry.KINDS`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders import registry
from recsae.recommenders.base import Histories, Trainable, last_position
from recsae.recommenders.losses import LOSSES, summed_loss
from recsae.recommenders.ranking import pad
from recsae.store.run_store import Attempt, Metrics
from tests.conftest import Commit

N_USERS, N_ITEMS = 12, 30
USERS = np.array([3, 5, 9])
SITES = {
    "sasrec": ("user", "block-0", "block-1"),
    "gpt": ("user", "block-0", "block-1"),
    "timirec": ("user",),
    "bprmf": ("user",),
    "lightgcn": ("user",),
}


def config_of(kind: str) -> RecommenderConfig:
    return RecommenderConfig(kind=kind, width=16, heads=2, blocks=2, max_length=10, dropout=0.3)  # type: ignore[arg-type]


def build(kind: str, seed: int = 1) -> Trainable:
    model = registry.build(config_of(kind), N_USERS, N_ITEMS, seed)
    draw = np.random.default_rng(0)
    pairs = np.concatenate([np.stack([np.arange(N_USERS), np.arange(N_USERS)]), draw.integers(0, N_USERS, (2, 40))], 1)
    model.set_graph(torch.from_numpy(pairs[0]), torch.from_numpy(pairs[1] * 2))
    model.eval().refresh()
    return model


@pytest.fixture(params=sorted(registry.KINDS))
def model(request: pytest.FixtureRequest) -> Trainable:
    return build(request.param)


@pytest.fixture(params=[(kind, site) for kind in sorted(registry.KINDS) for site in SITES[kind]], ids="-".join)
def read(request: pytest.FixtureRequest) -> Trainable:
    """A model at each of its sites."""
    kind, site = request.param
    model = build(kind)
    model.site = site
    return model


def histories_of(lengths: tuple[int, ...] = (10, 4, 1)) -> Histories:
    draw = np.random.default_rng(0)
    return pad([draw.integers(0, N_ITEMS, length) for length in lengths], "cpu", USERS[: len(lengths)])


def everything(model: Trainable, u_BLU: Tensor) -> Tensor:
    return model.scores(u_BLU.flatten(0, 1), 0, N_ITEMS).unflatten(0, u_BLU.shape[:2])


def next_items(histories: Histories) -> Tensor:
    """The item after each position; -1 after the last."""
    target_BL = torch.full_like(histories.items_BL, -1)
    target_BL[:, :-1] = histories.items_BL[:, 1:]
    place = torch.arange(target_BL.shape[1])
    return target_BL.masked_fill(place >= histories.length_B[:, None] - 1, -1)


@torch.inference_mode()
def test_later_events_do_not_change_an_earlier_vector(read: Trainable) -> None:
    histories = histories_of((10,))
    whole = read.probe(histories)[0]
    for length in range(1, 11):
        prefix = pad([histories.items_BL[0, :length].numpy()], "cpu", USERS[:1])
        torch.testing.assert_close(read.probe(prefix)[0, -1], whole[length - 1], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_vector_follows_the_history_or_the_user(read: Trainable) -> None:
    histories = histories_of((6,))
    other = histories._replace(items_BL=histories.items_BL.clone())
    other.items_BL[0, 0] = (other.items_BL[0, 0] + 1) % N_ITEMS
    moved = (read.probe(histories)[0, -1] - read.probe(other)[0, -1]).abs().max()
    somebody = read.probe(histories._replace(user_B=histories.user_B + 1))
    if read.sequential:
        assert moved > 1e-4 and torch.equal(somebody, read.probe(histories))
    else:
        assert moved == 0 and (somebody - read.probe(histories)).abs().max() > 1e-4


@torch.inference_mode()
def test_padding_on_the_right_has_no_effect(read: Trainable) -> None:
    histories = histories_of()
    together = last_position(read.proceed(read.probe(histories), histories), histories)
    filled = histories._replace(items_BL=histories.items_BL.clone())
    filled.items_BL[1, 4:], filled.items_BL[2, 1:] = 11, 22
    torch.testing.assert_close(
        together, last_position(read.proceed(read.probe(filled), filled), filled), atol=1e-5, rtol=1e-4
    )
    for row, length in enumerate(histories.length_B.tolist()):
        alone = pad([histories.items_BL[row, :length].numpy()], "cpu", USERS[row : row + 1])
        single = last_position(read.proceed(read.probe(alone), alone), alone)[0]
        torch.testing.assert_close(together[row], single, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_scores_go_on_from_the_unedited_vector(read: Trainable) -> None:
    """At every site the same scores: reading one does not change what comes of it."""
    histories = histories_of()
    h_BLD = read.probe(histories)
    assert h_BLD.shape == (3, 10, read.width)
    scores_BLN = everything(read, read.proceed(h_BLD, histories))
    read.site = "user"
    clean = everything(read, read.probe(histories))
    here = torch.arange(10) < histories.length_B[:, None]
    torch.testing.assert_close(scores_BLN[here], clean[here], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_an_edit_acts_from_its_position_on(read: Trainable) -> None:
    histories = histories_of((10,))
    h_BLD = read.probe(histories)
    edited = h_BLD.clone()
    edited[0, 5] += torch.randn(read.width)
    moved = (everything(read, read.proceed(edited, histories)) - everything(read, read.proceed(h_BLD, histories))).abs()
    assert moved[0, :5].max() == 0 and moved[0, 5].max() > 1e-3


@torch.inference_mode()
def test_an_edited_vector_changes_the_scores_linearly(model: Trainable) -> None:
    """At the site `user`: an edit adds its own dot products; along an item's vector it raises that item."""
    histories = histories_of()
    h_BD, edit_BD = last_position(model.probe(histories), histories), torch.randn(3, model.width)
    weight_ND = model.item_vectors(0, N_ITEMS)
    moved = model.scores(h_BD + edit_BD, 0, N_ITEMS) - model.scores(h_BD, 0, N_ITEMS)
    torch.testing.assert_close(moved, edit_BD @ weight_ND.T, atol=1e-4, rtol=1e-4)
    toward = model.scores(h_BD + 100 * weight_ND[7], 7, 8) - model.scores(h_BD, 7, 8)
    assert (toward > 0).all()


@torch.inference_mode()
def test_scores_of_a_range_are_those_of_the_whole(read: Trainable) -> None:
    histories = histories_of()
    u_BU = last_position(read.proceed(read.probe(histories), histories), histories)
    whole = read.scores(u_BU, 0, N_ITEMS)
    assert whole.shape == (3, N_ITEMS)
    torch.testing.assert_close(read.scores(u_BU, 4, 17), whole[:, 4:17], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("kind", sorted(registry.KINDS))
def test_every_loss_reaches_every_parameter(kind: str, loss: str) -> None:
    model, histories = build(kind), histories_of((10, 10, 9))
    target_BL = next_items(histories)
    h_XD, extra = model(histories, target_BL)
    assert h_XD.shape == (int((target_BL >= 0).sum()), model.width)
    item_RD = model.item.weight
    value = summed_loss(loss, h_XD, item_RD, target_BL[target_BL >= 0], None) + extra
    assert torch.isfinite(value) and value > 0
    value.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    assert (item_RD.grad is not None) and (item_RD.grad.abs().amax(1) > 0).all()
    if not model.sequential:
        user = model.get_parameter("user.weight").grad
        assert user is not None and user.abs().amax(1).nonzero().flatten().tolist() == USERS.tolist()


def test_the_model_has_nothing_to_say_of_unknown_targets(model: Trainable) -> None:
    histories = histories_of()
    h_XD, extra = model(histories, torch.full_like(histories.items_BL, -1))
    assert len(h_XD) == 0 and extra.item() == 0


def test_vectors_of_training_and_of_inference_agree(read: Trainable) -> None:
    """torch may run a frozen model through other kernels."""
    histories = histories_of()
    with torch.inference_mode():
        frozen = last_position(read.probe(histories), histories)
    torch.testing.assert_close(last_position(read.probe(histories), histories).detach(), frozen, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", sorted(registry.KINDS))
def test_a_saved_model_scores_the_same_to_the_bit(kind: str, commit: Commit) -> None:
    model = build(kind, seed=4)

    def write(out: Attempt) -> Metrics:
        registry.save(out.data.child("model"), model.state_dict(), config_of(kind), N_USERS, N_ITEMS)
        return {}

    trained = commit("recommender", write)
    for site in SITES[kind]:
        loaded = registry.load(trained, site)
        histories = histories_of()
        model.site = site
        with torch.inference_mode():
            again, first = (one.proceed(one.probe(histories), histories) for one in (loaded, model))
            assert torch.equal(loaded.scores(again[:, 0], 0, N_ITEMS), model.scores(first[:, 0], 0, N_ITEMS))
        assert (loaded.n_items, loaded.width, loaded.max_length, loaded.site) == (N_ITEMS, 16, 10, site)
        assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("kind", sorted(registry.KINDS))
def test_the_seed_decides_the_weights(kind: str) -> None:
    first, again, other = (registry.build(config_of(kind), N_USERS, N_ITEMS, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
