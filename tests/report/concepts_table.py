"""A made-up dictionary in the schema of the contract, hostile where a catalogue can be."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pyarrow as pa

from recsae.schemas.base import conform
from recsae.schemas.concepts import CONCEPTS

HOSTILE = (
    "</script><script>alert(1)</script>",
    '<img src=x onerror="alert(2)">',
    "<!--<script>",
    "{{ config.name }} [bold]not bold[/bold] &amp;",
    "\u202egnirts eht snrut\u202c \u05e9\u05dc\u05d5\u05dd",
    "null\x00, escape\x1b[31m, bell\x07",
    "line\u2028paragraph\u2029end",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467, Amélie",
)
WORDS = ("noir", "space opera", "courtroom drama", "animated musical", "heist", "slasher", "road trip", "war epic")


def concept_row(latent: int, **values: Any) -> dict[str, Any]:
    """One row; what is not given is null or plain."""
    row: dict[str, Any] = {field.name: None for field in CONCEPTS}
    row |= {
        "latent": latent,
        "stable_id": f"c-{latent}",
        "name": f"concept {latent}",
        "terms": ["drama"],
        "kind": "unexplained",
        "words": f"recommends concept {latent}",
        "judge_name": f"concept {latent}",
        "judge_source": "terms",
        "judge_status": "ok",
        "view": "recommended",
        "interpretable": False,
        "group_size": 1,
        "meanings": [],
        "frequency": 0.01,
        "activations": 120,
        "maximum": 3.5,
        "top_items": ["Heat (1995)"],
        "top_item_ids": ["6"],
        "evidence_hash": "0" * 16,
        "status": "ok",
        "model": "smollm2-135m",
        "prompt_version": "1",
        "fingerprints": [("sae", "abc")],
    }
    row |= values
    if row["interpretable"] and "kind" not in values:
        row["kind"] = "formula"
    return row


def concepts_table(rows: list[dict[str, Any]]) -> pa.Table:
    return conform(pa.Table.from_pylist(rows, schema=CONCEPTS), CONCEPTS)


def hostile_table() -> pa.Table:
    """Every hostile text as name, term, description and title; the first row has no score, another no interval."""
    unnamed: dict[str, Any] = dict.fromkeys(("name", "words", "judge_name", "judge_source"))
    rows = [concept_row(0, **unnamed, status="no evidence", terms=[], top_items=[], top_item_ids=[])]
    for latent, text in enumerate(HOSTILE, start=1):
        scores = {"confidence": 0.75, "confidence_lower": 0.6, "confidence_upper": 0.9, "confidence_shuffled": 0.5}
        said = (
            "name",
            "words",
            "gloss",
            "caption",
            "description",
            "judge_name",
            "group_name",
            "promotes",
            "holds_down",
        )
        texts: dict[str, Any] = dict.fromkeys(said, text)
        texts |= {"terms": [text], "top_items": [text], "top_item_ids": [text]}
        texts |= {"group": 1, "group_size": len(HOSTILE), "polysemantic": True, "meanings": [text, text]}
        rows.append(concept_row(latent, interpretable=latent % 2 == 0, judge_source="model", **scores, **texts))
    rows[-2] |= {"confidence_lower": None, "confidence_upper": None, "status": "too few cases"}
    return concepts_table(rows)


def made_up_table(size: int, bar: float, seed: int = 0) -> pa.Table:
    """A dictionary of `size` rows as a run might leave it."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    first: dict[str, int] = {}
    for latent in range(size):
        if draw.random() < 0.04:
            rows.append(concept_row(latent, name=None, words=None, judge_name=None, status="too few cases", terms=[]))
            continue
        confidence = round(32 * min(max(draw.gauss(0.7, 0.12), 0.2), 1)) / 32
        lower, upper = max(confidence - 0.12, 0), min(confidence + 0.1, 1)
        name = " ".join(draw.sample(WORDS, draw.choice((1, 1, 2))))
        rows.append(
            concept_row(
                latent,
                name=name,
                kind=draw.choice(("formula", "item set")) if lower > bar else "unexplained",
                words=f"recommends {name}",
                description=f"Films of the kind {name}, mostly of the nineties, that the model ranks first.",
                judge_name=name,
                judge_source=draw.choice(("terms", "model")),
                terms=draw.sample(WORDS, 2),
                interpretable=lower > bar,
                confidence=confidence,
                confidence_lower=lower,
                confidence_upper=upper,
                judge_confidence=confidence,
                judge_expected=0.6 + 0.7 * (confidence - 0.6),
                judge_shuffled=0.5,
                unseen_confidence=draw.uniform(0.5, 1),
                confidence_shuffled=round(32 * min(max(draw.gauss(0.5, 0.07), 0), 1)) / 32,
                precision=draw.uniform(0.5, 1),
                recall=draw.uniform(0.4, 1),
                f1=draw.uniform(0.4, 1),
                judge_auc=draw.uniform(0.4, 1),
                tp=12,
                fp=3,
                tn=13,
                fn=4,
                near_miss_rate=draw.random(),
                near_direction_rate=draw.random(),
                held_out_confidence=draw.uniform(0.4, 1),
                held_out_precision=draw.random(),
                held_out_recall=draw.random(),
                recsae_confidence=draw.choice((None, 0.7, 0.9)),
                recsae_recall=0.8,
                recsae_true_negative_rate=0.6,
                group=first.setdefault(name, latent),
                group_name=name,
                polysemantic=latent % 9 == 0,
                meanings=draw.sample(WORDS, 2) if latent % 9 == 0 else [],
                coherence=draw.random(),
                attribute_confidence=draw.choice((None, draw.uniform(0.4, 1))),
                attribute_confidence_shuffled=0.5,
                attribute_auc=0.8,
                frequency=10 ** draw.uniform(-4, -1),
                top_items=[f"{draw.choice(WORDS).title()} {draw.randrange(90)}, The ({1960 + i})" for i in range(8)],
                top_item_ids=[str(draw.randrange(9999)) for _ in range(8)],
            )
        )
    sizes = Counter(row["group"] for row in rows)
    for row in rows:
        row["group_size"] = sizes[row["group"]] if row["group"] is not None else 1
    return concepts_table(rows)
