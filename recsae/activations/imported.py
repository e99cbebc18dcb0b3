"""Activations that were computed elsewhere, written as shards like our own; no model runs.

The cases lie in a database on disk and the vectors are streamed, so memory holds one shard. All ids are compared before
anything is written.
"""

from __future__ import annotations

import logging

import duckdb
import numpy as np
import pyarrow as pa

from recsae.activations import imported_vectors
from recsae.activations.imported_cases import load_cases
from recsae.activations.imported_sources import cases_source, vector_sources
from recsae.activations.shard_writer import ShardWriter, rows_per_shard
from recsae.config.schema import Config
from recsae.data.database import first_row, temporary_database
from recsae.data.sources import Source
from recsae.schemas.base import PARTS
from recsae.store import shards
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def write_imported(config: Config, ingested: Committed, out: Attempt) -> Metrics:
    """Write `shards/` in the order of the files; returns the counts. Raises BadInput on unusable files."""
    sources = vector_sources(config)
    with temporary_database(config.resources.ingest_memory_gb) as connection:
        cases = load_cases(connection, config, ingested)
        _check_ids(connection, sources, cases_source(config), cases)
        width = imported_vectors.width_of(sources[0])
        writer = ShardWriter(out.data, "given", width, config.probe)
        ids: list[np.ndarray] = []
        vectors: list[np.ndarray] = []
        for source in sources:
            for case_n, value_nD in imported_vectors.vectors(source, width, sources[0]):
                ids.append(case_n)
                vectors.append(value_nD)
                if sum(map(len, ids)) >= rows_per_shard(width, config.probe.shard_mib):
                    writer.add(_join(connection, ids, vectors))
                    ids, vectors = [], []
        if ids:
            writer.add(_join(connection, ids, vectors))
        counts = writer.close()
    log.info("activations: %d of width %d from %d files", cases, width, len(sources))
    return {
        "cases": counts["cases"],
        "shards": counts["shards"],
        "width": width,
        "cases_by_part": {part: counts[part] for part in PARTS},
    }


def _check_ids(connection: duckdb.DuckDBPyConnection, sources: list[Source], cases: Source, n_cases: int) -> None:
    """Raises BadInput unless every case has exactly one activation and every activation a case."""
    connection.execute("CREATE TABLE met (file INTEGER, row BIGINT, case_id BIGINT)")
    for file, source in enumerate(sources):
        row = 1
        for case_n in imported_vectors.ids(source):
            columns = {"row": np.arange(row, row + len(case_n)), "case_id": case_n}
            connection.register("staged", pa.table(columns))
            connection.execute(f"INSERT INTO met SELECT {file}, row, case_id FROM staged")
            connection.unregister("staged")
            row += len(case_n)
    duplicate = first_row(
        connection,
        "SELECT case_id, min((file, row)) AS first, max((file, row)) FROM met GROUP BY case_id HAVING count(*) > 1 "
        "ORDER BY first LIMIT 1",
    )
    if duplicate:
        case_id, (_, row), (file, again) = duplicate
        before = sources[duplicate[1][0]].path
        sources[file].refuse(f"row {again} has the case_id {case_id} of row {row} of {before}; keep one of them")
    orphan = first_row(
        connection,
        "SELECT file, row, case_id, count(*) OVER () FROM met WHERE case_id NOT IN (SELECT case_id FROM cases) "
        "ORDER BY file, row LIMIT 1",
    )
    if orphan:
        file, row, case_id, count = orphan
        sources[file].refuse(
            f"row {row}: the case_id {case_id} is not in {cases.path} (activations without a case: {count}); "
            f"add the cases or leave these rows out"
        )
    missing = first_row(
        connection,
        "SELECT row, case_id, count(*) OVER () FROM cases WHERE case_id NOT IN (SELECT case_id FROM met) "
        "ORDER BY row LIMIT 1",
    )
    if missing:
        row, case_id, count = missing
        cases.refuse(
            f"row {row}: the case_id {case_id} has no activation in probe.activations (such cases: {count} of "
            f"{n_cases}); name all files or leave these cases out"
        )
    connection.execute("DROP TABLE met")


def _join(connection: duckdb.DuckDBPyConnection, ids: list[np.ndarray], vectors: list[np.ndarray]) -> pa.Table:
    """The cases of the vectors, in the order of the vectors. Every id must have a case."""
    case_n = np.concatenate(ids)
    connection.register("staged", pa.table({"place": np.arange(len(case_n)), "case_id": case_n}))
    table = connection.sql(
        "SELECT case_id, user_idx, position, item_idx, top_idx, part FROM staged JOIN cases USING (case_id) "
        "ORDER BY place"
    ).to_arrow_table()
    connection.unregister("staged")
    return table.append_column("activation", shards.column(np.concatenate(vectors)))
