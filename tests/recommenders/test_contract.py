"""What every recommender must do, whichever it is: new kinds join through `saved.KINDS`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsae.config import RecommenderConfig
from recsae.recommenders import saved
from recsae.recommenders.contract import Histories, Recommender, last
from recsae.recommenders.ranking import pad
from recsae.store.runs import Attempt, Metrics
from tests.conftest import Commit

N_ITEMS = 30
USERS = np.array([3, 5, 9])


def config_of(kind: str) -> RecommenderConfig:
    return RecommenderConfig(kind=kind, width=16, heads=2, blocks=2, max_length=10, dropout=0.3)  # type: ignore[arg-type]


@pytest.fixture(params=sorted(saved.KINDS))
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    return saved.build(config_of(request.param), N_ITEMS, seed=1).eval()


def histories_of(lengths: tuple[int, ...] = (10, 4, 1)) -> Histories:
    draw = np.random.default_rng(0)
    return pad([draw.integers(0, N_ITEMS, length) for length in lengths], N_ITEMS, "cpu", USERS[: len(lengths)])


@torch.inference_mode()
def test_later_events_do_not_change_an_earlier_vector(model: Recommender) -> None:
    histories = histories_of((10,))
    whole = model.probe(histories)[0]
    for length in range(1, 11):
        prefix = pad([histories.items_BL[0, :length].numpy()], N_ITEMS, "cpu", USERS[:1])
        torch.testing.assert_close(model.probe(prefix)[0, -1], whole[length - 1], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_an_earlier_event_does_change_a_later_vector(model: Recommender) -> None:
    histories = histories_of((6,))
    other = histories._replace(items_BL=histories.items_BL.clone())
    other.items_BL[0, 0] = (other.items_BL[0, 0] + 1) % N_ITEMS
    assert (model.probe(histories)[0, -1] - model.probe(other)[0, -1]).abs().max() > 1e-4


@torch.inference_mode()
def test_padding_on_the_right_has_no_effect(model: Recommender) -> None:
    histories = histories_of()
    assert histories.items_BL[2].tolist()[1:] == [N_ITEMS] * 9
    together = last(model.probe(histories), histories)
    for row, length in enumerate(histories.length_B.tolist()):
        alone = pad([histories.items_BL[row, :length].numpy()], N_ITEMS, "cpu", USERS[row : row + 1])
        torch.testing.assert_close(together[row], last(model.probe(alone), alone)[0], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_scores_cover_the_catalogue_and_go_on_from_the_unedited_vector(model: Recommender) -> None:
    histories = histories_of()
    h_BD = last(model.probe(histories), histories)
    assert h_BD.shape == (3, model.width)
    scores = model.scores(h_BD)
    assert scores.shape == (3, N_ITEMS)
    every = model.scores(model.probe(histories).flatten(0, 1)).view(3, -1, N_ITEMS)
    for row, length in enumerate(histories.length_B.tolist()):
        torch.testing.assert_close(every[row, length - 1], scores[row], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_an_edited_vector_changes_the_scores_linearly(model: Recommender) -> None:
    """`scores(h) = h Eᵀ + c`: an edit adds its own dot products; along an item's row it raises that item."""
    histories = histories_of()
    h_BD, edit_BD = last(model.probe(histories), histories), torch.randn(3, model.width)
    weight_ND = model.scores(torch.eye(model.width)).T - model.scores(torch.zeros(1, model.width)).T
    moved = model.scores(h_BD + edit_BD) - model.scores(h_BD)
    torch.testing.assert_close(moved, edit_BD @ weight_ND.T, atol=1e-4, rtol=1e-4)
    toward = model.scores(h_BD + 100 * weight_ND[7]) - model.scores(h_BD)
    assert (toward[:, 7] > 0).all()


def next_items(histories: Histories) -> torch.Tensor:
    """The item after each position; nothing after the last."""
    target_BL = torch.full_like(histories.items_BL, N_ITEMS)
    target_BL[:, :-1] = histories.items_BL[:, 1:]
    return target_BL


@pytest.mark.parametrize("negatives", [None, torch.arange(N_ITEMS)])
def test_the_loss_reaches_every_parameter_but_the_padding_row(
    model: torch.nn.Module, negatives: torch.Tensor | None
) -> None:
    histories = histories_of((10, 10, 9))
    loss = model.loss(histories, next_items(histories), negatives)
    assert torch.isfinite(loss) and loss > 0
    loss.backward()
    padded = 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
        if parameter.shape[0] == N_ITEMS + 1:
            padded += 1
            assert (parameter.grad[N_ITEMS] == 0).all(), name
            assert (parameter.grad[:N_ITEMS].abs().amax(1) > 0).all(), name
    assert padded


def test_negatives_that_are_the_target_do_not_count(model: torch.nn.Module) -> None:
    histories = histories_of((4,))
    target_BL = torch.full_like(histories.items_BL, N_ITEMS)
    target_BL[0, 3] = 7
    plain = model.loss(histories, target_BL, torch.tensor([2, 5]))
    collided = model.loss(histories, target_BL, torch.tensor([7, 2, 7, 5]))
    assert torch.equal(plain, collided)
    only = model.loss(histories, target_BL, torch.tensor([7, 7]))
    assert only.item() == 0.0
    scores = model.scores(model.probe(histories)[0, 3:])[0]
    expected = torch.logsumexp(scores[[7, 2, 5]], 0) - scores[7]
    torch.testing.assert_close(plain, expected, atol=1e-5, rtol=1e-4)


def test_the_loss_is_a_sum_over_known_targets(model: torch.nn.Module) -> None:
    histories = histories_of((5, 3))
    target_BL = next_items(histories)
    whole = model.loss(histories, target_BL, None)
    one_by_one = torch.zeros(())
    for row, place in (target_BL != N_ITEMS).nonzero().tolist():
        single = torch.full_like(target_BL, N_ITEMS)
        single[row, place] = target_BL[row, place]
        one_by_one = one_by_one + model.loss(histories, single, None)
    torch.testing.assert_close(whole, one_by_one, atol=1e-4, rtol=1e-4)
    nothing = model.loss(histories, torch.full_like(target_BL, N_ITEMS), torch.tensor([1, 2]))
    assert nothing.item() == 0.0


def test_vectors_of_training_and_of_inference_agree(model: Recommender) -> None:
    """torch runs a frozen transformer through other kernels."""
    histories = histories_of()
    with torch.inference_mode():
        frozen = last(model.probe(histories), histories)
    torch.testing.assert_close(last(model.probe(histories), histories).detach(), frozen, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", sorted(saved.KINDS))
def test_a_saved_model_scores_the_same_to_the_bit(kind: str, commit: Commit) -> None:
    config = config_of(kind)
    model = saved.build(config, N_ITEMS, seed=4).eval()

    def write(out: Attempt) -> Metrics:
        saved.save(out.data.child("model"), model.state_dict(), config, N_ITEMS)
        return {}

    loaded = saved.load(commit("recommender", write))
    histories = histories_of()
    with torch.inference_mode():
        assert torch.equal(loaded.scores(loaded.probe(histories)), model.scores(model.probe(histories)))
    assert (loaded.n_items, loaded.width, loaded.max_length) == (N_ITEMS, 16, 10)
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(saved.KINDS))
def test_the_seed_decides_the_weights(kind: str) -> None:
    first, again, other = (saved.build(config_of(kind), N_ITEMS, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
