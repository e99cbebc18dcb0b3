"""Concepts of the served dictionary, found by their number, their words or their order."""

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
        for column in ("confidence", "f1", "auc", "frequency", "coherence", "causal", "near_miss_rate")
    },
}
"""What a dictionary is ordered by; what is unknown comes last."""
NEAR = 5
"""Concepts that are named to whoever asked for one that is not there."""


def search(served: Served, order: str, words: str, *, interpretable: bool) -> pa.Table:
    """Rows of CONCEPTS in one of ORDERS, with latents as ties; only those that have `words`, in any case, in their
    name, description, terms or top items."""
    where = pc.field("interpretable") if interpretable else None
    found = served.table("concepts", "concepts.parquet", None, where)
    assert found is not None
    if words:
        found = found.filter(pa.array([words.casefold() in _text(row) for row in found.to_pylist()], pa.bool_()))
    keys = (*ORDERS[order], ("latent", "ascending"))
    return found.take(pc.sort_indices(found, list(dict(keys).items())))


def concept(served: Served, asked: str) -> Row:
    """The row of the latent with this number. Raises BadInput, with near ones, where there is none."""
    if asked.isdecimal() and len(asked) < 10:
        rows = served.rows("concepts", "concepts.parquet", None, among("latent", [int(asked)]))
        if rows:
            return rows[0]
    names = served.rows("concepts", "concepts.parquet", ("latent", "name"))
    if not asked.isdecimal():
        near = _alike(asked, names)
        raise BadInput(f"latent {asked}: give a latent's number" + (f"; named so: {near}" if near else ""))
    width = served.made["sae"].metrics.get("num_latents") if "sae" in served.made else None
    if width is not None and len(asked) < 10 and int(asked) < width:
        raise BadInput(f"latent {asked}: it never fires in cases of explain users, so the dictionary has no row of it")
    last = max((row["latent"] for row in names), default=None)
    raise BadInput(f"latent {asked}: there is none; the dictionary has {len(names):,} latents, the last is {last}")


def names(served: Served, latents: set[int]) -> dict[int, Row]:
    """`name` and `interpretable` by latent."""
    columns = ("latent", "name", "interpretable")
    rows = served.rows("concepts", "concepts.parquet", columns, among("latent", latents))
    return {row["latent"]: row for row in rows}


def _text(row: Row) -> str:
    return "\n".join((row["name"] or "", row["description"] or "", *row["terms"], *row["top_items"])).casefold()


def _alike(asked: str, names: list[Row]) -> str:
    """`12 (Sci-Fi), 40 (Science)`: concepts that have the text in their names, else those that look like it."""
    known = [row for row in names if row["name"]]
    near = [row for row in known if asked.casefold() in row["name"].casefold()]
    if not near:
        alike = difflib.get_close_matches(asked.casefold(), {row["name"].casefold() for row in known}, NEAR)
        near = [row for name in alike for row in known if row["name"].casefold() == name]
    return ", ".join(f"{row['latent']} ({row['name']})" for row in near[:NEAR])
