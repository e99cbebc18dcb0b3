"""Example cases of latents with their histories: activating cases, hard negatives and non-activating cases.

They come from score users, who are held out from naming and choosing. The user's next event is never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsae.data.chunks import chunk_of, read_chunk
from recsae.report.tables import Titles, number_items, read_optional
from recsae.schemas.base import NEAR_DIRECTION, NEAR_MISS
from recsae.store.run_store import Committed
from recsae.store.tables import among
from recsae.text.formatting import short

CASES_PER_ROLE = {"top": 2, "level": 2, NEAR_MISS: 2, NEAR_DIRECTION: 1, "random": 2}
"""Number of cases per role, lowest rank first."""
HISTORY = 8
"""Maximum length of the history, latest items."""
_COLUMNS = ("latent", "part", "role", "rank", "user_idx", "position", "item_idx", "top_idx", "activation", "level")
_CASES = pa.schema(
    [
        *(("latent", pa.int32()), ("role", pa.string()), ("user_idx", pa.int32()), ("position", pa.int32())),
        *(("item_idx", pa.int32()), ("top_idx", pa.int32()), ("activation", pa.float32()), ("level", pa.int8())),
    ]
)


class Examples:
    """The example cases of a run's latents, with their histories.

    Histories are read in one pass over the users for all pages; memory grows with the number of latents.
    """

    def __init__(self, inputs: Mapping[str, Committed], site: str) -> None:
        self._inputs = inputs
        self._cases = _select_cases(inputs)
        self._histories = dict(_items(self._cases) if site == "item" else _histories(inputs["ingest"], self._cases))

    def rows(self, latents: Sequence[int], titles: Titles) -> dict[str, Any]:
        """`{"roles": names, "cases": {latent: [[role, activation, level, ranked first, [history, oldest first]], …]}}`.

        `role` is an index into `roles`; items are title numbers. The item ranked first is null if it was not computed.
        Empty if none of the latents has cases.
        """
        cases = self._cases.filter(among("latent", latents))
        if not cases.num_rows:
            return {}
        histories = [self._histories.get(key, []) for key in _keys(cases)]
        shown = {item for items in histories for item in items}
        shown |= {item for item in cases["top_idx"].to_pylist() if item is not None}
        numbers = number_items(self._inputs, sorted(shown), titles)
        roles = list(CASES_PER_ROLE)
        found: dict[int, list[list[Any]]] = {}
        for case, history in zip(cases.to_pylist(), histories, strict=True):
            numbered = [numbers[item] for item in history if item in numbers]
            row = [
                roles.index(case["role"]),
                short(case["activation"]),
                case["level"],
                numbers.get(case["top_idx"]),
                numbered,
            ]
            found.setdefault(case["latent"], []).append(row)
        return {"roles": roles, "cases": found}


def _keys(cases: pa.Table) -> Iterator[tuple[int, int]]:
    return zip(cases["user_idx"].to_pylist(), cases["position"].to_pylist(), strict=True)


def _select_cases(inputs: Mapping[str, Committed]) -> pa.Table:
    """The example cases, by latent, then by role in the order of CASES_PER_ROLE."""
    roles = pa.array(list(CASES_PER_ROLE))
    where = (
        (pc.field("part") == "score") & pc.field("role").isin(roles) & (pc.field("rank") < max(CASES_PER_ROLE.values()))
    )
    table = read_optional(inputs, "evidence", "evidence.parquet", _COLUMNS, where)
    if table is None:
        return _CASES.empty_table()
    role = pc.index_in(table["role"], roles)
    allowed = pc.less(table["rank"], pc.take(pa.array(list(CASES_PER_ROLE.values())), role))
    table = table.append_column("order", role).filter(allowed)
    table = table.sort_by([("latent", "ascending"), ("order", "ascending"), ("rank", "ascending")])
    return table.select(_CASES.names).cast(_CASES)


def _items(cases: pa.Table) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """On the item side, a case is a single item."""
    for key, item in zip(_keys(cases), cases["item_idx"].to_pylist(), strict=True):
        yield key, [item]


def _histories(ingested: Committed, cases: pa.Table) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yields, for each user and position, the latest items before the position."""
    if not cases.num_rows:
        return
    user, position = (cases[name].to_numpy() for name in ("user_idx", "position"))
    chunks = chunk_of(ingested, user)
    for number in np.unique(chunks).tolist():
        chunk = read_chunk(ingested, number)
        here = chunks == number
        starts = chunk.offsets[np.searchsorted(chunk.users, user[here])]
        for start, one, before in zip(starts.tolist(), user[here].tolist(), position[here].tolist(), strict=True):
            yield (one, before), chunk.items[start + max(0, before - HISTORY) : start + before].tolist()
