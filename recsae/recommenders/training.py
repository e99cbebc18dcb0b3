"""The training loop of every recommender, as one Ray Train worker runs it.

Batches come from the seed, gradients add up in a fixed order (lanes.py), the best epoch is the one with the highest
validation NDCG@10 over all users. It knows the contract and not which recommender it trains.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import ray.train
import torch
import torch.distributed as dist
from torch import Tensor, nn

from recsae import train_run
from recsae.config import RecommenderConfig
from recsae.data.chunks import n_chunks, read_cases, read_chunk
from recsae.lanes import add_lanes, flatten, lane_rows, seed_lane, unflatten
from recsae.recommenders.contract import Recommender
from recsae.recommenders.ranking import DEEPEST, figures, of_split, rank_chunk
from recsae.recommenders.saved import build
from recsae.recommenders.windows import Batch, batches
from recsae.store.runs import Committed

REPORT_SECONDS = 5.0


def train_loop(task: dict[str, Any]) -> None:
    """Train until the epochs are over or patience ends, then measure the best epoch on test.

    `task`: `config` (RecommenderConfig), `seed`, `n_items`, `ingested` (Committed), `device`.
    """
    config: RecommenderConfig = task["config"]
    seed, n_items, ingested, device = task["seed"], task["n_items"], task["ingested"], task["device"]
    worker = ray.train.get_context()
    rank, world = worker.get_world_rank(), worker.get_world_size()
    if device == "cpu":
        torch.set_num_threads(1)  # the number of threads changes the last digits of a sum
    model = build(config, n_items, seed).to(device)
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    state: dict[str, Any] = {"epoch": 0, "step": 0, "best_epoch": 0, "best": -1.0, "history": [], "test": None}
    best = {name: value.clone() for name, value in model.state_dict().items()}
    found = train_run.resume()
    if found:
        state, tensors = found
        model.load_state_dict(tensors["weights"])
        train_run.load_optimiser(optimiser, tensors["optimiser"])
        best = tensors["best"]

    def save() -> None:
        train_run.save(
            state, {"weights": model.state_dict(), "best": best, "optimiser": train_run.optimiser_tensors(optimiser)}
        )

    while state["epoch"] < config.epochs and state["epoch"] - state["best_epoch"] < config.patience:
        start, spoken, windows = time.monotonic(), time.monotonic(), 0
        loss = 0.0
        model.train()
        for batch in batches(ingested, n_items, config.max_length, config.batch_size, seed, state["epoch"]):
            if state["epoch"] == 0:
                optimiser.param_groups[0]["lr"] = config.learning_rate * min(1.0, (state["step"] + 1) / 100)
            loss = _step(model, parameters, optimiser, batch, config, seed, state["step"], rank, world, device)
            state["step"] += 1
            windows += len(batch.users)
            if rank == 0 and time.monotonic() - spoken > REPORT_SECONDS:
                spoken = time.monotonic()
                print(f"recommender: epoch {state['epoch'] + 1}, {windows} windows, loss {loss:.4f}", flush=True)
        optimiser.param_groups[0]["lr"] = config.learning_rate
        valid = evaluate(model, ingested, "validation", rank, world, device)
        state["epoch"] += 1
        seconds = time.monotonic() - start
        state["history"].append({"epoch": state["epoch"], "loss": loss, "seconds": seconds, **valid})
        if valid["ndcg@10"] > state["best"]:
            state["best"], state["best_epoch"] = valid["ndcg@10"], state["epoch"]
            best = {name: value.clone() for name, value in model.state_dict().items()}
        if rank == 0:
            print(
                f"recommender: epoch {state['epoch']}/{config.epochs} in {seconds:.1f} s, loss {loss:.4f}, "
                f"validation NDCG@10 {valid['ndcg@10']:.4f} (best {state['best']:.4f})",
                flush=True,
            )
        save()
    model.load_state_dict(best)
    state["validation"] = evaluate(model, ingested, "validation", rank, world, device)
    state["test"] = evaluate(model, ingested, "test", rank, world, device)
    save()


def _step(
    model: Recommender,
    parameters: list[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    config: RecommenderConfig,
    seed: int,
    step: int,
    rank: int,
    world: int,
    device: str,
) -> float:
    """One optimiser step over a global batch; the mean loss over its targets."""
    n_items = model.n_items
    targets = int((batch.events[:, 1:] != n_items).sum())
    negative_M = None
    if config.negatives:
        draw = np.random.default_rng((seed, 1, step))
        negative_M = torch.from_numpy(draw.integers(0, n_items, config.negatives)).to(device)

    def lane_gradient(lane: int) -> Tensor:
        rows = lane_rows(lane, len(batch.users))
        if rows.start == rows.stop:
            return torch.zeros(sum(p.numel() for p in parameters) + 1, device=device)
        seed_lane(seed, step, lane)
        histories, target_BL = batch.histories(rows, n_items, device)
        loss = model.loss(histories, target_BL, negative_M) / targets
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        return torch.cat([flatten(list(gradients)), loss.detach().view(1)])

    total = add_lanes(lane_gradient, rank, world)
    for parameter, gradient in zip(parameters, unflatten(total[:-1], list(parameters)), strict=True):
        parameter.grad = gradient
    optimiser.step()
    return float(total[-1])


def evaluate(
    model: Recommender, ingested: Committed, split: str, rank: int, world: int, device: str
) -> dict[str, float]:
    """HR and NDCG over all cases of a split; each worker takes every `world`-th chunk of users."""
    model.eval()
    counts = np.zeros(DEEPEST + 1, dtype=np.int64)
    for number in range(rank, n_chunks(ingested), world):
        cases = of_split(read_cases(ingested, number), split)
        counts += rank_chunk(model, read_chunk(ingested, number), cases, device)
    if world > 1:
        total = torch.from_numpy(counts).to(device)
        dist.all_reduce(total)
        counts = total.cpu().numpy()
    return figures(counts)
