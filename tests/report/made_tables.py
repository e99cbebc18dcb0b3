"""The tables of a small run, whose texts are hostile where a catalogue can be: three latents, as many items as there
are hostile texts, two attributes that every item bears a value of, and three latents that were turned."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from recsae.schemas.base import ITEMS, conform
from recsae.schemas.concepts import ATTRIBUTE_BEST, ATTRIBUTE_STATS, CODES, ITEM_LATENTS, LATENT_ITEMS, LEVELS
from recsae.schemas.statements import STATEMENT_SCORES, STATEMENTS
from recsae.schemas.steering import STEERING, WISHES
from recsae.statements.language import Formula, ItemSet, Statement, Term, View
from tests.report.concepts_table import HOSTILE, WORDS
from tests.report.made_page import METRICS

LATENTS = 3
N_ITEMS = len(HOSTILE)


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return conform(pa.Table.from_pylist(rows, schema), schema)


def items() -> pa.Table:
    """Item 0 is the least popular."""
    rows = [
        {"item_idx": item, "item_id": f"id {item}", "title": text, "attributes": [], "popularity": item * 10}
        for item, text in enumerate(HOSTILE)
    ]
    return table(rows, ITEMS)


def latent_items() -> pa.Table:
    """Every latent fires at item i `i + 1` times, the stronger the lower i; by lift item 2 alone is ranked."""
    rows = [
        {
            "latent": latent,
            "item_idx": item,
            "activations": item + 1,
            "strength": 100.0 / (item + 1) + latent,
            "lift": 12.3456,
            "rank_activations": N_ITEMS - 1 - item,
            "rank_strength": item,
            "rank_lift": 0 if item == 2 else None,
        }
        for latent in range(LATENTS)
        for item in range(N_ITEMS)
    ]
    return table(rows, LATENT_ITEMS)


def item_latents() -> pa.Table:
    """Item i shows most in latent 2; the last item in none."""
    rows = [
        {"item_idx": item, "latent": LATENTS - 1 - rank, "rank": rank, "activations": item + 1, "strength": 9.0 - rank}
        for item in range(N_ITEMS - 1)
        for rank in reversed(range(LATENTS))
    ]
    return table(rows, ITEM_LATENTS)


def levels() -> pa.Table:
    """Latent 1 alone has terms; no case is at its level 4."""
    rows = [
        {
            "latent": 1,
            "concept": HOSTILE[0],
            "level": level,
            "cases": 1000 if level == 0 else 20 + level,
            "hits": 100 if level == 0 else 2 * level,
            "catalogue_share": 0.1234567,
            "popular_share": 0.25,
        }
        for level in range(11)
        if level != 4
    ]
    return table(rows, LEVELS)


def item_set(view: View, *seeds: int) -> Statement:
    body = ItemSet(space="recommender", seeds=tuple(f"id {seed}" for seed in seeds), min_cosine=0.5)
    return Statement(view=view, body=body)


def statements() -> pa.Table:
    """Latent 1 holds from level 3 on; latent 2 has too few cases for levels."""
    tried = {"causal_check": "contradicts", "causal_change": -0.1}
    shares = [0.1, 0.75, *([0.8] * 7), 1.0]
    rows = [
        {"latent": 1, "accepted": True, "status": "ok", "fp": 1, "tn": 7, "holds_from": 3, "level_recall": shares},
        {"latent": 2, "accepted": False, "status": "ok", "fp": 1, "tn": 7, **tried},
    ]
    return table(rows, STATEMENTS)


def statement_scores() -> pa.Table:
    """Two contestants of latent 1, whose words are hostile, what was chosen, and two null latents."""
    term = Statement(view="last", body=Formula(literal=Term(term=HOSTILE[1])))
    counts = dict.fromkeys(("tp", "fp", "tn", "fn"), 5)
    rows = [
        {"role": "contestant", "kind": "term", "confidence": 0.6, "statement": term, "f1": 0.2, "passes": False},
        {"role": "contestant", "kind": "item set", "confidence": 0.8, "statement": item_set("last", 0, 2), "f1": 0.4},
        {"role": "chosen", "kind": "item set", "confidence": 0.8, "statement": item_set("last", 0, 2)},
        {"role": "null", "kind": "term", "confidence": 0.52, "statement": term, "latent": 900},
        {"role": "null", "kind": "term", "confidence": 0.48, "statement": term, "latent": 901},
    ]
    told = [
        {"latent": 1, "passes": True, "view": "last", "lower": 0.5, "upper": 0.9, **counts, **row}
        | {"statement": row["statement"].to_json()}
        for row in rows
    ]
    return table(told, STATEMENT_SCORES)


def attribute_stats(views: tuple[str, ...] = ("recommended",)) -> pa.Table:
    """Seven attributes of each latent and code, by rank; those of other codes have the value `other`."""
    rows = [
        {
            "code": code,
            "view": view,
            "latent": latent,
            "attribute": HOSTILE[rank],
            "value": WORDS[rank] if code == "sae" else "other",
            "rank": rank,
            "cases": 500,
            "fires": 60,
            "both": 30,
            "correlation": -0.5 if rank == 1 else 0.9 - rank / 10,
            "p_fires": 0.06,
            "p_attribute": 0.5,
            "mean_activation": 0.4,
            "auc": None if rank == 2 else 0.75,
        }
        for code in CODES
        for view in views
        for latent in range(LATENTS)
        for rank in reversed(range(7))
    ]
    return table(rows, ATTRIBUTE_STATS)


def attribute_best(views: tuple[str, ...] = ("recommended",), values: int = 40) -> pa.Table:
    """Value v of HOSTILE[v % 8]: the SAE's r is v / 100, raw's half, the untrained one's a quarter; PCA has none."""
    share = {"sae": 1.0, "raw": 0.5, "untrained": 0.25}
    rows = [
        {
            "code": code,
            "view": view,
            "attribute": HOSTILE[value % N_ITEMS],
            "value": f"{HOSTILE[value % N_ITEMS]} {value}",
            "cases": 1000 + value,
            "latent": value % LATENTS,
            "correlation": scale * value / 100,
            "null_mean": 0.02,
            "null_upper": 0.05,
            "p_value": 0.01,
        }
        for view in views
        for value in range(values)
        for code, scale in share.items()
    ]
    return table(rows, ATTRIBUTE_BEST)


def step_row(latent: int, strength: float | None, change: float = 0.1, **values: Any) -> dict[str, Any]:
    """A latent of concept HOSTILE[latent - 1] at one strength, or ablated: from a share of 0.2 by `change`, which
    random directions raise by 0.02 at most; NDCG falls from 0.4 by a tenth, and by a twentieth by the probe."""
    row: dict[str, Any] = {
        "part": "score",
        "latent": latent,
        "concept": HOSTILE[latent - 1],
        "operation": "ablate" if strength is None else "add",
        "strength": strength,
        "value": 8 * (strength or 0.0),
        "users": 1500,
        "cases": 1500,
        "share": 0.2 + change,
        "share_change": change,
        "share_lower": change - 0.01,
        "share_upper": change + 0.015,
        "null_mean": 0.001,
        "null_lower": -0.02,
        "null_upper": 0.02,
        "null_ndcg_change": -0.02,
        "probe_share_change": None if strength is None else change + 0.05,
        "probe_ndcg_change": None if strength is None else -0.02,
        "ndcg": 0.36,
        "ndcg_change": -0.04,
        "ndcg_lower": -0.06,
        "ndcg_upper": -0.02,
        "hr": 0.5,
        "coverage": 0.3,
        "popularity": 100.0,
        "side_effect": 0.01,
        "side_concept": HOSTILE[latent],
        "side_change": -0.0312,
    }
    return row | values


def steering() -> pa.Table:
    """Latents 1, 2 and 3 up, down and out, also for select users, whose figures are not shown. Latent 1 reaches a
    change of 0.2 at the strength 0.25, latent 2 of 0.1, latent 3 of no more than chance."""
    by_latent = {1: 0.2, 2: 0.1, 3: 0.02}
    rows = []
    for latent, reached in by_latent.items():
        rows.append(step_row(latent, None, -0.03, side_change=0.004))
        rows += [step_row(latent, strength, 4 * reached * strength) for strength in (0.5, 0.25, -0.25)]
        rows.append(step_row(latent, 0.25, 0.7, part="select", side_concept="never shown"))
    return table(rows, STEERING)


def target_row(concept: str, direction: str, **values: Any) -> dict[str, Any]:
    """Nothing that was tried reaches the wish."""
    row = {"concept": concept, "direction": direction, "latent": None, "clean_share": 0.2, "wished_share": 0.4}
    return row | {"strength": None, "share": None, "ndcg_change": None} | values


def targets() -> pa.Table:
    """Of the concepts of latents 1, 2 and 3: the second is the cheapest, the third has no strength that reaches it."""
    bought = {"strength": 0.25, "share": 0.41}
    rows = [
        target_row(HOSTILE[0], "latent", latent=1, ndcg_change=-0.1, **bought),
        target_row(HOSTILE[0], "probe", ndcg_change=0.0004, **bought),
        target_row(HOSTILE[1], "latent", latent=2, ndcg_change=-0.05, **bought),
        target_row(HOSTILE[1], "probe"),
        target_row(HOSTILE[2], "latent"),
        target_row(HOSTILE[2], "probe", ndcg_change=-0.02, **bought),
    ]
    return table(rows, WISHES)


def tables(views: tuple[str, ...] = ("recommended",)) -> dict[tuple[str, str], pa.Table]:
    return {
        ("ingest", "items.parquet"): items(),
        ("evidence", "latent_items.parquet"): latent_items(),
        ("evidence", "item_latents.parquet"): item_latents(),
        ("statements", "statements.parquet"): statements(),
        ("statements", "statement_scores.parquet"): statement_scores(),
        ("scores", "levels.parquet"): levels(),
        ("statistics", "attribute_stats.parquet"): attribute_stats(views),
        ("statistics", "attribute_best.parquet"): attribute_best(views),
        ("steering", "steering.parquet"): steering(),
        ("steering", "steering_wishes.parquet"): targets(),
    }


def figures(mean: float) -> dict[str, float]:
    return {"attributes": 18, "mean": mean, "null_mean": 0.1, "null_upper": 0.125, "corrected": mean - 0.1}


STATISTICS: dict[str, Any] = {
    "best": {
        "recommended": {
            HOSTILE[0]: {"sae": figures(0.5) | {"attributes": 3}},
            "genres": {"untrained": figures(0.35), "sae": figures(0.55), "raw": figures(0.3), "pca": figures(0.31)},
        }
    },
    "coherence": {
        "untrained": {"within": 0.3, "between": 0.1, "within_centred": 0.2, "between_centred": -0.001},
        "sae": {"within": 0.584, "between": 0.2, "within_centred": 0.4, "between_centred": None},
    },
}
SCORES: dict[str, Any] = {
    "calibration": {
        "error": 0.0312,
        "bins": [
            {"expected": 0.8, "right": 0.75, "latents": 4},
            {"expected": 0.6, "right": 0.62, "latents": 16},
        ],
    },
    "recsae": {
        "latents": 64,
        "at_0.8": 13,
        "at_0.9": 4,
        "coin_0.8": 0.0547,
        "coin_0.9": 0.0107,
        "chance_0.8": 0.0625,
        "chance_0.9": 0.0125,
    },
}
REACHED = {"at_0.8": 40, "at_0.9": 9, "shuffled_at_0.8": 2, "shuffled_at_0.9": 0}
ALL: dict[str, dict[str, Any]] = METRICS | {
    "statistics": STATISTICS,
    "scores": METRICS["scores"] | SCORES,
    "steering": {"latents": 3, "concepts": 3, "unchecked": 2},
    "concepts": METRICS["concepts"] | REACHED,
}
"""The figures of a run in which everything was measured."""
