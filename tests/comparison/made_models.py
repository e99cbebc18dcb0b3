"""Runs that serve a synthetic night with everything a comparison reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsae.config.schema import Config
from recsae.schemas.concepts import ATTRIBUTE_BEST, CONCEPTS
from recsae.store.nights import Night
from recsae.store.run_store import RunStore
from tests.report.concepts_table import concept_row

DATA = {"format": "tables", "path": None, "interactions": ["s3://data/shop/events.parquet?secret=1"]}


def rows(groups: Sequence[int | None], unscored: int = 0) -> list[dict[str, Any]]:
    """A latent per entry of `groups`: at .75 and of this group, or, for None, at .7; then `unscored` others."""
    scored = [
        concept_row(
            latent,
            group=latent if group is None else 100 + group,
            interpretable=group is not None,
            confidence=0.7 if group is None else 0.75 + 0.05 * (group == 1),
        )
        for latent, group in enumerate(groups)
    ]
    return scored + [concept_row(len(groups) + number, name=None) for number in range(unscored)]


def best_row(value: str, latent: int, correlation: float, **others: Any) -> dict[str, Any]:
    null = {"null_mean": 0.1, "null_upper": 0.2, "p_value": 0.01}
    return {
        "code": "sae",
        "view": "recommended",
        "attribute": "genres",
        "value": value,
        "cases": 50,
        "latent": latent,
        "correlation": correlation,
        **null,
        **others,
    }


def serve(
    root: Path,
    name: str,
    kind: str,
    ndcg: float | None,
    concepts: list[dict[str, Any]],
    best: Sequence[dict[str, Any]] = (),
    content: str = "a",
) -> Config:
    """Commits and serves a night of the run `name`; runs with the same `content` have the same data."""
    config = Config.model_validate({"name": name, "store": {"root": str(root)}})
    store, fingerprints = RunStore(config.store.root, config.name), {}
    interval = None if ndcg is None else [ndcg - 0.01, ndcg + 0.01]
    metrics: dict[str, dict[str, Any]] = {
        "ingest": {"users": 60, "items": 40, "events": 720},
        "recommender": {"kind": kind, "test": {"ndcg@10": ndcg}, "test_intervals": {"ndcg@10": interval}},
        "sae": {"fvu": 0.1, "fidelity": {"rows": {"sae": {"ndcg@10_kept": 0.9}}}},
        "statistics": {},
        "concepts": {"shuffled_interpretable": 1, "interpretable_bar": 0.6, "asked": 16, "judge_accepted": 3},
    }
    tables = {
        "statistics": ("attribute_best.parquet", list(best), ATTRIBUTE_BEST),
        "concepts": ("concepts.parquet", concepts, CONCEPTS),
    }
    for stage, figures in metrics.items():
        attempt = store.attempt(stage, f"{stage}-1", store.lease(stage, f"{stage}-1", 20))
        if stage in tables:
            file, made, schema = tables[stage]
            attempt.write_table(file, pa.Table.from_pylist(made, schema), schema)
        kept = {"data": DATA} if stage == "ingest" else config.recorded(include={"probe"})
        facts = {"config": kept, "content": {"events": content}, "metrics": figures}
        fingerprints[stage] = store.commit(stage, attempt, facts).fingerprint
    dictionary = store.folder.child("concepts", "concepts-1").locate("concepts.parquet")
    store.nights.close(Night(fingerprints, dictionary, "report.html", ()))
    return config
