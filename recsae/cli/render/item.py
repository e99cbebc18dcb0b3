"""An item as the terminal shows it: attributes, popularity, and the latents that fire at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.text import Text

from recsae.cli.render import terminal
from recsae.lookup.items import ItemView
from recsae.text.formatting import DASH, decimal
from recsae.text.sanitize import plain

MOST = 20
"""Latents that are shown."""


def attributes(pairs: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Names with all their values: `genres`, `Crime, Drama`."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        found.setdefault(pair["name"], []).append(pair["value"])
    return [(name, ", ".join(values)) for name, values in found.items()]


def print_item(found: ItemView) -> None:
    console, row = terminal.console(), found.item
    title = terminal.item(row["title"], row["item_id"])
    title.stylize("bold", 0, len(plain(row["title"])))
    console.print(title)
    for name, values in attributes(row["attributes"]):
        console.print(f"{plain(name):<12} {plain(values)}", soft_wrap=True)
    console.print(f"{'popularity':<12} {row['popularity']:,} training events")
    if not found.latents:
        console.print("no latent fires at it in cases of explain users")
        return
    shown = found.latents[:MOST]
    console.print(f"\nlatents that fire at it, by total strength: {len(shown)} of {len(found.latents)} known")
    table = terminal.table("", "concept", figures=("latent", "activations", "strength", "lift"))
    for one in shown:
        table.add_row(
            "✓" if one["interpretable"] else " ",
            Text(plain(one["name"] or DASH), style="bold" if one["interpretable"] else "dim"),
            str(one["latent"]),
            f"{one['activations']:,}",
            f"{one['strength']:,.1f}",
            DASH if one["lift"] is None else f"×{decimal(one['lift'], 1)}",
        )
    console.print(table)
    console.print("lift: its share of the cases in which the latent fires, by its share of all", style="dim")
