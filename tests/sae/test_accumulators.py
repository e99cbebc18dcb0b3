"""Sums of shards and chunks against numpy on all cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from recsae.recommenders.ranking import EditComparison
from recsae.sae import accumulators
from recsae.sae.accumulators import ActiveCounts, Bootstrap, ChunkSums, ShardSums, chunk_sums, moments, shard_sums
from recsae.sae.controls import Control, Raw, Trained
from recsae.sae.model import Sae, save
from recsae.schemas.base import PARTS, activations, conform
from recsae.stats.bootstrap import weights
from recsae.stats.ranking_metrics import DEEPEST, count
from recsae.store import shards
from recsae.store.filesystem import Folder

WIDTH, LATENTS = 6, 24
DRAWS = Bootstrap(40, 3)


def shard(rows: int = 300, seed: int = 0) -> pa.Table:
    """Users with five cases each, all in one part."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(rows // 5), 5)
    columns: dict[str, object] = dict.fromkeys(("case_id", "position", "item_idx", "top_idx"), np.arange(rows))
    columns |= {"user_idx": user, "part": draw.integers(0, 3, rows // 5)[user]}
    columns |= {"activation": shards.column(draw.normal(3, 2, size=(rows, WIDTH)))}
    return conform(pa.table(columns), activations(WIDTH))


def of_part(table: pa.Table, part: str) -> tuple[np.ndarray, np.ndarray]:
    inside = table["part"].to_numpy() == PARTS.index(part)
    return shards.vectors(table)[inside].astype(np.float64), table["user_idx"].to_numpy()[inside]


@pytest.fixture
def controls(tmp_path: Path) -> dict[str, Control]:
    torch.manual_seed(0)
    save(Folder(str(tmp_path)), Sae(WIDTH, LATENTS, "topk", 3))
    return {"sae": Trained(Folder(str(tmp_path))), "raw": Raw(torch.full((WIDTH,), 3.0), 2)}


@pytest.mark.parametrize("at_once", [4_000_000, 100])
def test_moments_of_pieces_are_those_of_the_whole(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accumulators, "MAX_FLOATS_PER_BLOCK", at_once)
    table = shard()
    x, _ = of_part(table, "explain")
    pieces = [moments(table.slice(start, size), "explain") for start, size in ((0, 90), (90, 5), (95, 205))]
    total = pieces[0].plus(pieces[1]).plus(pieces[2])
    assert total.cases == sum(total.by_shard) == len(x) and len(total.by_shard) == 3
    np.testing.assert_allclose(total.mean_D, x.mean(0))
    np.testing.assert_allclose(total.scatter_DD, np.cov(x.T, bias=True) * len(x), atol=1e-9)
    assert np.square((x - total.mean_D) / total.scale).mean() == pytest.approx(1)


def test_activations_that_never_vary_leave_a_finite_scale() -> None:
    table = shard(5)
    same = table.set_column(
        table.schema.get_field_index("activation"), "activation", shards.column(np.ones((5, WIDTH)))
    )
    part = PARTS[table["part"][0].as_py()]
    assert 0 < moments(same, part).scale < 1


def test_sums_of_a_shard_are_those_of_its_users(controls: dict[str, Control]) -> None:
    table = shard()
    x, user = of_part(table, "score")
    found = shard_sums(table, controls, "score", False, DRAWS)
    assert found.user_U.tolist() == np.unique(user).tolist()
    errors = [
        np.square(control.on("cpu")(torch.from_numpy(x).float()).numpy() - x).sum(1) for control in controls.values()
    ]
    values = np.stack([np.ones(len(x)), np.square(x).sum(1), *errors, *x.T], axis=1)
    np.testing.assert_allclose(found.sum_SX[0], values.sum(0), rtol=1e-6)
    np.testing.assert_allclose(found.sum_SX[1:], weights(user, *DRAWS).T @ values, rtol=1e-6)


def test_sums_do_not_depend_on_how_shards_are_cut(
    controls: dict[str, Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut through a user's cases, and small blocks: the user keeps their weights."""
    table = shard()
    whole = shard_sums(table, controls, "score", True, DRAWS)
    monkeypatch.setattr(accumulators, "MAX_FLOATS_PER_BLOCK", 13 * WIDTH)
    parts = [shard_sums(table.slice(*cut), controls, "score", True, DRAWS) for cut in ((0, 83), (83, 217))]
    total = parts[0].plus(parts[1])
    np.testing.assert_allclose(total.sum_SX, whole.sum_SX, rtol=1e-6)  # products of fewer rows round differently
    assert np.unique(total.user_U).tolist() == whole.user_U.tolist()
    assert total.active["sae"].count_H.tolist() == whole.active["sae"].count_H.tolist()
    assert total.on_explain["sae"].count_H.tolist() == whole.on_explain["sae"].count_H.tolist()


def test_active_latents_are_counted_on_the_part_and_on_explain_users(controls: dict[str, Control]) -> None:
    table = shard()
    found = shard_sums(table, controls, "select", True, Bootstrap(0, 0))
    sae = controls["sae"].on("cpu").sae  # type: ignore[attr-defined]
    assert found.sum_SX.shape == (1, 2 + 2 + WIDTH)
    for part, active in (("select", found.active), ("explain", found.on_explain)):
        x, _ = of_part(table, part)
        encoded = sae.encode(torch.from_numpy(x).float())
        expected = np.bincount(encoded.index_BK[encoded.value_BK > 0].numpy(), minlength=LATENTS)
        assert list(active) == ["sae"] and active["sae"].cases == len(x)
        assert active["sae"].count_H.tolist() == expected.tolist()
        assert active["sae"].l0 == pytest.approx(expected.sum() / len(x))
    assert shard_sums(table, controls, "select", False, DRAWS).on_explain == {}


def test_a_latent_that_fires_nowhere_is_dead() -> None:
    active = ActiveCounts(10, np.array([3, 0, 10, 0])).plus(ActiveCounts(10, np.array([0, 1, 0, 0])))
    assert (active.l0, active.alive, active.dead_share) == (14 / 20, 3, 0.25)


def test_a_shard_without_cases_of_the_part_adds_nothing(controls: dict[str, Control]) -> None:
    table = shard(5)
    other = next(part for part in PARTS if part != PARTS[table["part"][0].as_py()])
    empty = shard_sums(table, controls, other, False, DRAWS)
    assert not empty.sum_SX.any() and not len(empty.user_U) and empty.active["sae"].cases == 0
    assert moments(table, other).cases == 0
    full = shard_sums(shard(), controls, "score", False, DRAWS)
    both: ShardSums = empty.plus(full)
    assert (both.sum_SX == full.sum_SX).all()


def compared(rows: slice = slice(None)) -> EditComparison:
    draw = np.random.default_rng(5)
    user = np.repeat(np.arange(7, 107), 2)
    clean, other = draw.integers(1, 80, (2, 200))
    top = draw.integers(8, 11, 200)
    return EditComparison(
        user[rows],
        clean[rows],
        top[rows],
        {"same": clean[rows], "other": other[rows]},
        {"same": top[rows], "other": (top // 2)[rows]},
    )


def test_sums_of_a_chunk_are_counts_of_ranks_and_of_first_items() -> None:
    of = compared()
    found = chunk_sums(of, DRAWS)
    assert found.users == 100 and found.sum_SRK.shape == (41, 3, DEEPEST + 2) and found.sum_SRK.dtype == np.int64
    for row, rank_C, first_C in (
        (0, of.clean_C, of.top10_C),
        (1, of.clean_C, of.top10_C),
        (2, of.edited["other"], of.shared["other"]),
    ):
        assert found.sum_SRK[0, row, :-1].tolist() == count(rank_C).tolist()
        assert found.sum_SRK[0, row, -1] == first_C.sum()
        weight_C = weights(of.user_C, *DRAWS)[:, 4]
        assert found.sum_SRK[5, row, :-1].tolist() == count(np.repeat(rank_C, weight_C)).tolist()
        assert found.sum_SRK[5, row, -1] == (first_C * weight_C).sum()


def test_sums_of_chunks_add_up_in_any_order_to_those_of_the_whole() -> None:
    whole = chunk_sums(compared(), DRAWS)
    first, second = (chunk_sums(compared(rows), DRAWS) for rows in (slice(60), slice(60, None)))
    total: ChunkSums = second.plus(first)
    assert (total.sum_SRK == whole.sum_SRK).all() and total.users == whole.users


def test_a_chunk_without_cases_adds_nothing() -> None:
    empty = chunk_sums(compared(slice(0)), DRAWS)
    assert empty.users == 0 and empty.sum_SRK.shape == (41, 3, DEEPEST + 2) and not empty.sum_SRK.any()
