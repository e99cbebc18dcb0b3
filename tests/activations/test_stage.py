"""The ranges into which the stage's work is divided, and what it refuses before it starts."""

from __future__ import annotations

import pytest

from recsae.activations import stage
from recsae.config.schema import Config
from recsae.data.chunks import n_chunks
from recsae.errors import BadInput
from recsae.store.progress import Lease, Progress
from recsae.store.run_store import Attempt, Committed
from tests.activations.committed import of_kind, probe_config


def test_users_come_in_chunks_and_items_in_shards(
    ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage._ranges(planted_config, ingested) == [{"chunk": number} for number in range(n_chunks(ingested))]
    items = planted_config.model_copy(update={"probe": probe_config(site="item")})
    monkeypatch.setattr(stage, "rows_per_shard", lambda width, shard_mib: 20)
    ranges = stage._ranges(items, ingested)
    held = [item for span in ranges for item in range(span["start"], span["stop"])]
    assert held[: ingested.metrics["items"]] == list(range(ingested.metrics["items"]))
    assert ranges[-1]["start"] < ingested.metrics["items"] <= ranges[-1]["stop"]


def test_a_search_that_cannot_be_is_refused_before_anything_runs(planted_config: Config, ingested: Committed) -> None:
    asked = {"probe": probe_config(search="approximate"), "recommender": of_kind(planted_config, "foreign")}
    lease = ingested.data.child("none")
    out = Attempt(lease, "f", Progress(lease, Lease(lease, 20)))
    with pytest.raises(BadInput, match=r"probe\.search"):
        stage.write_activations(planted_config.model_copy(update=asked), {"ingest": ingested}, out)


def test_a_part_without_cases_is_refused(
    planted_config: Config, ingested: Committed, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"cases": 3, "cases_by_part": {"explain": 2, "select": 1, "score": 0}}
    monkeypatch.setattr(stage, "_probe", lambda *_: found)
    lease = ingested.data.child("none")
    out = Attempt(lease, "f", Progress(lease, Lease(lease, 20)))
    items = planted_config.model_copy(update={"probe": probe_config(site="item")})
    with pytest.raises(BadInput, match=r"the part score has no cases \(of 3\); give more items or another seed"):
        stage.write_activations(items, {"ingest": ingested}, out)
