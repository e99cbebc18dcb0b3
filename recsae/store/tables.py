"""Rows of committed tables that a run may lack, and filters on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.store.run_store import Committed


def table_if_there(
    made: Committed | None,
    name: str,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table | None:
    """The rows that `where` admits, read without holding the others; None where the run lacks the stage or the file."""
    if made is None or name not in made.files(name):
        return None
    return made.read_table(name, None if columns is None else list(columns), where)


def among(column: str, values: Iterable[Any] | pa.Array, kind: pa.DataType | None = None) -> pc.Expression:
    """Rows whose `column` is one of the values; int32, as internal ids are, where no kind is given."""
    known = values if isinstance(values, pa.Array) else sorted(set(values))
    return pc.field(column).isin(pa.array(known, kind or pa.int32()))
