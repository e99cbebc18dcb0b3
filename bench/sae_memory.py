"""Peak memory of training an SAE, on some activations and on ten times as many.

    python bench/sae_memory.py [--rows 2000000] [--width 64] [--steps 600]

Generated activations are in shards of 128 MiB; the stage's own loop trains 1,024 latents on them under Ray Train, with
one worker. Memory is that of this run's Ray processes without the driver, object store included, as contestants.py
samples it. Each size runs in its own process. Prints both peaks and their ratio.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from contestants import peak_memory, run_contestant

SHARD_BYTES = 128 * 2**20


def write_shards(root: str, rows: int, width: int) -> None:
    """Commit the stage `activations` of a run named `bench`."""
    from recsae.schemas.base import activations
    from recsae.store import shards
    from recsae.store.run_store import RunStore

    store = RunStore(root, "bench")
    attempt = store.attempt("activations", "f", store.lease("activations", "f", 60))
    draw = np.random.default_rng(0)
    at_once = SHARD_BYTES // (4 * width)
    for number, start in enumerate(range(0, rows, at_once)):
        index = np.arange(start, min(start + at_once, rows))
        vectors = draw.standard_normal((len(index), width), dtype=np.float32)
        columns = dict.fromkeys(("case_id", "user_idx", "position", "item_idx", "top_idx"), index)
        table = pa.table({**columns, "part": index // 2 % 3 * (index % 2), "activation": shards.column(vectors)})
        shards.write(attempt.data, f"{shards.PREFIX}{number:05d}.arrow", table, activations(width))
    store.commit("activations", attempt, {"metrics": {"width": width, "cases": rows}})


def peak(root: str, steps: int) -> int:
    """Peak memory of training on the committed shards, in bytes."""
    import ray

    from recsae.config.schema import Config
    from recsae.distributed.cluster import start_ray
    from recsae.sae import fidelity
    from recsae.sae.stage import fit_candidates
    from recsae.store.run_store import RunStore

    store = RunStore(root, "bench")
    activations = store.committed("activations", "f")
    assert activations is not None
    config = Config.model_validate({"name": "bench", "sae": {"steps": steps, "checkpoints": 2}})
    start_ray(config)
    stream = fidelity.moments(activations, "explain")
    with peak_memory(driver=False) as used:
        fit_candidates(config, activations, stream, store.attempt("sae", "f", store.lease("sae", "f", 60)))
    ray.shutdown()
    return used.bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        print(json.dumps(peak(arguments.contestant, arguments.steps)))
        return
    found = []
    for rows in (arguments.rows, 10 * arguments.rows):
        with tempfile.TemporaryDirectory() as root:
            write_shards(root, rows, arguments.width)
            size = sum(path.stat().st_size for path in Path(root).rglob("*.arrow"))
            found.append(run_contestant(__file__, *sys.argv[1:], "--contestant", root))
        print(f"{rows:,} activations in shards of {size / 2**30:.2f} GiB: peak {found[-1] / 2**30:.2f} GiB")
    print(f"memory for ten times the shards: {found[1] / found[0]:.2f} times")


if __name__ == "__main__":
    main()
