"""The telling figures of a stage, and its rows and bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recsae.observability.summary import HEADLINES, headline, rows, size
from recsae.pipeline.stages import STAGES
from recsae.store.run_store import Committed, RunStore


def committed(root: Path, stage: str, metrics: dict[str, Any], tables: dict[str, int]) -> Committed:
    store = RunStore(str(root), "shop")
    attempt = store.attempt(stage, "f1", store.lease(stage, "f1", 20))
    for name, count in tables.items():
        attempt.data.write_table(name, pa.table({"a": range(count)}))
    return store.commit(stage, attempt, {"metrics": metrics, "seconds": 1.5})


def test_only_stages_that_there_are_have_telling_figures() -> None:
    assert set(HEADLINES) <= set(STAGES)


def test_the_figures_of_a_stage_are_taken_from_where_they_stand() -> None:
    metrics = {
        "fvu": 0.05,
        "l0": 8,
        "dead_share": 0.0,
        "history": [1],
        "fidelity": {"rows": {"sae": {"ndcg@10_kept": 0.99}}},
    }
    assert headline("sae", metrics) == {"fvu": 0.05, "l0": 8, "dead_share": 0.0, "ndcg_10_kept": 0.99}


@pytest.mark.parametrize("broken", [None, "x", [1], True, math.nan, math.inf, {"a": 1}])
def test_what_is_no_number_is_left_out(broken: object) -> None:
    assert headline("sae", {"fvu": broken, "l0": 8, "fidelity": broken}) == {"l0": 8}


def test_of_an_unknown_stage_the_first_figures_tell() -> None:
    assert headline("dreams", {"a": "x", "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}) == {"b": 1, "c": 2, "d": 3, "e": 4}


def test_rows_are_what_the_metrics_say_or_those_of_the_stages_own_table(tmp_path: Path) -> None:
    assert rows(committed(tmp_path / "a", "ingest", {"events": 12}, {"items.parquet": 3})) == 12
    assert rows(committed(tmp_path / "b", "scores", {}, {"scores.parquet": 3, "verdicts.parquet": 5})) == 3
    assert rows(committed(tmp_path / "c", "statistics", {}, {"attribute_stats.parquet": 3})) is None


def test_bytes_are_those_of_the_manifest(tmp_path: Path) -> None:
    done = committed(tmp_path, "scores", {}, {"a.parquet": 3, "b.parquet": 5})
    assert size(done) == sum(path.stat().st_size for path in Path(done.data.path).iterdir()) > 0
