"""Builds what is scored on score users, and the rows of the stage's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recsae.statements import choice
from recsae.statements.choice import LEAST_GROUPS, Measured, Z
from recsae.statements.language import Formula, ItemSet, from_json
from recsae.statements.tally import StatementOnLatent, Tally
from recsae.statements.wording import body_in_words, in_words

Row = dict[str, Any]
CONTROLS = ("shuffled", "null")
STRONG_RECALL = 0.8
"""Recall in a tenth of the activations at which the statement counts as holding there."""


class Scored(NamedTuple):
    """A statement to be scored, and why."""

    latent: int
    role: str
    measured: Measured
    pairing: StatementOnLatent


def roles(
    chosen: Mapping[int, Measured],
    measured: Mapping[int, Sequence[Measured]],
    partner: Mapping[int, int],
    num_latents: int,
) -> list[Scored]:
    """Everything that is scored; latents from `num_latents` on are null ones."""
    found: list[Scored] = []
    for latent, one in chosen.items():
        statement = one.statement
        if latent >= num_latents:
            found.append(Scored(latent, "null", one, StatementOnLatent(statement, latent)))
            continue
        found.append(Scored(latent, "chosen", one, StatementOnLatent(statement, latent)))
        if narrow := choice.core(measured[latent]):
            found.append(Scored(latent, "core", narrow, StatementOnLatent(narrow.statement, latent)))
        if isinstance(statement.body, (ItemSet, Formula)) and statement.view != "history":
            found.append(Scored(latent, "unseen", one, StatementOnLatent(statement, latent, unseen=True)))
        if partner[latent] >= 0:
            found.append(Scored(latent, "shuffled", one, StatementOnLatent(statement, partner[latent])))
        for best in choice.best_by_kind(measured[latent]):
            found.append(Scored(latent, "contestant", best, StatementOnLatent(best.statement, latent)))
    return found


def score_rows(to_score: Sequence[Scored], scored: Tally) -> tuple[list[Row], float | None]:
    """Rows of STATEMENT_SCORES, and the bar: the 95th percentile of both kinds of control.

    Discoveries are counted over the chosen statements; a control passes where it would be accepted in their place.
    """
    value_P, error_P = scored.balanced_accuracy()
    enough_P = ((scored.fires_GP > 0).sum(axis=0) >= LEAST_GROUPS) & np.isfinite(value_P)
    role_P = np.array([one.role for one in to_score])
    bar = choice.control_bar([value_P[(role_P == role) & enough_P] for role in CONTROLS])
    p_P, passes_P = np.ones(len(to_score)), np.zeros(len(to_score), dtype=bool)
    for role in dict.fromkeys(role_P.tolist()):
        of_role = (role_P == role) & enough_P
        p_P[of_role], passes_P[of_role] = choice.decide(value_P[of_role], error_P[of_role], bar)
    rows = []
    for number, one in enumerate(to_score):
        value, error = float(value_P[number]), float(error_P[number])
        rows.append(
            {
                "latent": one.latent,
                "role": one.role,
                "kind": choice.contestant(one.measured.statement),
                "view": one.measured.statement.view,
                "statement": one.measured.statement.to_json(),
                "select_confidence": one.measured.value,
                "on_latent": one.pairing.latent if one.role == "shuffled" else None,
                "passes": bool(passes_P[number]),
                "level_recall": _level_recall(scored, number),
                **scored.counts(number).columns(),
                "lower": max(value - Z * error, 0.0) if enough_P[number] else None,
                "upper": min(value + Z * error, 1.0) if enough_P[number] else None,
                "p_value": float(p_P[number]) if enough_P[number] else None,
            }
        )
    return rows, bar


def _level_recall(scored: Tally, number: int) -> list[float] | None:
    """The recall in each tenth of the latent's activations, the weakest first; None where a tenth has no case."""
    fires_V, both_V = scored.fires_VP[:, number], scored.both_VP[:, number]
    return (both_V / fires_V).tolist() if fires_V.all() else None


def holds_from(level_recall: Sequence[float] | None) -> int | None:
    """The lowest tenth of activations, from 1, from which on recall is at least STRONG_RECALL in every tenth."""
    found = None
    for level, recall in reversed(list(enumerate(level_recall or [], 1))):
        if recall < STRONG_RECALL:
            break
        found = level
    return found


COPIED = (
    "tp",
    "fp",
    "tn",
    "fn",
    "precision",
    "recall",
    "f1",
    "confidence",
    "lower",
    "upper",
    "p_value",
    "level_recall",
)


def statement_rows(
    alive: Sequence[int],
    rows: Sequence[Row],
    glosses: Mapping[int, Measured | None],
    tried: Mapping[int, Row],
    titles: Mapping[str, str],
) -> list[Row]:
    """Rows of STATEMENTS, one for each alive latent."""
    by_role = {(row["latent"], row["role"]): row for row in rows if row["role"] != "contestant"}
    return [_statement_row(latent, by_role, glosses.get(latent), tried.get(latent, {}), titles) for latent in alive]


def _statement_row(
    latent: int,
    by_role: Mapping[tuple[int, str], Row],
    gloss: Measured | None,
    tried: Row,
    titles: Mapping[str, str],
) -> Row:
    row = by_role.get((latent, "chosen"))
    nothing: Row = {}
    core, unseen, shuffled = (by_role.get((latent, role), nothing) for role in ("core", "unseen", "shuffled"))
    if row is None:
        return {"latent": latent, "accepted": False, "status": "too few cases of explain or select users"}
    statement = from_json(row["statement"])
    return {
        "latent": latent,
        "kind": statement.kind,
        "view": statement.view,
        "statement": row["statement"],
        "words": in_words(statement, titles),
        "gloss": body_in_words(gloss.statement.body, titles) if gloss else None,
        "gloss_confidence": gloss.value if gloss else None,
        "accepted": row["passes"],
        "status": "ok" if row["lower"] is not None else "too few cases of score users",
        **{name: row[name] for name in COPIED},
        **tried,
        "holds_from": holds_from(row["level_recall"]),
        "core_statement": core.get("statement"),
        "core_words": in_words(from_json(core["statement"]), titles) if core else None,
        **{f"core_{name}": core.get(name) for name in ("precision", "recall", "f1")},
        **{f"unseen_{name}": unseen.get(name) for name in ("confidence", "lower", "upper")},
        "shuffled_confidence": shuffled.get("confidence"),
    }


def metrics(
    statements: Sequence[Row], rows: Sequence[Row], effects: Sequence[Row], bar: float | None
) -> dict[str, Any]:
    """Figures over the whole dictionary."""
    values = np.array([row["confidence"] for row in statements if row.get("confidence") is not None])
    unseen = np.array([row["unseen_confidence"] for row in statements if row.get("unseen_confidence") is not None])
    f1 = np.array([row["core_f1"] for row in statements if row.get("core_f1") is not None])
    of_role = {role: [row for row in rows if row["role"] == role] for role in CONTROLS}
    return {
        "latents": len(statements),
        "accepted": sum(row["accepted"] for row in statements),
        "kinds": dict(Counter(row["kind"] for row in statements if row["accepted"])),
        "bar": bar,
        "median_confidence": _median(values),
        **{f"share_at_{level}": float((values >= level).mean()) if len(values) else None for level in (0.7, 0.75, 0.8)},
        "median_f1": _median(f1),
        "median_unseen": _median(unseen),
        "effects": len(effects),
        "effects_agree": sum(row["agrees"] is True for row in effects),
        "effects_disagree": sum(row["agrees"] is False for row in effects),
        "causal": dict(Counter(row["causal_check"] for row in statements if row.get("causal_check"))),
        **{role: len(found) for role, found in of_role.items()},
        **{f"{role}_accepted": sum(row["passes"] for row in found) for role, found in of_role.items()},
    }


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None
