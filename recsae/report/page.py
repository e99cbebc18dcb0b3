"""The stage `report`: one HTML file that shows what ran, how well, and the whole dictionary.

It opens from a file and asks nothing of any server. It reads the dictionary and the stages' figures; it computes no
score of its own, only counts rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
from markupsafe import Markup

from recsae.config import Config
from recsae.report.facts import gather
from recsae.report.formats import count, decimal
from recsae.report.histogram import histogram
from recsae.report.inline import content_security_policy, json_block
from recsae.store.runs import Attempt, Committed, Metrics

COLUMNS = (
    "latent",
    "name",
    "description",
    "terms",
    "source",
    "interpretable",
    "confidence",
    "confidence_lower",
    "confidence_upper",
    "confidence_shuffled",
    "precision",
    "recall",
    "f1",
    "auc",
    "tp",
    "fp",
    "tn",
    "fn",
    "near_miss_rate",
    "attribute_confidence",
    "attribute_confidence_shuffled",
    "attribute_auc",
    "frequency",
    "activations",
    "maximum",
    "top_items",
    "top_item_ids",
    "status",
)
"""What of CONCEPTS travels into the page; page.js reads them by name."""

_HERE = Path(__file__).parent


def write_report(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `report.html`; the figures are its rows and its size in bytes."""
    concepts = inputs["concepts"].read_table("concepts.parquet")
    page = render(config, inputs, concepts).encode()
    with out.data.open_output("report.html") as sink:
        sink.write(page)
    return {"rows": concepts.num_rows, "bytes": len(page)}


def render(config: Config, inputs: Mapping[str, Committed], concepts: pa.Table) -> str:
    """The page's HTML for a dictionary in the schema CONCEPTS."""
    rows = dictionary_rows(concepts)
    confidence = concepts.column("confidence").to_pylist()
    interpretable = sum(concepts.column("interpretable").to_pylist())
    scored = sum(value is not None for value in confidence)
    facts = gather(config, inputs, concepts.num_rows, scored, interpretable)
    # The hashes are of exactly what stands between the tags, so nothing may trim or indent these two.
    script, style = _read("page.js"), _read("page.css")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(decimal=decimal, count_of=count)
    return environment.get_template("page.html.j2").render(
        config=config,
        facts=facts,
        histogram=histogram(confidence, concepts.column("confidence_shuffled").to_pylist(), facts.bar),
        policy=content_security_policy(script, style),
        script=Markup(script),
        style=Markup(style),
        data=json_block({"columns": COLUMNS, "rows": rows}),
    )


def dictionary_rows(concepts: pa.Table) -> list[list[Any]]:
    """Rows in the order of COLUMNS, four digits a number: the digits beyond are noise, and 10,000 rows are to load
    quickly."""
    columns = [concepts.column(name).to_pylist() for name in COLUMNS]
    return [[_short(value) for value in row] for row in zip(*columns, strict=True)]


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
