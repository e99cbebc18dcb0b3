"""An explanation as the terminal shows it: the user's history, and each item's score as a sum over latents."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from recsae.cli.render import terminal
from recsae.data.catalogue import Catalogue
from recsae.explain.explainer import Explanations
from recsae.explain.many import ExplanationRequest, strongest
from recsae.text.sanitize import plain

LATEST = 20
"""Events of the history that are shown."""
NAME_WIDTH = 36


def print_explanation(
    found: Explanations, asked: ExplanationRequest, user_id: str, seen: np.ndarray, catalogue: Catalogue
) -> None:
    """Print the items of the first user of `found`, who has `seen` these items, oldest first."""
    console = terminal.console()
    shown = seen[-LATEST:]
    what = f"the latest {len(shown)} of {len(seen):,} events" if len(shown) < len(seen) else f"{len(seen):,} events"
    console.print(f"user {plain(user_id)}: {what}, the last one last", style="bold")
    for item in shown.tolist():
        console.print(Text("  ") + _item(catalogue, item))
    place_TN = strongest(found, asked.concepts)[0]
    for column, item in enumerate(found.item_BT[0].tolist()):
        if item >= 0:
            console.print()
            console.print(_heading(found, column, set(seen.tolist()), catalogue), soft_wrap=True)
            console.print(_table(found, column, place_TN[column], asked))
    if (found.item_BT[0] < 0).all():
        console.print("nothing to recommend: the user has had the whole catalogue")
    else:
        console.print(_legend(found), style="dim")


def _heading(found: Explanations, column: int, seen: set[int], catalogue: Catalogue) -> Text:
    item = int(found.item_BT[0, column])
    text = Text(f"{found.rank_BT[0, column]:,}. ").append_text(_item(catalogue, item))
    text.stylize("bold")
    if item in seen:
        text.append("  in the history; the rank is what it would have among what is not", style="not bold dim")
    return text


def _item(catalogue: Catalogue, item_idx: int) -> Text:
    text, item_id = catalogue.text(item_idx), catalogue.ids[item_idx]
    return Text(plain(text)) if catalogue.titles[item_idx] == item_id else terminal.item(text, item_id)


def _table(found: Explanations, column: int, place_N: np.ndarray, asked: ExplanationRequest) -> Table:
    """The strongest latents, then the rest; both columns of figures add up to their last row."""
    at, item, beyond = (0, column), found.item, found.beyond
    both_2K = np.stack([item.contribution_BTK[at], beyond.contribution_BTK[at]])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("")
    table.add_column("concept", "score", min_width=NAME_WIDTH)
    table.add_column("latent", justify="right", no_wrap=True)
    table.add_column("activation", justify="right", no_wrap=True)
    table.add_column("contribution", f"{item.score_BT[at]:+.2f}", justify="right", no_wrap=True)
    table.add_column("beyond average", f"{beyond.score_BT[at]:+.2f}", justify="right", no_wrap=True)
    listed = place_N[place_N >= 0]
    for place in listed.tolist():
        latent = int(found.latent_BTK[0, column, place])
        name, sure = asked.names.name_H[latent], asked.names.interpretable_H[latent]
        text = Text(plain(name) if name else f"latent {latent}", style="bold" if sure else "")
        activation = f"{found.activation_BTK[0, column, place]:.2f}"
        table.add_row("✓" if sure else " ", text, str(latent), activation, *_signed(both_2K[:, place]))
    table.add_section()
    left = int((found.latent_BTK[at] >= 0).sum()) - len(listed)
    if left:
        table.add_row("", f"{left:,} other latents", "", "", *_signed(both_2K.sum(1) - both_2K[:, listed].sum(1)))
    table.add_row("", "bias", "", "", *_signed((item.bias_BT[at], beyond.bias_BT[at])))
    table.add_row("", "SAE's error", "", "", *_signed((item.error_BT[at], beyond.error_BT[at])))
    rest = item.rest_BT[at], beyond.rest_BT[at]
    if not found.exact:
        table.add_row("", "rest, of the approximation", "", "", *_signed(rest))
    elif asked.site == "item":
        table.add_row("", "latents that other items have", "", "", *_signed(rest))
    return table


def _legend(found: Explanations) -> str:
    how = (
        "The score is the sum of its parts, exactly."
        if found.exact
        else "Layers come after the probed vectors, so the parts are approximate: gradient times activation, over the "
        "whole history."
    )
    return (
        f"{how} Bias is what the item gets where nothing fires. Beyond average: less what the same part gives the "
        "average item of the catalogue; it is this that ranks an item. ✓ interpretable."
    )


def _signed(figures: Iterable[float]) -> list[str]:
    return [f"{figure:+.2f}" for figure in figures]
