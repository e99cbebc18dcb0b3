"""Compares tonight's dictionary with last night's: every concept is kept, renamed, moved, new or gone.

Latents correspond if they have the same stable id. `moved` means that the name is unchanged, but the strongest items
are no longer those the latent was labelled on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.schemas.nightly import CHANGES, HISTORY

Row = Mapping[str, Any]
MAX_NIGHTS = 60
"""Number of nights kept in the history."""
_COMPARED = ("name", "confidence", "interpretable", "frequency")


def compare(
    tonight: Iterable[Row],
    last: Iterable[Row],
    matches: Mapping[int, Row],
    labelled: Mapping[int, Row],
    min_jaccard: float,
) -> list[dict[str, Any]]:
    """Rows of DRIFT: every latent of tonight's dictionary, in order, then those of last night's that are gone.

    `matches` and `labelled` hold the rows of these tables by latent; a Jaccard below `min_jaccard` is `moved`.
    """
    last_by_id = {row["stable_id"]: row for row in last}
    rows = []
    for row in tonight:
        previous = last_by_id.pop(row["stable_id"], None)
        jaccard = labelled.get(row["latent"], {}).get("jaccard") if previous else None
        rows.append(
            {
                **_row(row["stable_id"], row, previous),
                "change": _change(row, previous, jaccard, min_jaccard),
                "similarity": matches[row["latent"]]["similarity"] if previous else None,
                "jaccard": jaccard,
            }
        )
    gone = [_row(stable_id, None, previous) | {"change": "gone"} for stable_id, previous in last_by_id.items()]
    return [*rows, *({"similarity": None, "jaccard": None, **row} for row in gone)]


def _row(stable_id: str, now: Row | None, previous: Row | None) -> dict[str, Any]:
    found: dict[str, Any] = {"stable_id": stable_id}
    for prefix, row in (("", now), ("last_", previous)):
        found |= {f"{prefix}{column}": row[column] if row else None for column in ("latent", *_COMPARED)}
    return found


def _change(now: Row, previous: Row | None, jaccard: float | None, min_jaccard: float) -> str:
    if previous is None:
        return "new"
    if now["name"] != previous["name"]:
        return "renamed"
    return "moved" if jaccard is not None and jaccard < min_jaccard else "kept"


def drift_metrics(rows: Sequence[Row]) -> dict[str, Any]:
    """The number of latents per change, and the share of last night's interpretable latents that are gone."""
    counts = Counter(row["change"] for row in rows)
    interpretable = [row for row in rows if row["last_interpretable"]]
    gone = sum(row["change"] == "gone" for row in interpretable)
    return {
        **{change: counts[change] for change in CHANGES},
        "interpretable_before": len(interpretable),
        "interpretable_gone": gone / len(interpretable) if interpretable else None,
    }


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
