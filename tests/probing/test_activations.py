"""Shards against the model run on each case's history alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from recsae.config import Config, ProbeConfig, RecommenderConfig
from recsae.data.chunks import Chunk, n_chunks, read_cases, read_chunk
from recsae.probing import activations
from recsae.probing.activations import Prober
from recsae.recommenders import saved
from recsae.recommenders.ranking import pad
from recsae.schemas import PARTS
from recsae.store import shards
from recsae.store.runs import Attempt, Committed, Metrics
from tests.conftest import Commit


def trained(commit: Commit, config: RecommenderConfig, n_items: int) -> Committed:
    """An untrained model, committed."""

    def write(out: Attempt) -> Metrics:
        saved.save(out.data.child("model"), saved.build(config, n_items, 0).state_dict(), config, n_items)
        return {}

    return commit("recommender", write)


def probed(
    commit: Commit, ingested: Committed, model: Committed, shard_mib: float = 1
) -> tuple[Committed, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []

    def write(out: Attempt) -> Metrics:
        prober = Prober(ingested, model, out.data, ProbeConfig.model_construct(shard_mib=shard_mib), "cpu")
        told.extend(prober({"chunk": number}) for number in range(n_chunks(ingested)))
        return {}

    return commit("activations", write), told


def history(chunk: Chunk, user: int) -> np.ndarray:
    place = int(np.searchsorted(chunk.users, user))
    return chunk.items[chunk.offsets[place] : chunk.offsets[place + 1]]


def test_every_case_has_the_vector_of_its_own_history(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "USERS_AT_ONCE", 4)
    monkeypatch.setattr(activations, "SCORES_AT_ONCE", 48 * 7)
    config = planted_config.recommender
    committed = trained(commit, config, ingested.metrics["items"])
    model = saved.load(committed)
    stored, told = probed(commit, ingested, committed)
    table = pa.concat_tables(list(shards.stream(stored))).combine_chunks()
    cases = pa.concat_tables([read_cases(ingested, number) for number in range(n_chunks(ingested))])
    assert table.num_rows == cases.num_rows == sum(row["cases"] for row in told)
    for name in ("case_id", "user_idx", "position", "item_idx"):
        assert table[name].to_pylist() == cases[name].to_pylist(), name
    assert [PARTS[part] for part in table["part"].to_pylist()] == cases["part"].to_pylist()

    chunks = [read_chunk(ingested, number) for number in range(n_chunks(ingested))]
    events = {int(user): history(chunk, int(user)) for chunk in chunks for user in chunk.users}
    assert max(map(len, events.values())) > config.max_length
    vectors, rows = shards.vectors(table), table.drop_columns(["activation"]).to_pylist()
    long = 0
    for row, vector in list(zip(rows, vectors, strict=True))[::3]:
        items = events[row["user_idx"]]
        skipped = max(len(items) - config.max_length, 0)
        long += skipped > 0
        alone = pad([items[skipped : row["position"]]], model.n_items, "cpu", np.array([row["user_idx"]]))
        with torch.inference_mode():
            h_D = model.probe(alone)[0, -1]
            scores = model.scores(h_D[None])[0].numpy()
        np.testing.assert_allclose(vector, h_D.numpy(), atol=1e-5)
        had = set(items[: row["position"]].tolist())
        assert row["item_idx"] == items[row["position"] - 1]
        assert row["top_idx"] not in had
        best = max((item for item in range(model.n_items) if item not in had), key=lambda item: scores[item])
        assert scores[row["top_idx"]] >= scores[best] - 1e-5
    assert long > 20


def test_a_retried_chunk_writes_the_same_files(commit: Commit, ingested: Committed, planted_config: Config) -> None:
    committed = trained(commit, planted_config.recommender, ingested.metrics["items"])
    first, again = (probed(commit, ingested, committed)[0] for _ in range(2))
    assert first.files() == again.files() and len(first.files()) == n_chunks(ingested)
    for name in first.files():
        with first.data.open_input(name) as one, again.data.open_input(name) as other:
            assert one.read() == other.read()


def test_shards_are_cut_by_size(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "USERS_AT_ONCE", 2)
    committed = trained(commit, planted_config.recommender, ingested.metrics["items"])
    stored, told = probed(commit, ingested, committed, shard_mib=1 / 256)
    assert all(row["shards"] > 1 for row in told)
    assert len(stored.files(shards.PREFIX)) == sum(row["shards"] for row in told)
    tables = list(shards.stream(stored))
    assert sum(table.num_rows for table in tables) == sum(row["cases"] for row in told)
    # A shard ends with the group of users that fills it: 2 users have 20 cases at most.
    rows = 2**12 // (4 * 16 + 32)
    assert max(table.num_rows for table in tables) < rows + 20
