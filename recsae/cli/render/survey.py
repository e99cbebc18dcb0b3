"""A survey's figures as the terminal shows them: people, agreement between them, and concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from recsae.cli.render import terminal
from recsae.text.formatting import DASH, decimal, with_interval
from recsae.text.sanitize import plain

FIGURES = ("kappa_judge", "confidence", "decoys_rejected", "real_against_decoy")
HEADINGS = ("κ with the judge", "real concepts", "decoys rejected", "real against decoys")


def print_survey(found: Mapping[str, Any], concepts: pa.Table) -> None:
    console = terminal.console()
    table = terminal.table("", figures=("yes or no", "can't tell", "open", *HEADINGS))
    for one in found["people"]:
        counts = [f"{one[name]:,}" for name in ("answered", "unsure", "open")]
        table.add_row(Text(plain(one["rater"])), *counts, *_figures(one))
    table.add_section()
    for name, one in found["others"].items():
        table.add_row(name, "", "", "", *_figures(one))
    console.print(table)
    console.print(
        "κ: Cohen's, with the judge on the same questions: whether the statement holds, exactly; of a free text the "
        "language model. Real concepts: balanced accuracy of yes on activating and no on non-activating cases. Decoys "
        "rejected: no on their activating cases. Real against decoys: balanced accuracy of yes and no on the "
        "activating cases of both. In brackets 95 %, resampling concepts.",
        style="dim",
    )
    _print_between(console, found)
    _print_concepts(console, concepts)


def _figures(one: Mapping[str, Any]) -> list[str]:
    return [with_interval(one.get(name), *(one.get(f"{name}_interval") or (None, None))) for name in FIGURES]


def _print_between(console: Console, found: Mapping[str, Any]) -> None:
    fleiss, pairs = found["fleiss"], [pair for pair in found["pairs"] if pair["kappa"] is not None]
    if fleiss["kappa"] is not None:
        bounds = fleiss["kappa_interval"] or (None, None)
        console.print(
            f"\nbetween people  Fleiss' κ {with_interval(fleiss['kappa'], *bounds)} over {fleiss['questions']:,} "
            "questions that two or more answered"
        )
    if pairs:
        pairs.sort(key=lambda pair: pair["kappa"])
        least, most = (
            f"{decimal(pair['kappa'], 2)} ({' and '.join(pair['raters'])})" for pair in (pairs[0], pairs[-1])
        )
        middle = decimal(median(pair["kappa"] for pair in pairs), 2)
        told = least if len(pairs) == 1 else f"median {middle} of {len(pairs)} pairs, from {least} to {most}"
        console.print(f"                Cohen's κ {plain(told)}", soft_wrap=True)


def _print_concepts(console: Console, concepts: pa.Table) -> None:
    headings = ("latent", "people", "model, same cases", "model, all cases", "majority = model", "yes/no/can't tell")
    table = terminal.table("", "concept", figures=headings)
    for row in concepts.to_pylist():
        votes = [sum(row[f"{said}_{kind}"] for kind in ("active", "silent")) for said in ("yes", "no", "unsure")]
        name = Text(plain(row["name"]), style="bold" if row["interpretable"] and not row["decoy"] else "")
        table.add_row(
            "decoy" if row["decoy"] else "✓" if row["interpretable"] else "",
            name,
            str(row["latent"]) + (f" on {row['cases_of']}" if row["decoy"] else ""),
            with_interval(row["people_confidence"], row["people_lower"], row["people_upper"]),
            decimal(row["judge_on_cases"], 2),
            with_interval(row["judge_confidence"], row["judge_lower"], row["judge_upper"]),
            DASH if row["majority_agrees"] is None else f"{100 * row['majority_agrees']:.0f} %",
            "/".join(f"{count:,}" for count in votes),
        )
    console.print(table)
    _print_means(console, concepts.to_pylist())


def _print_means(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    kinds = {
        "interpretable": [row for row in rows if row["interpretable"] and not row["decoy"]],
        "other concepts": [row for row in rows if not row["interpretable"] and not row["decoy"]],
        "decoys": [row for row in rows if row["decoy"]],
    }
    for kind, of_kind in kinds.items():
        known = [row["people_confidence"] for row in of_kind if row["people_confidence"] is not None]
        if known:
            console.print(f"{kind:<15} people's confidence {decimal(sum(known) / len(known), 2)}, mean of {len(known)}")
