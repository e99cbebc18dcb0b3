"""A user as the terminal shows them: attributes, events, and their cases as evidence of latents."""

from __future__ import annotations

from rich.text import Text

from recsae.cli.render import terminal
from recsae.cli.render.item import attributes
from recsae.lookup.users import User
from recsae.text.formatting import DASH, decimal
from recsae.text.sanitize import plain

LATEST = 20
"""Events that are shown."""
CASES = 40
"""Rows of evidence that are shown."""


def print_user(found: User) -> None:
    console, row = terminal.console(), found.user
    console.print(f"user {plain(row['user_id'])}", style="bold")
    for name, values in attributes(row["attributes"]):
        console.print(f"{plain(name):<12} {plain(values)}", soft_wrap=True)
    console.print(f"{'part':<12} {row['part']}")
    latest = found.events[-LATEST:]
    what = f"the latest {LATEST} of " if len(latest) < len(found.events) else ""
    console.print(f"\n{what}{len(found.events):,} events, the last one last", style="bold")
    for event in latest:
        line = Text(f"  {event['position']:>5}  ") + terminal.item(event["title"], event["item_id"])
        console.print(line.append("" if event["split"] == "train" else f"  {event['split']}", style="dim"))
    if not found.evidence:
        console.print("\nnone of their cases is evidence of a latent; `recsae explain --user` computes what fires now")
        return
    shown = found.evidence[-CASES:]
    what = f"the latest {CASES} of " if len(shown) < len(found.evidence) else ""
    console.print(f"\ntheir cases as evidence of latents: {what}{len(found.evidence):,}", style="bold")
    headings = ("events", "item there", "ranked first", "", "concept")
    table = terminal.table(*headings, figures=("latent", "activation", "level"))
    before = None
    for one in shown:
        same, before = one["position"] == before, one["position"]
        first = terminal.item(one["first"]["title"], one["first"]["item_id"]) if one["first"] else Text(DASH)
        table.add_row(
            "" if same else f"{one['position']:,}",
            Text("") if same else terminal.item(one["item"]["title"], one["item"]["item_id"]),
            Text("") if same else first,
            "✓" if one["interpretable"] else " ",
            Text(plain(one["name"] or DASH), style="bold" if one["interpretable"] else "dim"),
            str(one["latent"]),
            decimal(one["activation"], 2),
            str(one["level"]),
        )
    console.print(table)
    console.print(
        "Evidence keeps some cases of each latent, not all of a user; `recsae explain --user` computes what fires now.",
        style="dim",
    )
