"""The evidence of one latent as arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recsae.evidence.cases import JudgedCases, _alternate, read_cases
from recsae.schemas.base import PARTS
from recsae.schemas.concepts import EVIDENCE
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.concepts.worlds import ROLES
from tests.conftest import Commit


def judged(first: int, size: int) -> JudgedCases:
    return JudgedCases(np.arange(first, first + size), np.arange(first, first + size) + 1000)


@pytest.mark.parametrize(
    ("sizes", "count", "taken"),
    [
        ((9, 9), 6, (3, 3)),
        ((9, 9), 7, (4, 3)),
        ((1, 9), 6, (1, 5)),
        ((9, 1), 6, (5, 1)),
        ((2, 1), 6, (2, 1)),
        ((0, 9), 6, (0, 6)),
        ((9, 0), 6, (6, 0)),
        ((0, 0), 6, (0, 0)),
        ((3, 3), 0, (0, 0)),
        ((3, 3), 1, (1, 0)),
    ],
)
def test_halves_are_filled_from_the_other_and_never_beyond(
    sizes: tuple[int, int], count: int, taken: tuple[int, int]
) -> None:
    found = _alternate([judged(0, sizes[0]), judged(100, sizes[1])], count)
    assert sorted(found.item.tolist()) == [*range(taken[0]), *range(100, 100 + taken[1])]
    assert (found.user == found.item + 1000).all()


def test_halves_come_in_turn() -> None:
    assert _alternate([judged(0, 9), judged(100, 9)], 6).item.tolist() == [0, 100, 1, 101, 2, 102]


def committed_evidence(commit: Commit) -> Committed:
    """Up to six cases of every role, part and latent, in the order of the stage."""
    draw = np.random.default_rng(0)
    rows = [
        {
            "latent": latent, "part": part, "role": role, "rank": rank, "case_id": int(draw.integers(0, 2**62)),
            "user_idx": int(draw.integers(0, 99)), "position": 1, "item_idx": int(draw.integers(0, 99)),
            "top_idx": int(draw.integers(0, 99)), "activation": 1.0, "level": 1,
        }
        for latent in (2, 3, 7)
        for part in sorted(PARTS)
        for role in sorted(ROLES)
        for rank in range(int(draw.integers(0, 7)))
    ]  # fmt: skip

    def write(out: Attempt) -> Metrics:
        out.write_table("evidence.parquet", pa.Table.from_pylist(rows, EVIDENCE), EVIDENCE)
        return {}

    return commit("evidence", write)


@pytest.mark.parametrize(("view", "column"), [("recommended", "top_idx"), ("input", "item_idx")])
def test_cases_are_the_rows_of_the_table_in_their_view(commit: Commit, view: str, column: str) -> None:
    stored = committed_evidence(commit)
    table = stored.read_table("evidence.parquet").to_pandas()
    found = read_cases(stored, view)
    assert sorted(found) == sorted(table.latent.unique().tolist())
    for latent, cases in found.items():
        for part in PARTS:
            here = table[(table.latent == latent) & (table.part == part)].sort_values("rank")
            for role in ROLES:
                rows = here[here["role"] == role]
                assert cases.of_role(part, role).item.tolist() == rows[column].tolist()
                assert cases.of_role(part, role).user.tolist() == rows.user_idx.tolist()
            active = here[here["role"].isin(["top", "level"])]
            silent = here[here["role"].isin(["random", "popularity"])]
            assert sorted(cases.items(part)) == sorted(active[column])
            assert sorted(cases.active(part, 1000).item) == sorted(active[column])
            assert sorted(cases.non_activating(part, 1000).item) == sorted(silent[column])
            assert len(cases.active(part, 3).item) == min(3, len(active))
