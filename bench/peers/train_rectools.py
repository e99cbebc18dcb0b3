"""The peer in the training benchmark: RecTools' own SASRec through RecTools' public API; nothing of recsae is imported.

    python -m venv VENV && VENV/bin/pip install "torch==2.13.0+cpu" "rectools[torch]==0.19.0" "pyarrow<26"
    VENV/bin/python bench/peers/train_rectools.py --events events.parquet --loss softmax --epochs 3 --threads 2
    VENV/bin/python bench/peers/train_rectools.py --events events.parquet --loss sampled_softmax --negatives 512

`events.parquet` has the columns user, item and position (int32), training events alone. There is no validation, no
checkpoint and no progress bar; what has no option here is RecTools' default (dropout 0.2, Adam at 0.001). RecTools
trains on the last `max-length + 1` events of each user, draws negatives for each position by itself and pads every
batch to `max-length`. An epoch lasts from the end of the one before it to its own end, so that loading counts.

Prints one line of JSON, the last of its output: wall and processor seconds of each epoch with the first apart, training
targets an epoch, targets a second in the median epoch after the first (the first where there is no other) and the peak
resident memory. Processor seconds well below `threads` times the wall seconds mean that the machine was busy.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet

LOSSES = ("softmax", "sampled_softmax", "BCE", "gBCE")


class EpochClock(pl.Callback):
    """Wall and processor time when training began and when each epoch was over."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark()

    def _mark(self) -> None:
        self.wall.append(time.perf_counter())
        self.processor.append(time.process_time())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train RecTools' SASRec and print the seconds of each epoch.")
    parser.add_argument("--events", type=Path, required=True, help="Parquet with user, item, position")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=100)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--loss", choices=LOSSES, default="softmax")
    parser.add_argument("--negatives", type=int, default=0, help="for each position; not for softmax")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    if (asked.loss == "softmax") == bool(asked.negatives):
        parser.error("--negatives goes with every loss but softmax")
    return asked


def dataset(events: Path) -> Dataset:
    """RecTools orders events by time; the position within the user stands for it."""
    frame = pd.read_parquet(events)
    interactions = pd.DataFrame(
        {
            Columns.User: frame["user"],
            Columns.Item: frame["item"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(frame["position"], unit="s"),
        }
    )
    return Dataset.construct(interactions)


def train(asked: argparse.Namespace, events: Dataset) -> dict[str, Any]:
    clock = EpochClock()

    def trainer() -> pl.Trainer:
        return pl.Trainer(
            max_epochs=asked.epochs,
            min_epochs=asked.epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[clock],
        )

    model = SASRecModel(
        n_blocks=asked.blocks,
        n_heads=asked.heads,
        n_factors=asked.width,
        session_max_len=asked.max_length,
        batch_size=asked.batch,
        loss=asked.loss,
        n_negatives=max(asked.negatives, 1),
        item_net_block_types=(IdEmbeddingsItemNet,),  # the default warns that there are no item features
        get_trainer_func=trainer,
    )
    start = time.perf_counter()
    model.fit(events)
    fitted = model.fit_trainer
    assert fitted is not None
    copies = [callback for callback in fitted.callbacks if isinstance(callback, EpochClock)]  # RecTools copies it deep
    clock = copies[0]
    seconds = [round(after - before, 3) for before, after in pairwise(clock.wall)]
    processor = [round(after - before, 3) for before, after in pairwise(clock.processor)]
    kept = model.data_preparator.train_dataset.interactions.df
    targets = len(kept) - kept[Columns.User].nunique()
    epoch = statistics.median(seconds[1:] or seconds)
    return {
        "users": int(kept[Columns.User].nunique()),
        "items": len(model.data_preparator.get_known_item_ids()),
        "targets": targets,
        "prepare_seconds": round(clock.wall[0] - start, 3),
        "first_epoch_seconds": seconds[0],
        "epoch_seconds": seconds[1:],
        "first_epoch_cpu_seconds": processor[0],
        "epoch_cpu_seconds": processor[1:],
        "targets_per_second": round(targets / epoch, 1),
        "train_loss": round(float(fitted.callback_metrics["train_loss"]), 4),
    }


def main() -> None:
    asked = arguments()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(asked.threads)
    pl.seed_everything(0)
    found = train(asked, dataset(asked.events))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    versions = {name: version(name) for name in ("rectools", "torch", "pytorch-lightning", "numpy", "pandas")}
    setting = {**vars(asked), "events": asked.events.name}
    print(json.dumps({"peer": "rectools", **setting, **found, "peak_rss_bytes": peak, "versions": versions}))


if __name__ == "__main__":
    main()
