"""A shard's cases and codes, and whole streams of shards, against dense matrices. Ray's tasks run in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from recsae.distributed import tasks
from recsae.sae import attributes, correlation, model
from recsae.sae.controls import Trained, principal_components
from recsae.sae.correlation import case_items, sum_code
from recsae.sae.model import Sae
from recsae.schemas.base import ITEMS, PARTS, activations
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit
from tests.sae.fake_ray import FakeRay, Task

CASES, WIDTH, LATENTS, BORNE = 300, 6, 20, 4


def a_table(top_idx: list[int | None]) -> pa.Table:
    return pa.table(
        {
            "item_idx": pa.array([4, 3, 2, 1, 0], pa.int32()),
            "top_idx": pa.array(top_idx, pa.int32()),
            "part": pa.array([PARTS.index(part) for part in ("score", "score", "explain", "score", "select")]),
        }
    )


@pytest.mark.parametrize(
    ("view", "part", "rows", "items"),
    [
        ("recommended", "score", [0, 3], [7, 9]),
        ("input", "score", [0, 1, 3], [4, 3, 1]),
        ("recommended", "select", [], []),
        ("input", "select", [4], [0]),
    ],
)
def test_cases_are_of_the_part_and_have_the_views_item(view: str, part: str, rows: list[int], items: list[int]) -> None:
    found = case_items(a_table([7, None, 8, 9, None]), view, part)
    assert [values.tolist() for values in found] == [rows, items]


def test_without_any_recommended_item_there_is_no_case() -> None:
    assert not len(case_items(a_table([None] * 5), "recommended", "score")[0])


@pytest.mark.parametrize("kind", ["topk", "relu"])
@pytest.mark.parametrize("floats_at_once", [1, 900, 4_000_000])
def test_a_codes_sums_are_those_of_its_dense_activations(
    kind: Any, floats_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    sae = Sae(WIDTH, LATENTS, kind, 4).requires_grad_(False)
    x = torch.randn(CASES, WIDTH)
    bears = (np.random.default_rng(0).random((CASES, BORNE)) < 0.4).astype(np.float64)
    pre = (sae.normalise(x) @ sae.W_enc.T).double()
    least = pre.sort(1, descending=True).values[:, 3:4] if kind == "topk" else torch.zeros(CASES, 1)
    z = torch.where(pre >= least, pre, 0).relu().numpy()
    monkeypatch.setattr(model, "MAX_FLOATS_PER_BLOCK", floats_at_once)
    sums = sum_code(sae, x.numpy(), sparse.csr_array(bears))
    np.testing.assert_allclose(sums.total_H, z.sum(0), rtol=1e-5)
    np.testing.assert_allclose(sums.square_H, np.square(z).sum(0), rtol=1e-5)
    np.testing.assert_allclose(sums.cross_AH, bears.T @ z, rtol=1e-5)


@pytest.mark.parametrize("floats_at_once", [1, 900, 4_000_000])
def test_without_an_sae_the_code_is_the_raw_dimensions(floats_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    x, bears = draw.normal(3, 2, (CASES, WIDTH)).astype(np.float32), draw.integers(0, 2, (CASES, BORNE)).astype(float)
    monkeypatch.setattr(model, "MAX_FLOATS_PER_BLOCK", floats_at_once)
    sums = sum_code(None, x, sparse.csr_array(bears))
    np.testing.assert_allclose(sums.total_H, x.astype(np.float64).sum(0))
    np.testing.assert_allclose(sums.cross_AH, bears.T @ x.astype(np.float64))


@pytest.mark.parametrize("floats_at_once", [1, 900, 4_000_000])
def test_principal_directions_are_the_sums_of_projections(floats_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    x = (draw.normal(0, 1, (CASES, WIDTH)) * np.arange(1, WIDTH + 1) + 100).astype(np.float32)
    bears = draw.integers(0, 2, (CASES, BORNE)).astype(float)
    exact = x.astype(np.float64)
    away = exact - exact.mean(0)
    code = principal_components(exact.mean(0), away.T @ away, WIDTH)
    monkeypatch.setattr(model, "MAX_FLOATS_PER_BLOCK", floats_at_once)
    sums = sum_code(code, x, sparse.csr_array(bears))
    axes = np.linalg.svd(away, full_matrices=False)[2]
    z = away @ axes.T
    np.testing.assert_allclose(sums.square_H, np.square(z).sum(0), rtol=1e-4)
    np.testing.assert_allclose(np.abs(sums.cross_AH), np.abs(bears.T @ z), rtol=1e-3, atol=0.02)


def test_a_shard_without_cases_adds_nothing() -> None:
    nobody, nothing_borne = np.empty((0, WIDTH), np.float32), sparse.csr_array((0, BORNE), dtype=np.float64)
    for sae in (None, Sae(WIDTH, LATENTS)):
        assert not any(sums.any() for sums in sum_code(sae, nobody, nothing_borne))


def test_latents_of_an_attribute_are_found() -> None:
    """One direction of the stream is an attribute: the latent that reads it is named, the others are not."""
    draw = np.random.default_rng(2)
    bears = draw.integers(0, 2, (CASES, 1)).astype(np.float64)
    x = draw.normal(0, 0.1, (CASES, WIDTH)).astype(np.float32)
    x[:, 2] += 3 * bears[:, 0].astype(np.float32)
    sae = Sae(WIDTH, LATENTS, "relu").requires_grad_(False)
    sae.W_enc.copy_(torch.roll(torch.eye(LATENTS, WIDTH), 9, dims=0))
    met = attributes.select_attributes([{}, {"genres": ["War"]}], np.bincount(bears[:, 0].astype(int)), LATENTS)
    found = attributes.best_latents(sum_code(sae, x, met.has_IA[bears[:, 0].astype(int)]), met, both_signs=False)
    assert found.attributes == [("genres", "War")] and found.latent_A.tolist() == [9 + 2]
    assert 0.95 < found.best_A[0] < 1


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    monkeypatch.setattr(fake, "put", read_only)
    monkeypatch.setattr(tasks, "ray", fake)
    monkeypatch.setattr(tasks, "_call", Task(tasks._call._function))


def read_only(held: tuple[Any, ...]) -> tuple[Any, ...]:
    """Held values with read-only matrices, as from an object store."""
    for matrix in held:
        if isinstance(matrix, sparse.csr_array):
            unwritable(matrix)
    return held


def unwritable(matrix: sparse.csr_array) -> sparse.csr_array:
    """A read-only array."""
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    return matrix


GENRES: tuple[list[str], ...] = (["Drama"], ["War", "Drama"], ["War"], [], ["Rare"], ["Comedy", "War"])


def catalogue(out: Attempt) -> Metrics:
    items = [
        {
            "item_idx": item,
            "item_id": str(item),
            "title": "",
            "attributes": [{"name": "genres", "value": value} for value in values],
            "popularity": 0,
        }
        for item, values in enumerate(GENRES)
    ]
    out.write_table("items.parquet", pa.Table.from_pylist(items, ITEMS), ITEMS)
    return {}


def cases() -> pa.Table:
    """900 cases of all parts; every seventh has no recommended item, the fifth item is rare."""
    draw, number = np.random.default_rng(3), 900
    top = draw.choice(len(GENRES), number, p=[0.3, 0.2, 0.2, 0.15, 0.02, 0.13])
    x = draw.normal(5, 1, (number, WIDTH)).astype(np.float32)
    x[:, 1] -= np.isin(top, [0, 1])
    columns = {name: np.arange(number) for name in ("case_id", "user_idx", "position")}
    return pa.table(
        {
            **columns,
            "item_idx": draw.integers(0, len(GENRES), number),
            "top_idx": pa.array(top, mask=np.arange(number) % 7 == 0),
            "part": draw.integers(0, 3, number),
            "activation": shards.column(x),
        }
    ).cast(activations(WIDTH))


def streamed(commit: Commit, table: pa.Table, edges: list[int]) -> Committed:
    """The cases in shards cut at `edges`."""

    def write(out: Attempt) -> Metrics:
        for start, stop in zip([0, *edges], [*edges, table.num_rows], strict=True):
            piece = table.slice(start, stop - start)
            shards.write(out.data, f"{shards.PREFIX}{start:06d}-{stop:06d}.arrow", piece, activations(WIDTH))
        return {"width": WIDTH}

    return commit("activations", write)


def an_sae(commit: Commit) -> Committed:
    torch.manual_seed(4)
    sae = Sae(WIDTH, LATENTS, "relu").requires_grad_(False)
    sae.mean_D.fill_(5)

    def write(out: Attempt) -> Metrics:
        model.save(out.data, sae)
        return {}

    return commit("sae", write)


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("edges", [[], [450], [0, 1, 2, 300, 301, 899]])
def test_correlations_are_those_of_the_whole_however_it_is_cut(commit: Commit, edges: list[int]) -> None:
    table, sae = cases(), Trained(an_sae(commit).data)
    found = correlation.correlate(
        commit("ingest", catalogue),
        streamed(commit, table, edges),
        "recommended",
        {"sae": sae, "raw": None},
        "score",
    )
    rows = (table["part"].to_numpy() == PARTS.index("score")) & table["top_idx"].is_valid().to_numpy()
    x, top = shards.vectors(table)[rows], table["top_idx"].to_numpy()[rows].astype(int)
    bears = {
        value: np.array([value in values for values in GENRES])[top] for value in ("Drama", "War", "Comedy", "Rare")
    }
    assert all(0 < bears[value].sum() < attributes.MIN_SUPPORT for value in ("Rare", "Comedy"))
    loaded = model.load(sae.folder)
    code_BH = (loaded.normalise(torch.from_numpy(x)) @ loaded.W_enc.T).relu().double().numpy()
    for name, of_code in (("sae", code_BH), ("raw", x.astype(np.float64))):
        assert sorted(found[name].attributes) == [("genres", "Drama"), ("genres", "War")]
        for (_, value), best, latent in zip(*found[name][::2], found[name].latent_A, strict=True):
            r = np.corrcoef(of_code.T, bears[value])[-1, :-1]
            r = np.abs(r) if name == "raw" else r
            assert (best, latent) == (pytest.approx(r.max(), abs=1e-6), r.argmax())
    assert found["raw"].latent_A[found["raw"].attributes.index(("genres", "Drama"))] == 1


@pytest.mark.usefixtures("without_ray")
def test_without_recommended_items_there_is_no_figure_and_no_code_is_run(
    commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = cases()
    table = table.set_column(4, "top_idx", pa.nulls(table.num_rows, pa.int32()))
    monkeypatch.setattr(correlation, "sum_code", None)
    found = correlation.correlate(
        commit("ingest", catalogue), streamed(commit, table, []), "recommended", {"raw": None}, "score"
    )
    assert found["raw"].mean is None and found["raw"].attributes == []
