"""Users by ids, segments and groups, from a users table written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsae.errors import BadInput
from recsae.policies.audience import by_ids, groups, members, read_ids
from recsae.policies.policy import Users
from recsae.schemas.base import USERS
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit

HELD = [
    [("gender", "F"), ("age", "1")],
    [("gender", "M")],
    [],
    [("gender", "M"), ("gender", "F")],  # the first is the group
    [("gender", "M"), ("age", "2")],
    [("gender", "X")],
    [("gender", "F")],
]


@pytest.fixture
def ingested(commit: Commit) -> Committed:
    def write(out: Attempt) -> Metrics:
        order = [3, 0, 6, 1, 2, 5, 4]  # rows need not be in the order of user_idx
        columns = {
            "user_idx": order,
            "user_id": [f"u{user}" for user in order],
            "part": ["explain" if user % 2 else "score" for user in order],
            "events": [1] * len(order),
            "attributes": [[{"name": name, "value": value} for name, value in HELD[user]] for user in order],
        }
        out.write_table(
            "users.parquet", pa.table(columns, schema=pa.schema([USERS.field(name) for name in columns])), USERS
        )
        return {}

    return commit("ingest", write)


def test_groups_are_values_of_enough_users(ingested: Committed) -> None:
    found = groups(ingested, "gender", 2)
    assert found.values == ["M", "F"]
    assert found.group_U.tolist() == [1, 0, -1, 0, 0, -1, 1]
    assert found.part_U.tolist() == ["score", "explain"] * 3 + ["score"]
    assert groups(ingested, "gender", 1).values == ["M", "F", "X"]
    with pytest.raises(BadInput, match="--balance gender: fewer than two of its values have 3 users"):
        groups(ingested, "gender", 3)


def test_members_by_segment_and_by_id(ingested: Committed) -> None:
    assert members("p", ingested, None) is None
    assert members("p", ingested, Users(attribute="gender", value="F")).tolist() == [0, 3, 6]  # type: ignore[union-attr]
    assert members("p", ingested, Users(ids=("u4", "u1", "u4"))).tolist() == [1, 4]  # type: ignore[union-attr]
    assert by_ids("p", ingested, []).tolist() == []


@pytest.mark.parametrize(
    ("users", "said"),
    [
        (Users(attribute="gendre", value="F"), "p: users have no attribute gendre; the nearest are gender"),
        (Users(attribute="gender", value="G"), "p: no user has gender = G; the nearest are"),
        (Users(ids=("u1", "u9")), "p: user u9 is none of the 7 users that ingest kept; leave it out"),
    ],
)
def test_unknown_users_and_segments_are_refused(ingested: Committed, users: Users, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        members("p", ingested, users)


def test_ids_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("\ufeffu1\n\n u2 \nu3", encoding="utf-8")
    assert read_ids("--users", str(tmp_path / "ids")) == ["u1", "u2", "u3"]
    (tmp_path / "ids").write_text("\n \n")
    with pytest.raises(BadInput, match=r"--users .*ids: names no user"):
        read_ids("--users", str(tmp_path / "ids"))
    (tmp_path / "ids").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_ids("--users", str(tmp_path / "ids"))
    with pytest.raises(BadInput, match="no such file"):
        read_ids("--users", str(tmp_path / "none"))


def test_users_without_attributes_are_an_error(ingested: Committed, commit: Commit) -> None:
    table = ingested.read_table("users.parquet")
    bare = table.set_column(
        4, USERS.field("attributes"), pa.array([[]] * table.num_rows, USERS.field("attributes").type)
    )

    def write(out: Attempt) -> Metrics:
        out.write_table("users.parquet", bare, USERS)
        return {}

    with pytest.raises(BadInput, match=r"--balance gender: the users have no attributes; .*data\.user_attributes"):
        groups(commit("ingest", write), "gender", 1)
    assert np.array_equal(members("p", ingested, Users(ids=("u0",))), [0])  # type: ignore[arg-type]
