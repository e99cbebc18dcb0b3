"""The planted catalogue bears what it promises."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from tests.planted import NOISE, PLANTED, write_planted


def test_users_follow_concepts_in_runs(tmp_path: Path) -> None:
    write_planted(tmp_path / "a", n_users=200)
    write_planted(tmp_path / "b", n_users=200)
    events = pq.read_table(tmp_path / "a/interactions.parquet").to_pandas()
    pd.testing.assert_frame_equal(events, pq.read_table(tmp_path / "b/interactions.parquet").to_pandas())
    items = pq.read_table(tmp_path / "a/items.parquet").to_pandas()
    concept = items.set_index("item_id").genres.str[0]
    assert concept.value_counts().to_dict() == dict.fromkeys(PLANTED[:8], 30)
    events["concept"] = concept[events.item_id].to_numpy()
    assert not events.duplicated(["user_id", "item_id"]).any()
    top_two = events.groupby("user_id").concept.apply(lambda held: held.value_counts(normalize=True)[:2].sum())
    assert top_two.mean() > 1 - 2 * NOISE
    repeats = events.groupby("user_id").concept.apply(lambda held: (held == held.shift()).iloc[1:].mean())
    assert repeats.mean() > 0.7
    assert events.groupby("user_id").size().between(20, 40).mean() > 0.95
