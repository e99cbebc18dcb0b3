"""Shared by the tests of the data package: one call runs ingest on a config and commits it, without Ray."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.data.formats import input_content
from recsae.data.stage import ingest
from recsae.store.run_store import Committed, RunStore

Ingest = Callable[..., Committed]
SHARED = Path(__file__).resolve().parents[3] / "shared/data"


def config_of(sections: Mapping[str, Any]) -> Config:
    """A config whose filters are off unless set."""
    tree = {"name": "test", **copy.deepcopy(dict(sections))}
    tree["data"] = {"min_user_events": 1, "min_item_events": 1, **tree.get("data", {})}
    return Config.model_validate(tree)


@pytest.fixture
def run(tmp_path: Path) -> Ingest:
    """`run(data={...}, split={...})` ingests and commits."""

    def run_ingest(**sections: Any) -> Committed:
        config = config_of(sections)
        store = RunStore(str(tmp_path / "store"), "test")
        fingerprint = f"f{len(list(tmp_path.glob('store/test/ingest/*')))}"
        attempt = store.attempt("ingest", fingerprint, store.lease("ingest", fingerprint, 20))
        input_content(config)
        metrics = ingest(config, {}, attempt)
        return store.commit("ingest", attempt, {"metrics": metrics})

    return run_ingest


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """A folder of real data; skips the test if it is not beside the checkout."""

    def find(name: str) -> Path:
        folder = SHARED / name
        if not folder.is_dir():
            pytest.skip(f"no shared/data/{name} beside the checkout")
        return folder

    return find
