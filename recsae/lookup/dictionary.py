"""Concepts of the served dictionary: by latent number, by text, or sorted."""

from __future__ import annotations

import difflib

import pyarrow as pa
import pyarrow.compute as pc

from recsae.errors import BadInput
from recsae.lookup.served import Row, Served
from recsae.store.tables import among

ORDERS = {
    "surest": (("interpretable", "descending"), ("confidence_lower", "descending")),
    "latent": (("latent", "ascending"),),
    "name": (("name", "ascending"),),
    **{
        column: ((column, "descending"),)
        for column in ("confidence", "f1", "unseen_confidence", "frequency", "coherence", "causal", "near_miss_rate")
    },
    "auc": (("judge_auc", "descending"),),
}
"""Sort keys of each order; nulls come last."""
NEAR = 5
"""Suggestions in the message about an unknown concept."""


def search(served: Served, order: str, words: str, *, interpretable: bool) -> pa.Table:
    """Rows of CONCEPTS in one of ORDERS, ties by latent; only those with `words` in their name, statement, terms or top
    items, ignoring case."""
    where = pc.field("interpretable") if interpretable else None
    found = served.table("concepts", "concepts.parquet", None, where)
    assert found is not None
    if words:
        found = found.filter(pa.array([words.casefold() in _text(row) for row in found.to_pylist()], pa.bool_()))
    keys = (*ORDERS[order], ("latent", "ascending"))
    return found.take(pc.sort_indices(found, list(dict(keys).items())))


def concept(served: Served, query: str) -> Row:
    """The row of the latent with this number. Raises BadInput, with similar names, if there is none."""
    if query.isdecimal() and len(query) < 10:
        rows = served.rows("concepts", "concepts.parquet", None, among("latent", [int(query)]))
        if rows:
            return rows[0]
    names = served.rows("concepts", "concepts.parquet", ("latent", "name"))
    if not query.isdecimal():
        similar = _similar(query, names)
        raise BadInput(f"latent {query}: give a latent's number" + (f"; similar names: {similar}" if similar else ""))
    width = served.made["sae"].metrics.get("num_latents") if "sae" in served.made else None
    if width is not None and len(query) < 10 and int(query) < width:
        raise BadInput(f"latent {query}: it never fires for explain users, so it is not in the dictionary")
    last = max((row["latent"] for row in names), default=None)
    raise BadInput(f"latent {query}: there is none; the dictionary has {len(names):,} latents, the last is {last}")


def names(served: Served, latents: set[int]) -> dict[int, Row]:
    """`name` and `interpretable` by latent."""
    columns = ("latent", "name", "interpretable")
    rows = served.rows("concepts", "concepts.parquet", columns, among("latent", latents))
    return {row["latent"]: row for row in rows}


def _text(row: Row) -> str:
    said = (row[column] or "" for column in ("name", "words", "gloss", "caption", "description", "judge_name"))
    return "\n".join((*said, *row["terms"], *row["top_items"])).casefold()


def _similar(query: str, names: list[Row]) -> str:
    """`12 (Sci-Fi), 40 (Science)`: concepts with the text in their names, else those with the closest names."""
    known = [row for row in names if row["name"]]
    similar = [row for row in known if query.casefold() in row["name"].casefold()]
    if not similar:
        close = difflib.get_close_matches(query.casefold(), {row["name"].casefold() for row in known}, NEAR)
        similar = [row for name in close for row in known if row["name"].casefold() == name]
    return ", ".join(f"{row['latent']} ({row['name']})" for row in similar[:NEAR])
