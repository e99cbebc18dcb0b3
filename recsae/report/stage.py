"""The stage `report`: pages that show what ran, how well, and the whole dictionary.

`report.html` has the run and the table of concepts; beside it lie the pages of concepts, a hundred latents each, and
one of a sample of users. They open from a disk or a bucket and ask nothing of any server. The stage reads the
dictionary and what the stages before committed; it computes no score of its own, only counts rows.
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
from recsae.report.rows.dictionary import COLUMNS, dictionary_rows
from recsae.report.rows.items import item_details
from recsae.report.rows.users import user_rows
from recsae.report.sections.attributes import about_attributes
from recsae.report.sections.confidence import about_belief, count_rows
from recsae.report.sections.drift import about_drift
from recsae.report.sections.heat_map import STEPS, about_heat
from recsae.report.sections.overview import gather
from recsae.report.sections.steering import about_turning
from recsae.report.sections.warnings import about_warnings
from recsae.report.tables import Titles
from recsae.store.run_store import Attempt, Committed, Metrics
from recsae.text.html import render

REPORT = ("dom.js", "facts.js", "items.js", "page.js")
CONCEPT = ("dom.js", "facts.js", "charts.js", "steering.js", "latent.js", "concept.js")
USERS = ("dom.js", "users.js")
STYLE = "page.css"
_HERE = Path(__file__).parent


def write_report(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `report.html` and the pages beside it; the figures are rows, pages, and all their bytes."""
    concepts = inputs["concepts"].read_table("concepts.parquet")
    titles = Titles()
    rows, items = dictionary_rows(concepts, titles), item_details(inputs, titles)
    # An item is the same number in the dictionary and in its own view, to which the other pages link.
    ids = titles.as_json()["ids"]
    viewed = {ids[number]: number for number, *_ in items.get("latents", [])}
    written = []

    def write(name: str, text: str) -> None:
        content = text.encode()
        with out.data.open_output(name) as sink:
            sink.write(content)
        written.append(len(content))

    progress.phase("tables and charts")
    users = users_page(config, inputs, concepts, viewed)
    shown = {"items": items, "has_users": users is not None}
    data: dict[str, Any] = {"columns": COLUMNS, "rows": rows, "items": items, "titles": titles.as_json()}
    write("report.html", report_page(config, inputs, concepts, data, shown))
    if users is not None:
        write("users.html", users)
    progress.phase("concept pages")
    for page in concept_pages(config, inputs, concepts, viewed):
        data = {**page.data, "perPage": PER_PAGE}
        write(
            page.name, render(_HERE, "concept.html.j2", CONCEPT, STYLE, data, name=config.name, users=users is not None)
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
    from recsae.report.charts import plots  # with Altair, which no other stage needs

    counts = count_rows(concepts)
    facts = gather(config, inputs, counts)
    names = dict(zip(concepts["latent"].to_pylist(), concepts["name"].to_pylist(), strict=True))
    return render(
        _HERE,
        "page.html.j2",
        REPORT,
        STYLE,
        {**data, "groups": groups_of(concepts), "perPage": PER_PAGE},
        **shown,
        plots=plots,
        config=config,
        facts=facts,
        cautions=about_warnings(config, inputs),
        belief=about_belief(counts, inputs["concepts"].metrics, inputs["scores"].metrics),
        against=about_attributes(inputs, names),
        heat=about_heat(inputs, names, config.probe.view),
        heat_steps=STEPS,
        turning=about_turning(config, inputs),
        drift=about_drift(inputs),
        histogram=histogram(
            concepts.column("confidence").to_pylist(), concepts.column("confidence_shuffled").to_pylist(), facts.bar
        ),
        counts=counts,
    )


def users_page(
    config: Config, inputs: Mapping[str, Committed], concepts: pa.Table, viewed: Mapping[str, int]
) -> str | None:
    """The HTML of `users.html`; None where there is no model to ask."""
    titles = Titles()
    users = user_rows(config, inputs, titles)
    if not users:
        return None
    names = dict(zip(concepts["latent"].to_pylist(), concepts["name"].to_pylist(), strict=True))
    data = {"users": users, "names": names, "titles": titles.linked(viewed), "perPage": PER_PAGE}
    return render(_HERE, "users.html.j2", USERS, STYLE, data, name=config.name)
