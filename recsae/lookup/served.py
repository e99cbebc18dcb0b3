"""Read-only access to the tables of the served night; only the rows asked for are held in memory.

Needs neither the input files nor Ray.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.store import inspection
from recsae.store.nights import Record, relocated
from recsae.store.run_store import Committed, RunStore
from recsae.store.tables import table_if_there

Row = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """The served night: its record and the committed stages."""

    store: RunStore
    record: Record
    made: Mapping[str, Committed]

    @property
    def site(self) -> str:
        """The site at which the vectors were probed."""
        return str(self.made["concepts"].manifest["config"]["probe"]["site"])

    def table(
        self, stage: str, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table | None:
        """As `table_of`; None also if the night has no such stage."""
        found = self.made.get(stage)
        return None if found is None else table_of(found, name, columns, where)

    def rows(
        self, stage: str, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> list[Row]:
        """The same as a list of rows; empty if there is no such table."""
        found = self.table(stage, name, columns, where)
        return [] if found is None else found.to_pylist()


def table_of(
    made: Committed, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
) -> pa.Table | None:
    """The rows of a stage's table that satisfy `where`, which filters on reading; None if there is no such file.

    Raises BadInput if the file is damaged.
    """
    try:
        return table_if_there(made, name, columns, where)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"{made.data.locate(name)} cannot be read ({reason}); `recsae status` says what to run again"
        ) from None


def rows_of(
    made: Committed, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
) -> list[Row]:
    """The same as a list of rows; empty if there is no such table."""
    found = table_of(made, name, columns, where)
    return [] if found is None else found.to_pylist()


def first_rows(made: Committed, name: str, columns: Sequence[str], where: pc.Expression, count: int) -> list[Row]:
    """The first rows of a table that satisfy `where`; reading stops once `count` are found."""
    table = ds.dataset(made.data.locate(name), filesystem=made.data.filesystem, format="parquet")
    rows: list[Row] = table.head(count, columns=list(columns), filter=where).to_pylist()
    return rows


def served(config: Config) -> Served:
    """The served night of the config's run. Raises BadInput as `served_by` does."""
    return served_by(RunStore(config.store.root, config.name))


def served_by(store: RunStore) -> Served:
    """The served night of a run. Raises BadInput if there is none or one of its stages is gone."""
    record, problem = inspection.record(store.folder, "current.json")
    if record is None:
        raise BadInput(f"{store.folder.uri}: {problem or 'no night is served yet'}; run `recsae run` with this config")
    made = {stage: store.committed(stage, fingerprint) for stage, fingerprint in record["fingerprints"].items()}
    for stage, found in made.items():
        if found is None:
            raise BadInput(f"{store.folder.uri}: {stage} of the served night is gone; run `recsae run`")
    return Served(store, relocated(record, store.folder), {stage: found for stage, found in made.items() if found})
