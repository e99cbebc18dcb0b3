"""Chunks cover every user once, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recsae.data.chunks import n_chunks, read_cases, read_chunk
from recsae.schemas.base import CASES, SPLITS
from tests.data import frames
from tests.data.conftest import Ingest


def test_chunks_hold_all_events_in_order(tmp_path: Path, run: Ingest) -> None:
    frames.random_events().to_csv(tmp_path / "events.csv", index=False)
    done = run(data={"interactions": [str(tmp_path / "events.csv")], "min_user_events": 3})
    chunks = [read_chunk(done, number) for number in range(n_chunks(done))]
    assert np.concatenate([chunk.users for chunk in chunks]).tolist() == list(range(done.metrics["users"]))
    events = frames.interactions(done)
    assert np.concatenate([chunk.items for chunk in chunks]).tolist() == events.item_idx.tolist()
    assert [SPLITS[split] for chunk in chunks for split in chunk.splits] == events.split.tolist()
    for number, chunk in enumerate(chunks):
        assert chunk.users.dtype == chunk.items.dtype == np.int32
        assert chunk.splits.dtype == np.int8
        assert chunk.offsets.dtype == np.int64
        assert np.diff(chunk.offsets).tolist() == [sum(events.user_idx == user) for user in chunk.users]
        table = read_cases(done, number)
        assert table.schema == CASES
        assert set(table.column("user_idx").to_pylist()) == set(chunk.users.tolist())
