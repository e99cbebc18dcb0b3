"""The stage `report`: one HTML file that shows what ran, how well, and the whole dictionary.

It opens from a file and asks nothing of any server. It reads the dictionary and the stages' figures; it computes no
score of its own, only counts rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from recsae.config import Config
from recsae.report.attribute_facts import about_attributes
from recsae.report.belief_facts import about_belief, count_rows
from recsae.report.drift_facts import about_drift
from recsae.report.facts import gather
from recsae.report.formats import count, decimal, short
from recsae.report.histogram import histogram
from recsae.report.inline import content_security_policy, json_block
from recsae.report.item_rows import item_details
from recsae.report.latent_rows import latent_details
from recsae.report.reading import Titles
from recsae.report.turning_facts import about_turning
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
    "confidence_expected",
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
    "near_direction_rate",
    "attribute_confidence",
    "attribute_confidence_shuffled",
    "attribute_auc",
    "held_out_confidence",
    "held_out_precision",
    "held_out_recall",
    "recsae_confidence",
    "recsae_recall",
    "recsae_true_negative_rate",
    "group",
    "polysemantic",
    "meanings",
    "coherence",
    "frequency",
    "activations",
    "maximum",
    "top_items",
    "status",
)
"""What of CONCEPTS travels into the page, where page.js reads it by name; `top_items` as numbers of titles."""
SCRIPTS = ("marks.js", "turned.js", "latent.js", "items.js", "page.js")
"""In this order they are one module: what an earlier one names, a later one uses."""

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
    counts = count_rows(concepts)
    facts = gather(config, inputs, counts)
    latents = concepts.column("latent").to_pylist()
    names = dict(zip(latents, concepts.column("name").to_pylist(), strict=True))
    titles = Titles()
    rows = dictionary_rows(concepts, titles)
    details = latent_details(inputs, surest(concepts), titles, config.steering.reference)
    items = item_details(inputs, titles)
    # The hashes are of exactly what stands between the tags, so nothing may trim or indent these two.
    script, style = "\n".join(_read(name) for name in SCRIPTS), _read("page.css")
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
        belief=about_belief(counts, inputs["concepts"].metrics, inputs["scores"].metrics),
        against=about_attributes(inputs, names),
        turning=about_turning(config, inputs),
        drift=about_drift(inputs),
        histogram=histogram(
            concepts.column("confidence").to_pylist(), concepts.column("confidence_shuffled").to_pylist(), facts.bar
        ),
        counts=counts,
        details=details,
        items=items,
        policy=content_security_policy(script, style),
        script=Markup(script),
        style=Markup(style),
        data=json_block(
            {"columns": COLUMNS, "rows": rows, "details": details, "items": items, "titles": titles.as_json()}
        ),
    )


def dictionary_rows(concepts: pa.Table, titles: Titles) -> list[list[Any]]:
    """Rows in the order of COLUMNS, with numbers cut short."""
    columns = {name: concepts.column(name).to_pylist() for name in COLUMNS}
    ids = concepts.column("top_item_ids").to_pylist()
    columns["top_items"] = [
        [titles.number(item_id, title) for item_id, title in zip(*pair, strict=True)]
        for pair in zip(ids, columns["top_items"], strict=True)
    ]
    return [[short(value) for value in row] for row in zip(*columns.values(), strict=True)]


def surest(concepts: pa.Table) -> list[int]:
    """Latents in the order in which the dictionary opens: by the lower bound of their confidence."""
    order = [("confidence_lower", "descending"), ("latent", "ascending")]
    found: list[int] = concepts.take(pc.sort_indices(concepts, order)).column("latent").to_pylist()
    return found


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
