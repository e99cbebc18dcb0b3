"""The report's section on the sparse autoencoder: its settings, its fidelity beside controls, and the attributes it
responds to. The sweep is in sweep.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from recsae.config.schema import Config
from recsae.report.sections.sweep import Sweep, settings, sweep
from recsae.text.formatting import (
    DASH,
    NOT_MEASURED,
    Cell,
    Fact,
    Row,
    count,
    decimal,
    interval,
    listed,
    look_up,
    share,
    text,
)

KINDS = {
    "topk": "k active latents in every case",
    "batchtopk": "k active latents per case on average",
    "matryoshka": "k active latents per case on average; the first ones reconstruct on their own",
    "relu": "as many active latents per case as the penalty allows",
}


class AttributeRow(NamedTuple):
    """One attribute value: cases that have it, the SAE's best latent for it, and the best correlation of each code."""

    attribute: str
    value: str
    cases: str
    latent: str
    sae: str
    raw: str
    untrained: str


class Fidelity(NamedTuple):
    """The table of the SAE beside its controls, and the data it was measured on."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    cases: str
    users: str
    rank: str
    """Number of PCA components, untrained latents and raw dimensions kept per case."""
    intervals: bool


class SaeFacts(NamedTuple):
    lines: tuple[Fact, ...]
    fidelity: Fidelity
    correlation: tuple[Fact, ...]
    attributes: tuple[AttributeRow, ...]
    sweep: Sweep | None
    """None if a single SAE was trained."""
    ranked: bool
    """Whether there is a model to rank with."""


def about_sae(config: Config, metrics: Mapping[str, Any], unit: str) -> SaeFacts:
    """The section; `unit` is what the parts split: users or items."""
    ranked = config.recommender.kind != "given"
    return SaeFacts(
        _lines(metrics, unit, ranked),
        _fidelity(metrics, ranked),
        _correlation(metrics, unit),
        tuple(_attribute(one) for one in listed(look_up(metrics, "attributes"))),
        sweep(config.sae.sweep, metrics, ranked),
        ranked,
    )


def _lines(metrics: Mapping[str, Any], unit: str, ranked: bool) -> tuple[Fact, ...]:
    kind, words = text(look_up(metrics, "kind")), settings(metrics)
    steps = f"of {count(look_up(metrics, 'steps'))}, by FVU on select {unit}; {words['learning_rate']}"
    overlap = share(look_up(metrics, "fidelity", "rows", "sae", "top10_overlap")) if ranked else NOT_MEASURED
    return (
        Fact("Kind", f"{kind}, {words['sparsity']}", KINDS.get(kind, "")),
        Fact("Latents", count(look_up(metrics, "num_latents")), f"of width {count(look_up(metrics, 'width'))}"),
        Fact("Best step", count(look_up(metrics, "best_step")), steps),
        Fact("FVU", decimal(look_up(metrics, "fvu")), f"share of variance unexplained, on score {unit}"),
        Fact("L0", decimal(look_up(metrics, "l0"), 1), f"active latents per case, on score {unit}"),
        Fact("Dead share", share(look_up(metrics, "dead_share")), "latents that never fire in explain cases"),
        Fact("Top-10 overlap", overlap, "of the ten recommendations, the share kept through the SAE"),
    )


def _fidelity(metrics: Mapping[str, Any], ranked: bool) -> Fidelity:
    rank = count(look_up(metrics, "fidelity", "rank"))
    labels = {
        "clean": "Clean",
        "sae": "Through the SAE",
        "sae_with_error": "With its error term",
        "pca": f"PCA of rank {rank}",
        "untrained": f"Untrained SAE of {count(look_up(metrics, 'num_latents'))} latents",
        "raw": f"{rank} raw dimensions",
    }
    if not ranked:
        del labels["clean"]
    columns = {
        "fvu": "FVU",
        "hr@10": "HR@10",
        "ndcg@10": "NDCG@10",
        "ndcg@10_kept": "NDCG@10 kept",
        "top10_overlap": "Top-10 overlap",
    }
    shown = columns if ranked else {"fvu": columns["fvu"]}
    rows = []
    for name, label in labels.items():
        found = look_up(metrics, "fidelity", "rows", name) or {}
        rows.append(Row(label, tuple(_cell(found, key) for key in shown)))
    return Fidelity(
        tuple(shown.values()),
        tuple(rows),
        count(look_up(metrics, "fidelity", "cases")),
        count(look_up(metrics, "fidelity", "users")),
        rank,
        any(cell.interval for row in rows for cell in row.cells),
    )


def _cell(row: Mapping[str, Any], key: str) -> Cell:
    value, ends = look_up(row, key), look_up(row, f"{key}_interval")
    if key.endswith(("_kept", "_overlap")):
        return Cell(share(value), interval(ends, 1, 100))
    return Cell(decimal(value, 4), interval(ends, 4))


def _correlation(metrics: Mapping[str, Any], unit: str) -> tuple[Fact, ...]:
    def mean(code: str) -> str:
        return decimal(look_up(metrics, "correlation", code))

    return (
        Fact("SAE", mean("sae"), f"mean over attributes of the best latent’s r, on score {unit}"),
        Fact("Raw dimensions", mean("raw"), "of the best dimension, with either sign"),
        Fact("Untrained SAE", mean("untrained"), "of the best of as many untrained latents"),
    )


def _attribute(one: Mapping[str, Any]) -> AttributeRow:
    r = (decimal(one.get(code)) for code in ("sae", "raw", "untrained"))
    latent = one.get("latent")
    shown = DASH if isinstance(latent, bool) or not isinstance(latent, int) else str(latent)
    return AttributeRow(text(one.get("attribute")), text(one.get("value")), count(one.get("cases")), shown, *r)
