"""One user in the store's tables: attributes, events, and their cases in the evidence.

The command `explain` computes from the models why they are recommended what they are; this only reads tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from recsae.lookup import cases
from recsae.lookup.dictionary import names
from recsae.lookup.named import find_user
from recsae.lookup.served import Row, Served
from recsae.store.tables import among


@dataclass(frozen=True)
class User:
    user: Row
    """Their row of USERS."""
    events: list[Row]
    """All of them, in order: `position`, `item_id`, `title`, `timestamp`, `split`."""
    evidence: list[Row]
    """Cases of theirs in which a latent fires: `position`, the `item` there, the item that the model ranked `first`,
    and `latent`, `name`, `interpretable`, `activation`, `level`, `part`, `role`; by position, then the strongest."""


def user(served: Served, query: str) -> User:
    """The user with this id. Raises BadInput as `find_user` does."""
    row = find_user(served.made["ingest"], query)
    number = row["user_idx"]
    events = cases.events(served, [number])[number]
    evidence = [] if served.site == "item" else _evidence(served, number)
    wanted = [one["item_idx"] for one in (*events, *evidence)] + [one["top_idx"] for one in evidence]
    known = cases.items(served, wanted)
    concepts = names(served, {one["latent"] for one in evidence})
    return User(
        row,
        [
            {"position": one["position"], **known[one["item_idx"]]._asdict(), **_pick(one, "timestamp", "split")}
            for one in events
        ],
        [
            {
                "position": one["position"],
                "item": known[one["item_idx"]]._asdict(),
                "first": known[one["top_idx"]]._asdict() if one["top_idx"] in known else None,
                **_pick(concepts[one["latent"]], "latent", "name", "interpretable"),
                **_pick(one, "activation", "level", "part", "role"),
            }
            for one in evidence
            if one["latent"] in concepts
        ],
    )


def _evidence(served: Served, number: int) -> list[Row]:
    where = among("user_idx", [number]) & (pc.field("activation") > 0)
    found: dict[tuple[int, int], Row] = {}
    for row in served.rows("evidence", "evidence.parquet", None, where):
        found.setdefault((row["case_id"], row["latent"]), row)  # a case may occur both as `top` and as `level`
    return sorted(found.values(), key=lambda row: (row["position"], -row["activation"], row["latent"]))


def _pick(row: Row, *columns: str) -> Row:
    return {column: row[column] for column in columns}
