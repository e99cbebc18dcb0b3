"""What training an SAE holds in memory, from shards and from shards of ten times the size.

    python bench/sae_memory.py [--rows 2000000] [--width 64] [--steps 600]

Generated activations lie in shards of 128 MiB; the stage's own loop trains 1,024 latents on them under Ray Train, with
one worker. Counted is what this run's Ray processes hold, the object store with them (proportional set size, so that
pages which they share count once), at its peak over samples taken twice a second. The sizes run one after the other,
each in its own process. Prints both peaks and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

SHARD_BYTES = 128 * 2**20


def write_shards(root: str, rows: int, width: int) -> None:
    """Commit the stage `activations` of a run that is called `bench`."""
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
    """Bytes that the training of those shards held at most."""
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
    held, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            held.append(sum(map(held_by, psutil.Process().children(recursive=True))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out = store.attempt("sae", "f", store.lease("sae", "f", 60))
    fit_candidates(config, activations, stream, out)
    ended.set()
    watcher.join()
    ray.shutdown()
    return max(held)


def held_by(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


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
            command = [sys.executable, __file__, *sys.argv[1:], "--contestant", root]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        found.append(json.loads(ran.stdout.strip().splitlines()[-1]))
        print(f"{rows:,} activations in shards of {size / 2**30:.2f} GiB: {found[-1] / 2**30:.2f} GiB at the peak")
    print(f"memory for ten times the shards: {found[1] / found[0]:.2f} times")


if __name__ == "__main__":
    main()
