"""Activations at the site `item`: every item is a case, and its activation is the vector that scores it.

Each item counts as a user of its own: parts divide items, and intervals resample items.
"""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import torch

from recsae.activations.shard_writer import ShardWriter, part_codes
from recsae.config.recommender import ProbeConfig
from recsae.data.filters import part_sql
from recsae.recommenders import registry
from recsae.recommenders.base import Trainable
from recsae.store import shards
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed


class ItemProber:
    """Ray Data actor that holds the recommender and writes the shards of one range of items per call."""

    def __init__(
        self, ingested: Committed, trained: Committed, out: Folder, config: ProbeConfig, device: str, seed: int
    ) -> None:
        model = registry.load(trained, config.site, device)
        assert isinstance(model, Trainable)  # the config allows this site for no other model
        self.model, self.out, self.config, self.seed = model, out, config, seed
        self.ids = ingested.read_table("items.parquet", ["item_id"])["item_id"]

    @torch.inference_mode()
    def __call__(self, row: dict[str, Any]) -> dict[str, int]:
        start, stop = int(row["start"]), min(int(row["stop"]), self.model.n_items)
        item = np.arange(start, stop, dtype=np.int32)
        writer = ShardWriter(self.out, f"items-{start:010d}", self.model.width, self.config)
        writer.add(
            pa.table(
                {
                    **dict.fromkeys(("case_id", "user_idx", "item_idx", "top_idx"), item),
                    "position": np.zeros_like(item),
                    "part": part_codes(parts(self.ids.slice(start, stop - start), self.seed)),
                    "activation": shards.column(self.model.item_vectors(start, stop).cpu().numpy()),
                }
            )
        )
        return {**writer.close(), "width": self.model.width}


def parts(ids: pa.ChunkedArray, seed: int) -> pa.ChunkedArray:
    """The part of each id, by the same hash as for users."""
    with duckdb.connect() as connection:
        connection.register("items", pa.table({"id": ids}))
        return connection.sql(f"SELECT {part_sql('id', seed)} AS part FROM items").to_arrow_table()["part"]
