"""The catalogue as later stages read it: titles, attributes and popularity by item_idx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from recsae.store.run_store import Committed

TEXT_LIMIT = 200
"""Characters of an item's one-line description."""


@dataclass(frozen=True)
class Catalogue:
    """All items, indexed by item_idx."""

    ids: list[str]
    titles: list[str]
    attributes: list[dict[str, list[str]]]
    """Distinct values by attribute name, in order; only the attributes that the item has."""
    popularity: np.ndarray
    """`(n_items,)` int64 training events."""

    @property
    def n_items(self) -> int:
        return len(self.ids)

    @classmethod
    def read(cls, ingested: Committed) -> Self:
        table = ingested.read_table("items.parquet")
        attributes: list[dict[str, list[str]]] = []
        for pairs in table.column("attributes").to_pylist():
            by_name: dict[str, list[str]] = {}
            for pair in pairs:
                by_name.setdefault(pair["name"], []).append(pair["value"])
            attributes.append(by_name)
        return cls(
            table.column("item_id").to_pylist(),
            table.column("title").to_pylist(),
            attributes,
            table.column("popularity").to_numpy(),
        )

    def texts(self, items: np.ndarray) -> tuple[str, ...]:
        return tuple(self.text(item) for item in items.tolist())

    def text(self, item_idx: int) -> str:
        """`Title (genres: a, b; tags: c)`, with as many values as fit into TEXT_LIMIT."""
        text = self.titles[item_idx][:TEXT_LIMIT]
        parenthesis = False
        for name, values in self.attributes[item_idx].items():
            for number, value in enumerate(values):
                separator = (", " if number else f"; {name}: ") if parenthesis else f" ({name}: "
                if len(text) + len(separator) + len(value) >= TEXT_LIMIT:
                    return text + ")" * parenthesis
                text, parenthesis = text + separator + value, True
        return text + ")" * parenthesis
