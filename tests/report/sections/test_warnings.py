"""Every warning appears just past its bound and not on it; missing or non-numeric metrics never warn."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.report.sections.warnings import Caution, about_warnings
from recsae.store.filesystem import Folder
from tests.report.concepts_table import HOSTILE, hostile_table
from tests.report.made_page import METRICS, committed, make_report

CONTROL = {"concepts": {"interpretable": 4, "shuffled_interpretable": 3, "scored": 200}}


def warned(root: Path, changes: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> tuple[Caution, ...]:
    """The warnings of a clean run with `changes` to its metrics, by path `stage/key/key`."""
    metrics = copy.deepcopy(METRICS)
    for path, value in changes.items():
        *above, last = path.split("/")
        place: dict[str, Any] = metrics
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return about_warnings(
        Config.model_validate({"name": "demo", **(settings or {})}), committed(Folder(str(root)), metrics, {})
    )


CASES = [
    ({"ingest/items_without_title": 366}, {"ingest/items_without_title": 365}, "366 of 3,650 items", "data.items"),
    ({"activations/search_recall": 0.899}, {"activations/search_recall": 0.9}, "89.9\u00a0%", "probe.search"),
    ({"recommender/test/ndcg@10": 0.0012}, {"recommender/test/ndcg@10": 0.0013}, "items, 0.0012", "better recommender"),
    (
        {"recommender/test_intervals": {"ndcg@10": [0.001, 0.2]}},
        {"recommender/test_intervals": {"ndcg@10": [0.002, 0.2]}},
        "0.1000 [0.0010, 0.2000]",
        "test it on",
    ),
    ({"recommender/best_epoch": 22}, {"recommender/best_epoch": 21}, "of 22 epochs", "recommender.epochs"),
    ({"sae/fvu": 0.301}, {"sae/fvu": 0.3}, "FVU is 0.301", "sae.k"),
    (
        {"sae/fidelity/rows/untrained/fvu": 0.1234},
        {"sae/fidelity/rows/untrained/fvu": 0.1235},
        "0.123 against 0.123",
        "sae.learning_rate",
    ),
    (
        {"sae/fidelity/rows/sae/ndcg@10_kept": 0.79},
        {"sae/fidelity/rows/sae/ndcg@10_kept": 0.81},
        "loses 21.0\u00a0%",
        "sae.sweep.keep_ndcg",
    ),
    ({"sae/dead_share": 0.51}, {"sae/dead_share": 0.5}, "51.0\u00a0% of the latents", "sae.auxk"),
    ({"sae/correlation/untrained": 0.4933}, {"sae/correlation/untrained": 0.49}, "r 0.493 against 0.493", "sae.sweep"),
    ({"labels/failed": 25}, {"labels/failed": 24}, "25 of 2,430", "labels.parquet"),
    ({"scores/failed": 223}, {"scores/failed": 222}, "223 of 22,222", "verdicts.parquet"),
    (
        {"scores/failed": 223},
        {"scores/failed": 223, "scores/reused": 100},  # failures of reused verdicts count as well
        "223 of 22,222",
        "verdicts.parquet",
    ),
    ({"scores/judge_auc": 0.599}, {"scores/judge_auc": 0.6}, "AUC is 0.599", "llm.model"),
    ({"scores/calibration/error": 0.11}, {"scores/calibration/error": 0.1}, "off by 0.110", "scores.score_cases"),
    ({"concepts/scored": 0}, {"concepts/scored": 9}, "0 are in the dictionary", "concepts.parquet"),
    (
        {"concepts/shuffled_interpretable": 4},
        {"concepts/shuffled_interpretable": 3},
        "4 latents are interpretable",
        "Do not use",
    ),
    (
        {"steering/latents": 12, "steering/above_null": 0},
        {"steering/latents": 12, "steering/above_null": 1},
        "12 latents were steered",
        "steering.strengths",
    ),
]


@pytest.mark.parametrize(("past", "short", "figure", "advice"), CASES)
def test_each_warning_appears_past_its_bound_alone(
    tmp_path: Path, past: dict[str, Any], short: dict[str, Any], figure: str, advice: str
) -> None:
    (one,) = warned(tmp_path, past)
    assert figure in one.message and advice in one.remedy
    assert warned(tmp_path, short) == ()


def test_every_config_key_in_a_remedy_exists(tmp_path: Path) -> None:
    changes = {path: value for past, *_ in CASES for path, value in past.items()}
    cautions = warned(tmp_path, changes, {"data": {"columns": {"timestamp": ""}}})
    named = {key for one in cautions for key in re.findall(r"\b[a-z]+(?:\.[a-z_]+)+\b", one.remedy)}
    named = {key for key in named if not key.endswith(".parquet")}
    assert len(named) > 10
    for key in named:
        held: Any = Config(name="demo")
        for part in key.split("."):
            assert part in type(held).model_fields, key
            held = getattr(held, part)


@pytest.mark.parametrize(
    ("data", "warns"),
    [
        ({"columns": {"timestamp": ""}}, True),
        ({}, False),
        ({"columns": {"timestamp": ""}, "list_separator": " "}, False),
        ({"columns": {"timestamp": ""}, "format": "movielens", "path": "a"}, False),
    ],
)
def test_missing_timestamps_warn(tmp_path: Path, data: dict[str, Any], warns: bool) -> None:
    found = warned(tmp_path, {}, {"data": data})
    assert ["90,274 events have no timestamps" in one.message for one in found] == [True] * warns


@pytest.mark.parametrize(
    ("changes", "settings"),
    [({"recommender/start": "warm"}, {}), ({}, {"recommender": {"decay": 0.5}}), ({"recommender/epochs": 0}, {})],
)
def test_a_best_last_epoch_by_design_does_not_warn(
    tmp_path: Path, changes: dict[str, Any], settings: dict[str, Any]
) -> None:
    best = changes.get("recommender/epochs", 22)
    assert warned(tmp_path, {"recommender/best_epoch": best, **changes}, settings) == ()


def test_missing_scores_warn_once(tmp_path: Path) -> None:
    nothing = {"concepts/scored": 0, "concepts/interpretable": 0, "concepts/shuffled_interpretable": 0}
    assert len(warned(tmp_path, nothing)) == 1


def test_missing_metrics_never_warn(tmp_path: Path) -> None:
    assert about_warnings(Config(name="demo"), {}) == ()
    assert about_warnings(Config(name="demo"), committed(Folder(str(tmp_path)), {}, {})) == ()


@pytest.mark.parametrize("odd", [None, "much", [], {}, True, float("nan"), float("inf")])
def test_non_numeric_metrics_never_warn(tmp_path: Path, odd: Any) -> None:
    for past, *_ in CASES:
        for path in past:
            assert warned(tmp_path, {path: odd}) == (), path


def section(root: Path, metrics: dict[str, dict[str, Any]]) -> str:
    text = make_report(root, hostile_table(), metrics)
    return text[text.index('<section id="warnings"') : text.index('<section id="confidence"')]


def test_the_page_lists_warnings_or_says_that_there_are_none(tmp_path: Path) -> None:
    quiet = section(tmp_path / "quiet", METRICS)
    assert "No warnings" in quiet and "<li>" not in quiet
    loud = section(tmp_path / "loud", METRICS | {"sae": METRICS["sae"] | {"fvu": 0.45, "dead_share": 0.75}})
    assert loud.count("<li>") == 2 and "FVU is 0.450" in loud and "No warnings" not in loud


def test_the_words_of_a_warning_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from recsae.report import stage

    monkeypatch.setattr(stage, "about_warnings", lambda *_: (Caution(HOSTILE[0], HOSTILE[1]),))
    text = section(tmp_path, METRICS)
    assert "<img" not in text and "<script" not in text and "&lt;" in text
