"""The report's section on attributes: how well single latents respond to attribute values, beside raw dimensions, PCA
directions and an untrained SAE, each corrected for the best of many; and how coherent the cases of a latent are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from recsae.report.rows.dictionary import NO_NAME, Name
from recsae.report.tables import read_optional
from recsae.schemas.concepts import CODES
from recsae.store.run_store import Committed
from recsae.text.formatting import Cell, Row, count, decimal, look_up, number

BEST = 30
"""Attribute values listed individually."""
NAMES = 20
"""Attributes of the catalogue, such as genres or tags, with a table of their own."""
LABELS = {"sae": "SAE", "raw": "Raw dimensions", "pca": "PCA directions", "untrained": "Untrained SAE"}
VIEWS = {"recommended": "the item that the model ranks first", "input": "the last item of the history"}
_ORDER = list(VIEWS)
BASELINES = {"raw": "Raw", "pca": "PCA", "untrained": "Untrained"}
"""Codes whose best correlation is shown beside the SAE's."""


class AttributeName(NamedTuple):
    """One attribute of the catalogue: mean best correlation over its values, one row per code."""

    name: str
    values: str
    rows: tuple[Row, ...]


class View(NamedTuple):
    description: str
    names: tuple[AttributeName, ...]
    more: int
    """Attributes of the catalogue beyond NAMES."""


class AttributeAnswer(NamedTuple):
    """One attribute value and the SAE latent that responds to it best."""

    attribute: str
    value: str
    view: str
    cases: str
    latent: int
    concept: Name
    r: str
    upper: str
    p_value: str
    baselines: tuple[str, ...]


class AttributeFacts(NamedTuple):
    columns: tuple[str, ...]
    views: tuple[View, ...]
    best: tuple[AttributeAnswer, ...]
    baselines: tuple[str, ...]
    coherence_columns: tuple[str, ...]
    coherence: tuple[Row, ...]


def about_attributes(inputs: Mapping[str, Committed], names: Mapping[int, Name]) -> AttributeFacts | None:
    """The section, from the stage `statistics` and the latents' `names`; None if it measured nothing or did not run."""
    found = inputs.get("statistics")
    if found is None:
        return None
    by_view = look_up(found.metrics, "best")
    measured = by_view if isinstance(by_view, Mapping) else {}
    views = [_view(view, measured[view]) for view in sorted(measured, key=place)]
    attribute_facts = AttributeFacts(
        ("Mean best r", "By chance", "95th percentile by chance", "Above chance"),
        tuple(view for view in views if view.names),
        _best(inputs, names),
        tuple(BASELINES.values()),
        ("Within", "Between", "Within, centred", "Between, centred"),
        _coherence(look_up(found.metrics, "coherence")),
    )
    return attribute_facts if attribute_facts.views or attribute_facts.best or attribute_facts.coherence else None


def place(view: str) -> tuple[int, str]:
    """Sort key of views; unknown views come last."""
    return (_ORDER.index(view) if view in VIEWS else len(VIEWS), view)


def _view(view: str, by_name: Any) -> View:
    names = []
    for name, by_code in (by_name if isinstance(by_name, Mapping) else {}).items():
        rows = [_code(code, look_up(by_code, code)) for code in CODES if isinstance(look_up(by_code, code), Mapping)]
        values = number(look_up(by_code, "sae", "attributes"))
        if rows and values:
            names.append((-values, AttributeName(str(name), count(values), tuple(rows))))
    names.sort(key=lambda one: (one[0], one[1].name))
    return View(VIEWS.get(view, view), tuple(name for _, name in names[:NAMES]), max(len(names) - NAMES, 0))


def _code(code: str, figures: Mapping[str, Any]) -> Row:
    shown = (decimal(look_up(figures, name)) for name in ("mean", "null_mean", "null_upper", "corrected"))
    return Row(LABELS[code], tuple(Cell(value) for value in shown))


def _best(inputs: Mapping[str, Committed], names: Mapping[int, Name]) -> tuple[AttributeAnswer, ...]:
    """The BEST values by the SAE's correlation, over all attributes and views."""
    columns = [
        *("code", "view", "attribute", "value", "cases", "latent"),
        *("correlation", "null_upper", "p_value"),
    ]
    table = read_optional(inputs, "statistics", "attribute_best.parquet", columns)
    if table is None:
        return ()
    own = table.filter((pc.field("code") == "sae") & pc.is_finite(pc.field("correlation")))
    own = own.take(pc.sort_indices(own, [("correlation", "descending")])[:BEST]).to_pylist()
    best = {(row["view"], row["attribute"], row["value"]) for row in own}
    others: dict[tuple[str, ...], dict[str, float]] = {}
    values = table.filter(pc.field("value").isin(pa.array([value for *_, value in best], pa.string())))
    for row in values.to_pylist():
        others.setdefault((row["view"], row["attribute"], row["value"]), {})[row["code"]] = row["correlation"]
    return tuple(_row(row, others[row["view"], row["attribute"], row["value"]], names) for row in own)


def _row(row: Mapping[str, Any], others: Mapping[str, float], names: Mapping[int, Name]) -> AttributeAnswer:
    return AttributeAnswer(
        row["attribute"],
        row["value"],
        row["view"],
        count(row["cases"]),
        row["latent"],
        names.get(row["latent"], NO_NAME),
        decimal(row["correlation"]),
        decimal(row["null_upper"]),
        decimal(row["p_value"]),
        tuple(decimal(others.get(code)) for code in BASELINES),
    )


def _coherence(by_code: Any) -> tuple[Row, ...]:
    rows = []
    for code in CODES:
        figures = look_up(by_code, code) if isinstance(by_code, Mapping) else None
        if isinstance(figures, Mapping):
            shown = ("within", "between", "within_centred", "between_centred")
            rows.append(Row(LABELS[code], tuple(Cell(decimal(figures.get(name))) for name in shown)))
    return tuple(rows)
