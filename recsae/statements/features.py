"""What statements can refer to about items: terms, numbers and vectors, by item_idx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsae.data import numbers, terms
from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.schemas.base import required, table_schema
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed

VECTORS = "item_vectors.parquet"


@dataclass(frozen=True)
class ItemFeatures:
    """The features of all items."""

    ids: list[str]
    vocabulary: Vocabulary
    numbers: Mapping[str, np.ndarray]
    """`(items,)` float64 by name; NaN where an item has none."""
    spaces: Mapping[str, np.ndarray]
    """`(items, axes)` float32 unit vectors by name; zeros where an item has none."""

    @property
    def n_items(self) -> int:
        return len(self.ids)

    @cached_property
    def index(self) -> dict[str, int]:
        """item_idx by external id."""
        return {item_id: item for item, item_id in enumerate(self.ids)}

    def has_term(self, term: str) -> np.ndarray:
        """Which items have the term, `(items,)` bool. Raises KeyError for one that is not in the vocabulary."""
        (column,) = self.vocabulary.columns([term])
        has_I = np.zeros(self.n_items, dtype=bool)
        has_I[self._terms.indices[self._terms.indptr[column] : self._terms.indptr[column + 1]]] = True
        return has_I

    def has_vector(self, space: str) -> np.ndarray:
        """Which items have a vector in the space, `(items,)` bool."""
        return self._vectored[space]

    @cached_property
    def _vectored(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(np.any(vectors != 0, axis=1)) for name, vectors in self.spaces.items()}

    @cached_property
    def _terms(self) -> sparse.csc_matrix:
        return self.vocabulary.item_terms.tocsc()


def build(catalogue: Catalogue, spaces: Mapping[str, np.ndarray]) -> ItemFeatures:
    """The features of a catalogue; `spaces` holds unit vectors."""
    return ItemFeatures(catalogue.ids, terms.build(catalogue), numbers.build(catalogue), spaces)


def write_spaces(spaces: Mapping[str, np.ndarray], catalogue: Catalogue, out: Attempt) -> None:
    """Write the vectors of all items, one column a space."""
    schema = table_schema(
        "item_vectors",
        1,
        required("item_id", pa.string()),
        *(pa.field(name, pa.list_(pa.float32(), vectors.shape[1])) for name, vectors in spaces.items()),
    )
    columns = {name: shards.column(vectors) for name, vectors in spaces.items()}
    out.write_table(VECTORS, pa.table({"item_id": catalogue.ids, **columns}), schema)


def read(catalogue: Catalogue, statements: Committed) -> ItemFeatures:
    """The features behind the statements of a committed stage `statements`."""
    table = statements.read_table(VECTORS)
    names = [name for name in table.column_names if name != "item_id"]
    return build(catalogue, {name: shards.vectors(table, name) for name in names})
