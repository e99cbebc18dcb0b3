"""What a concept page tells of a latent's statement beyond the dictionary: its recall by level of activation, the
best statement of each kind and view beside it, and how a behaviour does in made-up histories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from recsae.report.tables import read_optional
from recsae.statements.language import from_json
from recsae.statements.wording import in_words
from recsae.store.run_store import Committed
from recsae.store.tables import among
from recsae.text.formatting import short

RIVALS = 8
"""Statements of other kinds and views listed for a latent, the best first."""


class StatementRows:
    """The statements of a run's latents; holds the titles of the catalogue for all pages."""

    def __init__(self, inputs: Mapping[str, Committed]) -> None:
        self._inputs = inputs
        known = read_optional(inputs, "ingest", "items.parquet", ["item_id", "title"])
        self._titles: dict[str, str] = dict(zip(*known.to_pydict().values(), strict=True)) if known is not None else {}

    def rows(self, latents: Sequence[int]) -> dict[str, Any]:
        """The details of these `latents`, as JSON:

        - `recall`: by latent, `[the tenth of activations, from 1, from which on recall is at least .8 or null, share of
          non-activating cases that satisfy the statement, [recall in each tenth, weakest first]]`;
        - `rivals`: by latent, `[kind, view, words, confidence, its interval, F1, whether it is above the bar]` each.
        - `tried`: by latent whose statement is a behaviour, `[agrees, contradicts, unclear or untested, firing share of
          synthetic histories within the range minus that outside]`.

        A part is missing if it has no latent.
        """
        found = {
            "recall": self._recall(latents),
            "rivals": self._rivals(latents),
            "tried": self._tried(latents),
        }
        return {part: of_latents for part, of_latents in found.items() if of_latents}

    def _tried(self, latents: Sequence[int]) -> dict[int, list[Any]]:
        columns = ("latent", "causal_check", "causal_change")
        where = among("latent", latents) & pc.field("causal_check").is_valid()
        table = read_optional(self._inputs, "statements", "statements.parquet", columns, where)
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True) if table is not None else ()
        return {latent: [short(value, 3) for value in row] for latent, *row in rows}

    def _recall(self, latents: Sequence[int]) -> dict[int, list[Any]]:
        columns = ("latent", "holds_from", "fp", "tn", "level_recall")
        where = among("latent", latents) & pc.field("level_recall").is_valid()
        table = read_optional(self._inputs, "statements", "statements.parquet", columns, where)
        return {
            row["latent"]: [
                row["holds_from"],
                short(row["fp"] / (row["fp"] + row["tn"]), 3) if row["fp"] + row["tn"] else None,
                [short(share, 3) for share in row["level_recall"]],
            ]
            for row in (table.to_pylist() if table is not None else [])
        }

    def _rivals(self, latents: Sequence[int]) -> dict[int, list[list[Any]]]:
        columns = ("latent", "kind", "view", "statement", "confidence", "lower", "upper", "f1", "passes")
        where = among("latent", latents) & (pc.field("role") == "contestant") & pc.field("confidence").is_valid()
        table = read_optional(self._inputs, "statements", "statement_scores.parquet", columns, where)
        found: dict[int, list[list[Any]]] = {}
        order = [("latent", "ascending"), ("confidence", "descending"), ("kind", "ascending"), ("view", "ascending")]
        for row in table.sort_by(order).to_pylist() if table is not None else ():
            some = found.setdefault(row["latent"], [])
            if len(some) < RIVALS:
                words = in_words(from_json(row["statement"]), self._titles)
                figures = (short(row[name], 3) for name in ("confidence", "lower", "upper", "f1"))
                some.append([row["kind"], row["view"], words, *figures, row["passes"]])
        return found


def null_confidence(inputs: Mapping[str, Committed]) -> list[float]:
    """The confidence of what the search finds where activations are dealt to other users, of every null latent."""
    where = (pc.field("role") == "null") & pc.field("confidence").is_valid()
    table = read_optional(inputs, "statements", "statement_scores.parquet", ["confidence"], where)
    return [] if table is None else table.column("confidence").to_pylist()
