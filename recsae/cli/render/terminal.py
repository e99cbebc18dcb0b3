"""The console that commands print to, and the shape of their tables."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsae.text.sanitize import plain

LOG_WIDTH = 140
"""Columns where the output is a log rather than a terminal."""


def console() -> Console:
    """Standard output; no text is taken for markup."""
    found = Console(highlight=False, emoji=False, markup=False)
    if not found.is_terminal:
        found.width = LOG_WIDTH
    return found


def table(*texts: str, figures: tuple[str, ...] = ()) -> Table:
    """An empty table: columns of text, then columns of figures, right-aligned.

    In a narrow terminal an interval wraps to a second line rather than being cut.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in texts:
        made.add_column(heading)
    for heading in figures:
        made.add_column(heading, justify="right", overflow="fold")
    return made


def item(title: str, item_id: str) -> Text:
    """An item's title and its id; once where the id is the title."""
    text = Text(plain(title))
    return text if title == item_id else text.append(f" {plain(item_id)}", style="dim")
