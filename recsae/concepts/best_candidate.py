"""The concept chosen for each latent, and whether the latent is interpretable.

The exact judge decides where a statement can be checked: stage `statements` accepts it or not. A free text is decided
by the language model: the lower 95 % bound of its confidence lies above the 95th percentile of the shuffled controls'
confidence over all judged latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from recsae.concepts import described
from recsae.concepts.names import ConceptName, name_latents
from recsae.data.catalogue import Catalogue
from recsae.schemas.concepts import INTERPRETABLE
from recsae.statements import features
from recsae.statements.features import ItemFeatures
from recsae.statements.language import Formula, FreeText, Statement, Term, View
from recsae.store.run_store import Committed

CONTROL_PERCENTILE = 95
LEAST_EFFECT = 0.7
"""Balanced accuracy from which on a description of what a latent promotes makes it `effect only`."""
Row = Mapping[str, Any]
Scores = Mapping[tuple[str, str], Row]
"""A latent's rows of SCORES on score users, by judge and control."""
NO_ROW: Row = {}


class BestCandidate(NamedTuple):
    """The chosen concept of one latent."""

    concept: str
    """Its name, which no other latent has; empty without a statement."""
    statement: Statement | None
    members: np.ndarray
    """int32 item_idx, ascending: the items that satisfy the statement's body; for a behaviour, a free text and none,
    the most telling items of the latent."""
    terms: list[str]
    """Terms that a member has; empty unless the statement is a formula of terms joined by `and`."""
    interpretable: bool
    kind: str
    """Of schemas.concepts.KINDS."""


class Chosen(NamedTuple):
    """What is chosen for one latent."""

    statement: Statement | None
    kind: str
    """Of schemas.concepts.KINDS."""
    name: ConceptName | None
    """None without a statement; of a latent that only its effect can tell, by what it promotes."""

    @property
    def interpretable(self) -> bool:
        return self.kind in INTERPRETABLE


def read_chosen(inputs: Mapping[str, Committed], catalogue: Catalogue) -> dict[int, BestCandidate]:
    """The concept of every alive latent, from the stages `statements`, `evidence`, `labels` and `scores`."""
    item_features = features.read(catalogue, inputs["statements"])
    telling = described.telling_items(inputs["evidence"])
    return {
        latent: BestCandidate(
            one.name.name if one.name else "",
            one.statement,
            described.members(one.statement, item_features, telling.get(latent, ())),
            terms_of(one.statement),
            one.interpretable,
            one.kind,
        )
        for latent, one in choose(inputs, catalogue, item_features).items()
    }


def choose(inputs: Mapping[str, Committed], catalogue: Catalogue, item_features: ItemFeatures) -> dict[int, Chosen]:
    """Statement, class and name of every alive latent, by latent."""
    found = described.read_found(inputs["statements"])
    scores = read_scores(inputs["scores"])
    bar = control_bar(scores)
    effects = read_effects(inputs["statements"])
    item_view: View = "item" if any(one.view == "item" for one in found.statements.values()) else "last"
    free: dict[int, Statement] = {}
    for latent, label in chosen_labels(read_labels(inputs["labels"]), scores).items():
        if label["source"] == "model" and passes(scores[latent].get(("llm", "none")), bar):
            view: View = "recommended" if label["view"] == "recommended" else item_view
            free[latent] = Statement(view=view, body=FreeText(text=label["concept"]))
    kinds: dict[int, str] = {}
    for latent, row in found.rows.items():
        if row["accepted"]:
            kinds[latent] = row["kind"]
        elif latent in free:
            kinds[latent], found.statements[latent] = "free text", free[latent]
        elif (effects.get(latent, NO_ROW).get("effect_confidence") or 0.0) >= LEAST_EFFECT:
            kinds[latent] = "effect only"
        else:
            kinds[latent] = "unexplained"
    telling = described.telling_items(inputs["evidence"])
    by_effect = [latent for latent, kind in kinds.items() if kind == "effect only"]
    to_name = {one.latent: one for one in described.describe(found, item_features, telling)}
    to_name |= {latent: described.describe_effect(effects[latent]) for latent in by_effect}
    named = name_latents(to_name.values(), catalogue.titles)
    return {
        latent: Chosen(found.statements.get(latent), kind, named.get(latent)) for latent, kind in sorted(kinds.items())
    }


def terms_of(statement: Statement | None) -> list[str]:
    """The terms that are not negated in a formula of terms joined by `and`; of any other statement none."""
    body = statement.body if statement else None
    if not isinstance(body, Formula) or any(step.op == "or" for step in body.steps):
        return []
    literals = [(body.negated, body.literal), *((step.negated, step.literal) for step in body.steps)]
    terms = [(negated, literal.term) for negated, literal in literals if isinstance(literal, Term)]
    return [term for negated, term in terms if not negated] if len(terms) == len(literals) else []


def read_effects(statements: Committed) -> dict[int, Row]:
    """Rows of EFFECTS by latent; empty where what latents promote is not measured."""
    if not statements.files("effects"):
        return {}
    return {row["latent"]: row for row in statements.read_table("effects.parquet").to_pylist()}


def read_labels(labels: Committed) -> dict[int, dict[int, Row]]:
    """Rows of LABELS by latent and candidate."""
    found: dict[int, dict[int, Row]] = {}
    for row in labels.read_table("labels.parquet").to_pylist():
        found.setdefault(row["latent"], {})[row["candidate"]] = row
    return found


def read_scores(scores: Committed) -> dict[int, dict[tuple[str, str], Row]]:
    """Rows of SCORES on score users, by latent, then by judge and control."""
    found: dict[int, dict[tuple[str, str], Row]] = {}
    for row in scores.read_table("scores.parquet").to_pylist():
        if row["part"] == "score":
            found.setdefault(row["latent"], {})[row["judge"], row["control"]] = row
    return found


def chosen_labels(labels: Mapping[int, Mapping[int, Row]], scores: Mapping[int, Scores]) -> dict[int, Row]:
    """The label row of the chosen candidate, for every scored latent."""
    return {latent: labels[latent][found["llm", "none"]["candidate"]] for latent, found in scores.items()}


def control_bar(scores: Mapping[int, Scores]) -> float | None:
    """The 95th percentile of the shuffled controls' confidence over all latents; None without controls."""
    found = [rows["llm", "shuffled"]["confidence"] for rows in scores.values() if ("llm", "shuffled") in rows]
    measured = [value for value in found if value is not None]
    return float(np.percentile(measured, CONTROL_PERCENTILE)) if measured else None


def passes(row: Row | None, bar: float | None) -> bool:
    """Whether the lower bound of a score lies above the bar."""
    lower = row.get("lower") if row else None
    return bar is not None and lower is not None and bool(lower > bar)
