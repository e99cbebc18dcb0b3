"""The columns of CONCEPTS by where they come from: evidence, statements, the language model's judge, steering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsae.concepts.best_candidate import NO_ROW, Chosen, Row, Scores, terms_of
from recsae.data.catalogue import Catalogue
from recsae.schemas.concepts import NOT_ASKED
from recsae.statements.wording import in_words
from recsae.stats.classification import ConfusionCounts

CAUSAL = {
    "causal": "share_change",
    "causal_lower": "share_lower",
    "causal_upper": "share_upper",
    "causal_null": "null_upper",
    "causal_probe": "probe_share_change",
    "causal_ablation": None,
}
"""Columns of the dictionary and their source columns in `steering`."""
EXACT = {
    "confidence": "confidence",
    "confidence_lower": "lower",
    "confidence_upper": "upper",
    "confidence_shuffled": "shuffled_confidence",
    **{
        name: name
        for name in (
            *("p_value", "precision", "recall", "f1", "tp", "fp", "tn", "fn"),
            *("unseen_confidence", "unseen_lower", "unseen_upper"),
            *("core_statement", "core_words", "core_precision", "core_recall", "core_f1"),
        )
    },
}
"""Columns of the dictionary and their source columns in STATEMENTS."""
EFFECT = ("promotes", "promotes_statement", "holds_down", "holds_down_statement", "effect_confidence", "agrees")
JUDGED = ("confidence", "lower", "upper", "expected", "precision", "recall", "f1", "auc")


def evidence_columns(stat: Row, catalogue: Catalogue) -> dict[str, Any]:
    return {
        **{name: stat[name] for name in ("latent", "frequency", "activations", "maximum", "evidence_hash")},
        "top_items": [catalogue.titles[item] for item in stat["top_items"]],
        "top_item_ids": [catalogue.ids[item] for item in stat["top_items"]],
    }


def statement_columns(
    chosen: Chosen, row: Row, contestants: Sequence[Row], titles: Mapping[str, str]
) -> dict[str, Any]:
    """What is said of a latent and how well it holds; a free text has no exact score, so its columns are null.

    `row` is the latent's of STATEMENTS; `titles` holds titles by external item id.
    """
    statement, name = chosen.statement, chosen.name
    found = NO_ROW if chosen.kind == "free text" else row
    terms = [one["confidence"] for one in contestants if one["kind"] == "term" and one["confidence"] is not None]
    return {
        "kind": chosen.kind,
        "interpretable": chosen.interpretable,
        "name": name.name if name else None,
        "group": name.group if name else None,
        "group_name": name.group_name if name else None,
        "group_size": name.group_size if name else 0,
        "statement": statement.to_json() if statement else None,
        "statement_view": statement.view if statement else None,
        "words": in_words(statement, titles) if statement else None,
        "gloss": found.get("gloss"),
        "terms": terms_of(statement),
        **{column: found.get(source) for column, source in EXACT.items()},
        "term_confidence": max(terms, default=None),
        "status": row["status"],
    }


def judge_columns(label: Row, scores: Scores, labelled: bool) -> dict[str, Any]:
    """What the language model and the judges beside it say of the candidate that was judged."""
    score, attributes, held_out, recsae = (
        scores.get((judge, "none"), NO_ROW) for judge in ("llm", "attributes", "held_out", "recsae")
    )
    return {
        "judge_name": label.get("concept"),
        "judge_source": label.get("source"),
        **{f"judge_{name}": score.get(name) for name in JUDGED},
        "judge_shuffled": scores.get(("llm", "shuffled"), NO_ROW).get("confidence"),
        "near_miss_rate": score.get("near_miss_rate"),
        "near_direction_rate": score.get("near_direction_rate"),
        "judge_status": _judge_status(labelled, score),
        "attribute_confidence": attributes.get("confidence"),
        "attribute_confidence_shuffled": scores.get(("attributes", "shuffled"), NO_ROW).get("confidence"),
        "attribute_auc": attributes.get("auc"),
        **{f"held_out_{name}": held_out.get(name) for name in ("confidence", "precision", "recall")},
        "recsae_confidence": recsae.get("confidence"),
        "recsae_recall": recsae.get("recall"),
        "recsae_true_negative_rate": (
            ConfusionCounts(*(recsae[name] for name in ConfusionCounts._fields)).true_negative_rate if recsae else None
        ),
    }


def _judge_status(labelled: bool, score: Row) -> str:
    if not labelled:
        return NOT_ASKED
    if not score:
        return "no candidate could be judged on select users"
    return "too few cases of score users" if score["lower"] is None else "ok"


def causal_columns(steering: list[dict[str, Any]], reference: float) -> dict[int, dict[str, float | None]]:
    """The causal columns of every steered latent: the effect of steering it, on score users."""
    found: dict[int, dict[str, float | None]] = {}
    for row in steering:
        if row["part"] != "score":
            continue
        columns = found.setdefault(row["latent"], dict.fromkeys(CAUSAL))
        if row["operation"] == "ablate":
            columns["causal_ablation"] = row["share_change"]
        elif row["strength"] == reference:
            columns |= {column: row[name] for column, name in CAUSAL.items() if name}
    return found
