"""Seconds per epoch of SASRec compared with RecTools: the same events, sizes, loss and number of threads.

    python bench/sasrec.py [--threads 2] [--epochs 3] [--rounds 2] [--loss softmax] [--data ../shared/data/ml-1m]

Each user's last 101 training events (RecTools trains on no more), width 64, 2 blocks, 2 heads, length 100, batches of
128. recsae runs under Ray Train with one worker per thread. RecTools runs in its own environment, made on the first
call (see peers/train_rectools.py), because its pins conflict with ours. Contestants alternate, each in its own process;
an epoch is training alone, the median after the first one. Without the data set, events of the same shape are
generated. `--loss sampled_softmax` uses 512 negatives: RecTools draws them per position, recsae per batch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contestants import run_contestant

LENGTH = 100
PEER = Path(__file__).parent / ".rectools"


def events(data: Path) -> pd.DataFrame:
    """User, item and position of each user's last 103 events: 101 to train on and two held out."""
    if (data / "ratings.dat").exists():
        names = ["user", "item", "rating", "time"]
        table = pd.read_csv(data / "ratings.dat", sep="::", names=names, engine="python")
        table = table.sort_values(["user", "time"], kind="stable")
    else:
        draw = np.random.default_rng(0)
        users = np.repeat(np.arange(6040), draw.geometric(1 / 145, 6040).clip(18, 2000))
        table = pd.DataFrame({"user": users, "item": (3416 * draw.random(len(users)) ** 2).astype(int)})
    while True:
        often = table.groupby("item").user.transform("size") >= 5
        if often.all():
            break
        table = table[often]
    table = table.groupby("user").tail(LENGTH + 3)
    table["item"] = table["item"].rank(method="dense").astype("int32") - 1
    table["position"] = table.groupby("user").cumcount().astype("int32")
    return table[["user", "item", "position"]].astype("int32")


def ours(file: str, arguments: argparse.Namespace) -> dict[str, Any]:
    import ray

    from recsae.config.schema import Config
    from recsae.distributed.cluster import start_ray
    from recsae.pipeline.runner import Pipeline

    with tempfile.TemporaryDirectory() as root:
        config = Config.model_validate(
            {
                "name": "bench",
                "store": {"root": root},
                "data": {
                    "interactions": [file],
                    "columns": {"user_id": "user", "item_id": "item", "timestamp": "position"},
                    "min_user_events": 1,
                    "min_item_events": 1,
                },
                "recommender": {
                    "negatives": 0 if arguments.loss == "softmax" else 512,
                    "max_length": LENGTH,
                    "epochs": arguments.epochs,
                },
                "resources": {"train_workers": arguments.threads},
            }
        )
        start_ray(config)
        pipeline = Pipeline(config)
        pipeline.run("ingest")
        metrics = pipeline.run("recommender").metrics
        ray.shutdown()
    history = metrics["history"]
    return {"epochs": [epoch["seconds"] for epoch in history], "targets": history[0]["targets"]}


def theirs(file: str, arguments: argparse.Namespace) -> dict[str, Any]:
    if not PEER.exists():
        print(f"making the environment of RecTools in {PEER}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", PEER], check=True)
        pip = [PEER / "bin" / "pip", "install", "-q", "torch==2.13.0+cpu", "rectools[torch]==0.19.0", "pyarrow<26"]
        subprocess.run(pip, check=True)
    sizes = {"threads": arguments.threads, "epochs": arguments.epochs, "loss": arguments.loss, "negatives": 512}
    if arguments.loss == "softmax":
        del sizes["negatives"]
    given = [f"--{name}={value}" for name, value in {**sizes, "max-length": LENGTH, "events": file}.items()]
    script = Path(__file__).parent / "peers" / "train_rectools.py"
    ran = subprocess.run(
        [PEER / "bin" / "python", script, *given],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    return {"epochs": [found["first_epoch_seconds"], *found["epoch_seconds"]], "targets": found["targets"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--loss", choices=("softmax", "sampled_softmax"), default="softmax")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ml-1m"))
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        print(json.dumps(ours(arguments.contestant, arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        table = events(arguments.data)
        table.to_parquet(f"{folder}/all.parquet", index=False)
        left = table.groupby("user").cumcount(ascending=False)
        table[left >= 2].to_parquet(f"{folder}/train.parquet", index=False)
        ratios = []
        for number in range(arguments.rounds):
            own = run_contestant(__file__, *sys.argv[1:], "--contestant", f"{folder}/all.parquet")
            found = own, theirs(f"{folder}/train.parquet", arguments)
            assert found[0]["targets"] == found[1]["targets"], "the contestants train on different targets"
            mine, peer = (statistics.median(one["epochs"][1:] or one["epochs"]) for one in found)
            ratios.append(peer / mine)
            print(f"round {number + 1}: recsae {mine:.1f} s, RecTools {peer:.1f} s per epoch, ratio {ratios[-1]:.2f}")
    print(
        f"SASRec, {arguments.loss}, {arguments.threads} threads, {found[0]['targets']:,} targets per epoch: "
        f"{statistics.median(ratios):.2f} times as fast as RecTools"
    )


if __name__ == "__main__":
    main()
