"""What became of every concept since last night: kept, renamed, moved, new or gone.

Latents are the same where they bear the same stable id; `moved` is one whose strongest items are no longer those that
it was labelled by, though its name is. It knows rows of two dictionaries, and nothing of how latents were matched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.schemas.nightly import CHANGES, HISTORY

Row = Mapping[str, Any]
REMEMBERED = 60
"""Nights of the history."""
_TOLD = ("name", "confidence", "interpretable", "frequency")


def compare(
    tonight: Iterable[Row],
    last: Iterable[Row],
    matches: Mapping[int, Row],
    labelled: Mapping[int, Row],
    unchanged: float,
) -> list[dict[str, Any]]:
    """Rows of DRIFT: every latent of tonight's dictionary, in order, and then those of last night's that are gone.

    `matches` and `labelled` are rows of their tables by latent.
    """
    before = {row["stable_id"]: row for row in last}
    rows = []
    for row in tonight:
        was = before.pop(row["stable_id"], None)
        jaccard = labelled.get(row["latent"], {}).get("jaccard") if was else None
        rows.append(
            {
                **_row(row["stable_id"], row, was),
                "change": _change(row, was, jaccard, unchanged),
                "similarity": matches[row["latent"]]["similarity"] if was else None,
                "jaccard": jaccard,
            }
        )
    gone = [_row(stable_id, None, was) | {"change": "gone"} for stable_id, was in before.items()]
    return [*rows, *({"similarity": None, "jaccard": None, **row} for row in gone)]


def _row(stable_id: str, now: Row | None, was: Row | None) -> dict[str, Any]:
    found: dict[str, Any] = {"stable_id": stable_id}
    for lead, row in (("", now), ("last_", was)):
        found |= {f"{lead}{column}": row[column] if row else None for column in ("latent", *_TOLD)}
    return found


def _change(now: Row, was: Row | None, jaccard: float | None, unchanged: float) -> str:
    if was is None:
        return "new"
    if now["name"] != was["name"]:
        return "renamed"
    return "moved" if jaccard is not None and jaccard < unchanged else "kept"


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """How many of each, and the share of last night's interpretable latents that are gone."""
    counted = Counter(row["change"] for row in rows)
    believed = [row for row in rows if row["last_interpretable"]]
    gone = sum(row["change"] == "gone" for row in believed)
    return {
        **{change: counted[change] for change in CHANGES},
        "interpretable_before": len(believed),
        "interpretable_gone": gone / len(believed) if believed else None,
    }


def history(tonight: Iterable[Row], last: pa.Table | None) -> pa.Table:
    """In the schema HISTORY: what the dictionary said of its concepts on the nights before, and what it says tonight.

    `tonight` are rows of the dictionary with their change as `drift`, `last` is this table of last night.
    """
    night = 1 if last is None or not last.num_rows else pc.max(last["night"]).as_py() + 1
    same = [name for name in HISTORY.names if name not in ("night", "change")]
    rows = [{"night": night, "change": row["drift"], **{name: row[name] for name in same}} for row in tonight]
    found = pa.Table.from_pylist(rows, HISTORY)
    if last is None:
        return found
    return pa.concat_tables([last.filter(pc.field("night") > night - REMEMBERED), found])
