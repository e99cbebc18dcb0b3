"""Compares runs: for each, the quality of its recommender, and the number and diversity of its concepts.

All figures come from the served night of each run; nothing is measured again.
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
    """One row of MODELS per run: runs on the same data together, the better recommender first."""
    counted = [_row(config, night) for config, night in runs]
    of_data: dict[str, list[int]] = {}
    for row, counts in counted:
        of_data.setdefault(row["data_hash"], []).append(sum(counts))
    for row, counts in counted:
        smallest = min(of_data[row["data_hash"]])
        row["rarefied"] = rarefied(counts, smallest)
        row["rarefied_to"] = None if row["rarefied"] is None else smallest
    order = list(of_data)
    rows = [row for row, _ in counted]
    rows.sort(key=lambda row: (order.index(row["data_hash"]), -(row["ndcg_10"] or 0.0), row["run"]))
    return pa.Table.from_pylist(rows, schema=MODELS)


def _row(config: Config, night: Served) -> tuple[Row, list[int]]:
    """The row, without the rarefied columns, and the number of interpretable latents of each concept."""
    ingest, recommender, sae = (night.made[name] for name in ("ingest", "recommender", "sae"))
    concepts = night.rows("concepts", "concepts.parquet", ("interpretable", "status", "group"))
    # one group is one concept
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
        **_interpretable(concepts),
        "controls": night.made["concepts"].metrics["shuffled_interpretable"],
        "distinct": len(counts),
        "effective": effective(counts),
        **_attribute_responses(night),
    }
    return row, counts


def _data_hash(ingest: Committed) -> str:
    """A digest of the data and of how it was split, independent of the night."""
    return hashlib.sha256(as_json([ingest.manifest["content"], ingest.manifest["config"]])).hexdigest()[:16]


def _files(data: Mapping[str, Any]) -> str:
    """The last two path components of the event folder or files, without the query, which may hold a secret."""
    paths = [data["path"]] if data.get("path") else data["interactions"]
    names = ("/".join(PurePosixPath(split_query(redact_uri(str(path)))[0]).parts[-2:]) for path in paths)
    return ", ".join(names)


def _interpretable(rows: Sequence[Row]) -> Row:
    """Interpretable latents: their number, and their share of the latents that were asked about."""
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


def _attribute_responses(night: Served) -> Row:
    """Attribute values to which a single latent responds above chance; uses all latents and no language model."""
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
