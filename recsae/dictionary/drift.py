"""Compares tonight's dictionary with last night's: every concept is kept, renamed, moved, new or gone.

Latents correspond if they have the same stable id. What is compared is what the statements say of items, not how they
are called: two sets with other seeds are the same concept where most items are in both. Concepts, latents that have a
tick on either night, are counted apart from latents that have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.schemas.nightly import CHANGES, HISTORY
from recsae.statements.evaluation import satisfied_by
from recsae.statements.features import ItemFeatures
from recsae.statements.language import ITEM_BODIES, Behaviour, Statement, from_json

Row = Mapping[str, Any]
MAX_NIGHTS = 60
"""Number of nights kept in the history."""
_COMPARED = ("latent", "name", "kind", "words", "confidence", "interpretable", "frequency")


class Members:
    """Compares the items that satisfy statements of two nights, by external id."""

    def __init__(self, tonight: ItemFeatures, last: ItemFeatures) -> None:
        known = [item for item in last.ids if item in tonight.index]
        self._tonight, self._last = tonight, last
        self._now = np.array([tonight.index[item] for item in known], dtype=np.int64)
        self._then = np.array([last.index[item] for item in known], dtype=np.int64)

    def jaccard(self, now: Statement, then: Statement) -> float | None:
        """Over the items of both nights; None where a statement is not about items, 0 where none satisfies either."""
        if not isinstance(now.body, ITEM_BODIES) or not isinstance(then.body, ITEM_BODIES):
            return None
        in_now = satisfied_by(now.body, self._tonight)[self._now]
        in_then = satisfied_by(then.body, self._last)[self._then]
        either = np.count_nonzero(in_now | in_then)
        return float(np.count_nonzero(in_now & in_then) / either) if either else 0.0


def compare(
    tonight: Iterable[Row],
    last: Iterable[Row],
    matches: Mapping[int, Row],
    shared: Callable[[Statement, Statement], float | None],
    min_jaccard: float,
) -> list[dict[str, Any]]:
    """Rows of DRIFT: every latent of tonight's dictionary, in order, then those of last night's that are gone.

    `matches` holds the rows of that table by latent, `shared` is `Members.jaccard`. Items are mostly the same from a
    Jaccard of `min_jaccard`.
    """
    last_by_id = {row["stable_id"]: row for row in last}
    rows = []
    for row in tonight:
        previous = last_by_id.pop(row["stable_id"], None)
        rows.append(
            {
                **_row(row["stable_id"], row, previous),
                "similarity": matches[row["latent"]]["similarity"] if previous else None,
                **_compared(row, previous, shared, min_jaccard),
            }
        )
    nothing = {"similarity": None, "jaccard": None, "top_jaccard": None, "change": "gone"}
    return [*rows, *(_row(stable_id, None, previous) | nothing for stable_id, previous in last_by_id.items())]


def _row(stable_id: str, now: Row | None, previous: Row | None) -> dict[str, Any]:
    found: dict[str, Any] = {"stable_id": stable_id}
    for prefix, row in (("", now), ("last_", previous)):
        found |= {f"{prefix}{column}": row[column] if row else None for column in _COMPARED}
    return found


def _compared(
    now: Row, previous: Row | None, shared: Callable[[Statement, Statement], float | None], min_jaccard: float
) -> dict[str, Any]:
    """Change, and the two Jaccard indices behind it."""
    if previous is None:
        return {"change": "new", "jaccard": None, "top_jaccard": None}
    tops = set(now["top_item_ids"]), set(previous["top_item_ids"])
    top_jaccard = len(tops[0] & tops[1]) / max(len(tops[0] | tops[1]), 1)
    jaccard, same = None, now["statement"] == previous["statement"]
    if now["statement"] and previous["statement"]:
        statement, last_statement = from_json(now["statement"]), from_json(previous["statement"])
        jaccard = shared(statement, last_statement)
        alike = (jaccard is not None and jaccard >= min_jaccard) or _same_feature(statement, last_statement)
        same = same or (statement.view == last_statement.view and alike)
    change = "kept" if same else "renamed" if top_jaccard >= min_jaccard else "moved"
    return {"change": change, "jaccard": jaccard, "top_jaccard": top_jaccard}


def _same_feature(one: Statement, other: Statement) -> bool:
    """Whether both are about the same end of the same feature of a case."""
    a, b = one.body, other.body
    if not isinstance(a, Behaviour) or not isinstance(b, Behaviour):
        return False
    return a.feature == b.feature and (a.low is None, a.high is None) == (b.low is None, b.high is None)


def drift_metrics(rows: Sequence[Row]) -> dict[str, Any]:
    """The number of concepts and, apart, of other latents per change; the share of last night's concepts that are gone,
    and how many kept their latent and lost or gained the tick."""
    named = [row for row in rows if row["interpretable"] or row["last_interpretable"]]
    counts = Counter(row["change"] for row in named)
    unnamed = Counter(row["change"] for row in rows) - counts
    before = [row for row in rows if row["last_interpretable"]]
    gone = sum(row["change"] == "gone" for row in before)
    return {
        **{change: counts[change] for change in CHANGES},
        "unnamed": {change: unnamed[change] for change in CHANGES},
        "lost": sum(lost_tick(row) for row in rows),
        "gained": sum(row["last_interpretable"] is False and bool(row["interpretable"]) for row in rows),
        "interpretable_before": len(before),
        "interpretable_gone": gone / len(before) if before else None,
    }


def lost_tick(row: Row) -> bool:
    """Whether a row of DRIFT is about a latent that is still there and interpretable no more."""
    return bool(row["last_interpretable"]) and row["interpretable"] is False


def history(tonight: Iterable[Row], last: pa.Table | None) -> pa.Table:
    """The history table (schema HISTORY): last night's table `last` plus tonight's rows, at most MAX_NIGHTS nights.

    `tonight` holds rows of the dictionary, with their change as `drift`.
    """
    night = 1 if last is None or not last.num_rows else pc.max(last["night"]).as_py() + 1
    shared = [name for name in HISTORY.names if name not in ("night", "change")]
    rows = [{"night": night, "change": row["drift"], **{name: row[name] for name in shared}} for row in tonight]
    found = pa.Table.from_pylist(rows, HISTORY)
    if last is None:
        return found
    return pa.concat_tables([last.filter(pc.field("night") > night - MAX_NIGHTS), found])
