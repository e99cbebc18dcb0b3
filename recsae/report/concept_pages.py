"""Builds the data of the concept pages, a hundred latents per file; concept.js renders a latent when it is opened.

A file per latent would be ten thousand requests to a bucket, and a single file would be too large to open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

from recsae.config.schema import Config
from recsae.report.rows.cases import Examples
from recsae.report.rows.dictionary import COLUMNS, dictionary_rows, names_of
from recsae.report.rows.latents import latent_details
from recsae.report.rows.neighbours import Neighbours, nights_of
from recsae.report.rows.statements import StatementRows
from recsae.report.tables import Titles
from recsae.store.run_store import Committed

PER_PAGE = 100
"""Latent numbers per page."""


class ConceptPage(NamedTuple):
    name: str
    """The file name."""
    data: dict[str, Any]
    """The data for concept.js and latent.js: the dictionary rows and the details of these latents."""


def page_name(page: int) -> str:
    return f"concepts-{page:03d}.html"


def concept_pages(
    config: Config, inputs: Mapping[str, Committed], concepts: pa.Table, item_views: Mapping[str, int]
) -> Iterator[ConceptPage]:
    """Yields one page at a time, for a dictionary in the schema CONCEPTS.

    `item_views` maps item_id to the number of the item's view in the report, for items that have one.
    """
    latents: list[int] = concepts["latent"].to_pylist()
    name_of = names_of(concepts)
    stable_ids = dict(zip(latents, concepts["stable_id"].to_pylist(), strict=True))
    place_of = {latent: place for place, latent in enumerate(latents)}
    groups = groups_of(concepts)
    examples, neighbours = Examples(inputs, config.probe.site), Neighbours(inputs["sae"], latents)
    statements = StatementRows(inputs)
    for page, some in groupby(sorted(latents), key=lambda latent: latent // PER_PAGE):
        own = list(some)
        rows, titles = concepts.take([place_of[latent] for latent in own]), Titles()
        data = {
            "columns": COLUMNS,
            "rows": dictionary_rows(rows, titles),
            "details": {
                **latent_details(inputs, own, titles, config.steering.reference),
                **statements.rows(own),
            },
            **examples.rows(own, titles),
            **neighbours.rows(own),
            **nights_of(inputs, {latent: stable_ids[latent] for latent in own}),
            "groups": {leader: groups[leader] for leader in set(rows["group"].to_pylist()) & groups.keys()},
        }
        near = {latent for found in data.get("neighbours", {}).values() for latent in found[::2]}
        linked = [*own, *near, *(latent for found in data["groups"].values() for latent in found)]
        data["names"] = {latent: name_of[latent] for latent in sorted(set(linked))}
        data["titles"] = titles.linked(item_views)
        data["around"] = neighbours_of_page(own, latents)
        yield ConceptPage(page_name(page), data)


def neighbours_of_page(own: Sequence[int], latents: Sequence[int]) -> list[int | None]:
    """The latents before the first and after the last of a page, or None; targets of `previous` and `next`."""
    before = [latent for latent in latents if latent < own[0]]
    after = [latent for latent in latents if latent > own[-1]]
    return [max(before, default=None), min(after, default=None)]


def groups_of(concepts: pa.Table) -> dict[int, list[int]]:
    """Groups of several latents with the same concept, by their first latent."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for latent, leader in zip(concepts["latent"].to_pylist(), concepts["group"].to_pylist(), strict=True):
        if leader is not None:
            found[leader].append(latent)
    return {leader: members for leader, members in found.items() if len(members) > 1}
