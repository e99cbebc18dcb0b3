"""What all jobs that print tables write to, and how figures are written there.

It knows terminals and numbers, and nothing of what is told.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

LOG_WIDTH = 140
"""Columns where the output is a log rather than a terminal."""
DASH = "—"


def console() -> Console:
    """The standard output; no text is taken for markup."""
    found = Console(highlight=False, emoji=False, markup=False)
    if not found.is_terminal:
        found.width = LOG_WIDTH
    return found


def table(*texts: str, figures: tuple[str, ...] = ()) -> Table:
    """An empty table: columns of text, then columns of figures, which stand to the right.

    In a narrow terminal intervals take a second line, rather than being cut.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in texts:
        made.add_column(heading)
    for heading in figures:
        made.add_column(heading, justify="right", overflow="fold")
    return made


def number(value: float | None, digits: int = 2) -> str:
    return DASH if value is None else f"{value:.{digits}f}"


def share(value: float | None, digits: int = 1) -> str:
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def interval(value: float | None, lower: float | None, upper: float | None) -> str:
    """`0.80 [0.73, 0.86]`; without brackets where there is no interval."""
    if value is None or lower is None:
        return number(value)
    return f"{number(value)} [{number(lower)}, {number(upper)}]"
