"""How fast latents meet attributes, and what that holds in memory, with cases and with ten times as many.

    python bench/attribute_statistics.py [--cases 1000000] [--width 64] [--latents 1024] [--k 8]

Generated activations lie in shards of 32 MiB, a quarter of them of score users; 5,000 items bear 60 attributes. The
stage `statistics` runs on them as it is: sums and counts of four codes, exact AUC, 100 permutations, coherence. Counted
is what the driver and this run's Ray processes hold, the object store with them (proportional set size, so that pages
which they share count once), at its peak over samples taken twice a second. The sizes run one after the other, each in
its own process. Prints cases a second and the peak of both, and the ratio of the peaks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import psutil
import pyarrow as pa
from sae_memory import held_by

SHARD_BYTES = 32 * 2**20
ITEMS, ATTRIBUTES, BORNE = 5_000, 60, 3


def write_inputs(root: str, cases: int, width: int, latents: int, k: int) -> None:
    """Commit what the stage reads: a catalogue, activations that follow their items, an SAE with its first weights."""
    import torch

    from recsae.sae import model
    from recsae.schemas.base import ITEMS as ITEMS_SCHEMA
    from recsae.schemas.base import activations
    from recsae.store import shards
    from recsae.store.run_store import Attempt, Metrics, RunStore

    draw = np.random.default_rng(0)
    directions = draw.standard_normal((ITEMS, width), dtype=np.float32)

    def ingest(out: Attempt) -> Metrics:
        borne = draw.integers(0, ATTRIBUTES, (ITEMS, BORNE))
        items = [
            {
                "item_idx": item,
                "item_id": str(item),
                "title": "",
                "attributes": [{"name": "genres", "value": str(value)} for value in sorted(set(values))],
                "popularity": 0,
            }
            for item, values in enumerate(borne.tolist())
        ]
        out.write_table("items.parquet", pa.Table.from_pylist(items, ITEMS_SCHEMA), ITEMS_SCHEMA)
        return {}

    def stream(out: Attempt) -> Metrics:
        at_once = SHARD_BYTES // (4 * width)
        for number, start in enumerate(range(0, cases, at_once)):
            index = np.arange(start, min(start + at_once, cases))
            item = (ITEMS * draw.random(len(index)) ** 2).astype(np.int32)
            vectors = directions[item] + draw.standard_normal((len(index), width), dtype=np.float32)
            user = index // 50
            columns = {"case_id": index, "user_idx": user, "position": index % 50, "item_idx": item, "top_idx": item}
            part = np.array([0, 0, 1, 2], dtype=np.int8)[user % 4]
            table = pa.table({**columns, "part": part, "activation": shards.column(vectors)})
            shards.write(out.data, f"{shards.PREFIX}{number:05d}.arrow", table, activations(width))
        return {"width": width, "cases": cases}

    def sae(out: Attempt) -> Metrics:
        torch.manual_seed(0)
        model.save(out.data.child("model"), model.Sae(width, latents, "topk", k))
        return {"fidelity": {"rank": k}}

    store = RunStore(root, "bench")
    for stage, write in (("ingest", ingest), ("activations", stream), ("sae", sae)):
        attempt = store.attempt(stage, "f", store.lease(stage, "f", 60))
        store.commit(stage, attempt, {"metrics": write(attempt)})


def measured(root: str) -> dict[str, float]:
    """Seconds of the stage, and bytes that it held at most."""
    from recsae.config.schema import Config
    from recsae.distributed.cluster import start_ray
    from recsae.statistics.stage import measure_statistics
    from recsae.store.run_store import RunStore

    store = RunStore(root, "bench")
    inputs = {}
    for stage in ("ingest", "activations", "sae"):
        done = store.committed(stage, "f")
        assert done is not None
        inputs[stage] = done
    config = Config.model_validate({"name": "bench", "data": {"interactions": ["-"], "items": ["-"]}})
    start_ray(config)
    held, ended = [0], threading.Event()

    def watch() -> None:
        this = psutil.Process()
        while not ended.wait(0.5):
            held.append(sum(map(held_by, [this, *this.children(recursive=True)])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out = store.attempt("statistics", "f", store.lease("statistics", "f", 60))
    start = time.monotonic()
    measure_statistics(config, inputs, out)
    seconds = time.monotonic() - start
    ended.set()
    watcher.join()
    return {"seconds": seconds, "peak": max(held)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--latents", type=int, default=1024)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        print(json.dumps(measured(arguments.contestant)))
        return
    found = []
    for cases in (arguments.cases, 10 * arguments.cases):
        with tempfile.TemporaryDirectory() as root:
            write_inputs(root, cases, arguments.width, arguments.latents, arguments.k)
            command = [sys.executable, __file__, "--contestant", root]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        found.append(json.loads(ran.stdout.strip().splitlines()[-1]))
        speed, peak = cases / found[-1]["seconds"], found[-1]["peak"] / 2**30
        print(f"{cases:,} cases: {found[-1]['seconds']:.0f} s, {speed:,.0f} a second; {peak:.2f} GiB at the peak")
    print(f"memory for ten times the cases: {found[1]['peak'] / found[0]['peak']:.2f} times")


if __name__ == "__main__":
    main()
