"""Counts over all cases of score users, compared with plain loops over the same cases."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.config.sae import Kind
from recsae.sae import model
from recsae.schemas.base import PARTS
from recsae.scores import held_out
from recsae.scores.held_out import HeldOutPlan, Pairing, count_shard, level_rows, with_level_zero
from tests.concepts.streams import LATENTS, N_ITEMS, Stream, bears, popularity, stream

NO_FOLDER: Any = None
"""Shards are counted in memory, without a folder."""
BEARS = bears().toarray() > 0
EDGES = {latent: np.linspace(0.5, 6, 9, dtype=np.float32) + np.float32(latent / 8) for latent in range(LATENTS)}
# Latent and terms; includes a dead latent, a latent with two concepts and a concept with two latents.
CLAIMS = [(0, [0]), (1, [1, 2]), (1, [3]), (4, [1, 2]), (6, [5]), (LATENTS - 1, [2])]


def items_of(terms: list[int]) -> np.ndarray:
    return np.flatnonzero(BEARS[:, terms].all(axis=1))


def plan(view: str) -> HeldOutPlan:
    pairings = [Pairing(latent, items_of(terms)) for latent, terms in CLAIMS]
    return HeldOutPlan(NO_FOLDER, NO_FOLDER, view, EDGES, pairings, N_ITEMS)


def by_loops(of: Stream, view: str) -> tuple[np.ndarray, np.ndarray]:
    cases, hits = np.zeros((2, len(CLAIMS), 11), dtype=np.int64)
    for case in of.cases:
        item = case.top_idx if view == "recommended" else case.item_idx
        if case.part != PARTS.index("score") or item < 0:
            continue
        for number, (latent, terms) in enumerate(CLAIMS):
            level = 0
            if latent in case.active:
                level = 1 + sum(edge <= np.float32(case.active[latent]) for edge in EDGES[latent])
            cases[number, level] += 1
            hits[number, level] += BEARS[item, terms].all()
    return cases, hits


@pytest.mark.parametrize("view", ["recommended", "input"])
@pytest.mark.parametrize("kind", ["topk", "relu"])
def test_cases_and_hits_by_level_match_the_loops(kind: Kind, view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of = stream(users=150, kind=kind)
    cases, hits = by_loops(of, view)
    assert cases[0, 1:].sum() > 20 and hits[0, 1:].sum() > 0 and cases[-1, 1:].sum() == 0
    middle = of.table.num_rows // 3
    for at_once, floats in ((65_536, 4_000_000), (16, 4_000_000), (16, 7 * LATENTS)):
        monkeypatch.setattr(held_out, "CASES_AT_ONCE", at_once)
        monkeypatch.setattr(model, "MAX_FLOATS_PER_BLOCK", floats)
        pieces = [count_shard(plan(view), part, of.sae) for part in (of.table[:middle], of.table[middle:])]
        found = with_level_zero(functools.reduce(lambda one, other: one.plus(other), pieces), plan(view).pairings)
        np.testing.assert_array_equal(found.cases_PV, cases)
        np.testing.assert_array_equal(found.hits_PV, hits)
        assert found.cases_PV.dtype == found.hits_PV.dtype == np.int64
        assert found.items_I.sum() == cases[0].sum()
        for number in range(len(CLAIMS)):
            counts = found.counts(number)
            assert (counts.tp, counts.fp) == (hits[number, 1:].sum(), hits[number, 0])
            assert (counts.tp + counts.fn, sum(counts)) == (cases[number, 1:].sum(), cases[number].sum())


def test_cases_without_an_item_are_left_out() -> None:
    of = stream(users=60)
    top = of.table["top_idx"].to_pylist()
    place = of.table.schema.get_field_index("top_idx")
    gaps = [None if number % 3 == 0 else item for number, item in enumerate(top)]
    table = of.table.set_column(place, of.table.schema.field(place), pa.array(gaps, pa.int32()))
    cases = [case for number, case in enumerate(of.cases) if number % 3]
    found = with_level_zero(count_shard(plan("recommended"), table, of.sae), plan("recommended").pairings)
    np.testing.assert_array_equal(found.cases_PV, by_loops(Stream(table, cases, of.sae), "recommended")[0])


def test_level_rows_have_the_share_of_the_catalogue() -> None:
    of = stream(users=60)
    tally = with_level_zero(count_shard(plan("input"), of.table, of.sae), plan("input").pairings)
    rows = level_rows("Concept", 1, plan("input").pairings[1], tally, popularity())
    has_concept = BEARS[:, [1, 2]].all(axis=1)
    assert [row["level"] for row in rows] == list(range(11)) and {row["latent"] for row in rows} == {1}
    assert rows[0]["catalogue_share"] == pytest.approx(has_concept.mean())
    assert rows[0]["popular_share"] == pytest.approx(popularity()[has_concept].sum() / popularity().sum())
    assert [row["cases"] for row in rows] == tally.cases_PV[1].tolist()
    assert [row["hits"] for row in rows] == tally.hits_PV[1].tolist()


def test_without_pairings_no_shard_is_read() -> None:
    empty = plan("input")._replace(pairings=[])
    found = held_out.count(empty)
    assert found.cases_PV.shape == (0, 11)
