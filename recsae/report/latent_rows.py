"""What an opened row of the dictionary shows of its latent: its items by three measures, its concept by activation
level, the attributes that it answers to.

Thousands of latents travel in one file, so they are arrays by position, of about a kilobyte a latent; latent.js
reads them. It computes no score, and knows tables and nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.report.formats import short
from recsae.report.reading import Titles, is_one_of, number_items, read_if_there
from recsae.store.runs import Committed

ITEMS = 10
"""Items shown by each measure."""
ATTRIBUTES = 5
"""Attributes shown of each view."""
LEVELS = 11
MOST = 4000
"""Latents with all of this. In a wider dictionary it is the surest ones', so that the page still opens."""
RANKS = ("rank_activations", "rank_strength", "rank_lift")


def latent_details(inputs: Mapping[str, Committed], latents: Sequence[int], titles: Titles) -> dict[str, Any]:
    """All that is known of the first MOST of `latents`, the surest first, as JSON:

    - `items`: by latent, columns `[title number, activations, strength, lift]`, and the places in them of the first
      ITEMS by activations, by strength and by lift;
    - `levels`: by latent, `[catalogue share, popularity-weighted share, cases by level, hits by level]`;
    - `attributes`: by latent, `[view, attribute, r, P(fires | attribute), P(attribute | fires), AUC]` each, where view
      and attribute are places in `views` and `names`, pairs of attribute and value.

    A part without a single latent is not there.
    """
    kept = latents[:MOST]
    parts = {**_items(inputs, kept, titles), **_levels(inputs, kept), **_attributes(inputs, kept)}
    return {**parts, "left_out": len(latents) - len(kept)} if parts else {}


def _items(inputs: Mapping[str, Committed], latents: Sequence[int], titles: Titles) -> dict[str, Any]:
    shown = (pc.field(RANKS[0]) < ITEMS) | (pc.field(RANKS[1]) < ITEMS) | (pc.field(RANKS[2]) < ITEMS)
    columns = ("latent", "item_idx", "activations", "strength", "lift", *RANKS)
    table = read_if_there(inputs, "evidence", "latent_items.parquet", columns, shown & is_one_of("latent", latents))
    if table is None:
        return {}
    numbers = number_items(inputs, pc.unique(table.column("item_idx")), titles)
    found: dict[int, list[list[Any]]] = {}
    for latent, item, activations, strength, lift, *ranks in _rows(table):
        if item in numbers:
            row = [numbers[item], activations, short(strength, 3), short(lift, 3), ranks]
            found.setdefault(latent, []).append(row)
    return {"items": {latent: _columns(rows) for latent, rows in found.items()}} if found else {}


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    *columns, ranks = (list(column) for column in zip(*rows, strict=True))
    for measure in range(len(RANKS)):
        known = [(rank[measure], place) for place, rank in enumerate(ranks) if rank[measure] is not None]
        columns.append([place for rank, place in sorted(known) if rank < ITEMS])
    return columns


def _levels(inputs: Mapping[str, Committed], latents: Sequence[int]) -> dict[str, Any]:
    columns = ("latent", "level", "cases", "hits", "catalogue_share", "popular_share")
    table = read_if_there(inputs, "scores", "levels.parquet", columns, is_one_of("latent", latents))
    if table is None:
        return {}
    found: dict[int, list[Any]] = {}
    for latent, level, cases, hits, catalogue, popular in _rows(table):
        one = found.setdefault(latent, [short(catalogue, 3), short(popular, 3), [0] * LEVELS, [0] * LEVELS])
        if 0 <= level < LEVELS:
            one[2][level], one[3][level] = cases, hits
    return {"levels": found}


def _attributes(inputs: Mapping[str, Committed], latents: Sequence[int]) -> dict[str, Any]:
    columns = ("latent", "view", "rank", "attribute", "value", "correlation", "p_fires", "p_attribute", "auc")
    where = (pc.field("code") == "sae") & (pc.field("rank") < ATTRIBUTES) & is_one_of("latent", latents)
    table = read_if_there(inputs, "statistics", "attribute_stats.parquet", columns, where)
    if table is None:
        return {}
    views: dict[str, int] = {}
    names: dict[tuple[str, str], int] = {}
    found: dict[int, list[list[Any]]] = {}
    order = [("latent", "ascending"), ("view", "descending"), ("rank", "ascending")]  # recommended before input
    for latent, view, _, attribute, value, *figures in _rows(table.sort_by(order)):
        pair = names.setdefault((attribute, value), len(names))
        row = [views.setdefault(view, len(views)), pair, *(short(figure, 3) for figure in figures)]
        found.setdefault(latent, []).append(row)
    return {"attributes": found, "views": list(views), "names": [list(pair) for pair in names]}


def _rows(table: pa.Table) -> zip[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
