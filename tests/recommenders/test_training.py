"""The optimiser step, called as one worker calls it: what is planted is learnt, and lanes change nothing."""

from __future__ import annotations

import numpy as np
import torch

from recsae.config import RecommenderConfig
from recsae.recommenders import saved
from recsae.recommenders.ranking import pad
from recsae.recommenders.training import _step, evaluate
from recsae.recommenders.windows import Batch
from recsae.store.runs import Committed

N_ITEMS = 12


def cycle_batch(draw: np.random.Generator, rows: int = 32) -> Batch:
    """Users who go round the catalogue: after item i comes i + 5."""
    start = draw.integers(0, N_ITEMS, rows)
    events = (start[:, None] + 5 * np.arange(7)) % N_ITEMS
    return Batch(np.arange(rows), events.astype(np.int32))


def trained(negatives: int, steps: int, dropout: float = 0.1) -> tuple[torch.nn.Module, list[float]]:
    config = RecommenderConfig(
        width=16, heads=2, blocks=1, max_length=6, dropout=dropout, negatives=negatives, learning_rate=1e-2
    )
    model = saved.build(config, N_ITEMS, 0).train()
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    draw = np.random.default_rng(0)
    losses = [
        _step(model, parameters, optimiser, cycle_batch(draw), config, 0, step, 0, 1, "cpu") for step in range(steps)
    ]
    return model, losses


def test_a_planted_sequence_is_learnt() -> None:
    for negatives in (0, 6):
        model, losses = trained(negatives, 40)
        assert losses[-1] < losses[0] / 3
        model.eval()
        walks = [(start + 5 * np.arange(4)) % N_ITEMS for start in range(N_ITEMS)]
        histories = pad(walks, N_ITEMS, "cpu", np.arange(N_ITEMS))
        first = model.scores(model.probe(histories)[:, -1]).argmax(1)
        assert first.tolist() == [(start + 20) % N_ITEMS for start in range(N_ITEMS)]


def test_the_step_is_the_mean_loss_over_targets() -> None:
    """Lanes cut the batch; their sum is the plain mean of the whole."""
    config = RecommenderConfig(width=16, heads=2, blocks=1, max_length=6, dropout=0, negatives=0)
    model = saved.build(config, N_ITEMS, 0).train()
    parameters = list(model.parameters())
    batch = cycle_batch(np.random.default_rng(1), rows=13)
    batch.events[9:, 4:] = N_ITEMS
    histories, target_BL = batch.histories(slice(None), N_ITEMS, "cpu")
    targets = int((target_BL != N_ITEMS).sum())
    plain = model.loss(histories, target_BL, None) / targets
    expected = torch.autograd.grad(plain, parameters)
    optimiser = torch.optim.SGD(parameters, lr=0.0)
    loss = _step(model, parameters, optimiser, batch, config, 0, 0, 0, 1, "cpu")
    assert abs(loss - plain.item()) < 1e-5
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-5, rtol=1e-3)


def test_fewer_rows_than_lanes_are_a_batch_too() -> None:
    config = RecommenderConfig(width=16, heads=2, blocks=1, max_length=6, negatives=4)
    model = saved.build(config, N_ITEMS, 0).train()
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters)
    batch = cycle_batch(np.random.default_rng(1), rows=3)
    assert np.isfinite(_step(model, parameters, optimiser, batch, config, 0, 0, 0, 1, "cpu"))


def test_steps_repeat_to_the_bit() -> None:
    first, again = (trained(6, 5, dropout=0.3) for _ in range(2))
    assert first[1] == again[1]
    weights, same = first[0].state_dict(), again[0].state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_evaluation_adds_up_over_workers(ingested: Committed, planted_config: object) -> None:
    config: RecommenderConfig = planted_config.recommender  # type: ignore[attr-defined]
    model = saved.build(config, ingested.metrics["items"], 0)
    found = evaluate(model, ingested, "test", 0, 1, "cpu")
    assert 0 <= found["hr@5"] <= found["hr@10"] <= found["hr@50"] <= 1
    assert found["hr@50"] > 0.5  # 48 items
