"""Splits, positions and cases, against pandas."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsae.data import writer
from recsae.schemas.base import SPLITS
from tests.data import frames
from tests.data.conftest import Ingest

COLUMNS = {"weight": "rating"}


def ordered(events: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    events = events.assign(row=range(len(events))).sort_values(["user_id", *by, "row"]).reset_index(drop=True)
    return events.assign(position=events.groupby("user_id").cumcount())


def expected_cases(events: pd.DataFrame, last: int) -> pd.DataFrame:
    """The last cases of every user by brute force, row by row."""
    rows: list[dict[str, Any]] = []
    for user, mine in events.groupby("user_id"):
        n = len(mine)
        for p in range(max(1, n - last + 1), n + 1):
            digest = hashlib.md5(f"{user}:{p}".encode()).digest()
            rows.append(
                {
                    "case_id": int.from_bytes(digest[8:], "little") & (2**63 - 1),
                    "user_id": user,
                    "position": p,
                    "item_id": mine.item_id.iloc[p - 1],
                    "target_id": mine.item_id.iloc[p] if p < n else None,
                    "split": mine.split.iloc[p] if p < n else None,
                }
            )
    return pd.DataFrame(rows)


def found_cases(done: Any) -> pd.DataFrame:
    cases = frames.cases(done)
    item_ids = frames.items(done).item_id.to_numpy()
    cases["user_id"] = frames.users(done).user_id.to_numpy()[cases.user_idx]
    cases["item_id"] = item_ids[cases.item_idx]
    cases["target_id"] = [None if np.isnan(target) else item_ids[int(target)] for target in cases.target_idx]
    return cases


@pytest.mark.parametrize("last", [3, 100])
def test_leave_one_out_equals_brute_force(tmp_path: Path, run: Ingest, last: int) -> None:
    events = frames.random_events()
    events.to_csv(tmp_path / "events.csv", index=False)
    done = run(
        data={"interactions": [str(tmp_path / "events.csv")], "columns": COLUMNS, "min_user_events": 3},
        cases={"max_per_user": last},
    )
    kept = events[events.groupby("user_id").item_id.transform("size") >= 3]
    expected = ordered(kept, ["timestamp"])
    left = expected.groupby("user_id").position.transform("size") - expected.position
    expected["split"] = np.select([left == 1, left == 2], ["test", "validation"], "train")
    found = frames.interactions(done)
    shown = ["user_id", "item_id", "position", "timestamp", "split"]
    pd.testing.assert_frame_equal(found[shown], expected[shown], check_dtype=False)
    assert found.weight.tolist() == expected.rating.tolist()
    cases = expected_cases(expected, last)
    pd.testing.assert_frame_equal(found_cases(done)[cases.columns], cases, check_dtype=False)
    trained = expected[expected.split == "train"].item_id.value_counts()
    assert {row.item_id: row.popularity for row in frames.items(done).itertuples() if row.popularity} == dict(trained)
    assert done.metrics["cases"] == len(cases)
    assert done.metrics["events_by_split"] == expected.split.value_counts().to_dict()


def test_split_by_time_cuts_all_events_in_one_order(tmp_path: Path, run: Ingest) -> None:
    events = frames.random_events()
    events.to_csv(tmp_path / "events.csv", index=False)
    split = {"kind": "time", "test": 0.2, "validation": 0.1}
    done = run(data={"interactions": [str(tmp_path / "events.csv")]}, split=split)
    expected = ordered(events, ["timestamp"])
    rank = expected.sort_values(["timestamp", "row"]).reset_index().set_index("index").assign(rank=range(600))["rank"]
    expected["split"] = np.select([rank.sort_index() >= 480, rank.sort_index() >= 420], ["test", "validation"], "train")
    shown = ["user_id", "item_id", "position", "split"]
    pd.testing.assert_frame_equal(frames.interactions(done)[shown], expected[shown], check_dtype=False)


def test_a_given_split_orders_by_file_first(tmp_path: Path, run: Ingest) -> None:
    events = frames.random_events()
    paths = []
    for number, split in enumerate(SPLITS):
        paths.append(str(tmp_path / f"{split}.tsv"))
        events[number::3].to_csv(paths[-1], index=False, sep="\t")
    done = run(data={"interactions": paths}, split={"kind": "given"})
    parts = [events[number::3].assign(split=split, file=number) for number, split in enumerate(SPLITS)]
    expected = ordered(pd.concat(parts), ["file", "timestamp"])
    shown = ["user_id", "item_id", "position", "split"]
    pd.testing.assert_frame_equal(frames.interactions(done)[shown], expected[shown], check_dtype=False)
    cases = expected_cases(expected, 100)
    pd.testing.assert_frame_equal(found_cases(done)[cases.columns], cases, check_dtype=False)


def test_ids_and_parts_do_not_depend_on_the_order_of_rows(tmp_path: Path, run: Ingest) -> None:
    events = frames.random_events(n_events=900).drop_duplicates(["user_id", "timestamp"])
    done = []
    for name, table in (("a", events), ("b", events.sample(frac=1, random_state=1))):
        table.to_parquet(tmp_path / f"{name}.parquet")
        done.append(run(data={"interactions": [str(tmp_path / f"{name}.parquet")], "min_user_events": 3}))
    for read in (frames.interactions, frames.cases, frames.items, frames.users):
        pd.testing.assert_frame_equal(read(done[0]), read(done[1]))


def test_parts_are_of_the_seed_and_the_user(tmp_path: Path, run: Ingest) -> None:
    events = frames.random_events(n_users=400, n_events=4000)
    events.to_csv(tmp_path / "events.csv", index=False)
    data = {"interactions": [str(tmp_path / "events.csv")], "min_user_events": 3}
    parts = [frames.users(run(data=data, seed=seed)).part.tolist() for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    shares = pd.Series(parts[0]).value_counts(normalize=True)
    assert shares.explain == pytest.approx(0.5, abs=0.08)
    assert shares.select == pytest.approx(0.25, abs=0.08)


def test_batches_and_chunks_leave_no_seam(tmp_path: Path, run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    events = frames.random_events(n_users=30, n_events=9000)
    events.to_parquet(tmp_path / "events.parquet")
    data = {"interactions": [str(tmp_path / "events.parquet")], "min_user_events": 3}
    whole = run(data=data)
    monkeypatch.setattr(writer, "_BATCH", 2048)
    monkeypatch.setattr(writer, "EVENTS_PER_CHUNK", 400)
    pieces = run(data=data)
    assert len(whole.files("cases/")) == 8
    assert len(pieces.files("cases/")) == 23
    assert all(len(pieces.files(f"interactions/{split}/")) == 23 for split in SPLITS)
    pd.testing.assert_frame_equal(frames.interactions(whole), frames.interactions(pieces))
    pd.testing.assert_frame_equal(frames.cases(whole), frames.cases(pieces))


def test_never_more_chunks_than_users() -> None:
    assert writer.chunks_for(events=100, users=3) == 3
    assert writer.chunks_for(events=100, users=50) == 8
    assert writer.chunks_for(events=10_000_001, users=50) == 11
