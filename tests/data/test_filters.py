"""Filters against pandas, and their metrics."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.data import frames
from tests.data.conftest import Ingest


def core(events: pd.DataFrame, users: int, items: int) -> pd.DataFrame:
    while True:
        kept = events[events.groupby("user_id").item_id.transform("size") >= users]
        kept = kept[kept.groupby("item_id").item_id.transform("size") >= items]
        if len(kept) == len(events):
            return kept
        events = kept


def test_weight_then_core_until_nothing_changes(tmp_path: Path, run: Ingest) -> None:
    events = frames.random_events(n_users=80, n_items=70, n_events=900, seed=3)
    events.to_csv(tmp_path / "e.csv", index=False)
    weighty = events[events.rating >= 2]
    expected = core(weighty, 7, 6)
    assert 0 < len(expected) < len(core(weighty, 7, 1))
    done = run(
        data={
            "interactions": [str(tmp_path / "e.csv")],
            "columns": {"weight": "rating"},
            "min_weight": 2,
            "min_user_events": 7,
            "min_item_events": 6,
        }
    )
    found = frames.interactions(done)
    columns = ["user_id", "item_id", "timestamp"]
    assert sorted(map(tuple, found[columns].to_numpy())) == sorted(map(tuple, expected[columns].to_numpy()))
    assert frames.users(done).user_id.tolist() == sorted(expected.user_id.unique())
    assert frames.items(done).item_id.tolist() == sorted(expected.item_id.unique())
    assert frames.users(done).user_idx.tolist() == list(range(expected.user_id.nunique()))
    metrics = done.metrics
    assert metrics["read"] == 900
    assert metrics["filtered"] == {
        "events_below_min_weight": 900 - len(weighty),
        "events": len(weighty) - len(expected),
        "users": weighty.user_id.nunique() - expected.user_id.nunique(),
        "items": weighty.item_id.nunique() - expected.item_id.nunique(),
    }
    assert metrics["density"] == len(expected) / (metrics["users"] * metrics["items"])
    assert sum(metrics["users_by_part"].values()) == metrics["users"]
