"""One row for every alive latent, in one class each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from recsae.config.schema import Config
from recsae.dictionary.columns import CAUSAL, JUDGED, causal_columns
from recsae.dictionary.stage import summary, write_dictionary
from recsae.schemas.concepts import EVIDENCE, LATENT_ITEMS, LATENT_STATS, NOT_ASKED, SCORES
from recsae.schemas.steering import STEERING
from recsae.scores import stage as scoring
from recsae.statements.language import FreeText, from_json
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.concepts.worlds import (
    coherent,
    firing,
    genres,
    items_by_concept,
    labels_of,
    latents_by_concept,
    matches,
    run_stage,
    statements_of,
    term,
)
from tests.conftest import N_CONCEPTS, Commit
from tests.scores.fakes import FakePool


def steering_row(latent: int, strength: float | None, number: float = 0, part: str = "score") -> dict[str, Any]:
    """A row of `steering` whose values all differ; without a strength the latent is ablated."""
    figures = {field.name: number + place for place, field in enumerate(STEERING) if field.type == pa.float64()}
    operation = "add" if strength is not None else "ablate"
    names = {"part": part, "latent": latent, "concept": "", "operation": operation, "users": 1, "cases": 1}
    return {**figures, **names, "strength": strength, "side_concept": None}


def steering(commit: Commit, rows: Sequence[dict[str, Any]] = ()) -> Committed:
    def write(out: Attempt) -> Metrics:
        out.write_table("steering.parquet", pa.Table.from_pylist(list(rows), STEERING), STEERING)
        return {}

    return commit("steering", write)


def dictionary(
    commit: Commit, config: Config, inputs: dict[str, Committed], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[dict[str, Any]], Committed]:
    ingested = inputs["ingest"]
    found = {
        "matching": matches(commit),
        "steering": steering(commit),
        "statistics": coherent(commit),
        "statements": statements_of(commit, ingested, {n: term(genre) for n, genre in enumerate(genres(ingested))}),
        **inputs,
        **firing(commit, ingested),
    }
    found["scores"] = run_stage(commit, scoring, scoring.score_concepts, config, found, FakePool(), monkeypatch)
    done = commit("concepts", lambda out: write_dictionary(config, found, out))
    return done.read_table("concepts.parquet").to_pylist(), done


def test_every_latent_is_in_one_class_with_what_its_judge_says(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The language model is asked about three of five latents; it accepts the free text, and the exact judge decides
    the others."""
    names = genres(ingested)
    told = {0: term(names[0]), 1: term(names[1], "last"), 2: term(names[3]), 3: None, 4: term(names[0])}
    contestants = [(0, term(names[0]), 0.88), (0, term(names[1], "last"), 0.6)]
    statements = statements_of(commit, ingested, told, doubted=[2], contestants=contestants, effects={0: 0.6})
    labels = labels_of(commit, ingested, {0: [names[0]], 1: [f"-{names[1]}"], 2: [f"{names[2]} films"]})
    evidence = latents_by_concept(commit, ingested, 5)
    inputs = {"ingest": ingested, "evidence": evidence, "labels": labels, "statements": statements}
    inputs |= {"matching": matches(commit, 5), "statistics": coherent(commit, 5)}
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["kind"] for row in rows] == ["formula", "formula", "free text", "unexplained", "formula"]
    assert [row["interpretable"] for row in rows] == [True, True, True, False, True]
    called = [row["name"] for row in rows]
    assert called[0].startswith(f"{names[0]}: ") and called[1:4] == [names[1], f"{names[2]} films", None]
    assert [row["group"] for row in rows] == [0, 1, 2, None, 0] and rows[4]["group_name"] == names[0]
    assert [row["group_size"] for row in rows] == [2, 1, 1, 0, 2] and len(set(called)) == 5
    assert [from_json(rows[n]["statement"]) for n in (0, 1, 4)] == [told[0], told[1], told[4]]
    assert rows[1]["words"] == f"after {names[1]}" and rows[1]["statement_view"] == "last"
    assert from_json(rows[2]["statement"]).body == FreeText(text=f"{names[2]} films") == FreeText(text=rows[2]["words"])
    assert [row["terms"] for row in rows] == [[names[0]], [names[1]], [], [], [names[0]]]
    assert [row["confidence"] for row in rows] == [0.9, 0.89, None, None, 0.86]
    assert (rows[0]["confidence_shuffled"], rows[0]["unseen_confidence"], rows[0]["tp"]) == (0.5, 0.75, 8)
    assert [row["promotes"] for row in rows] == [names[0], None, None, None, None]
    assert (rows[0]["effect_confidence"], rows[0]["agrees"]) == (0.6, False)
    assert [row["term_confidence"] for row in rows] == [0.88, None, None, None, None]
    assert [row["judge_name"] for row in rows] == [names[0], None, f"{names[2]} films", None, None]
    assert rows[0]["judge_confidence"] > 0.9 > 0.6 > rows[0]["judge_shuffled"] and rows[2]["judge_lower"] > 0.6
    no_candidate = "no candidate could be judged on select users"
    assert [row["judge_status"] for row in rows] == ["ok", no_candidate, "ok", NOT_ASKED, NOT_ASKED]
    assert rows[3]["status"] == "none" and rows[0]["status"] == "ok"
    for row in rows:
        assert row["coherence"] == row["latent"] / 100 and row["stable_id"] == f"c-{row['latent']}"
        assert len(row["top_items"]) == len(row["top_item_ids"]) == 2 and row["drift"] is None
        assert dict(row["fingerprints"])["statements"] == statements.fingerprint
        assert [row[name] for name in CAUSAL] == [None] * len(CAUSAL)
    found = done.metrics
    kinds = {kind: count for kind, count in found["kinds"].items() if count}
    assert kinds == {"formula": 3, "free text": 1, "unexplained": 1}
    assert sum(found["kinds"].values()) == found["latents"] == 5 and found["interpretable"] == 4
    assert (found["scored"], found["asked"], found["judged"], found["judge_accepted"]) == (3, 3, 2, 2)
    assert (found["at_0.7"], found["at_0.8"], found["at_0.9"], found["statements"], found["groups"]) == (3, 3, 1, 3, 3)
    assert summary(found) == (
        "4 of 5 latents interpretable (3 formula, 1 free text); 1 of 5 shuffled controls pass the same bar; "
        "the language model accepts 2 of 2 names that it judged"
    )


def test_without_score_users_neither_judge_decides(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = genres(ingested)
    few = latents_by_concept(commit, ingested, parts=("explain", "select"))
    labels = labels_of(commit, ingested, {0: ["Free"], 1: [names[1]]})
    statements = statements_of(commit, ingested, dict.fromkeys(range(N_CONCEPTS)))
    inputs = {"ingest": ingested, "evidence": few, "labels": labels, "statements": statements}
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert {row["kind"] for row in rows} == {"unexplained"} and not any(row["interpretable"] for row in rows)
    assert rows[1]["judge_status"] == "too few cases of score users" and rows[1]["judge_confidence"] is None
    assert done.metrics["interpretable"] == 0 and done.metrics["judge_bar"] is None


def test_captions_that_hold_are_in_the_dictionary(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = {0: ("It is so.", True), 1: ("No.", False)}
    labels = labels_of(commit, ingested, {0: [genres(ingested)[0]]}, captions)
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested), "labels": labels}
    rows, _ = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["caption"] for row in rows] == ["It is so.", None, None, None]


def test_a_latent_of_two_concepts_is_marked(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latent 0 fires for items of concepts 0 and 1 alternately, the others for one concept each."""
    names, items = genres(ingested), items_by_concept(ingested)
    table = latents_by_concept(commit, ingested).read_table("evidence.parquet")
    rows = table.to_pylist()
    for row in rows:
        if row["latent"] == 0 and row["role"] in ("top", "level"):
            row["top_idx"] = int(items[row["rank"] % 2][row["rank"] % len(items[0])])
    made = latents_by_concept(commit, ingested)
    stats, own_items = made.read_table("latent_stats.parquet"), made.read_table("latent_items.parquet")

    def write(out: Attempt) -> Metrics:
        out.write_table("evidence.parquet", pa.Table.from_pylist(rows, EVIDENCE), EVIDENCE)
        out.write_table("latent_stats.parquet", stats, LATENT_STATS)
        out.write_table("latent_items.parquet", own_items, LATENT_ITEMS)
        return {}

    labels = {0: [names[0], names[1]], **{latent: [names[latent], names[0]] for latent in range(1, N_CONCEPTS)}}
    inputs = {"ingest": ingested, "evidence": commit("evidence", write), "labels": labels_of(commit, ingested, labels)}
    found, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert [row["polysemantic"] for row in found] == [True, False, False, False]
    assert found[0]["meanings"] == names[:2] and done.metrics["polysemantic"] == 1


def test_every_score_is_in_its_column(commit: Commit, ingested: Committed, planted_config: Config) -> None:
    """Rows whose values all differ, including rows on select users, which no column reads."""
    figures = ("precision", "recall", "f1", "auc", "confidence", "lower", "upper", "expected", "near_miss_rate")
    columns = (*figures, "near_direction_rate")
    judged = [
        (judge, control) for judge in ("llm", "attributes", "held_out", "recsae") for control in ("none", "shuffled")
    ]
    rows = []
    for number, (part, (judge, control)) in enumerate((part, one) for part in ("score", "select") for one in judged):
        values = {name: number / 16 + place / 1000 for place, name in enumerate(columns)}
        counts = {"tp": number + 1, "fp": 1, "tn": 3, "fn": number + 2}
        names = {"latent": 0, "candidate": 0, "concept": "", "part": part, "judge": judge, "control": control}
        rows.append({**names, **counts, **values, "centre": None})
    labels = labels_of(commit, ingested, {0: [genres(ingested)[0]]})

    def write(out: Attempt) -> Metrics:
        out.write_table("scores.parquet", pa.Table.from_pylist(rows, SCORES), SCORES)
        return {}

    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested), "labels": labels}
    inputs |= {"scores": commit("scores", write), "statistics": coherent(commit), "steering": steering(commit)}
    inputs |= {"matching": matches(commit), "statements": statements_of(commit, ingested, dict.fromkeys(range(4)))}
    done = commit("concepts", lambda out: write_dictionary(planted_config, inputs, out))
    found = done.read_table("concepts.parquet").to_pylist()[0]
    by_name = {(row["judge"], row["control"]): row for row in rows if row["part"] == "score"}
    for column, (judge, control, name) in {
        **{f"judge_{name}": ("llm", "none", name) for name in JUDGED},
        "judge_shuffled": ("llm", "shuffled", "confidence"),
        "near_miss_rate": ("llm", "none", "near_miss_rate"),
        "near_direction_rate": ("llm", "none", "near_direction_rate"),
        "attribute_confidence": ("attributes", "none", "confidence"),
        "attribute_confidence_shuffled": ("attributes", "shuffled", "confidence"),
        "attribute_auc": ("attributes", "none", "auc"),
        "held_out_confidence": ("held_out", "none", "confidence"),
        "held_out_precision": ("held_out", "none", "precision"),
        "held_out_recall": ("held_out", "none", "recall"),
        "recsae_confidence": ("recsae", "none", "confidence"),
        "recsae_recall": ("recsae", "none", "recall"),
    }.items():
        assert found[column] == by_name[judge, control][name], column
    assert found["recsae_true_negative_rate"] == 3 / 4


def test_the_effect_of_steering_is_in_the_latents_row(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the reference strength, on score users; latent 3 is not steered."""
    reference = planted_config.steering.reference
    rows = [
        *(steering_row(latent, reference, 100 * (1 + latent)) for latent in (2, 0, 1)),
        *(steering_row(0, strength, 1000) for strength in (-reference, 2 * reference)),
        steering_row(0, None, 2000),
        *(steering_row(0, strength, 3000, "select") for strength in (reference, None)),
    ]
    labels = labels_of(commit, ingested, {latent: [name] for latent, name in enumerate(genres(ingested))})
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested), "labels": labels}
    found, _ = dictionary(commit, planted_config, inputs | {"steering": steering(commit, rows)}, monkeypatch)
    sources = {
        "causal": "share_change",
        "causal_lower": "share_lower",
        "causal_upper": "share_upper",
        "causal_null": "null_upper",
        "causal_probe": "probe_share_change",
    }
    for latent in range(3):
        assert {name: found[latent][name] for name in sources} == {
            name: steering_row(latent, reference, 100 * (1 + latent))[column] for name, column in sources.items()
        }
    assert found[0]["causal_ablation"] == steering_row(0, None, 2000)["share_change"]
    assert found[1]["causal_ablation"] is found[2]["causal_ablation"] is None
    assert [found[3][name] for name in CAUSAL] == [None] * 6
    assert "steering" in dict(found[0]["fingerprints"])


def test_the_items_side_has_no_probe_and_row_order_does_not_matter() -> None:
    scaled = steering_row(5, 0.25, 10) | {"operation": "scale", "probe_share_change": None}
    rows = [scaled, steering_row(5, None, 20), steering_row(5, 0.5, 30), steering_row(5, 0.25, 40, "select")]
    found = causal_columns(rows, 0.25)
    assert found == causal_columns(rows[::-1], 0.25) and list(found) == [5]
    assert found[5]["causal"] == scaled["share_change"] and found[5]["causal_probe"] is None
    assert found[5]["causal_ablation"] == rows[1]["share_change"]
    assert causal_columns([], 0.25) == {}


def test_without_alive_latents_the_dictionary_is_empty(
    commit: Commit, ingested: Committed, planted_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"ingest": ingested, "evidence": latents_by_concept(commit, ingested, 0)}
    inputs |= {"labels": labels_of(commit, ingested, {}), "statements": statements_of(commit, ingested, {})}
    rows, done = dictionary(commit, planted_config, inputs, monkeypatch)
    assert rows == [] and done.metrics["interpretable"] == 0
