"""The evidence of every latent against plain loops over the sketch, and the properties of its roles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from recsae.config.concepts import EvidenceConfig
from recsae.evidence.case_selection import Evidence, level_of, select_cases
from recsae.evidence.negatives import nearest
from recsae.evidence.sketch import Sketch, sketch_table
from recsae.schemas.base import ACTIVE_ROLES, NEAR_DIRECTION, NEAR_MISS, PARTS, SILENT_ROLES
from tests.concepts.streams import SMALL, Stream, bears, popularity, splitmix, stream

SEED = 7
STREAM = stream(users=160)
WIDE = SMALL.model_copy(update={"sample": 500, "pool": 500})


def evidence(
    of: Stream = STREAM, view: str = "recommended", config: EvidenceConfig = SMALL, seed: int = SEED
) -> Evidence:
    found = sketch(of, config, seed)
    nearest_HN = nearest(of.sae.W_dec.detach().numpy(), np.flatnonzero(found.fired_H))
    return select_cases(found, popularity(), bears(), view, config, seed, nearest_HN)


def sketch(of: Stream = STREAM, config: EvidenceConfig = SMALL, seed: int = SEED) -> Sketch:
    return sketch_table(of.table, of.sae, config, seed)


def frame(found: Evidence) -> pd.DataFrame:
    return found.cases.to_pandas()


def test_every_living_latent_has_statistics_of_explain_users() -> None:
    found = evidence(config=WIDE).stats.to_pylist()
    explain = [case for case in STREAM.cases if case.part == 0]
    alive = sorted({latent for case in explain for latent in case.active})
    assert [row["latent"] for row in found] == alive
    for row in found:
        fired = [case.active[row["latent"]] for case in explain if row["latent"] in case.active]
        assert row["activations"] == len(fired)
        assert row["frequency"] == pytest.approx(len(fired) / len(explain))
        assert row["maximum"] == max(fired)
        np.testing.assert_allclose(row["quantiles"], np.quantile(fired, np.arange(1, 10) / 10), rtol=1e-6)


def test_active_cases_are_those_of_plain_loops() -> None:
    table = frame(evidence(config=WIDE))
    by_id = {case.case_id: case for case in STREAM.cases}
    for latent in table.latent.unique().tolist():
        fired = [case for case in STREAM.cases if latent in case.active]
        edges = np.quantile([case.active[latent] for case in fired if case.part == 0], np.arange(1, 10) / 10)
        for part, name in enumerate(PARTS):
            here = table[(table.latent == latent) & (table.part == name)]
            top = here[here["role"] == "top"].sort_values("rank")
            best: dict[int, Any] = {}
            for case in sorted((c for c in fired if c.part == part), key=lambda c: (-c.active[latent], c.case_id)):
                best.setdefault(case.user_idx, case)
            expected = list(best.values())[: WIDE.top]
            assert top.case_id.tolist() == [case.case_id for case in expected]
            assert top.activation.tolist() == [case.active[latent] for case in expected]

            # One case per user by the hash, then the first by hash of every level.
            chosen = {case.case_id for case in expected}
            left = [case for case in fired if case.part == part and case.case_id not in chosen]
            left.sort(key=lambda case: splitmix(case.case_id, latent, SEED))
            drawn: dict[int, Any] = {}
            for case in left:
                drawn.setdefault(case.user_idx, case)
            by_level: dict[int, list[int]] = {}
            for case in drawn.values():
                level = 1 + sum(case.active[latent] >= np.float32(edge) for edge in edges)
                by_level.setdefault(level, []).append(case.case_id)
            spread = here[here["role"] == "level"]
            assert sorted(spread.case_id) == sorted(c for held in by_level.values() for c in held[: WIDE.level])
            for row in here[here["role"].isin(ACTIVE_ROLES)].itertuples():
                value = by_id[row.case_id].active[latent]
                assert row.level == 1 + sum(value >= np.float32(edge) for edge in edges)


def test_any_first_ranks_of_the_spread_go_round_the_levels() -> None:
    config = WIDE.model_copy(update={"level": 4})
    table = frame(evidence(stream(users=800), config=config))
    spread = table[table["role"] == "level"].sort_values("rank")
    for _, held in spread.groupby(["latent", "part"]):
        levels = held.level.tolist()
        first = levels[: len(set(levels))]
        assert len(first) == len(set(first)) > 1


def test_parts_share_no_user_in_any_role() -> None:
    table = frame(evidence())
    assert (table.groupby("user_idx").part.nunique() == 1).all()
    part_of = {case.user_idx: PARTS[case.part] for case in STREAM.cases}
    assert table.part.tolist() == [part_of[user] for user in table.user_idx]
    assert set(table.part) == set(PARTS)


def test_silent_cases_are_silent_and_active_ones_fire() -> None:
    table = frame(evidence())
    by_id = {case.case_id: case for case in STREAM.cases}
    assert set(table["role"]) == {*ACTIVE_ROLES, *SILENT_ROLES, NEAR_MISS, NEAR_DIRECTION}
    for row in table.itertuples():
        case = by_id[row.case_id]
        assert (row.user_idx, row.position, row.item_idx, row.top_idx) == (
            case.user_idx,
            case.position,
            case.item_idx,
            case.top_idx,
        )
        if row.role in ACTIVE_ROLES:
            assert row.activation == case.active[row.latent] > 0 and 1 <= row.level <= 10
        else:
            assert row.latent not in case.active and row.activation == 0 and row.level == 0


def test_no_case_has_two_roles_and_roles_are_full_and_numbered() -> None:
    table = frame(evidence())
    assert not table.duplicated(["latent", "case_id"]).any()
    assert table["latent"].is_monotonic_increasing
    for (_, _, role), held in table.groupby(["latent", "part", "role"]):
        assert held["rank"].tolist() == list(range(len(held)))
        assert len(held) <= getattr(SMALL, role) * (10 if role == "level" else 1)
        if role in ("top", "level", "random", NEAR_MISS, NEAR_DIRECTION):
            assert not held.user_idx.duplicated().any()
    full = table[(table.part == "explain") & (table["role"].isin(SILENT_ROLES))].groupby(["latent", "role"]).size()
    assert set(full.xs("random", level="role")) == {SMALL.random}
    assert set(full.xs("popularity", level="role")) == {SMALL.popularity}


@pytest.mark.parametrize("view", ["recommended", "input"])
def test_matched_cases_are_nearer_in_popularity_than_random_ones(view: str) -> None:
    table = frame(evidence(stream(users=600), view=view, config=WIDE))
    liked = np.log1p(popularity())
    item = table.top_idx if view == "recommended" else table.item_idx
    table["liked"] = liked[item]
    distance: dict[str, list[float]] = {"random": [], "popularity": []}
    for _, held in table.groupby(["latent", "part"]):
        active = held[held["role"].isin(ACTIVE_ROLES)].liked.to_numpy()
        for role, found in distance.items():
            found += [float(np.abs(active - value).min()) for value in held[held["role"] == role].liked]
    assert np.mean(distance["popularity"]) < 0.5 * np.mean(distance["random"])


def test_near_misses_share_terms_that_the_evidence_has_more_of() -> None:
    table, borne = frame(evidence(config=WIDE)), bears().toarray()
    rate = borne.mean(0)
    near, silent = [], []
    for _, held in table.groupby("latent"):
        items = held[(held.part == "explain") & held["role"].isin(ACTIVE_ROLES)].top_idx
        more = np.maximum(borne[items].mean(0) - rate, 0)
        near += (borne[held[held["role"] == NEAR_MISS].top_idx] @ more).tolist()
        silent += (borne[held[held["role"] == "random"].top_idx] @ more).tolist()
    assert min(near) > 0
    assert np.mean(near) > 1.5 * np.mean(silent)


def test_cases_near_by_direction_are_those_of_plain_loops() -> None:
    table = frame(evidence(config=WIDE))
    direction = STREAM.sae.W_dec.detach().numpy().astype(np.float64)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    alive, met = sorted(table.latent.unique().tolist()), 0
    for latent in alive:
        cosine = {other: float(direction[latent] @ direction[other]) for other in alive if other != latent}
        nearest_first = sorted((other for other in cosine if cosine[other] > 0), key=lambda other: -cosine[other])
        for part, name in enumerate(PARTS):
            here = table[(table.latent == latent) & (table.part == name)]
            taken = set(here[here["role"].isin([*SILENT_ROLES, NEAR_MISS])].case_id)
            found = []
            for case in STREAM.cases:
                if case.part == part and latent not in case.active and case.case_id not in taken:
                    turns = [turn for turn, other in enumerate(nearest_first) if other in case.active]
                    found += [(turns[0], splitmix(case.case_id, latent, SEED), case)] if turns else []
            drawn: dict[int, int] = {}
            for _, _, case in sorted(found, key=lambda row: row[:2]):
                drawn.setdefault(case.user_idx, case.case_id)
            near = here[here["role"] == NEAR_DIRECTION].sort_values("rank")
            assert near.case_id.tolist() == list(drawn.values())[: WIDE.near_direction]
            met += len(near)
    assert met > 2 * len(alive) * WIDE.near_direction


def test_the_order_of_the_stream_changes_nothing() -> None:
    order = np.random.default_rng(3).permutation(STREAM.table.num_rows)
    shuffled = Stream(STREAM.table.take(order), STREAM.cases, STREAM.sae)
    first, second = evidence(), evidence(shuffled)
    assert first.cases.equals(second.cases) and first.stats.equals(second.stats)


def test_the_evidence_hash_changes_with_the_evidence_only() -> None:
    first, again = (evidence().stats.to_pandas().set_index("latent").evidence_hash for _ in range(2))
    assert first.tolist() == again.tolist() and first.nunique() == len(first)
    # Another dead or alive neighbour, and more non-activating cases, do not change this latent's evidence.
    more = evidence(config=SMALL.model_copy(update={"random": 6, "near_miss": 0, "near_direction": 0, "pool": 70}))
    assert more.stats.to_pandas().set_index("latent").evidence_hash.tolist() == first.tolist()
    column = STREAM.table.schema.get_field_index("top_idx")
    moved = STREAM.table.set_column(column, "top_idx", [[(case.top_idx + 1) % 30 for case in STREAM.cases]])
    other = evidence(Stream(moved.cast(STREAM.table.schema), STREAM.cases, STREAM.sae))
    assert (other.stats.to_pandas().set_index("latent").evidence_hash != first).all()
    # Items that the input view does not show do not count there.
    seen = [evidence(of, view="input") for of in (STREAM, Stream(moved, STREAM.cases, STREAM.sae))]
    assert seen[0].stats["evidence_hash"].equals(seen[1].stats["evidence_hash"])


def test_without_recommended_items_the_input_view_has_all_its_evidence() -> None:
    place = STREAM.table.schema.get_field_index("top_idx")
    without = STREAM.table.set_column(place, "top_idx", pa.nulls(STREAM.table.num_rows, pa.int32()))
    expected, found = (
        evidence(Stream(table, STREAM.cases, STREAM.sae), view="input") for table in (STREAM.table, without)
    )
    assert found.cases["top_idx"].null_count == found.cases.num_rows > 0
    assert found.cases.drop_columns("top_idx").equals(expected.cases.drop_columns("top_idx"))
    assert found.stats.equals(expected.stats)
    half = pa.array([None if row % 2 else case.top_idx for row, case in enumerate(STREAM.cases)], pa.int32())
    some = evidence(Stream(STREAM.table.set_column(place, "top_idx", half), STREAM.cases, STREAM.sae), view="input")
    known = dict(zip([case.case_id for case in STREAM.cases], half.to_pylist(), strict=True))
    assert some.cases["top_idx"].to_pylist() == [known[case] for case in some.cases["case_id"].to_pylist()]


@pytest.mark.parametrize("users", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(4))
def test_few_users_are_no_error(users: int, seed: int) -> None:
    few = stream(seed, users)
    found = evidence(few)
    assert set(found.cases["latent"].to_pylist()) == set(found.stats["latent"].to_pylist())
    assert not frame(found).duplicated(["latent", "case_id"]).any()


def test_a_latent_that_always_fires_has_no_silent_case() -> None:
    of = stream(users=40)
    with torch.no_grad():
        of.sae.b_enc[0] = 500
    table = frame(evidence(of))
    assert set(table[table.latent == 0]["role"]) == set(ACTIVE_ROLES)
    with torch.no_grad():
        of.sae.b_enc[1:] = -1000
    alone = evidence(of)
    assert alone.stats["latent"].to_pylist() == [0]


def test_without_terms_and_directions_there_are_no_near_cases() -> None:
    nothing = sparse.csr_matrix((30, 0), dtype=np.float32)
    found = select_cases(sketch(), popularity(), nothing, "recommended", SMALL, SEED)
    assert set(frame(found)["role"]) == {*ACTIVE_ROLES, *SILENT_ROLES}


def test_levels_are_deciles() -> None:
    values = np.arange(1, 1001, dtype=np.float32)
    edges = np.quantile(values, np.arange(1, 10) / 10).astype(np.float32)
    assert np.bincount(level_of(values, edges)).tolist() == [0, *[100] * 10]
    assert level_of(np.array([0.0]), edges).tolist() == [0]
