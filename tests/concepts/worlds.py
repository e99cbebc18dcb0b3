"""Evidence whose truth is known, over the shared planted catalogue, and a stage run with a pool that is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.config import Config
from recsae.data.catalogue import Catalogue
from recsae.schemas import EVIDENCE, LATENT_STATS, NEAR_MISS, PARTS
from recsae.store.runs import Attempt, Committed, Metrics
from tests.concepts.fakes import FakePool
from tests.conftest import N_CONCEPTS, Commit


def items_by_concept(ingested: Committed) -> list[np.ndarray]:
    """Items of each planted concept, by the catalogue's genres."""
    genres = [attributes["genres"][0] for attributes in Catalogue.read(ingested).attributes]
    return [np.array([item for item, held in enumerate(genres) if held == genre]) for genre in sorted(set(genres))]


def genres(ingested: Committed) -> list[str]:
    """The genre of each planted concept, in the order of `items_by_concept`."""
    held = Catalogue.read(ingested).attributes
    return [held[int(items[0])]["genres"][0] for items in items_by_concept(ingested)]


def latents_by_concept(
    commit: Commit,
    ingested: Committed,
    n_latents: int = N_CONCEPTS,
    *,
    elsewhere: bool = False,
    parts: tuple[str, ...] = PARTS,
    cases: int = 16,
) -> Committed:
    """Latent l fires at items of concept l, each case of its own user; silent cases are of the other concepts.

    `elsewhere`: in select and score parts it fires at the next concept instead.
    """
    concepts = items_by_concept(ingested)
    draw = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for latent in range(n_latents):
        for part in parts:
            own = (latent + (elsewhere and part != "explain")) % len(concepts)
            others = np.concatenate([items for place, items in enumerate(concepts) if place != own])
            user = 1000 * PARTS.index(part)
            for role in ("top", "level", "random", "popularity", NEAR_MISS):
                active = role in ("top", "level")
                for rank in range(cases):
                    item = int(draw.choice(concepts[own] if active else others))
                    user += 1
                    rows.append(
                        {
                            "latent": latent, "part": part, "role": role, "rank": rank,
                            "case_id": len(rows), "user_idx": user, "position": 3, "item_idx": 0, "top_idx": item,
                            "activation": float(active), "level": 10 * active,
                        }
                    )  # fmt: skip

    def write(out: Attempt) -> Metrics:
        out.write_table("evidence.parquet", pa.Table.from_pylist(rows, EVIDENCE), EVIDENCE)
        stats = [
            {
                "latent": latent, "frequency": 0.1, "activations": 10, "maximum": 1.0, "quantiles": [0.5] * 9,
                "top_items": concepts[latent % len(concepts)][:2].tolist(), "evidence_hash": str(latent),
            }
            for latent in range(n_latents)
        ]  # fmt: skip
        out.write_table("latent_stats.parquet", pa.Table.from_pylist(stats, LATENT_STATS), LATENT_STATS)
        return {}

    return commit("evidence", write)


def run_stage(
    commit: Commit,
    module: ModuleType,
    stage: Callable[[Config, Mapping[str, Committed], Attempt], Metrics],
    config: Config,
    inputs: Mapping[str, Committed],
    pool: FakePool,
    monkeypatch: pytest.MonkeyPatch,
) -> Committed:
    """Run and commit a stage of `module`, whose pool is `pool`."""
    monkeypatch.setattr(module, "EnginePool", lambda *_: pool)
    monkeypatch.setattr(module, "locate_model", lambda _: "")
    return commit(stage.__name__, lambda out: stage(config, inputs, out))
