"""The stage `report`: HTML pages of the run, its quality, and the whole dictionary.

`report.html` shows the run and the table of concepts. Beside it are the concept pages, a hundred latents each, and a
page of sampled users. They open from a disk or a bucket and send no request to any server. The stage reads the outputs
of the stages before it; it counts rows but computes no scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsae.config.schema import Config
from recsae.observability import progress
from recsae.report.charts.histogram import histogram
from recsae.report.concept_pages import PER_PAGE, concept_pages, groups_of
from recsae.report.rows.dictionary import COLUMNS, dictionary_rows, names_of
from recsae.report.rows.items import item_details
from recsae.report.rows.statements import null_confidence
from recsae.report.rows.users import user_rows
from recsae.report.sections.attributes import about_attributes
from recsae.report.sections.classes import about_classes
from recsae.report.sections.confidence import about_confidence, count_rows
from recsae.report.sections.drift import about_drift
from recsae.report.sections.heat_map import STEPS, about_heat
from recsae.report.sections.overview import about_run
from recsae.report.sections.steering import about_steering
from recsae.report.sections.warnings import about_warnings
from recsae.report.tables import Titles
from recsae.store.run_store import Attempt, Committed, Metrics
from recsae.text.formatting import look_up, number
from recsae.text.html import render

REPORT = ("dom.js", "facts.js", "items.js", "page.js")
CONCEPT = ("dom.js", "facts.js", "charts.js", "steering.js", "statement.js", "latent.js", "concept.js")
USERS = ("dom.js", "users.js")
STYLES = ("base.css", "tables.css", "charts.css", "dictionary.css", "concept.css")
_HERE = Path(__file__).parent


def write_report(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `report.html` and the pages beside it; returns the number of rows, of pages and of their bytes."""
    concepts = inputs["concepts"].read_table("concepts.parquet")
    titles = Titles()
    rows, items = dictionary_rows(concepts, titles), item_details(inputs, titles)
    # Items have the same number in the dictionary and in the item view, to which the other pages link.
    ids = titles.as_json()["ids"]
    item_views = {ids[number]: number for number, *_ in items.get("latents", [])}
    bar = number(look_up(inputs["concepts"].metrics, "interpretable_bar"))
    written = []

    def write(name: str, text: str) -> None:
        content = text.encode()
        with out.data.open_output(name) as sink:
            sink.write(content)
        written.append(len(content))

    progress.phase("tables and charts")
    users = users_page(config, inputs, concepts, item_views)
    shown = {"items": items, "has_users": users is not None}
    data: dict[str, Any] = {"columns": COLUMNS, "rows": rows, "items": items, "titles": titles.as_json()}
    write("report.html", report_page(config, inputs, concepts, data, shown))
    if users is not None:
        write("users.html", users)
    progress.phase("concept pages")
    for page in concept_pages(config, inputs, concepts, item_views):
        data = {**page.data, "perPage": PER_PAGE, "bar": bar}
        write(
            page.name,
            render(_HERE, "concept.html.j2", CONCEPT, STYLES, data, name=config.name, users=users is not None),
        )
    return {"rows": concepts.num_rows, "pages": len(written), "bytes": sum(written)}


def report_page(
    config: Config,
    inputs: Mapping[str, Committed],
    concepts: pa.Table,
    data: Mapping[str, Any],
    shown: Mapping[str, Any],
) -> str:
    """The HTML of `report.html` for a dictionary in the schema CONCEPTS."""
    from recsae.report.charts import plots  # imports Altair, which no other stage needs

    counts = count_rows(concepts)
    classes = about_classes(concepts)
    facts = about_run(config, inputs, counts, classes)
    names = names_of(concepts)
    return render(
        _HERE,
        "page.html.j2",
        REPORT,
        STYLES,
        {**data, "groups": groups_of(concepts), "perPage": PER_PAGE, "bar": facts.bar},
        **shown,
        plots=plots,
        config=config,
        facts=facts,
        cautions=about_warnings(config, inputs),
        confidence_facts=about_confidence(counts, inputs["concepts"].metrics, inputs["scores"].metrics),
        attribute_facts=about_attributes(inputs, names),
        heat=about_heat(inputs, names, config.probe.view),
        heat_steps=STEPS,
        steering_facts=about_steering(config, inputs),
        drift=about_drift(inputs),
        histogram=histogram(
            concepts.column("confidence").to_pylist(),
            concepts.column("confidence_shuffled").to_pylist(),
            null_confidence(inputs),
            facts.bar,
        ),
        classes=classes,
        counts=counts,
    )


def users_page(
    config: Config, inputs: Mapping[str, Committed], concepts: pa.Table, item_views: Mapping[str, int]
) -> str | None:
    """The HTML of `users.html`; None if there is no model to explain."""
    titles = Titles()
    users = user_rows(config, inputs, titles)
    if not users:
        return None
    data = {"users": users, "names": names_of(concepts), "titles": titles.linked(item_views), "perPage": PER_PAGE}
    return render(_HERE, "users.html.j2", USERS, STYLES, data, name=config.name)
