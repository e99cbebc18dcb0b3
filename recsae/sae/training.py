"""The SAE's training loop, as one Ray Train worker runs it: the only file here that knows Ray.

Batches are drawn from the shards by the seed alone, gradients add up in a fixed order (lanes.py), decoder rows have
unit norm after every step, and the checkpoint with the lowest FVU on select users is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import ray.train
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from recsae import train_run
from recsae.config import SaeConfig
from recsae.lanes import add_lanes, flatten, lane_rows, unflatten
from recsae.sae.model import TopKSae, keep_decoder_unit, losses
from recsae.schemas import PARTS
from recsae.store import shards
from recsae.store.runs import Committed

BUFFER = 1_000_000
"""Activations shuffled together; a bound on memory."""
WARMUP = 100
DECAY_SHARE = 0.2
REPORT_SECONDS = 5.0


def train_loop(task: dict[str, Any]) -> None:
    """`task`: `config` (SaeConfig), `seed`, `width`, `mean`, `scale`, `activations` (Committed), `device`."""
    config: SaeConfig = task["config"]
    seed, device, activations = task["seed"], task["device"], task["activations"]
    worker = ray.train.get_context()
    rank, world = worker.get_world_rank(), worker.get_world_size()
    if device == "cpu":
        torch.set_num_threads(1)  # the number of threads changes the last digits of a sum
    torch.manual_seed(seed)
    sae = TopKSae(task["width"], config.num_latents, config.k)
    sae.mean_D.copy_(torch.tensor(task["mean"]))
    sae.scale.fill_(task["scale"])
    sae = sae.to(device)
    parameters = list(sae.parameters())
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate)
    auxk = config.auxk if config.auxk is not None else max(1, task["width"] // 2)
    silent_H = torch.zeros(config.num_latents, dtype=torch.long, device=device)
    state: dict[str, Any] = {"step": 0, "best": float("inf"), "best_step": 0, "history": []}
    checkpoints = train_run.Checkpoints()
    checkpoints.keep_best(sae.state_dict())
    found = checkpoints.resume()
    if found:
        state, tensors = found
        sae.load_state_dict(tensors["weights"])
        train_run.load_optimisers([optimiser], tensors["optimiser"])
        silent_H = tensors["silent"]["silent"].to(device)

    every = max(1, config.steps // config.checkpoints)
    source = batches(activations, "explain", config.batch_size, seed)
    for _ in range(state["step"]):
        next(source)
    start = spoken = time.monotonic()
    while state["step"] < config.steps:
        batch = next(source)
        optimiser.param_groups[0]["lr"] = config.learning_rate * _schedule(state["step"], config.steps)
        fvu = _step(sae, parameters, optimiser, batch, silent_H, auxk, config, rank, world, device)
        state["step"] += 1
        if rank == 0 and time.monotonic() - spoken > REPORT_SECONDS:
            spoken = time.monotonic()
            dead = float((silent_H >= config.dead_after).float().mean())
            print(f"sae: step {state['step']}/{config.steps}, FVU {fvu:.4f}, dead {dead:.1%}", flush=True)
        if state["step"] % every == 0 or state["step"] == config.steps:
            select = select_fvu(sae, activations, rank, world, device)
            state["history"].append({"step": state["step"], "fvu": fvu, "select_fvu": select})
            if select <= state["best"]:  # without select users all are 0: the last is kept, not the first
                state["best"], state["best_step"] = select, state["step"]
                checkpoints.keep_best(sae.state_dict())
            if rank == 0:
                rate = every * config.batch_size / (time.monotonic() - start)
                print(
                    f"sae: step {state['step']}/{config.steps}, FVU on select users {select:.4f}, {rate:,.0f} /s",
                    flush=True,
                )
                start = time.monotonic()
            checkpoints.save(
                state,
                {
                    "weights": sae.state_dict(),
                    "optimiser": train_run.optimiser_tensors([optimiser]),
                    "silent": {"silent": silent_H},
                },
            )


def _schedule(step: int, steps: int) -> float:
    return min((step + 1) / WARMUP, 1.0, max((steps - step) / (DECAY_SHARE * steps), 0.01))


def _step(
    sae: TopKSae,
    parameters: list[torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    batch: np.ndarray,
    silent_H: Tensor,
    auxk: int,
    config: SaeConfig,
    rank: int,
    world: int,
    device: str,
) -> float:
    """One step over a global batch: loss FVU + alpha · AuxK, in units of the stream's variance. Returns the FVU."""
    dead_H = silent_H >= config.dead_after
    variance = batch.size  # 1 per dimension and activation, by the scaling

    def lane_gradient(lane: int) -> Tensor:
        rows = torch.from_numpy(batch[lane_rows(lane, len(batch))]).to(device)
        error, auxiliary, fired_H = losses(sae, sae.normalise(rows), dead_H, auxk)
        loss = (error + config.auxk_alpha * auxiliary) / variance
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        return torch.cat([flatten(list(gradients)), fired_H, (error.detach() / variance).view(1)])

    total = add_lanes(lane_gradient, rank, world)
    sizes = sum(parameter.numel() for parameter in parameters)
    for parameter, gradient in zip(parameters, unflatten(total[:sizes], list(parameters)), strict=True):
        parameter.grad = keep_decoder_unit(sae, gradient) if parameter is sae.W_dec else gradient
    optimiser.step()
    with torch.no_grad():
        sae.W_dec.copy_(F.normalize(sae.W_dec, dim=1))
    silent_H += len(batch)
    silent_H[total[sizes:-1] > 0] = 0
    return float(total[-1])


def batches(activations: Committed, part: str, size: int, seed: int) -> Iterator[np.ndarray]:
    """Endless global batches `(size, D)` of the activations of one part, shuffled across shards."""
    names = activations.files(shards.PREFIX)
    epoch = 0
    rest = np.empty((0, 0), dtype=np.float32)
    while True:
        draw = np.random.default_rng((seed, epoch))
        buffer: list[np.ndarray] = []
        order = draw.permutation(len(names))
        for place, number in enumerate(order):
            buffer.append(of_part(shards.read(activations.data, names[number]), part))
            if sum(map(len, buffer)) < BUFFER and place + 1 < len(order):
                continue
            mixed = np.concatenate(buffer)
            draw.shuffle(mixed)
            mixed = np.concatenate([rest, mixed]) if len(rest) else mixed
            whole = len(mixed) // size * size
            for start in range(0, whole, size):
                yield mixed[start : start + size]
            rest = mixed[whole:].copy()
            buffer = []
        epoch += 1


def of_part(table: Any, part: str) -> np.ndarray:
    """The vectors of one part of users."""
    return np.asarray(shards.vectors(table)[table["part"].to_numpy() == PARTS.index(part)])


@torch.no_grad()
def select_fvu(sae: TopKSae, activations: Committed, rank: int, world: int, device: str) -> float:
    """FVU on select users, each worker taking every `world`-th shard; the variance is around the stream's mean."""
    names = activations.files(shards.PREFIX)
    sums = torch.zeros(len(names), 2, dtype=torch.float64, device=device)
    for number in range(rank, len(names), world):
        x_BD = torch.from_numpy(of_part(shards.read(activations.data, names[number]), "select")).to(device)
        if len(x_BD):
            sums[number, 0] = (sae.reconstruct(x_BD) - x_BD).double().square().sum()
            sums[number, 1] = (x_BD - sae.mean_D).double().square().sum()
    if world > 1:
        dist.all_reduce(sums)
    error, variance = sums.sum(0).tolist()
    return float(error / variance) if variance else 0.0
