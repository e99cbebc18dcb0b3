"""One latent in the store's tables: scores, items, levels, attributes, cases, effects of steering it, its nights."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsae.lookup import cases
from recsae.lookup.dictionary import concept
from recsae.lookup.served import Row, Served
from recsae.schemas.base import ACTIVE_ROLES, NEAR_DIRECTION, NEAR_MISS, SILENT_ROLES, item_column
from recsae.store import inspection
from recsae.store.run_store import RunStore
from recsae.store.tables import among

ITEMS = 5
ATTRIBUTES = 5
EXAMPLES = 3
"""Cases shown of each kind."""
LATEST = 5
"""Latest events of a case's history."""
NIGHTS = 30
"""Nights read, from the newest."""
KINDS = {"activating": ACTIVE_ROLES[:1], "near miss": (NEAR_MISS, NEAR_DIRECTION), "silent": SILENT_ROLES}
BOUNDS = ("confidence_lower", "confidence_upper")
MEASURES = ("activations", "strength", "lift")


@dataclass(frozen=True)
class Latent:
    concept: Row
    """Its row of CONCEPTS."""
    proposed: list[str]
    """The other candidate names, in the labeller's order."""
    holds_from: int | None
    """The level of activation from which on at least 80 % of the cases satisfy the statement; None if there is none."""
    scores: list[Row]
    """Rows of SCORES on score users."""
    items: dict[str, list[Row]]
    """By measure, the top ITEMS rows of LATENT_ITEMS, with `item_id` and `title`."""
    levels: list[Row]
    attributes: list[Row]
    """Rows of ATTRIBUTE_STATS of the SAE; the top ones of each view."""
    cases: list[Row]
    """Cases of score users by KINDS, with the item that the view shows, the verdict and the history."""
    steering: list[Row]
    """Rows of STEERING on score users."""
    nights: list[Row]
    """Its row on each retained night, oldest first; empty if there is only one."""


def latent(served: Served, query: str) -> Latent:
    """The latent with this number. Raises BadInput if the dictionary does not have it."""
    row = concept(served, query)
    number = row["latent"]
    own, scored = among("latent", [number]), pc.field("part") == "score"
    attributes = own & (pc.field("code") == "sae") & (pc.field("rank") < ATTRIBUTES)
    labels = served.rows("labels", "labels.parquet", ("candidate", "concept"), own)
    proposed = [one["concept"] for one in sorted(labels, key=lambda one: one["candidate"])]
    found = served.rows("statistics", "attribute_stats.parquet", None, attributes)
    steered = served.rows("steering", "steering.parquet", None, own & scored)
    return Latent(
        row,
        [name for name in proposed if name != row["judge_name"]],
        next(
            (one["holds_from"] for one in served.rows("statements", "statements.parquet", ("holds_from",), own)), None
        ),
        served.rows("scores", "scores.parquet", None, own & scored),
        _items(served, number),
        sorted(served.rows("scores", "levels.parquet", None, own), key=lambda one: one["level"]),
        sorted(found, key=lambda one: (one["view"] != row["view"], one["rank"])),
        _cases(served, row),
        sorted(steered, key=lambda one: (one["operation"] != "ablate", one["strength"] or 0.0)),
        _nights(served.store, row["stable_id"]),
    )


def _items(served: Served, number: int) -> dict[str, list[Row]]:
    ranked = [pc.field(f"rank_{measure}") < ITEMS for measure in MEASURES]
    where = among("latent", [number]) & (ranked[0] | ranked[1] | ranked[2])
    rows = served.rows("evidence", "latent_items.parquet", None, where)
    known = cases.items(served, [row["item_idx"] for row in rows])
    rows = [{**row, **known[row["item_idx"]]._asdict()} for row in rows if row["item_idx"] in known]
    found = {}
    for measure in MEASURES:
        rank = f"rank_{measure}"
        first = [row for row in rows if row[rank] is not None and row[rank] < ITEMS]
        found[measure] = sorted(first, key=lambda row: row[rank])
    return found


def _cases(served: Served, row: Row) -> list[Row]:
    """Up to EXAMPLES cases of each kind, by rank, then by role."""
    where = among("latent", [row["latent"]]) & (pc.field("part") == "score") & (pc.field("rank") < EXAMPLES)
    evidence = served.rows("evidence", "evidence.parquet", None, where)
    chosen: list[Row] = []
    for kind, roles in KINDS.items():
        of_kind = [case for case in evidence if case["role"] in roles]
        of_kind.sort(key=lambda case: (case["rank"], roles.index(case["role"])))
        chosen += [{"kind": kind, **case} for case in of_kind[:EXAMPLES]]
    column = item_column(row["view"])
    verdicts = cases.verdicts(
        served, [row["judge_name"] or ""], [case[column] for case in chosen if case[column] is not None]
    )
    centre = cases.centres(served, [row["latent"]]).get(row["latent"])
    item_side = served.site == "item"  # an item is its own user there
    users = {case["user_idx"] for case in chosen} if not item_side else set()
    ids, history = cases.user_ids(served, users), cases.events(served, users)
    latest = {
        case["case_id"]: [one["item_idx"] for one in history[case["user_idx"]] if one["position"] < case["position"]]
        for case in chosen
        if case["user_idx"] in history
    }
    wanted = [case[column] for case in chosen] + [item for one in latest.values() for item in one[-LATEST:]]
    known = cases.items(served, wanted)
    return [
        {
            **{name: case[name] for name in ("kind", "role", "case_id", "position", "activation", "level")},
            "user_id": ids.get(case["user_idx"]),
            "item": known[case[column]]._asdict() if case[column] in known else None,
            "judge": cases.says_yes(verdicts, row["judge_name"] or "", case[column], centre),
            "history": [known[item]._asdict() for item in latest.get(case["case_id"], [])[-LATEST:] if item in known],
        }
        for case in chosen
    ]


def _nights(store: RunStore, stable_id: str) -> list[Row]:
    """Its rows on past nights; nights without a readable dictionary, or without stable ids, are skipped."""
    columns = ["latent", "name", "interpretable", "confidence", *BOUNDS, "frequency", "drift"]
    records = [record for _, record in inspection.nights(store.folder, NIGHTS) if "number" in record]
    found = []
    for record in sorted(records, key=lambda record: record["number"]):
        done = store.committed("concepts", record["fingerprints"]["concepts"])
        if done is None:
            continue
        try:
            rows = done.read_table("concepts.parquet", columns, pc.field("stable_id") == stable_id).to_pylist()
        except (OSError, pa.ArrowException):
            continue
        found += [{"night": record["night"], "served": bool(record.get("served")), **row} for row in rows]
    return found if len(found) > 1 else []
