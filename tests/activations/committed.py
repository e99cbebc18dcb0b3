"""Committed recommenders without training, and their activations written without Ray."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from recsae.activations.items import ItemProber
from recsae.activations.users import UserProber
from recsae.config.recommender import ProbeConfig, RecommenderConfig
from recsae.config.schema import Config
from recsae.data.chunks import n_chunks, read_chunk
from recsae.recommenders import registry
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import Commit

SEED = 3


def of_kind(config: Config, kind: str) -> RecommenderConfig:
    return config.recommender.model_copy(update={"kind": kind})


def trained(commit: Commit, config: RecommenderConfig, ingested: Committed) -> Committed:
    """A model with random weights, committed."""
    sizes = ingested.metrics["users"], ingested.metrics["items"]
    model = registry.build(config, *sizes, 0)
    weights = model.state_dict()
    for name, value in weights.items():
        if name.endswith("_out"):  # of LightGCN, which has them from its graph
            value.normal_()

    def write(out: Attempt) -> Metrics:
        registry.save(out.data.child("model"), weights, config, *sizes)
        return {"kind": config.kind}

    return commit("recommender", write)


def probe_config(shard_mib: float = 1, **settings: Any) -> ProbeConfig:
    """Shards of less than a MiB are for tests only."""
    return ProbeConfig.model_construct(**{**ProbeConfig.model_validate(settings).__dict__, "shard_mib": shard_mib})


def probed(
    commit: Commit, ingested: Committed, model: Committed, config: ProbeConfig
) -> tuple[Committed, list[dict[str, int]]]:
    """What one actor writes of all users, or of the items in ranges of 20; and what it tells."""
    told: list[dict[str, int]] = []

    def write(out: Attempt) -> Metrics:
        if config.site == "item":
            items = ItemProber(ingested, model, out.data, config, "cpu", SEED)
            told.extend(
                items({"start": start, "stop": start + 20}) for start in range(0, ingested.metrics["items"], 20)
            )
        else:
            users = UserProber(ingested, model, out.data, config, "cpu", SEED)
            told.extend(users({"chunk": number}) for number in range(n_chunks(ingested)))
        return {}

    return commit("activations", write), told


def whole(stored: Committed) -> pa.Table:
    return pa.concat_tables(list(shards.stream(stored))).combine_chunks()


def histories(ingested: Committed) -> dict[int, tuple[list[int], list[int]]]:
    """Items and splits of every user."""
    found = {}
    for number in range(n_chunks(ingested)):
        chunk = read_chunk(ingested, number)
        for row, user in enumerate(chunk.users.tolist()):
            span = slice(chunk.offsets[row], chunk.offsets[row + 1])
            found[user] = chunk.items[span].tolist(), chunk.splits[span].tolist()
    return found
