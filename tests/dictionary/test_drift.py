"""The change of each concept, by stable id, name and items."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from recsae.dictionary.drift import compare, drift_metrics
from recsae.schemas.base import conform
from recsae.schemas.nightly import DRIFT


def concept(latent: int, stable_id: str, name: str | None, *, interpretable: bool = True) -> dict[str, Any]:
    return {
        "latent": latent, "stable_id": stable_id, "name": name, "confidence": 0.8, "interpretable": interpretable,
        "frequency": 0.1 * latent,
    }  # fmt: skip


LAST = [
    concept(0, "a", "Horror"),
    concept(1, "b", "War"),
    concept(2, "c", "Western"),
    concept(3, "d", "Musical"),
    concept(4, "e", None, interpretable=False),
]
TONIGHT = [
    concept(5, "a", "Horror"),
    concept(1, "b", "Drama"),
    concept(2, "c", "Western"),
    concept(4, "e", None, interpretable=False),
    concept(6, "f", "Noir"),
]
MATCHES = {latent: {"similarity": latent / 10} for latent in range(7)}
JACCARD = {5: 0.9, 1: 0.2, 2: 0.4, 4: None}
LABELLED = {latent: {"jaccard": value} for latent, value in JACCARD.items()}


def changes(min_jaccard: float = 0.5) -> dict[str, dict[str, Any]]:
    rows = compare(TONIGHT, LAST, MATCHES, LABELLED, min_jaccard)
    return {row["stable_id"]: row for row in rows}


def test_every_concept_of_both_nights_has_one_change() -> None:
    found = changes()
    by_id = {stable_id: row["change"] for stable_id, row in found.items()}
    assert by_id == {"a": "kept", "b": "renamed", "c": "moved", "d": "gone", "e": "kept", "f": "new"}
    assert (found["a"]["latent"], found["a"]["last_latent"], found["a"]["jaccard"]) == (5, 0, 0.9)
    assert (found["b"]["name"], found["b"]["last_name"]) == ("Drama", "War")
    assert found["d"]["latent"] is None and found["d"]["last_name"] == "Musical"
    assert found["f"]["last_latent"] is found["f"]["similarity"] is found["f"]["last_name"] is None


def test_moved_is_below_the_threshold_of_the_config() -> None:
    assert changes(0.4)["c"]["change"] == "kept"
    assert changes(0.95)["a"]["change"] == "moved"


def test_tonights_rows_come_first_in_the_order_of_the_dictionary() -> None:
    rows = compare(TONIGHT, LAST, MATCHES, LABELLED, 0.5)
    assert [row["latent"] for row in rows] == [5, 1, 2, 4, 6, None]
    assert conform(pa.Table.from_pylist(rows, DRIFT), DRIFT).num_rows == 6


def test_metrics_count_changes_and_interpretable_latents_that_are_gone() -> None:
    metrics = drift_metrics(compare(TONIGHT, LAST, MATCHES, LABELLED, 0.5))
    assert metrics == {
        "kept": 2, "renamed": 1, "moved": 1, "new": 1, "gone": 1, "interpretable_before": 4, "interpretable_gone": 0.25,
    }  # fmt: skip
    assert drift_metrics(compare(TONIGHT, [], MATCHES, LABELLED, 0.5))["interpretable_gone"] is None
