"""The details of a latent on its concept page: top items by three measures, concept by activation level, attributes it
responds to, and the effect of steering it.

A page holds a hundred latents, so the data are positional arrays of about a kilobyte per latent, read by latent.js.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsae.report.steering_steps import SteeringStep, read_steps
from recsae.report.tables import Titles, number_items, read_optional
from recsae.store.run_store import Committed
from recsae.store.tables import among
from recsae.text.formatting import short

ITEMS = 10
"""Items per measure."""
ATTRIBUTES = 5
"""Attributes per view."""
LEVELS = 11
RANKS = ("rank_activations", "rank_strength", "rank_lift")


def latent_details(
    inputs: Mapping[str, Committed], latents: Sequence[int], titles: Titles, reference: float
) -> dict[str, Any]:
    """The details of these `latents`, as JSON:

    - `items`: by latent, columns `[title number, activations, strength, lift]`, and the indices of the top ITEMS by
      activations, by strength and by lift;
    - `levels`: by latent, `[catalogue share, popularity-weighted share, cases by level, hits by level]`;
    - `deciles`: by latent, the lower bounds of levels 1 to 10 and the upper bound of the last, eleven activations;
    - `attributes`: by latent, `[view, attribute, r, P(fires | attribute), P(attribute | fires), AUC]` each, where view
      and attribute are indices into `views` and `names`, pairs of attribute and value;
    - `curves`: by latent, its steering steps by ascending strength, `[strength, share, its interval, random directions'
      mean, 5th and 95th percentile of the share, share by the concept's probe, change of NDCG@10]`;
    - `turned`: by latent, `[share before, up, out, probe]`: steered by the strength `reference`, and ablated, each
      `[share, its interval, change of NDCG@10, its interval, random directions' percentile of the share, the 95th of
      up and the 5th of out, and their NDCG@10, index into `sides` of the other concept that moves most, its change]`;
      by the concept's probe `[share, change of NDCG@10]`. Unknown values are null.

    A part is missing if it has no latent.
    """
    steps = read_steps(inputs, among("latent", latents))
    return {
        **_items(inputs, latents, titles),
        **_levels(inputs, latents),
        **_deciles(inputs, latents),
        **_attributes(inputs, latents),
        **_curves(steps),
        **_steered(steps, reference),
    }


def _items(inputs: Mapping[str, Committed], latents: Sequence[int], titles: Titles) -> dict[str, Any]:
    shown = (pc.field(RANKS[0]) < ITEMS) | (pc.field(RANKS[1]) < ITEMS) | (pc.field(RANKS[2]) < ITEMS)
    columns = ("latent", "item_idx", "activations", "strength", "lift", *RANKS)
    table = read_optional(inputs, "evidence", "latent_items.parquet", columns, shown & among("latent", latents))
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
    table = read_optional(inputs, "scores", "levels.parquet", columns, among("latent", latents))
    if table is None:
        return {}
    found: dict[int, list[Any]] = {}
    for latent, level, cases, hits, catalogue, popular in _rows(table):
        one = found.setdefault(latent, [short(catalogue, 3), short(popular, 3), [0] * LEVELS, [0] * LEVELS])
        if 0 <= level < LEVELS:
            one[2][level], one[3][level] = cases, hits
    return {"levels": found}


def _deciles(inputs: Mapping[str, Committed], latents: Sequence[int]) -> dict[str, Any]:
    columns = ("latent", "quantiles", "maximum")
    table = read_optional(inputs, "evidence", "latent_stats.parquet", columns, among("latent", latents))
    if table is None:
        return {}
    return {
        "deciles": {
            latent: [0, *(short(quantile) for quantile in quantiles), short(maximum)]
            for latent, quantiles, maximum in _rows(table)
        }
    }


def _attributes(inputs: Mapping[str, Committed], latents: Sequence[int]) -> dict[str, Any]:
    columns = ("latent", "view", "rank", "attribute", "value", "correlation", "p_fires", "p_attribute", "auc")
    where = (pc.field("code") == "sae") & (pc.field("rank") < ATTRIBUTES) & among("latent", latents)
    table = read_optional(inputs, "statistics", "attribute_stats.parquet", columns, where)
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


def _curves(steps_of: Mapping[int, Sequence[SteeringStep]]) -> dict[str, Any]:
    found = {}
    for latent, steps in steps_of.items():
        strengths = [step for step in steps if step.strength is not None]
        if strengths:
            found[latent] = [
                [
                    step.strength,
                    *(short(share) for share in (step.share, step.lower, step.upper)),
                    *(short(share) for share in (step.null_mean, step.null_lower, step.null_upper)),
                    short(step.probe),
                    short(step.ndcg),
                ]
                for step in strengths
            ]
    return {"curves": found} if found else {}


def _steered(steps_of: Mapping[int, Sequence[SteeringStep]], reference: float) -> dict[str, Any]:
    sides: dict[str, int] = {}

    def effect_row(step: SteeringStep, null: float) -> list[Any]:
        side = None if step.side is None else sides.setdefault(step.side, len(sides))
        shown = (step.share, step.lower, step.upper, step.ndcg, step.ndcg_lower, step.ndcg_upper, null, step.null_ndcg)
        return [*(short(figure) for figure in shown), side, short(step.side_change)]

    found: dict[int, list[Any]] = {}
    for latent, steps in steps_of.items():
        for step in steps:
            if step.strength not in (None, reference):
                continue
            one = found.setdefault(latent, [short(steps[0].clean), None, None, None])
            if step.strength is None:
                one[2] = effect_row(step, step.null_lower)
                continue
            one[1] = effect_row(step, step.null_upper)
            one[3] = None if step.probe is None else [short(step.probe), short(step.probe_ndcg)]
    return {"turned": found, "sides": list(sides), "reference": reference} if found else {}


def _rows(table: pa.Table) -> zip[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
