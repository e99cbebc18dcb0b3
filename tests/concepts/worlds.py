"""Evidence with known concepts over the shared planted catalogue, and stages run with a fake engine pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.distributed import tasks
from recsae.sae import model
from recsae.schemas.base import NEAR_DIRECTION, NEAR_MISS, PARTS, activations
from recsae.schemas.concepts import CAPTIONS, COHERENCE, EVIDENCE, LABELS, LATENT_ITEMS, LATENT_STATS, VERDICTS
from recsae.schemas.nightly import LABELLED, MATCHES
from recsae.schemas.statements import EFFECTS, STATEMENT_SCORES, STATEMENTS
from recsae.statements import features
from recsae.statements.choice import contestant
from recsae.statements.language import Formula, Statement, Term, View
from recsae.statements.wording import in_words
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.conftest import N_CONCEPTS, Commit
from tests.sae import fake_ray
from tests.sae.fake_ray import Task
from tests.scores.fakes import FakePool

ROLES = ("top", "level", "random", "popularity", NEAR_MISS, NEAR_DIRECTION)


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
    moved: int = 0,
) -> Committed:
    """Latent l fires at items of concept l, each case of its own user; non-activating cases have other concepts.

    `elsewhere`: in select and score parts it fires at the next concept instead. `moved`: its strongest items are those
    of so many concepts further on.
    """
    concepts = items_by_concept(ingested)
    draw = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for latent in range(n_latents):
        for part in parts:
            own = (latent + (elsewhere and part != "explain")) % len(concepts)
            others = np.concatenate([items for place, items in enumerate(concepts) if place != own])
            user = 1000 * PARTS.index(part)
            for role in ROLES:
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
        items = [
            dict.fromkeys(LATENT_ITEMS.names, 0) | {"latent": latent, "item_idx": int(item), "rank_strength": rank}
            for latent in range(n_latents)
            for rank, item in enumerate(concepts[(latent + moved) % len(concepts)])
        ]
        out.write_table("latent_items.parquet", pa.Table.from_pylist(items, LATENT_ITEMS), LATENT_ITEMS)
        return {}

    return commit("evidence", write)


def matches(commit: Commit, n_latents: int = N_CONCEPTS, stable_ids: Sequence[str] | None = None) -> Committed:
    """Latent l is called `c-l`, or as `stable_ids` says."""
    rows = [
        dict.fromkeys(MATCHES.names)
        | {"latent": latent, "stable_id": stable_ids[latent] if stable_ids else f"c-{latent}", "similarity": 0.9}
        for latent in range(n_latents)
    ]

    def write(out: Attempt) -> Metrics:
        out.write_table("matches.parquet", pa.Table.from_pylist(rows, MATCHES), MATCHES)
        return {}

    return commit("matching", write)


def labels_of(
    commit: Commit,
    ingested: Committed,
    candidates: dict[int, list[str]],
    captions: Mapping[int, tuple[str, bool]] | None = None,
) -> Committed:
    """Candidates of each latent, all finalists but those that begin with `-`; genres are terms, all else is free.

    `captions` holds captions, and whether they are kept.
    """
    known = set(genres(ingested))
    rows = [
        {
            "latent": latent, "candidate": number, "concept": text.removeprefix("-"), "description": None,
            "source": "terms" if text.removeprefix("-") in known else "model",
            "terms": [text.removeprefix("-")] if text.removeprefix("-") in known else [],
            "view": "recommended", "prompt_version": "1", "model": "m", "support": None, "tfidf": None, "lift": None,
            "pmi": None, "finalist": text[0] != "-", "status": "ok",
        }
        for latent, texts in candidates.items()
        for number, text in enumerate(texts)
    ]  # fmt: skip

    def write(out: Attempt) -> Metrics:
        out.write_table("labels.parquet", pa.Table.from_pylist(rows, LABELS), LABELS)
        labelled = [
            {"latent": latent, "stable_id": f"c-{latent}", "items": [], "jaccard": 1.0, "carried": False}
            for latent in candidates
        ]
        out.write_table("labelled.parquet", pa.Table.from_pylist(labelled, LABELLED), LABELLED)
        out.write_table("verdicts.parquet", VERDICTS.empty_table(), VERDICTS)
        sentences = [
            dict.fromkeys(CAPTIONS.names) | {"latent": latent, "caption": text, "status": "ok", "kept": kept}
            for latent, (text, kept) in (captions or {}).items()
        ]
        out.write_table("captions.parquet", pa.Table.from_pylist(sentences, CAPTIONS), CAPTIONS)
        return {"model": "m", "prompt_version": "1"}

    return commit("labels", write)


def term(name: str, view: View = "recommended") -> Statement:
    """The statement that an item of the view has the term."""
    return Statement(view=view, body=Formula(literal=Term(term=name)), min_share=0.5 if view == "history" else None)


def promoting(effects: Mapping[int, float], name: str) -> list[dict[str, Any]]:
    """Rows of EFFECTS: each latent promotes items with the term, described with this confidence."""
    said = {"promotes": name, "promotes_statement": term(name).to_json(), "agrees": False}
    return [
        dict.fromkeys(EFFECTS.names) | said | {"latent": latent, "effect_confidence": confidence}
        for latent, confidence in effects.items()
    ]


def statements_of(
    commit: Commit,
    ingested: Committed,
    found: Mapping[int, Statement | None],
    *,
    doubted: Sequence[int] = (),
    contestants: Sequence[tuple[int, Statement, float]] = (),
    effects: Mapping[int, float] | None = None,
) -> Committed:
    """The stage `statements`: the statement of each latent, accepted but for the `doubted` ones.

    `contestants` holds latent, statement and confidence. The recommender's vectors are one axis a genre.
    """
    catalogue = Catalogue.read(ingested)
    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    measured = {"tp": 8, "fp": 2, "tn": 80, "fn": 2, "precision": 0.8, "recall": 0.8, "f1": 0.8}
    rows: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    for latent, statement in found.items():
        row: dict[str, Any] = dict.fromkeys(STATEMENTS.names) | {"latent": latent, "accepted": False, "status": "none"}
        if statement is not None:
            confidence = 0.9 - latent / 100
            row |= measured | {
                "kind": statement.kind, "view": statement.view, "statement": statement.to_json(),
                "words": in_words(statement, titles), "accepted": latent not in doubted, "status": "ok",
                "confidence": confidence, "lower": confidence - 0.1, "upper": confidence + 0.1, "p_value": 0.001,
                "unseen_confidence": 0.75, "shuffled_confidence": 0.5,
            }  # fmt: skip
        rows.append(row)
    for latent, statement, confidence in contestants:
        kind = contestant(statement)
        names = {"latent": latent, "role": "contestant", "kind": kind, "view": statement.view}
        more = {"statement": statement.to_json(), "passes": True, "confidence": confidence}
        scored.append(dict.fromkeys(STATEMENT_SCORES.names) | measured | names | more)
    genre = genres(ingested)
    axis_I = [genre.index(held["genres"][0]) for held in catalogue.attributes]

    def write(out: Attempt) -> Metrics:
        out.write_table("statements.parquet", pa.Table.from_pylist(rows, STATEMENTS), STATEMENTS)
        out.write_table("statement_scores.parquet", pa.Table.from_pylist(scored, STATEMENT_SCORES), STATEMENT_SCORES)
        features.write_spaces({"recommender": np.eye(len(genre), dtype=np.float32)[axis_I]}, catalogue, out)
        if effects is not None:
            out.write_table("effects.parquet", pa.Table.from_pylist(promoting(effects, genre[0]), EFFECTS), EFFECTS)
        return {"bar": 0.6, "shuffled": len(rows), "shuffled_accepted": 1}

    return commit("statements", write)


def firing(commit: Commit, ingested: Committed, n_latents: int = N_CONCEPTS) -> dict[str, Committed]:
    """Activations and an SAE in which latent l fires, at level 10, where the recommended item is of concept l.

    Every item is recommended to users of each part in turn, on two shards.
    """
    concepts = items_by_concept(ingested)
    width = len(concepts)
    concept = {int(item): number for number, items in enumerate(concepts) for item in items}
    items = np.array(sorted(concept), dtype=np.int32)
    top = np.repeat(items, 2 * len(PARTS))
    vectors = np.eye(width, dtype=np.float32)[[concept[int(item)] for item in top]]
    table = pa.table(
        {
            "case_id": np.arange(len(top)), "user_idx": np.arange(len(top)), "position": np.ones(len(top), np.int32),
            "item_idx": np.zeros(len(top), np.int32), "top_idx": top,
            "part": (np.arange(len(top)) % len(PARTS)).astype(np.int8), "activation": shards.column(vectors),
        }
    )  # fmt: skip
    sae = model.Sae(width, n_latents, "relu")
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(width)[torch.arange(n_latents) % width])

    def write(out: Attempt) -> Metrics:
        middle = len(top) // 2
        for name, part in (("shards/0.arrow", table[:middle]), ("shards/1.arrow", table[middle:])):
            shards.write(out.data, name, part, activations(width))
        return {}

    def write_sae(out: Attempt) -> Metrics:
        model.save(out.data.child("model"), sae)
        return {}

    return {"activations": commit("activations", write), "sae": commit("sae", write_sae)}


def coherent(commit: Commit, n_latents: int = N_CONCEPTS) -> Committed:
    """The stage `statistics`, with the tables that the dictionary reads: latent l is l hundredths coherent."""
    rows = [
        {"code": code, "latent": latent, "within": latent / 100 + (code != "sae")}
        for code in ("sae", "untrained")
        for latent in range(n_latents)
    ]

    def write(out: Attempt) -> Metrics:
        out.write_table("coherence.parquet", pa.Table.from_pylist(rows, COHERENCE), COHERENCE)
        return {}

    return commit("statistics", write)


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the pass over the shards in this process."""
    if not isinstance(tasks._call, Task):
        fake_ray.without_ray(monkeypatch)


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
    without_ray(monkeypatch)
    found = {"matching": matches(commit, 64), "statements": statements_of(commit, inputs["ingest"], {}), **inputs}
    return commit(stage.__name__, lambda out: stage(config, found, out))
