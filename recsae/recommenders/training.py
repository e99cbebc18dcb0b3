"""The training loop of every recommender, run by each Ray Train worker.

Batches depend on the seed alone, gradients are summed in a fixed order (step.py, deterministic_reduce.py), and the best
epoch is the one with the highest validation NDCG@10.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import ray.train
import torch

from recsae.config.recommender import RankingConfig, RecommenderConfig
from recsae.data.chunks import n_chunks, read_chunk
from recsae.distributed import training
from recsae.observability import progress
from recsae.recommenders import registry
from recsae.recommenders.evaluation import evaluate, full_plan, quick_plan
from recsae.recommenders.step import Stepper
from recsae.recommenders.windows import Batch, event_batches, training_pairs, window_batches
from recsae.store.run_store import Committed

CHECKPOINT_NAME = "recommender"
"""The name of the model in checkpoints."""
WARM_UP_STEPS = 100
"""Steps of the first epoch over which the learning rate rises."""


def train_loop(task: dict[str, Any]) -> None:
    """Train until the epochs or the patience run out, then measure the best epoch on validation and test.

    `task`: `config` (RecommenderConfig), `start` (the folder of a model for a warm start, or None), `ranking`
    (RankingConfig), `seed`, `ingested` (Committed), `device`.
    """
    config: RecommenderConfig = task["config"]
    ranking: RankingConfig = task["ranking"]
    seed, ingested, device = task["seed"], task["ingested"], task["device"]
    worker = ray.train.get_context()
    rank, world = worker.get_world_rank(), worker.get_world_size()
    if device == "cpu":
        torch.set_num_threads(1)  # the number of threads changes the last digits of a sum
    popularity = ingested.read_table("items.parquet", ["popularity"])["popularity"].to_numpy()
    model = registry.build(config, ingested.metrics["users"], len(popularity), seed).to(device)
    if task["start"]:
        registry.warm_start(model, task["start"])
    if model.needs_graph:
        model.set_graph(*(torch.from_numpy(column).to(device) for column in training_events(ingested)))
    stepper = Stepper(model, config, popularity, seed, rank, world, device)
    state: dict[str, Any] = {"epoch": 0, "step": 0, "best_epoch": 0, "best": -1.0, "history": [], "test": None}
    checkpoints = training.Checkpoints([CHECKPOINT_NAME] if rank == 0 else [])
    checkpoints.keep_best(CHECKPOINT_NAME, model.state_dict())
    found = checkpoints.resume(CHECKPOINT_NAME)
    if found:
        state, tensors = found
        model.load_state_dict(tensors["weights"])
        training.load_optimisers(stepper.optimisers, tensors["optimiser"])
    elif task["start"]:  # further training must improve on the warm start
        initial = evaluate(model, quick_plan(ingested, "validation", seed, ranking), rank, world, device)
        state["best"] = initial.metrics["ndcg@10"]
        checkpoints.keep_best(CHECKPOINT_NAME, model.state_dict())

    if rank == 0:
        progress.phase("training", config.epochs, "epochs", done=state["epoch"], at_most=True)
    while state["epoch"] < config.epochs and state["epoch"] - state["best_epoch"] < config.patience:
        start, targets, loss = time.monotonic(), 0, 0.0
        of_epoch = state["history"][-1]["targets"] if state["history"] else None
        model.train()
        for batch in epoch_batches(config, ingested, seed, state["epoch"]):
            stepper.set_rate(learning_rate(config, state["epoch"], state["step"]))
            loss = stepper.step(batch, state["step"])
            state["step"] += 1
            targets += int((batch.target_BL >= 0).sum())
            if rank == 0 and progress.relay_due():
                part = min(targets / of_epoch, 1.0) if of_epoch else 0.0
                progress.reach(state["epoch"] + part, f"{targets:,} targets, loss {loss:.4f}")
        trained = time.monotonic() - start
        valid = evaluate(model, quick_plan(ingested, "validation", seed, ranking), rank, world, device).metrics
        state["epoch"] += 1
        state["history"].append(
            {"epoch": state["epoch"], "targets": targets, "loss": loss, "seconds": trained, **valid}
        )
        if valid["ndcg@10"] > state["best"]:
            state["best"], state["best_epoch"] = valid["ndcg@10"], state["epoch"]
            checkpoints.keep_best(CHECKPOINT_NAME, model.state_dict())
        if rank == 0:
            print(
                f"recommender: epoch {state['epoch']}/{config.epochs} in {trained:.1f} + "
                f"{time.monotonic() - start - trained:.1f} s, loss {loss:.4f}, "
                f"validation NDCG@10 {valid['ndcg@10']:.4f} (best {state['best']:.4f})",
                flush=True,
            )
        optimiser = training.optimiser_tensors(stepper.optimisers)
        checkpoints.save({CHECKPOINT_NAME: (state, {"weights": model.state_dict(), "optimiser": optimiser})})
        del optimiser
    del stepper  # frees the optimiser's moments for a second copy of the weights
    checkpoints.load_best(CHECKPOINT_NAME, model.state_dict())
    if rank == 0:
        progress.phase("measuring the best epoch")
    for split in ("validation", "test"):
        measured = evaluate(model, full_plan(ingested, split, seed, ranking), rank, world, device)
        state[split], state[f"{split}_intervals"] = measured
    state["peak_bytes"] = training.peak_bytes()
    checkpoints.save({CHECKPOINT_NAME: (state, {"weights": model.state_dict(), "optimiser": {}})})


def learning_rate(config: RecommenderConfig, epoch: int, step: int) -> float:
    """The learning rate of a step: it rises during the warm-up of the first epoch and falls over the last epochs."""
    if epoch == 0:
        return config.learning_rate * min(1.0, (step + 1) / WARM_UP_STEPS)
    remaining = (config.epochs - epoch) / max(config.decay * config.epochs, 1e-9)
    return config.learning_rate * max(0.1, min(1.0, remaining))


def epoch_batches(config: RecommenderConfig, ingested: Committed, seed: int, epoch: int) -> Iterator[Batch]:
    """The batches of one epoch: windows for sequential models, single events for others."""
    if config.sequential:
        return window_batches(ingested, config.max_length, config.batch, seed, epoch)
    return event_batches(ingested, config.batch, seed, epoch)


def training_events(ingested: Committed) -> tuple[np.ndarray, np.ndarray]:
    """User and item of every training event."""
    pairs = [training_pairs(read_chunk(ingested, number, ("train",))) for number in range(n_chunks(ingested))]
    users, items = (np.concatenate(columns) for columns in zip(*pairs, strict=True))
    return users, items
