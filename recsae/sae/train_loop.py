"""The training loop of one SAE or of a whole sweep, as one Ray Train worker runs it.

All SAEs learn from the same batches. A single one is shared by the workers lane by lane; of several each worker trains
its own, and no gradient travels. Either way the weights are the same to the bit, whatever the number of workers. Shards
are read by one actor, which hands each block to whoever trains on its node, and works ahead. It knows Ray and
checkpoints, and nothing of the loss.
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
from recsae.sae import model
from recsae.sae.dataloader import ShardBlock, batches, of_part, read_block
from recsae.sae.model import Sae
from recsae.sae.trainer import Fit
from recsae.store import shards
from recsae.store.run_store import Committed

BLOCKS_KEPT = 2
SELECT_ROWS = 250_000
"""Select activations by which checkpoints are compared, about."""
REPORT_SECONDS = 5.0


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Feeder:
    """Reads each block once, and keeps the newest in the object store."""

    def __init__(self, activations: Committed, part: str, seed: int) -> None:
        self._source = activations, part, seed
        self._kept: dict[ShardBlock, ray.ObjectRef[np.ndarray]] = {}

    def block(self, block: ShardBlock) -> list[ray.ObjectRef[np.ndarray]]:
        """In a list, since a reference by itself would be followed and copied here."""
        activations, part, seed = self._source
        if block not in self._kept:
            while len(self._kept) >= BLOCKS_KEPT:
                del self._kept[min(self._kept)]
            self._kept[block] = ray.put(read_block(activations, block, part, seed))
        return [self._kept[block]]


def train_loop(task: dict[str, Any]) -> None:
    """With several candidates there are at least as many of them as workers.

    `task`: `candidates`, `start` (the folder of an SAE to go on from, or None), `seed`, `width`, `mean`, `scale`,
    `rows`, `activations` (Committed), `feeder`, `device`."""
    candidates: Sequence[SweepMember] = task["candidates"]
    activations, device = task["activations"], task["device"]
    worker = ray.train.get_context()
    rank, world = worker.get_world_rank(), worker.get_world_size()
    if device == "cpu":
        torch.set_num_threads(1)  # the number of threads changes the last digits of a sum
        torch.set_flush_denormal(True)  # to which the moments of silent latents fade, and which take a CPU long
    alone = len(candidates) == 1
    share = (rank, world) if alone else (0, 1)
    mine = {
        str(number): Fit(one.config, one.seed, task["width"], np.array(task["mean"]), task["scale"], device)
        for number in ([0] if alone else _dealt(candidates, world)[rank])
        for one in [candidates[number]]
    }
    checkpoints = training.Checkpoints([] if alone and rank else list(mine))
    states: dict[str, dict[str, Any]] = {}
    for name, fit in mine.items():
        found = checkpoints.resume(name)
        states[name] = {"best": float("inf"), "best_step": 0, "history": []}
        if found:
            states[name], tensors = found
            fit.load(tensors)
        else:
            if task["start"]:
                fit.go_on_from(model.load(task["start"], device))
            checkpoints.keep_best(name, fit.sae.state_dict())

    steps, size = candidates[0].config.steps, candidates[0].config.batch_size
    every = max(1, steps // candidates[0].config.checkpoints)
    step = next((fit.steps for fit in mine.values()), steps)
    source = batches(task["rows"], task["width"], size, task["seed"], step, _asking(task["feeder"]))
    start, spoken, since = time.monotonic(), time.monotonic(), step
    while step < steps:
        batch = next(source)
        fvu = {name: fit.step(batch, *share) for name, fit in mine.items()}
        step += 1
        if rank == 0 and time.monotonic() - spoken > REPORT_SECONDS:
            spoken = time.monotonic()
            dead = _span((fit.dead_share for fit in mine.values()), ".1%")
            rate = (step - since) * size / (spoken - start)
            left = (steps - step) * size / rate
            print(
                f"sae: step {step}/{steps}, FVU {_span(fvu.values(), '.4f')}, dead {dead}, {left:.0f} s left",
                flush=True,
            )
        if step % every == 0 or step == steps:
            select = select_fvu([fit.sae for fit in mine.values()], activations, task["rows"], task["seed"], *share)
            for (name, fit), measured in zip(mine.items(), select, strict=True):
                state = states[name]
                state["diverged"] = fit.diverged
                if fit.diverged:
                    continue
                state["history"].append({"step": step, "fvu": fvu[name], "select_fvu": measured})
                if measured <= state["best"]:  # without select users all are 0: the last is kept, not the first
                    state["best"], state["best_step"] = measured, step
                    checkpoints.keep_best(name, fit.sae.state_dict())
            if rank == 0:
                rate = (step - since) * size / (time.monotonic() - start)
                told = f"FVU on select users {_span(select, '.4f')}, {rate:,.0f} activations/s"
                print(f"sae: step {step}/{steps}, {len(mine)} SAE{'s'[: len(mine) > 1]}, {told}", flush=True)
            checkpoints.save({name: (states[name], fit.tensors()) for name, fit in mine.items()})
            start, since = time.monotonic(), step


def _dealt(candidates: Sequence[SweepMember], world: int) -> list[list[int]]:
    """Which candidates each worker trains: the widest and densest first, one to each in turn."""
    cost = [(one.config.num_latents, one.config.k) for one in candidates]
    order = sorted(range(len(candidates)), key=cost.__getitem__, reverse=True)
    return [order[rank::world] for rank in range(world)]


def _asking(feeder: Any) -> Callable[[ShardBlock], Callable[[], np.ndarray]]:
    def ask(block: ShardBlock) -> Callable[[], np.ndarray]:
        promise = feeder.block.remote(block)
        return lambda: ray.get(ray.get(promise)[0])

    return ask


@torch.no_grad()
def select_fvu(
    saes: Sequence[Sae], activations: Committed, rows_S: Sequence[int], seed: int, rank: int, world: int
) -> list[float]:
    """FVU of each SAE on select users, about the stream's mean; each worker takes every `world`-th shard."""
    names = activations.files(shards.PREFIX)
    chosen = _some_shards(rows_S, seed)
    device = saes[0].mean_D.device
    sums = torch.zeros(len(chosen), len(saes), 2, dtype=torch.float64, device=device)
    for place in range(rank, len(chosen), world):
        x_BD = torch.tensor(of_part(shards.read(activations.data, names[chosen[place]]), "select"), device=device)
        for number, sae in enumerate(saes if len(x_BD) else ()):
            sums[place, number, 0] = (sae.reconstruct(x_BD) - x_BD).double().square().sum()
            sums[place, number, 1] = (x_BD - sae.mean_D).double().square().sum()
    if world > 1:
        dist.all_reduce(sums)
    return [error / variance if variance else 0.0 for error, variance in sums.sum(0).tolist()]


def _some_shards(rows_S: Sequence[int], seed: int) -> list[int]:
    """So many that they hold about SELECT_ROWS of select users, who are half as many as explain users."""
    order = np.random.default_rng(seed).permutation(len(rows_S))
    before = np.concatenate([[0], np.cumsum(np.asarray(rows_S)[order])[:-1]])
    return sorted(order[before < 2 * SELECT_ROWS].tolist())


def _span(values: Iterable[float], form: str) -> str:
    """One value, or the least and the largest of several."""
    low, high = min(values := list(values)), max(values)
    return format(low, form) if low == high else f"{low:{form}} to {high:{form}}"
