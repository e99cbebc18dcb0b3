"""The comparison table, read from served nights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsae.comparison.models import compare
from recsae.config.schema import Config
from recsae.lookup.served import served
from tests.comparison.made_models import best_row, rows, serve

GOOD = [1, 1, 2, 3, None, None, None, None]
POOR = [5, 5, None, None, None, None, None, None]


def table(*configs: Config) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = compare([(config, served(config)) for config in configs]).to_pylist()
    return found


def test_the_bar_does_not_move_with_the_run_and_the_better_model_comes_first(tmp_path: Path) -> None:
    poor = serve(tmp_path, "poor", "bprmf", 0.05, rows(POOR))
    good = serve(tmp_path, "good", "sasrec", 0.2, rows(GOOD, unscored=12))
    first, second = table(poor, good)
    assert (first["run"], first["recommender"], second["run"]) == ("good", "sasrec", "poor")
    assert (first["latents"], first["interpretable"], first["distinct"]) == (20, 4, 3)
    assert (first["at_70"], first["at_75"], first["at_80"]) == (8, 4, 2) and second["at_80"] == 0
    assert (first["share_70"], first["share_75"], first["share_80"]) == (0.4, 0.2, 0.1)
    assert first["share_75_lower"] < 0.2 < first["share_75_upper"] and first["share"] == 0.2
    assert first["median_confidence"] == pytest.approx(0.725) and second["median_confidence"] == 0.7
    assert (first["bar"], first["controls"], first["asked"], first["judge_accepted"]) == (0.6, 1, 16, 3)
    assert first["rarefied_to"] == second["rarefied_to"] == 2
    assert first["rarefied"] == pytest.approx(11 / 6), "one of the six pairs has the same concept"
    assert second["rarefied"] == 1 and second["effective"] == pytest.approx(1)
    assert first["data"] == "shop/events.parquet", "a folder and a file, without the secret"
    assert first["data_hash"] == second["data_hash"]


def test_other_data_are_compared_separately(tmp_path: Path) -> None:
    one = serve(tmp_path, "one", "sasrec", 0.2, rows(GOOD))
    other = serve(tmp_path, "other", "sasrec", 0.3, rows(POOR), content="b")
    first, second = table(one, other)
    assert first["run"] == "one", "data sets keep their order"
    assert (first["rarefied_to"], second["rarefied_to"]) == (4, 2)


def test_a_response_must_exceed_the_chance_level_of_the_best_latent(tmp_path: Path) -> None:
    best = [
        best_row("Horror", 3, 0.5),
        best_row("Noir", 3, 0.4),
        best_row("War", 4, 0.15),
        best_row("Comedy", 5, float("nan")),
        best_row("Horror", 9, 0.9, code="raw"),
        best_row("Horror", 9, 0.9, view="input"),
    ]
    (found,) = table(serve(tmp_path, "one", "sasrec", 0.2, rows(GOOD), best))
    assert (found["values"], found["answered"], found["answering"]) == (3, 2, 1)
    assert found["correlation"] == pytest.approx((0.4 + 0.3 + 0.05) / 3)


def test_without_latents_at_the_level_nothing_is_rarefied(tmp_path: Path) -> None:
    none = serve(tmp_path, "none", "bprmf", None, rows([None, None]))
    good = serve(tmp_path, "good", "sasrec", 0.2, rows(GOOD))
    first, second = table(none, good)
    assert first["run"] == "good" and second["ndcg_10"] is None
    assert first["rarefied"] is None and first["rarefied_to"] is None
    assert second["share"] == 0 and second["effective"] is None and second["distinct"] == 0
