"""Speed and peak memory of the stage `statistics`, on some cases and on ten times as many.

    python bench/attribute_statistics.py [--cases 1000000] [--width 64] [--latents 1024] [--k 8]

Generated activations are in shards of 32 MiB, a quarter of them of score users; 5,000 items have 60 attributes. The
stage runs unchanged: sums and counts of four codes, exact AUC, 100 permutations, coherence. Memory is that of the
driver and of this run's Ray processes, object store included, as contestants.py samples it. Each size runs in its own
process. Prints cases per second and the peak of both sizes, and the ratio of the peaks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np
import pyarrow as pa
from contestants import peak_memory, run_contestant

SHARD_BYTES = 32 * 2**20
ITEMS, ATTRIBUTES, VALUES_PER_ITEM = 5_000, 60, 3


def write_inputs(root: str, cases: int, width: int, latents: int, k: int) -> None:
    """Commit the stage's inputs: a catalogue, activations that depend on their items, an SAE with random weights."""
    import torch

    from recsae.sae import model
    from recsae.schemas.base import ITEMS as ITEMS_SCHEMA
    from recsae.schemas.base import activations
    from recsae.store import shards
    from recsae.store.run_store import Attempt, Metrics, RunStore

    draw = np.random.default_rng(0)
    directions = draw.standard_normal((ITEMS, width), dtype=np.float32)

    def ingest(out: Attempt) -> Metrics:
        value_IV = draw.integers(0, ATTRIBUTES, (ITEMS, VALUES_PER_ITEM))
        items = [
            {
                "item_idx": item,
                "item_id": str(item),
                "title": "",
                "attributes": [{"name": "genres", "value": str(value)} for value in sorted(set(values))],
                "popularity": 0,
            }
            for item, values in enumerate(value_IV.tolist())
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
    """Seconds of the stage, and its peak memory in bytes."""
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
    with peak_memory() as peak:
        out = store.attempt("statistics", "f", store.lease("statistics", "f", 60))
        start = time.monotonic()
        measure_statistics(config, inputs, out)
        seconds = time.monotonic() - start
    return {"seconds": seconds, "peak": peak.bytes}


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
            found.append(run_contestant(__file__, "--contestant", root))
        speed, peak = cases / found[-1]["seconds"], found[-1]["peak"] / 2**30
        print(f"{cases:,} cases: {found[-1]['seconds']:.0f} s, {speed:,.0f} per second; peak {peak:.2f} GiB")
    print(f"memory for ten times the cases: {found[1]['peak'] / found[0]['peak']:.2f} times")


if __name__ == "__main__":
    main()
