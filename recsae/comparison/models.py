"""Compares runs: for each, the quality of its recommender, and the number and diversity of its concepts by
a bar that does not move with the run.

All figures come from the served night of each run; nothing is measured again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.config.schema import Config
from recsae.lookup.served import Row, Served
from recsae.schemas.comparison import MODELS
from recsae.stats.agreement import wilson
from recsae.stats.diversity import effective, rarefied
from recsae.store.filesystem import as_json, split_query
from recsae.store.run_store import Committed
from recsae.text.formatting import look_up, number
from recsae.text.redaction import redact_uri

LEVELS = (0.7, 0.75, 0.8)
"""Balanced accuracies over all cases of score users at which latents are counted: the same for every run, where a run's
own bar moves with its controls."""
RAREFIED_AT = 0.75
"""The level from which on latents count for the diversity of concepts."""


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
    """The row, without the rarefied columns, and the number of latents of each heading at RAREFIED_AT."""
    ingest, recommender, sae = (night.made[name] for name in ("ingest", "recommender", "sae"))
    concepts = night.rows("concepts", "concepts.parquet", ("interpretable", "confidence", "group"))
    # one group is one concept
    good = [row for row in concepts if row["confidence"] is not None and row["confidence"] >= RAREFIED_AT]
    counts = sorted(Counter(row["group"] for row in good).values())
    figures = night.made["concepts"].metrics
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
        **_levels(concepts),
        "bar": number(figures.get("interpretable_bar")),
        "controls": figures["shuffled_interpretable"],
        "asked": figures["asked"],
        "judge_accepted": figures["judge_accepted"],
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


def _levels(rows: Sequence[Row]) -> Row:
    """Latents by the fixed levels of confidence on all cases, and by the run's own bar; shares of all that fire."""
    found: Row = {"latents": len(rows), "interpretable": sum(row["interpretable"] for row in rows)}
    measured = [row["confidence"] for row in rows if row["confidence"] is not None]
    found["median_confidence"] = median(measured) if measured else None
    for level in LEVELS:
        found[f"at_{100 * level:.0f}"] = sum(value >= level for value in measured)
        found[f"share_{100 * level:.0f}"] = found[f"at_{100 * level:.0f}"] / len(rows) if rows else None
    found["share"] = found["interpretable"] / len(rows) if rows else None
    for name in ("share", "share_75"):
        found[f"{name}_lower"], found[f"{name}_upper"] = wilson(found[name], len(rows)) if rows else (None, None)
    return found


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
