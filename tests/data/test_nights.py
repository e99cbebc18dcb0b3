"""Indices that are kept from night to night, and replayed nights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsae.data.chunks import n_chunks, read_cases, read_chunk
from recsae.data.stage import ingest
from recsae.errors import BadInput
from recsae.store.run_store import PREVIOUS, Committed, RunStore
from tests.data import frames
from tests.data.conftest import config_of


def night(tmp_path: Path, events: pd.DataFrame, last: Committed | None = None, **data: object) -> Committed:
    """Runs ingest on these events as the night after `last`."""
    number = len(list(tmp_path.glob("*.csv")))
    events.to_csv(tmp_path / f"{number}.csv", index=False)
    config = config_of({"data": {"interactions": [str(tmp_path / f"{number}.csv")], "min_user_events": 3, **data}})
    store = RunStore(str(tmp_path / "store"), "test")
    attempt = store.attempt("ingest", f"f{number}", store.lease("ingest", f"f{number}", 20))
    metrics = ingest(config, {PREVIOUS + "ingest": last} if last else {}, attempt)
    return store.commit("ingest", attempt, {"metrics": metrics})


def numbered(done: Committed, side: str) -> dict[str, int]:
    table = frames.users(done) if side == "user" else frames.items(done)
    assert table[f"{side}_idx"].tolist() == list(range(len(table)))
    return dict(zip(table[f"{side}_id"], table[f"{side}_idx"], strict=True))


@pytest.fixture
def events() -> pd.DataFrame:
    """Events of users and items whose ids do not sort in the order of their first event."""
    found = frames.random_events(n_users=60, n_items=40, n_events=900, seed=5)
    return found.sort_values("timestamp", kind="stable").reset_index(drop=True)


def test_known_ids_stay_and_new_ones_follow_in_order(tmp_path: Path, events: pd.DataFrame) -> None:
    late_users, late_items = sorted(events.user_id.unique())[:9], sorted(events.item_id.unique())[:7]
    first = night(tmp_path, events[~events.user_id.isin(late_users) & ~events.item_id.isin(late_items)])
    second = night(tmp_path, events, first)
    for side, late in (("user", late_users), ("item", late_items)):
        before, after = numbered(first, side), numbered(second, side)
        assert {one: after[one] for one in before} == before
        new = [one for one in after if one not in before]
        assert new == sorted(new) and set(late) <= set(new)
    again = night(tmp_path, events, second)
    assert numbered(again, "user") == numbered(second, "user")


def test_users_and_items_without_events_keep_their_index_only(tmp_path: Path, events: pd.DataFrame) -> None:
    first = night(tmp_path, events)
    gone_users, gone_items = events.user_id.unique()[:5].tolist(), events.item_id.unique()[:4].tolist()
    left = events[~events.user_id.isin(gone_users) & ~events.item_id.isin(gone_items)]
    second = night(tmp_path, left, first)
    assert numbered(second, "user") == numbered(first, "user")
    assert numbered(second, "item") == numbered(first, "item")
    users, items = frames.users(second).set_index("user_id"), frames.items(second).set_index("item_id")
    inactive = set(users.index[users.events == 0])
    assert set(gone_users) <= inactive and (items.popularity[gone_items] == 0).all()
    assert second.metrics["without_events"] == {
        "users": len(inactive),
        "items": int((~items.index.isin(left.item_id)).sum()),
    }
    assert sum(second.metrics["users_by_part"].values()) == len(users) - len(inactive)

    fresh, kept = frames.interactions(night(tmp_path, left)), frames.interactions(second)
    columns = ["user_id", "item_id", "position", "split", "timestamp"]
    expected, found = (frame[columns].sort_values(columns[:3]).to_numpy().tolist() for frame in (fresh, kept))
    assert found == expected


def test_chunks_and_cases_are_those_of_the_users_whatever_their_numbers(tmp_path: Path, events: pd.DataFrame) -> None:
    first = night(tmp_path, events[events.user_id > sorted(events.user_id.unique())[20]])
    second, fresh = night(tmp_path, events, first), night(tmp_path, events)
    read = [read_chunk(second, number) for number in range(n_chunks(second))]
    assert np.concatenate([chunk.users for chunk in read]).tolist() == sorted(numbered(second, "user").values())

    def cases(done: Committed) -> list[int]:
        return sorted(
            case for number in range(n_chunks(done)) for case in read_cases(done, number)["case_id"].to_pylist()
        )

    assert cases(second) == cases(fresh)


def test_parts_are_the_same_every_night(tmp_path: Path, events: pd.DataFrame) -> None:
    first = night(tmp_path, events[events.user_id != events.user_id.iloc[0]])
    second = night(tmp_path, events, first)
    before, after = (frames.users(done).set_index("user_id").part for done in (first, second))
    assert after[before.index].tolist() == before.tolist()


def test_a_user_with_too_few_events_is_refused_and_one_without_any_is_not(tmp_path: Path, events: pd.DataFrame) -> None:
    first = night(tmp_path, events)
    user = events.user_id.iloc[0]
    one_left = pd.concat([events[events.user_id != user], events[events.user_id == user].head(1)])
    with pytest.raises(BadInput, match=rf"user {user} has 1"):
        night(tmp_path, one_left, first, min_user_events=1)
    night(tmp_path, events[events.user_id != user], first, min_user_events=1)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_oldest_share_of_each_user_is_read(tmp_path: Path, events: pd.DataFrame, share: float) -> None:
    done = night(tmp_path, events, replay_fraction=share, min_item_events=1)
    ordered = events.sort_values(["user_id", "timestamp"], kind="stable")
    place = ordered.groupby("user_id").cumcount() + 1
    counts = ordered.groupby("user_id").user_id.transform("size")
    kept = ordered[place <= np.ceil(counts * share)]
    kept = kept[kept.groupby("user_id").user_id.transform("size") >= 3]
    found = frames.interactions(done)
    assert sorted(zip(found.user_id, found.timestamp, strict=True)) == sorted(
        zip(kept.user_id, kept.timestamp, strict=True)
    )
