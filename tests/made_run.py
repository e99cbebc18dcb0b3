"""A run as the pipeline would have committed it, stage by stage, without running any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsae.config.schema import Config
from recsae.pipeline.stages import STAGES
from recsae.store.filesystem import as_json
from recsae.store.run_store import Committed, RunStore

METRICS: Mapping[str, dict[str, Any]] = {
    "ingest": {"users": 6, "items": 3, "events": 40, "cases": 30, "seconds": {"read": 0.1}},
    "recommender": {"test": {"ndcg@10": 0.25, "hr@10": 0.5}, "epochs": 3, "kind": "sasrec", "history": [{"loss": 1.0}]},
    "sae": {"fvu": 0.05, "dead_share": 0.0, "l0": 8.0},
    "concepts": {"latents": 4, "scored": 4, "interpretable": 2, "interpretable_bar": None},
}
TABLE = pa.table({"latent": [0, 1, 2, 3]})


def config_at(root: Path | str, **sections: Any) -> Config:
    return Config.model_validate({"name": "shop", "store": {"root": str(root)}, **sections})


def store_of(config: Config) -> RunStore:
    return RunStore(config.store.root, config.name)


def commit(config: Config, name: str, night: str = "1", above: Mapping[str, str] | None = None) -> Committed:
    """One stage of a night; `above`: its inputs, where they are not those of the same night."""
    store, stage, fingerprint = store_of(config), STAGES[name], f"{name}-{night}"
    attempt = store.attempt(name, fingerprint, store.lease(name, fingerprint, 20))
    if name == "report":
        attempt.data.put("report.html", b"<html></html>")
        attempt.data.put("concepts-000.html", b"<html></html>")
    else:
        attempt.data.write_table(f"{name}.parquet", TABLE)
    facts = {
        "version": stage.version,
        "config": config.recorded(include=set(stage.config)),
        "inputs": above or {need: f"{need}-{night}" for need in stage.inputs},
        "metrics": METRICS.get(name, {}),
        "seconds": 1.5,
    }
    return store.commit(name, attempt, facts)


def commit_all(config: Config, night: str = "1", names: Iterable[str] = STAGES) -> dict[str, Committed]:
    return {name: commit(config, name, night) for name in names}


def serve(config: Config, made: Mapping[str, Committed]) -> None:
    """Name a night in `current.json` as the pipeline does."""
    store, night = store_of(config), "20261125T030000-000000001Z"
    fingerprints = {name: one.fingerprint for name, one in made.items()}
    current = {
        "night": night,
        "dictionary": made["concepts"].data.child("concepts.parquet").uri,
        "report": made["report"].data.child("report.html").uri,
        "fingerprints": fingerprints,
    }
    store.folder.put(f"nights/{night}.json", as_json({"fingerprints": fingerprints}))
    store.folder.put("current.json", as_json(current))
