"""The first rows of a dictionary as a table in the terminal, and where dictionary and report lie."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from recsae.cli.render import terminal
from recsae.concepts.classes import in_short
from recsae.store.filesystem import file_at
from recsae.store.object_store import signed
from recsae.text.formatting import decimal, with_interval
from recsae.text.sanitize import plain

ROWS = 20
ITEMS = 3
CONCEPT, TOP_ITEMS = 24, 40
"""Characters that names have at least, and top items at most."""
MEDIANS = {"confidence": "confidence", "on unseen items": "unseen_confidence", "F1": "f1"}
SUREST = (("interpretable", "descending"), ("confidence_lower", "descending"))

_COLUMNS = (
    "name",
    "kind",
    "interpretable",
    "confidence",
    "confidence_lower",
    "confidence_upper",
    "unseen_confidence",
    "f1",
    "group_size",
    "polysemantic",
    "top_items",
    "top_item_ids",
)


def print_dictionary(current: Mapping[str, Any], root: str = "") -> None:
    """Print the dictionary that `current` (the content of `current.json`) names, the surest concepts first.

    `root` is the store's, whose credentials `current.json` leaves out.
    """
    console = terminal.console()
    concepts = _read(signed(str(current["dictionary"]), root))
    console.print(concept_table(concepts.take(pc.sort_indices(concepts, SUREST)[:ROWS])))
    # A path that is wrapped cannot be copied.
    console.print(counted(concepts), soft_wrap=True)
    console.print(f"dictionary  {plain(str(current['dictionary']))}", soft_wrap=True)
    console.print(f"report      {plain(str(current['report']))}", soft_wrap=True)


def counted(concepts: pa.Table) -> str:
    """How many latents there are and in which class, their medians, and what the marks in the table mean."""
    interpretable = sum(concepts.column("interpretable").to_pylist())
    holding, others = in_short(concepts.column("kind").to_pylist())
    shared = sum(size > 1 for size in concepts.column("group_size").to_pylist())
    polysemantic = sum(concepts.column("polysemantic").fill_null(False).to_pylist())
    told = f"{concepts.num_rows:,} latents, {interpretable:,} interpretable (✓)" + (f": {holding}" if holding else "")
    if others:
        told += f"; {others}"
    medians = {what: _median(concepts.column(name)) for what, name in MEDIANS.items()}
    known = [f"{what} {decimal(value, 2)}" for what, value in medians.items() if value is not None]
    if known:
        told += f"\nmedians: {', '.join(known)}"
    if shared:
        told += f"; {shared:,} share their heading (×)"
    if polysemantic:
        told += f"; {polysemantic:,} polysemantic (≠)"
    return told


def _median(values: pa.ChunkedArray) -> float | None:
    known = values.drop_null().to_pylist()
    return median(known) if known else None


def _read(uri: str) -> pa.Table:
    """The dictionary's columns from a path or URI."""
    folder, name = file_at(uri)
    return folder.read_table(name, list(_COLUMNS))


def concept_table(concepts: pa.Table, *, numbered: bool = False) -> Table:
    """Rows of the dictionary in their order; `numbered` adds the latents' numbers in a narrower table."""
    table = terminal.table()
    if numbered:
        table.padding = (0, 1, 0, 0)
        table.add_column("#", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("concept", min_width=CONCEPT)
    table.add_column("class", no_wrap=True)
    table.add_column("confidence", no_wrap=True)
    for heading in ("unseen", "F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("top items", max_width=TOP_ITEMS, no_wrap=True, overflow="ellipsis")
    for row in concepts.to_pylist():
        bounds = row["confidence_lower"], row["confidence_upper"]
        table.add_row(
            *((str(row["latent"]),) if numbered else ()),
            Text("✓" if row["interpretable"] else " "),
            concept(row),
            Text(row["kind"], style="" if row["interpretable"] else "dim"),
            Text(with_interval(row["confidence"], *bounds)),
            Text(decimal(row["unseen_confidence"], 2)),
            Text(decimal(row["f1"], 2)),
            Text(" · ").join(map(terminal.item, row["top_items"][:ITEMS], row["top_item_ids"])),
        )
    return table


def concept(row: Mapping[str, Any]) -> Text:
    """Its name, how many latents share its heading, and whether the latent has two meanings."""
    found = Text(plain(row["name"] or "—"), style="bold" if row["interpretable"] else "dim")
    if row["group_size"] > 1:
        found.append(f" ×{row['group_size']}", style="not bold dim")
    if row["polysemantic"]:
        found.append(" ≠", style="not bold dim")
    return found
