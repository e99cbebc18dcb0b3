"""A served night of known tables, without running a stage: eight genres, a latent for each, and one that shares the
first one's concept. Latent l fires at items of genre l, the judge is right but where it is said, and item 0 has a title
that neither a terminal nor a page may obey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsae.config.schema import Config
from recsae.schemas.base import (
    CASES,
    INTERACTIONS,
    ITEMS,
    NEAR_DIRECTION,
    NEAR_MISS,
    PARTS,
    SPLITS,
    USERS,
    required,
    table_schema,
)
from recsae.schemas.concepts import (
    ATTRIBUTE_STATS,
    CONCEPTS,
    EVIDENCE,
    ITEM_LATENTS,
    LABELS,
    LATENT_ITEMS,
    LEVELS,
    SCORES,
    VERDICTS,
)
from recsae.schemas.statements import STATEMENT_SCORES
from recsae.schemas.steering import STEERING
from recsae.statements import features
from recsae.statements.language import Formula, Statement, Term
from recsae.store.nights import Night, Record
from recsae.store.run_store import Attempt, RunStore
from tests.report.concepts_table import concept_row
from tests.report.made_tables import step_row

GENRES = ("Western", "Noir", "Comedy", "War", "Horror", "Musical", "Romance", "Documentary")
HOSTILE = "</script><script>alert(1)</script>\x1b[31m\u202e"
N_ITEMS, N_USERS, EVENTS = 40, 60, 12
LATENTS = range(len(GENRES) + 1)
TARGET = 39
"""The item that every user ends with; no case has it before it."""
WRONG = {("Noir", 1), ("War", 4)}
"""Pairs in which the judge is wrong."""
Rows = list[dict[str, Any]]
VECTORS = table_schema("item_vectors", 1, required("item_id", pa.string()))


def config_at(root: Path, **probe: str) -> Config:
    return Config.model_validate({"name": "shop", "store": {"root": str(root)}, "probe": probe})


def genre(latent: int) -> str:
    return GENRES[latent % len(GENRES)]


def items() -> Rows:
    return [
        {
            "item_idx": item,
            "item_id": f"i{item:02d}",
            "title": HOSTILE if item == 0 else f"Film {item:02d}",
            "attributes": [{"name": "genres", "value": genre(item)}],
            "popularity": 100 - item,
        }
        for item in range(N_ITEMS)
    ]


def users() -> Rows:
    return [
        {
            "user_idx": user,
            "user_id": f"user-{user:02d}",
            "part": PARTS[user % 3],
            "events": EVENTS,
            "attributes": [{"name": "country", "value": "Chile"}],
        }
        for user in range(N_USERS)
    ]


def events(split: str) -> Rows:
    """The last one tests, the one before validates."""
    places = {"train": range(EVENTS - 2), "validation": [EVENTS - 2], "test": [EVENTS - 1]}[split]
    return [
        {
            "user_idx": user,
            "position": place,
            "item_idx": TARGET if place == EVENTS - 1 else (7 * user + 3 * place) % (N_ITEMS - 1),
            "timestamp": 1000 + place,
            "weight": 1.0,
        }
        for user in range(N_USERS)
        for place in places
    ]


ROLES = {"top": 4, "level": 4, "random": 4, "popularity": 4, NEAR_MISS: 2, NEAR_DIRECTION: 2}


def evidence() -> Rows:
    """Cases at position 5; those of a latent and part are of different items where there are enough."""
    rows: Rows = []
    for latent in LATENTS:
        own = [item for item in range(N_ITEMS) if item % len(GENRES) == latent % len(GENRES)]
        others = [item for item in range(N_ITEMS) if item not in own]
        for number, part in enumerate(PARTS):
            for role, count in ROLES.items():
                active = role in ("top", "level")
                for rank in range(count):
                    place = rank + 4 * (role in ("level", "popularity")) + 8 * (role in (NEAR_MISS, NEAR_DIRECTION))
                    item = own[place % len(own)] if active else others[(3 * place + latent) % len(others)]
                    user = 3 * ((5 * latent + place + 3 * active) % (N_USERS // 3)) + number
                    rows.append(
                        {
                            "latent": latent, "part": part, "role": role, "rank": rank, "case_id": 1000 * user + 5,
                            "user_idx": user, "position": 5, "item_idx": (7 * user + 12) % (N_ITEMS - 1),
                            "top_idx": item, "activation": (9.0 - place) if active else 0.0,
                            "level": (10 - place) if active else 0,
                        }
                    )  # fmt: skip
    return rows


def latent_items() -> Rows:
    found: Rows = []
    for latent in LATENTS:
        for rank, item in enumerate(range(latent % len(GENRES), TARGET, len(GENRES))):
            found.append(
                {
                    "latent": latent, "item_idx": item, "activations": 50 - rank, "strength": 70.0 + rank, "lift": 8.0,
                    "rank_activations": rank, "rank_strength": 4 - rank, "rank_lift": rank if rank < 2 else None,
                }
            )  # fmt: skip
    return found


def item_latents() -> Rows:
    return [
        {"item_idx": item, "latent": item % len(GENRES), "rank": 0, "activations": 50, "strength": 70.0}
        for item in range(N_ITEMS - 1)
    ]


def concepts(names: Mapping[int, str] | None = None, view: str = "recommended") -> Rows:
    rows = []
    for latent in LATENTS:
        name = (names or {}).get(latent, genre(latent))
        shared = name == genre(0)
        rows.append(
            concept_row(
                latent, name=name, words=f"recommends {name}", statement=statement(latent).to_json(),
                judge_name=genre(latent), terms=[name],
                group_name=name, group=0 if shared else latent, group_size=2 if shared else 1,
                interpretable=latent % 2 == 0, confidence=0.9 - latent / 50, confidence_lower=0.8 - latent / 50,
                tp=7, fp=1, tn=7, fn=1, confidence_upper=0.95, confidence_shuffled=0.5,
                f1=0.5 + latent / 50, frequency=0.01 * (latent + 1),
                polysemantic=False, view=view,
                top_items=[f"Film {latent + 8:02d}"], top_item_ids=[f"i{latent + 8:02d}"],
            )
        )  # fmt: skip
    return rows


def statement(latent: int) -> Statement:
    return Statement(view="recommended", body=Formula(literal=Term(term=genre(latent))))


def statement_scores() -> Rows:
    """Latent l's statement is shuffled to latent l + 3, of another genre."""
    named = {"role": "shuffled", "kind": "term", "view": "recommended", "passes": False}
    counts = dict.fromkeys(("tp", "fp", "tn", "fn"), 4)
    return [
        {**dict.fromkeys(field.name for field in STATEMENT_SCORES), **named, **counts, "latent": latent,
         "statement": statement(latent).to_json(), "on_latent": (latent + 3) % len(LATENTS)}
        for latent in LATENTS
    ]  # fmt: skip


def scores() -> Rows:
    figures = {"tp": 7, "fp": 1, "tn": 7, "fn": 1, "precision": 0.875, "recall": 0.875, "f1": 0.875, "auc": 0.9}
    found = []
    for row in concepts():
        for judge, control in (("llm", "none"), ("llm", "shuffled"), ("attributes", "none")):
            confidence = 0.5 if control == "shuffled" else row["confidence"]
            found.append(
                {
                    **dict.fromkeys(field.name for field in SCORES), **figures, "latent": row["latent"], "candidate": 0,
                    "concept": row["name"], "part": "score", "judge": judge, "control": control,
                    "confidence": confidence, "lower": confidence - 0.1, "upper": confidence + 0.05,
                    "centre": 0.0 if judge == "llm" else None,
                }
            )  # fmt: skip
    return found


def verdicts() -> Rows:
    return [
        {
            "concept": concept, "item_idx": item, "judge": "pmi", "view": "recommended", "prompt_version": "2",
            "model": "m", "status": "ok",
            "value": 1.0 if (concept == genre(item)) != ((concept, item) in WRONG) else -1.0,
        }
        for concept in GENRES
        for item in range(N_ITEMS)
    ]  # fmt: skip


def labels() -> Rows:
    plain = {"view": "recommended", "prompt_version": "2", "model": "m", "source": "terms", "status": "ok"}
    empty = dict.fromkeys(field.name for field in LABELS)
    return [
        {**empty, **plain, "latent": latent, "candidate": candidate, "concept": concept, "terms": [concept],
         "finalist": not candidate}
        for latent in LATENTS
        for candidate, concept in enumerate((genre(latent), f"Other {latent}"))
    ]  # fmt: skip


def levels() -> Rows:
    return [
        {"latent": 0, "concept": genre(0), "level": level, "cases": 20, "hits": 2 * level, "catalogue_share": 0.125,
         "popular_share": 0.25}
        for level in range(11)
    ]  # fmt: skip


def attribute_stats() -> Rows:
    return [
        {"code": code, "view": "recommended", "latent": 0, "attribute": "genres", "value": value, "rank": rank,
         "cases": 50, "fires": 9, "both": 5, "correlation": 0.9 - rank, "p_fires": 0.5, "p_attribute": 0.25,
         "mean_activation": 1.0, "auc": 0.75}
        for code in ("sae", "raw")
        for rank, value in enumerate(GENRES[:7])
    ]  # fmt: skip


def steering() -> Rows:
    return [step_row(2, None, -0.03), step_row(2, 0.25, 0.2), step_row(2, 0.25, 0.7, part="select")]


def tables(
    names: Mapping[int, str] | None = None, view: str = "recommended"
) -> dict[str, dict[str, tuple[Rows, pa.Schema]]]:
    """By stage and file."""
    chunks = {f"interactions/{split}/chunk-00000.parquet": (events(split), INTERACTIONS) for split in SPLITS}
    return {
        "ingest": {
            "items.parquet": (items(), ITEMS),
            "users.parquet": (users(), USERS),
            "cases/chunk-00000.parquet": ([], CASES),
            **chunks,
        },
        "sae": {},
        "evidence": {
            "evidence.parquet": (evidence(), EVIDENCE),
            "latent_items.parquet": (latent_items(), LATENT_ITEMS),
            "item_latents.parquet": (item_latents(), ITEM_LATENTS),
        },
        "statements": {
            "statement_scores.parquet": (statement_scores(), STATEMENT_SCORES),
            features.VECTORS: ([{"item_id": item["item_id"]} for item in items()], VECTORS),
        },
        "statistics": {"attribute_stats.parquet": (attribute_stats(), ATTRIBUTE_STATS)},
        "labels": {"labels.parquet": (labels(), LABELS)},
        "scores": {
            "scores.parquet": (scores(), SCORES),
            "levels.parquet": (levels(), LEVELS),
            "verdicts.parquet": (verdicts(), VERDICTS),
        },
        "steering": {"steering.parquet": (steering(), STEERING)},
        "concepts": {"concepts.parquet": (concepts(names, view), CONCEPTS)},
    }


METRICS = {
    "ingest": {"users": N_USERS, "items": N_ITEMS},
    "sae": {"num_latents": 16},
    "scores": {"judge": "pmi"},
    "concepts": {"interpretable_bar": 0.6},
}


def serve(config: Config, night: str = "1", names: Mapping[int, str] | None = None, passed: bool = True) -> Record:
    """Commit a night and serve it, if it passed; `names` are those of its latents that are called otherwise."""
    store, fingerprints = RunStore(config.store.root, config.name), {}
    for stage, files in tables(names, config.probe.view).items():
        attempt: Attempt = store.attempt(stage, f"{stage}-{night}", store.lease(stage, f"{stage}-{night}", 20))
        for name, (rows, schema) in files.items():
            attempt.write_table(name, pa.Table.from_pylist(rows, schema), schema)
        kept = {"seed", "probe", "scores", "llm"}
        facts = {"config": config.recorded(include=kept), "metrics": METRICS.get(stage, {})}
        fingerprints[stage] = store.commit(stage, attempt, facts).fingerprint
    dictionary = store.folder.child("concepts", f"concepts-{night}").locate("concepts.parquet")
    checks = () if passed else ({"key": "fvu", "passed": False},)
    return store.nights.close(Night(fingerprints, dictionary, "report.html", checks))
