"""Large catalogues: seconds per epoch and peak memory per worker, for BPRMF and SASRec with sampled negatives.

    python bench/catalogue.py [--items 1000000 10000000] [--events 10000000] [--kinds bprmf sasrec] [--width 32]

A catalogue and events (50 per user, items by a power law) are generated in the format that ingest commits. The stage
`recommender` then runs for one epoch on two workers; fewer `--events` give a shorter epoch. Validation ranks 64 users
over the whole catalogue. Besides the peak, the size of the embedding tables with Adam's two moments is printed; the
smallest catalogue shows the rest (Python, torch, batches).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile

import numpy as np
import pyarrow as pa
from contestants import run_contestant

from recsae.config.schema import Config
from recsae.schemas.base import CASES, INTERACTIONS, SPLITS, conform
from recsae.store.run_store import Attempt, RunStore

EVENTS_PER_USER = 50
USERS_PER_CHUNK = 20_000
GIB = 2**30


def write_ingested(out: Attempt, n_items: int, n_users: int) -> None:
    """Write interactions and cases in chunks of users, and the items' popularity."""
    popularity = np.zeros(n_items, dtype=np.int64)
    for number, first in enumerate(range(0, n_users, USERS_PER_CHUNK)):
        draw = np.random.default_rng(number)
        users = np.arange(first, min(first + USERS_PER_CHUNK, n_users))
        user = np.repeat(users, EVENTS_PER_USER)
        position = np.tile(np.arange(EVENTS_PER_USER), len(users))
        item = (n_items * draw.random(len(user)) ** 3).astype(np.int32)
        events = pa.table(
            {
                "user_idx": user,
                "position": position,
                "item_idx": item,
                "timestamp": position,
                "weight": np.ones(len(user)),
            }
        )
        to_the_end = EVENTS_PER_USER - position
        split = np.where(to_the_end == 1, 2, np.where(to_the_end == 2, 1, 0))
        popularity += np.bincount(item[split == 0], minlength=n_items)
        name = f"chunk-{number:05d}.parquet"
        for index, held in enumerate(SPLITS):
            out.write_table(f"interactions/{held}/{name}", events.filter(pa.array(split == index)), INTERACTIONS)
        target = np.flatnonzero(split > 0)
        cases = {
            "case_id": target,
            "user_idx": user[target],
            "position": position[target],
            "item_idx": item[target - 1],
            "target_idx": item[target],
            "split": pa.array(np.array(SPLITS, dtype=object)[split[target]], pa.string()),
            "part": pa.array(["score"] * len(target)),
        }
        out.write_table(f"cases/{name}", conform(pa.table(cases), CASES), CASES)
    out.write_table(
        "items.parquet", pa.table({"popularity": popularity}), pa.schema([pa.field("popularity", pa.int64())])
    )


def train(kind: str, n_items: int, arguments: argparse.Namespace) -> dict[str, float]:
    import ray

    from recsae.distributed.cluster import start_ray
    from recsae.recommenders.stage import train_recommender

    n_users = max(USERS_PER_CHUNK // 20, arguments.events // EVENTS_PER_USER)
    with tempfile.TemporaryDirectory() as root:
        config = Config.model_validate(
            {
                "name": "bench",
                "store": {"root": root},
                "cases": {"max_per_user": 2},
                "recommender": {"kind": kind, "width": arguments.width, "max_length": 50, "epochs": 1},
                "ranking": {"users": 64},
                "resources": {"train_workers": 2},
            }
        )
        store = RunStore(root, "bench")
        attempt = store.attempt("ingest", "generated", store.lease("ingest", "generated", 60))
        write_ingested(attempt, n_items, n_users)
        ingested = store.commit("ingest", attempt, {"metrics": {"users": n_users, "items": n_items}})
        start_ray(config)
        lease = store.lease("recommender", "generated", 60)
        metrics = train_recommender(config, {"ingest": ingested}, store.attempt("recommender", "generated", lease))
        ray.shutdown()
    epoch = metrics["history"][0]
    rows = n_items + (n_users if kind == "bprmf" else 0)
    return {
        "seconds": epoch["seconds"],
        "targets": epoch["targets"],
        "peak": metrics["peak_bytes"] / GIB,
        "tables": 3 * rows * arguments.width * 4 / GIB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--kinds", nargs="+", default=["bprmf", "sasrec"])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--contestant", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        print(json.dumps(train(arguments.contestant[0], int(arguments.contestant[1]), arguments)))
        return
    print(f"{'kind':8} {'items':>12} {'targets':>12} {'s/epoch':>8} {'targets/s':>10} {'peak GiB':>9} {'tables':>7}")
    for kind in arguments.kinds:
        for n_items in (10_000, *arguments.items):
            found = run_contestant(__file__, *sys.argv[1:], "--contestant", kind, n_items)
            rate = found["targets"] / found["seconds"]
            print(
                f"{kind:8} {n_items:12,} {found['targets']:12,} {found['seconds']:8.1f} {rate:10,.0f} "
                f"{found['peak']:9.2f} {found['tables']:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
