"""Reads the stage `statements` for names: the statement of each latent, its heading, and the items that tell for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from recsae.concepts.headings import formula_heading, heading, heading_key
from recsae.concepts.names import Described
from recsae.data.numbers import POPULARITY
from recsae.statements.evaluation import satisfied_by
from recsae.statements.features import ItemFeatures
from recsae.statements.language import ITEM_BODIES, Formula, ItemList, ItemSet, Range, Statement, from_json
from recsae.store.run_store import Committed

GLOSS_LOSS = 0.1
"""What a set or list may lose in balanced accuracy by its gloss alone, for the gloss to be its heading."""
GLOSS_LITERALS, GLOSS_LENGTH, GLOSS_SHARE = 2, 36, 0.5
"""Most literals and characters of a heading for items, and the largest share of all items that it may hold of."""
TELLING = 60
"""Most telling items of a latent."""

Row = Mapping[str, Any]


class Found(NamedTuple):
    """The tables of the stage `statements`, by latent."""

    rows: dict[int, Row]
    """Rows of STATEMENTS."""
    statements: dict[int, Statement]
    contestants: dict[int, list[Row]]
    """Rows of STATEMENT_SCORES for the best of each kind and view."""


def read_found(statements: Committed) -> Found:
    rows = {row["latent"]: row for row in statements.read_table("statements.parquet").to_pylist()}
    contestants: dict[int, list[Row]] = defaultdict(list)
    columns = ["latent", "kind", "view", "statement", "confidence", "passes"]
    where = pc.field("role") == "contestant"
    for row in statements.read_table("statement_scores.parquet", columns, where).to_pylist():
        contestants[row["latent"]].append(row)
    return Found(
        rows,
        {latent: from_json(row["statement"]) for latent, row in rows.items() if row["statement"]},
        contestants,
    )


def describe(found: Found, features: ItemFeatures, telling: Mapping[int, Sequence[int]]) -> list[Described]:
    """What the names of all latents that have a statement are made of.

    `telling` holds item_idx by latent, by the evidence; the items that the search listed in the statement's view come
    before them, and those of the statement itself first.
    """
    described = []
    for latent, statement in found.statements.items():
        body = statement.body
        is_items = isinstance(body, (ItemSet, ItemList))
        shared = _gloss(found, latent, statement, features) if is_items else None
        said: str | None = formula_heading(shared) if shared else heading(statement)
        key: Hashable = (
            heading_key(Statement(view="last", body=shared)) if shared else None if is_items else heading_key(statement)
        )
        items = [features.index[item] for item in _items(found, latent, statement) if item in features.index]
        items = list(dict.fromkeys([*items, *telling.get(latent, ())]))
        if isinstance(body, Formula):
            satisfying = satisfied_by(body, features)
            items = [item for item in items if satisfying[item]] or items
        described.append(
            Described(latent, statement.view, said, key, is_items, isinstance(body, ItemList), tuple(items[:TELLING]))
        )
    return described


def describe_effect(effect: Row) -> Described:
    """What the name of a latent is made of that only its effect can tell: a row of EFFECTS."""
    body = from_json(effect["promotes_statement"]).body
    said = formula_heading(body) if isinstance(body, Formula) else effect["promotes"]
    return Described(
        effect["latent"], "recommended", f"promotes {said}", ("promotes", said.casefold()), False, False, ()
    )


def _gloss(found: Found, latent: int, statement: Statement, features: ItemFeatures) -> Formula | None:
    """The shortest formula of the same view that alone tells the latent nearly as well, and says something of items."""
    least = (found.rows[latent]["confidence"] or 1.0) - GLOSS_LOSS
    of_view = [row for row in found.contestants.get(latent, ()) if row["view"] == statement.view and row["passes"]]
    for row in sorted(of_view, key=lambda row: row["kind"] != "term"):
        body = from_json(row["statement"]).body
        if (
            isinstance(body, Formula)
            and len(body.steps) < GLOSS_LITERALS
            and row["confidence"] >= least
            and len(formula_heading(body)) <= GLOSS_LENGTH
            and not _names_the_middle(body)
            and satisfied_by(body, features).mean() <= GLOSS_SHARE
        ):
            return body
    return None


def _names_the_middle(body: Formula) -> bool:
    """Whether it names a middle range of popularity, which says little of items."""
    literals = (body.literal, *(step.literal for step in body.steps))
    ranges = [one for one in literals if isinstance(one, Range) and one.feature == POPULARITY]
    return any(one.low is not None and one.high is not None for one in ranges)


def _items(found: Found, latent: int, statement: Statement) -> list[str]:
    bodies = [statement.body]
    for kind in ("item list", "item set"):
        for row in found.contestants.get(latent, ()):
            if row["kind"] == kind and row["view"] == statement.view:
                bodies.append(from_json(row["statement"]).body)
    return [
        item
        for body in bodies
        for item in (body.seeds if isinstance(body, ItemSet) else body.items if isinstance(body, ItemList) else ())
    ]


def telling_items(evidence: Committed) -> dict[int, list[int]]:
    """The items of highest lift by latent, the highest first, then those of highest activation; at most TELLING."""
    columns = ["latent", "item_idx", "rank_lift", "rank_strength"]
    where = (pc.field("rank_lift") < TELLING) | (pc.field("rank_strength") < TELLING)
    ranked: dict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for row in evidence.read_table("latent_items.parquet", columns, where).to_pylist():
        ranks = (np.inf if row[name] is None else row[name] for name in ("rank_lift", "rank_strength"))
        ranked[row["latent"]].append((*ranks, row["item_idx"]))
    return {latent: [item for _, _, item in sorted(of)][:TELLING] for latent, of in ranked.items()}


def members(statement: Statement | None, features: ItemFeatures, telling: Sequence[int]) -> np.ndarray:
    """int32 item_idx, ascending: the items that satisfy the body; of what no item alone can satisfy, `telling`."""
    if statement is not None and isinstance(statement.body, ITEM_BODIES):
        return np.flatnonzero(satisfied_by(statement.body, features)).astype(np.int32)
    return np.unique(np.asarray(telling, dtype=np.int32))
