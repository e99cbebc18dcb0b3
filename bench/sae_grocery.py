"""CPU seconds until an SAE reaches an FVU on a recommender's last positions: Amazon Grocery, SASRec, 1,024 latents.

    python bench/sae_grocery.py --root runs [--fvu 0.281] [--positions all] [--held-out users] [--set sae.k=16]

Stages of the grocery config that are committed under `--root` (events, recommender, activations) are reused, the others
run under Ray. Then one process trains on one thread and, every `--every` steps, measures the FVU of the last position
of each user with the clock stopped. With `--held-out users` these are select and score users, half of all, whom the SAE
never sees; with `none` they are the users it trains on, as in references without parts. `--positions all` trains on
earlier positions too. The clock starts after one step that compiles the kernels. Without the data set the script says
so and ends.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from recsae.config.sae import SaeConfig
    from recsae.config.schema import Config
    from recsae.store.run_store import Committed

STAGES = ("ingest", "recommender", "activations")


class Rows(NamedTuple):
    """Activations `(N, D)` for training, and those on which FVU is measured."""

    train: np.ndarray
    held_out: np.ndarray


def committed(config: Config) -> Committed:
    """The committed activations; missing stages are run."""
    import ray

    from recsae.distributed.cluster import start_ray
    from recsae.pipeline.runner import Pipeline

    pipeline = Pipeline(config)
    for stage in STAGES:
        if pipeline.has_work(stage):
            start_ray(config)
        done = pipeline.run(stage)
    ray.shutdown()
    return done


def rows(activations: Committed, positions: str, held_out: str) -> Rows:
    from recsae.schemas.base import PARTS
    from recsae.store import shards

    tables = list(shards.stream(activations))
    user, position, part = (
        np.concatenate([table[name].to_numpy() for table in tables]) for name in ("user_idx", "position", "part")
    )
    x_ND = np.concatenate([shards.vectors(table) for table in tables])
    order = np.lexsort((position, user))
    user, part, x_ND = user[order], part[order], x_ND[order]
    last = np.append(user[1:] != user[:-1], True)
    unseen = part != PARTS.index("explain") if held_out == "users" else np.zeros(len(user), dtype=bool)
    learnt = ~unseen & (last if positions == "last" else True)
    return Rows(x_ND[learnt], x_ND[last & (unseen if held_out == "users" else True)])


def batches(x_ND: np.ndarray, size: int, seed: int):  # type: ignore[no-untyped-def]
    """Yield batches without end, each epoch in its own order; a batch may span two epochs."""
    draw, rest = np.random.default_rng(seed), np.empty(0, dtype=np.int64)
    while True:
        rest = np.concatenate([rest, *(draw.permutation(len(x_ND)) for _ in range(1 + size // len(x_ND)))])
        while len(rest) >= size:
            yield x_ND[rest[:size]]
            rest = rest[size:]


def measure(found: Rows, config: SaeConfig, seed: int, target: float, every: int) -> None:
    import torch

    from recsae.sae.trainer import SaeTrainer

    torch.set_num_threads(1)
    mean = found.train.mean(0, dtype=np.float64)
    scale = float(np.sqrt(np.square(found.train - mean).mean()))
    held_out = torch.from_numpy(found.held_out)
    variance = float((held_out - held_out.mean(0)).double().square().sum())
    source = batches(found.train, config.batch_size, seed)
    fresh = (config, seed, found.train.shape[1], mean.astype(np.float32), scale, "cpu")
    SaeTrainer(*fresh).step(next(source))
    fit, seconds, fvu = SaeTrainer(*fresh), 0.0, 1.0
    for step in range(1, config.steps + 1):
        start = time.process_time()
        learnt = fit.step(next(source))
        seconds += time.process_time() - start
        if step % every and step != config.steps:
            continue
        fvu = float((fit.sae.reconstruct(held_out) - held_out).double().square().sum()) / variance
        print(f"step {step:5}: {seconds:7.2f} processor s, FVU {fvu:.4f} (batch {learnt:.4f})", flush=True)
        if fvu <= target:
            print(f"FVU {target:g} after {seconds:.1f} processor seconds, {step * config.batch_size:,} activations")
            return
    print(f"FVU {target:g} not reached in {config.steps} steps, {seconds:.1f} processor seconds: {fvu:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="jobs/configs/grocery.toml")
    parser.add_argument("--root", default="runs", help="the store")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a config key")
    parser.add_argument("--fvu", type=float, default=0.281)
    parser.add_argument("--positions", choices=("last", "all"), default="last", help="what it learns from")
    parser.add_argument("--held-out", choices=("users", "none"), default="users")
    parser.add_argument("--every", type=int, default=25, help="steps")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    from recsae.config.loader import load
    from recsae.errors import BadInput

    try:
        config = load(
            arguments.config, ["sae.num_latents=1024", "sae.k=8", *arguments.set, f"store.root={arguments.root}"]
        )
        missing = [name for name in config.data.interactions if "://" not in name and not Path(name).exists()]
        if missing:
            print(f"not measured: there is no {missing[0]}")
            return
        found = rows(committed(config), arguments.positions, arguments.held_out)
    except BadInput as error:
        sys.exit(f"recsae: {error}")
    print(f"{len(found.train):,} activations to learn from, {len(found.held_out):,} to measure")
    measure(found, config.sae, config.seed, arguments.fvu, arguments.every)


if __name__ == "__main__":
    main()
