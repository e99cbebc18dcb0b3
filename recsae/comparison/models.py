"""Runs beside one another: of each what its recommender is worth, and how many and how different concepts it holds.

Read from what the served night of each run committed; nothing is measured anew. It knows the names of the stages'
metrics and tables, and nothing of how a comparison is shown.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.config.schema import Config
from recsae.lookup.served import Row, Served
from recsae.schemas.comparison import MODELS
from recsae.schemas.concepts import NOT_ASKED
from recsae.stats.agreement import wilson
from recsae.stats.diversity import effective, rarefied
from recsae.store.filesystem import as_json, split_query
from recsae.store.run_store import Committed
from recsae.text.formatting import look_up, number
from recsae.text.redaction import redact_uri


def compare(runs: Sequence[tuple[Config, Served]]) -> pa.Table:
    """One row of MODELS for each run: those of the same data together, the better recommender first."""
    found = [_row(config, night) for config, night in runs]
    of_data: dict[str, list[int]] = {}
    for row, counts in found:
        of_data.setdefault(row["data_hash"], []).append(sum(counts))
    for row, counts in found:
        least = min(of_data[row["data_hash"]])
        row["rarefied"] = rarefied(counts, least)
        row["rarefied_to"] = None if row["rarefied"] is None else least
    order = list(of_data)
    rows = [row for row, _ in found]
    rows.sort(key=lambda row: (order.index(row["data_hash"]), -(row["ndcg_10"] or 0.0), row["run"]))
    return pa.Table.from_pylist(rows, schema=MODELS)


def _row(config: Config, night: Served) -> tuple[Row, list[int]]:
    """The row but for what it takes the other models to say, and the interpretable latents of each concept."""
    ingest, recommender, sae = (night.made[name] for name in ("ingest", "recommender", "sae"))
    concepts = night.rows("concepts", "concepts.parquet", ("interpretable", "status", "group"))
    # the same words are the same concept
    counts = sorted(Counter(row["group"] for row in concepts if row["interpretable"]).values())
    interval = look_up(recommender.metrics, "test_intervals", "ndcg@10") or (None, None)
    row = {
        "run": config.name,
        "night": str(night.record["night"]),
        "data": _files(ingest.manifest["config"]["data"]),
        "data_hash": _data_hash(ingest),
        **{key: ingest.metrics[key] for key in ("users", "items", "events")},
        "recommender": str(look_up(recommender.metrics, "kind")),
        "ndcg_10": number(look_up(recommender.metrics, "test", "ndcg@10")),
        "ndcg_10_lower": number(interval[0]),
        "ndcg_10_upper": number(interval[1]),
        "fvu": number(look_up(sae.metrics, "fvu")),
        "ndcg_10_kept": number(look_up(sae.metrics, "fidelity", "rows", "sae", "ndcg@10_kept")),
        **_believed(concepts),
        "controls": night.made["concepts"].metrics["shuffled_interpretable"],
        "distinct": len(counts),
        "effective": effective(counts),
        **_answered(night),
    }
    return row, counts


def _data_hash(ingest: Committed) -> str:
    """Of what was read and how it was cut; the night does not matter."""
    return hashlib.sha256(as_json([ingest.manifest["content"], ingest.manifest["config"]])).hexdigest()[:16]


def _files(data: Mapping[str, Any]) -> str:
    """The last two names of the folder or files of events; no query, which may hold a secret."""
    paths = [data["path"]] if data.get("path") else data["interactions"]
    names = ("/".join(PurePosixPath(split_query(redact_uri(str(path)))[0]).parts[-2:]) for path in paths)
    return ", ".join(names)


def _believed(rows: Sequence[Row]) -> Row:
    """How many latents are interpretable, of those that were asked about and of all."""
    asked = [row for row in rows if row["status"] != NOT_ASKED]
    interpretable = sum(row["interpretable"] for row in asked)
    share = interpretable / len(asked) if asked else None
    lower, upper = (None, None) if share is None else wilson(share, len(asked))
    return {
        "latents": len(rows),
        "asked": len(asked),
        "interpretable": interpretable,
        "share": share,
        "share_lower": lower,
        "share_upper": upper,
        "expected": None if share is None else share * len(rows),
    }


def _answered(night: Served) -> Row:
    """Attribute values that single latents answer to, all latents looked at and no language model."""
    view = str(night.made["concepts"].manifest["config"]["probe"]["view"])
    columns = ("latent", "correlation", "null_mean", "null_upper")
    own = (pc.field("code") == "sae") & (pc.field("view") == view)
    rows = [
        row
        for row in night.rows("statistics", "attribute_best.parquet", columns, own)
        if all(number(value) is not None for value in row.values())
    ]
    above = [row for row in rows if row["correlation"] > row["null_upper"]]
    return {
        "values": len(rows),
        "answered": len(above),
        "answering": len({row["latent"] for row in above}),
        "correlation": sum(row["correlation"] - row["null_mean"] for row in rows) / len(rows) if rows else None,
    }
