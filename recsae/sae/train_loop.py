"""The training loop of one SAE or of a whole sweep, as one Ray Train worker runs it.

All SAEs train on the same batches. Workers share the lanes of a single SAE; in a sweep each worker trains its own SAEs,
and no gradients are exchanged. Either way the weights are the same to the bit for any number of workers. One actor
reads the shards, one block ahead, and shares the blocks through Ray's object store. Shape suffixes: see dataloader.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import ray
import ray.train
import torch
import torch.distributed as dist

from recsae.config.sae import SweepMember
from recsae.distributed import training
from recsae.observability import progress
from recsae.sae import model
from recsae.sae.dataloader import ShardBlock, batches, part_vectors, read_block
from recsae.sae.model import Sae
from recsae.sae.trainer import SaeTrainer
from recsae.store import shards
from recsae.store.run_store import Committed

CACHED_BLOCKS = 2
SELECT_ROWS = 250_000
"""Approximate number of select activations on which checkpoints are compared."""


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class BlockReader:
    """Reads each block once and keeps the newest blocks in the object store."""

    def __init__(self, activations: Committed, part: str, seed: int) -> None:
        self._source = activations, part, seed
        self._cache: dict[ShardBlock, ray.ObjectRef[np.ndarray]] = {}

    def block(self, block: ShardBlock) -> list[ray.ObjectRef[np.ndarray]]:
        """A reference to the block's rows, in a list because Ray would resolve and copy a bare one."""
        activations, part, seed = self._source
        if block not in self._cache:
            while len(self._cache) >= CACHED_BLOCKS:
                del self._cache[min(self._cache)]
            self._cache[block] = ray.put(read_block(activations, block, part, seed))
        return [self._cache[block]]


def train_loop(task: dict[str, Any]) -> None:
    """Train the candidates on one Ray Train worker and report checkpoints; a sweep has at least as many as workers.

    Keys of `task`: `candidates`, `start` (folder of the SAE to start from, or None), `seed`, `width`, `mean`, `scale`,
    `rows` (explain activations of each shard), `activations` (Committed), `reader`, `device`.
    """
    candidates: Sequence[SweepMember] = task["candidates"]
    activations, device = task["activations"], task["device"]
    worker = ray.train.get_context()
    rank, world = worker.get_world_rank(), worker.get_world_size()
    if device == "cpu":
        torch.set_num_threads(1)  # sums would depend on the number of threads
        torch.set_flush_denormal(True)  # Adam's moments of dead latents become denormals, which are slow on a CPU
    data_parallel = len(candidates) == 1
    share = (rank, world) if data_parallel else (0, 1)
    trainers = {
        str(number): SaeTrainer(one.config, one.seed, task["width"], np.array(task["mean"]), task["scale"], device)
        for number in ([0] if data_parallel else _assign(candidates, world)[rank])
        for one in [candidates[number]]
    }
    checkpoints = training.Checkpoints([] if data_parallel and rank else list(trainers))
    states: dict[str, dict[str, Any]] = {}
    for name, trainer in trainers.items():
        restored = checkpoints.resume(name)
        states[name] = {"best": float("inf"), "best_step": 0, "history": []}
        if restored:
            states[name], tensors = restored
            trainer.load(tensors)
        else:
            if task["start"]:
                trainer.warm_start(model.load(task["start"], device))
            checkpoints.keep_best(name, trainer.sae.state_dict())

    steps, size = candidates[0].config.steps, candidates[0].config.batch_size
    every = max(1, steps // candidates[0].config.checkpoints)
    step = next((trainer.steps for trainer in trainers.values()), steps)
    source = batches(task["rows"], task["width"], size, task["seed"], step, _prefetcher(task["reader"]))
    start, since = time.monotonic(), step
    if rank == 0:
        progress.phase("training", steps, "steps", done=step)
    while step < steps:
        batch = next(source)
        fvu = {name: trainer.step(batch, *share) for name, trainer in trainers.items()}
        step += 1
        if rank == 0 and progress.relay_due():
            dead = _format_range((trainer.dead_share for trainer in trainers.values()), ".1%")
            progress.reach(step, f"FVU {_format_range(fvu.values(), '.4f')}, dead {dead}")
        if step % every == 0 or step == steps:
            select = select_fvu(
                [trainer.sae for trainer in trainers.values()], activations, task["rows"], task["seed"], *share
            )
            for (name, trainer), measured in zip(trainers.items(), select, strict=True):
                state = states[name]
                state["diverged"] = trainer.diverged
                if trainer.diverged:
                    continue
                state["history"].append({"step": step, "fvu": fvu[name], "select_fvu": measured})
                if measured <= state["best"]:  # without select users all are 0, and the last wins
                    state["best"], state["best_step"] = measured, step
                    checkpoints.keep_best(name, trainer.sae.state_dict())
            if rank == 0:
                rate = (step - since) * size / (time.monotonic() - start)
                summary = f"FVU on select users {_format_range(select, '.4f')}, {rate:,.0f} activations/s"
                print(f"sae: step {step}/{steps}, {len(trainers)} SAE{'s'[: len(trainers) > 1]}, {summary}", flush=True)
            checkpoints.save({name: (states[name], trainer.tensors()) for name, trainer in trainers.items()})
            start, since = time.monotonic(), step


def _assign(candidates: Sequence[SweepMember], world: int) -> list[list[int]]:
    """Candidates of each worker, dealt round robin from the widest and densest down."""
    cost = [(one.config.num_latents, one.config.k) for one in candidates]
    order = sorted(range(len(candidates)), key=cost.__getitem__, reverse=True)
    return [order[rank::world] for rank in range(world)]


def _prefetcher(reader: Any) -> Callable[[ShardBlock], Callable[[], np.ndarray]]:
    def prefetch(block: ShardBlock) -> Callable[[], np.ndarray]:
        pending = reader.block.remote(block)
        return lambda: ray.get(ray.get(pending)[0])

    return prefetch


@torch.no_grad()
def select_fvu(
    saes: Sequence[Sae], activations: Committed, rows_S: Sequence[int], seed: int, rank: int, world: int
) -> list[float]:
    """FVU of each SAE on select users, centred at the stream's mean; each worker reads every `world`-th shard."""
    names = activations.files(shards.PREFIX)
    sampled = _sample_shards(rows_S, seed)
    device = saes[0].mean_D.device
    sums = torch.zeros(len(sampled), len(saes), 2, dtype=torch.float64, device=device)
    for place in range(rank, len(sampled), world):
        x_BD = torch.tensor(part_vectors(shards.read(activations.data, names[sampled[place]]), "select"), device=device)
        for number, sae in enumerate(saes if len(x_BD) else ()):
            sums[place, number, 0] = (sae.reconstruct(x_BD) - x_BD).double().square().sum()
            sums[place, number, 1] = (x_BD - sae.mean_D).double().square().sum()
    if world > 1:
        dist.all_reduce(sums)
    return [error / variance if variance else 0.0 for error, variance in sums.sum(0).tolist()]


def _sample_shards(rows_S: Sequence[int], seed: int) -> list[int]:
    """Shards with about SELECT_ROWS select activations, assuming half as many select users as explain users."""
    order = np.random.default_rng(seed).permutation(len(rows_S))
    before = np.concatenate([[0], np.cumsum(np.asarray(rows_S)[order])[:-1]])
    return sorted(order[before < 2 * SELECT_ROWS].tolist())


def _format_range(values: Iterable[float], form: str) -> str:
    """One formatted value, or the smallest and the largest of several."""
    low, high = min(values := list(values)), max(values)
    return format(low, form) if low == high else f"{low:{form}} to {high:{form}}"
