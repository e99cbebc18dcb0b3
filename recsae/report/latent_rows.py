"""What an opened row of the dictionary shows of its latent: its items by three measures, its concept by activation
level, the attributes that it answers to, and what happens when it is turned.

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
from recsae.report.turned import Step, read_steps
from recsae.store.runs import Committed

ITEMS = 10
"""Items shown by each measure."""
ATTRIBUTES = 5
"""Attributes shown of each view."""
LEVELS = 11
MOST = 4000
"""Latents with all of this. In a wider dictionary it is the surest ones', so that the page still opens."""
RANKS = ("rank_activations", "rank_strength", "rank_lift")


def latent_details(
    inputs: Mapping[str, Committed], latents: Sequence[int], titles: Titles, reference: float
) -> dict[str, Any]:
    """All that is known of the first MOST of `latents`, the surest first, as JSON:

    - `items`: by latent, columns `[title number, activations, strength, lift]`, and the places in them of the first
      ITEMS by activations, by strength and by lift;
    - `levels`: by latent, `[catalogue share, popularity-weighted share, cases by level, hits by level]`;
    - `attributes`: by latent, `[view, attribute, r, P(fires | attribute), P(attribute | fires), AUC]` each, where view
      and attribute are places in `views` and `names`, pairs of attribute and value;
    - `turned`: by latent, `[share before, up, out, probe]`: turned up by the strength `reference`, and taken out, each
      `[share, its interval, change of NDCG@10, its interval, random directions' percentile of the share, the 95th of
      up and the 5th of out, and their NDCG@10, place in `sides` of the other concept that moves most, its change]`;
      by the concept's probe `[share, change of NDCG@10]`. What is unknown is null.

    A part without a single latent is not there.
    """
    kept = latents[:MOST]
    parts = {
        **_items(inputs, kept, titles),
        **_levels(inputs, kept),
        **_attributes(inputs, kept),
        **_turned(inputs, kept, reference),
    }
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


def _turned(inputs: Mapping[str, Committed], latents: Sequence[int], reference: float) -> dict[str, Any]:
    where = is_one_of("latent", latents) & ((pc.field("strength") == reference) | (pc.field("operation") == "ablate"))
    sides: dict[str, int] = {}

    def told(step: Step, null: float) -> list[Any]:
        side = None if step.side is None else sides.setdefault(step.side, len(sides))
        shown = (step.share, step.lower, step.upper, step.ndcg, step.ndcg_lower, step.ndcg_upper, null, step.null_ndcg)
        return [*(short(figure) for figure in shown), side, short(step.side_change)]

    found: dict[int, list[Any]] = {}
    for latent, steps in read_steps(inputs, where).items():
        one = found.setdefault(latent, [short(steps[0].clean), None, None, None])
        for step in steps:
            if step.strength is None:
                one[2] = told(step, step.null_lower)
                continue
            one[1] = told(step, step.null_upper)
            one[3] = None if step.probe is None else [short(step.probe), short(step.probe_ndcg)]
    return {"turned": found, "sides": list(sides), "reference": reference} if found else {}


def _rows(table: pa.Table) -> zip[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
