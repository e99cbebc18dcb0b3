"""Speed and peak memory of the stage `evidence` at one and at ten million cases.

    python bench/evidence.py [--cases 1000000,10000000] [--width 64] [--latents 1024] [--k 8]

Activations, users and items are generated, and the SAE has random weights. Shards have 32 MiB, so that the smaller
stream keeps every core busy too. Each size runs in its own process, with Ray as the jobs start it. Memory is that of
the driver and of this run's Ray processes, object store included, as contestants.py samples it. Prints for each size
the cases per second of the pass, the seconds of the whole stage and the peak, and the ratio of the peaks; the target is
at most 1.2.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from contestants import peak_memory, run_contestant

SHARD_BYTES, BATCH = 32 * 2**20, 8192
CASES_A_USER, ITEMS, GENRES = 50, 20_000, 20
TARGET = 1.2


class Measured(NamedTuple):
    """Results for one size."""

    cases_per_second: float
    seconds: float
    peak: int


def write_inputs(root: str, cases: int, width: int, latents: int, k: int) -> None:
    """Commit the stages `ingest`, `activations` and `sae` of a run named `bench`."""
    import torch

    from recsae.sae import model
    from recsae.schemas.base import ITEMS as ITEMS_SCHEMA
    from recsae.schemas.base import activations
    from recsae.store import shards
    from recsae.store.run_store import RunStore

    store = RunStore(root, "bench")
    ingest, stream, sae = (store.attempt(name, "f", store.lease(name, "f", 60)) for name in _STAGES)
    item = np.arange(ITEMS)
    names = [[{"name": "genres", "value": f"genre {number % GENRES}"}] for number in item]
    popularity = 1_000_000 // (item + 10)
    columns = {"item_idx": item, "item_id": item.astype(str), "title": item.astype(str), "popularity": popularity}
    ingest.write_table("items.parquet", pa.table({**columns, "attributes": pa.array(names)}), ITEMS_SCHEMA)
    draw = np.random.default_rng(0)
    at_once = SHARD_BYTES // (4 * width + 32)
    for number, start in enumerate(range(0, cases, at_once)):
        case = np.arange(start, min(start + at_once, cases))
        user = case // CASES_A_USER
        first, second = (ITEMS * draw.random((2, len(case))) ** 3).astype(np.int32)  # a skewed popularity
        vectors = draw.standard_normal((len(case), width), dtype=np.float32)
        table = pa.table(
            {
                "case_id": case, "user_idx": user, "position": case % CASES_A_USER, "item_idx": first,
                "top_idx": second, "part": user // 2 % 2 * (1 + user % 2), "activation": shards.column(vectors),
            }
        )  # fmt: skip
        batches = pa.Table.from_batches(table.to_batches(max_chunksize=BATCH))
        shards.write(stream.data, f"{shards.PREFIX}{number:05d}.arrow", batches, activations(width))
    torch.manual_seed(0)
    model.save(sae.data.child("model"), model.Sae(width, latents, "topk", k))
    for name, attempt in zip(_STAGES, (ingest, stream, sae), strict=True):
        store.commit(name, attempt, {"metrics": {"cases": cases, "width": width}})


def measure(root: str) -> Measured:
    """Run the stage on the committed inputs."""
    import ray

    from recsae.config.schema import Config
    from recsae.distributed.cluster import start_ray
    from recsae.evidence.stage import gather_evidence
    from recsae.store.run_store import RunStore

    store = RunStore(root, "bench")
    committed = {name: store.committed(name, "f") for name in _STAGES}
    inputs = {name: found for name, found in committed.items() if found}
    config = Config.model_validate({"name": "bench"})
    start_ray(config)
    with peak_memory() as peak:
        start = time.monotonic()
        found = gather_evidence(config, inputs, store.attempt("evidence", "f", store.lease("evidence", "f", 60)))
        seconds = time.monotonic() - start
    ray.shutdown()
    return Measured(found["cases_per_second"], seconds, peak.bytes)


_STAGES = ("ingest", "activations", "sae")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="1000000,10000000", help="sizes to compare, the smallest first")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--latents", type=int, default=1024)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        print(json.dumps(measure(arguments.contestant)))
        return
    found = []
    sizes = [int(size) for size in arguments.cases.split(",")]
    for cases in sizes:
        with tempfile.TemporaryDirectory() as root:
            write_inputs(root, cases, arguments.width, arguments.latents, arguments.k)
            size = sum(path.stat().st_size for path in Path(root).rglob("*.arrow"))
            measured = Measured(*run_contestant(__file__, "--contestant", root))
        found.append(measured)
        print(
            f"{cases:,} cases in shards of {size / 2**30:.2f} GiB: {measured.cases_per_second:,.0f} cases per second, "
            f"{measured.seconds:.0f} s in total, peak {measured.peak / 2**30:.2f} GiB",
            flush=True,
        )
    if len(found) > 1:
        ratio = found[-1].peak / found[0].peak
        print(f"memory for {sizes[-1] / sizes[0]:g} times the cases: {ratio:.2f} times (target: at most {TARGET})")


if __name__ == "__main__":
    main()
