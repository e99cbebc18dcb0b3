"""An explanation as the terminal shows it: the user's history, and by latent what is their own in each score."""

from __future__ import annotations

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from recsae.cli.render import terminal
from recsae.data.catalogue import Catalogue
from recsae.explain.explainer import Explanations
from recsae.explain.many import ExplanationRequest, strongest
from recsae.explain.own import carried
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
        console.print()
        console.print(_carried(found))
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
    """The latents that give most of this user's own part, then the rest; the figures add up to the last row."""
    at, own = (0, column), found.own
    own_K = own.contribution_BTK[at]
    score, average = found.item.score_BT[at], found.average.score_BT[at]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    whole = f"beyond the average item, by score {score:+.2f} against {average:+.2f}"
    table.add_column("this user's own", whole, min_width=NAME_WIDTH)
    table.add_column("latent", justify="right", no_wrap=True)
    table.add_column("activation", justify="right", no_wrap=True)
    table.add_column("score", _signed(found.beyond.score_BT[at]), justify="right", no_wrap=True)
    listed = place_N[place_N >= 0]
    for place in listed.tolist():
        latent = int(found.latent_BTK[0, column, place])
        name = asked.names.reason_H[latent]
        text = Text(plain(name), style="bold") if name else Text("no concept", style="dim")
        activation = f"{found.activation_BTK[0, column, place]:.2f}"
        table.add_row(text, str(latent), activation, _signed(own_K[place]))
    left = int((found.latent_BTK[at] >= 0).sum()) - len(listed)
    if left:
        table.add_row(f"{left:,} other latents that fire", "", "", _signed(own_K.sum() - own_K[listed].sum()))
    silent = own.named_BT[at] + own.unnamed_BT[at] - own_K.sum()
    table.add_row("latents that do not fire here", "", "", _signed(silent))
    table.add_row("SAE's error", "", "", _signed(own.error_BT[at]))
    if not found.exact:
        table.add_row("rest, of the approximation", "", "", _signed(own.rest_BT[at]))
    table.add_section()
    table.add_row("what everyone gets", "", "", _signed(own.everyone_BT[at]))
    return table


def _carried(found: Explanations) -> str:
    named, unnamed, error = carried(found.own, 0)
    whole = float(np.nansum(found.own.own_BT[0]))
    kept = "the SAE's error" if found.exact else "the SAE's error and the rest"
    return (
        f"Of what is this user's own in all of these, {whole:+.2f}, named latents carry {named:.0%}, unnamed ones "
        f"{unnamed:.0%}, and {kept} {error:.0%}."
    )


def _legend(found: Explanations) -> str:
    how = (
        "The parts add up to the score, exactly."
        if found.exact
        else "Layers come after the probed vectors, so the parts are approximate: gradient times activation, over the "
        "whole history."
    )
    return (
        f"{how} Items are ranked by how far they lie beyond the average item of the catalogue. What everyone gets is "
        "what the average user gets for the item; a latent's own part is what its activation gives beyond its mean "
        "over users. Named are latents with an interpretable concept."
    )


def _signed(figure: float) -> str:
    return f"{figure:+.2f}"
