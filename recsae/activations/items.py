"""The item side: a case an item, its vector the row that users are scored against.

An item is a case of its own and its own user: parts cut between items, and intervals resample items. It knows the
recommender's contract and the catalogue's ids, and no events.
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
    """Holds the recommender; writes the shard of one range of items."""

    def __init__(
        self, ingested: Committed, trained: Committed, out: Folder, config: ProbeConfig, device: str, seed: int
    ) -> None:
        model = registry.load(trained, config.site, device)
        assert isinstance(model, Trainable)  # the config gives this site to no other
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
    """The part of each id, drawn as a user's is."""
    with duckdb.connect() as connection:
        connection.register("items", pa.table({"id": ids}))
        return connection.sql(f"SELECT {part_sql('id', seed)} AS part FROM items").to_arrow_table()["part"]
