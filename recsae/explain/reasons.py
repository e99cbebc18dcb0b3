"""Says on which side a concept speaks: after what it fires, or what it recommends."""

from __future__ import annotations

from recsae.concepts.names import VIEWS
from recsae.statements.language import HISTORY, ITEM_BODIES, FreeText, Statement

SIDES = {"recommended": "recommends ", "last": "after ", "history": "after ", "item": ""}


def reason(name: str, statement: Statement) -> str:
    """`after Comedy: Clueless, Quiz Show`; a behaviour, which is of the history, is its name.

    A view at the end of the name is left out, since the side says it.
    """
    if not isinstance(statement.body, (*ITEM_BODIES, FreeText)):
        return name
    said = name.removesuffix(f" ({VIEWS[statement.view]})")
    if said.startswith("around "):
        said = f"items {said}"
    often = f" (at least {statement.min_share * HISTORY:.0f} of the last {HISTORY})" if statement.min_share else ""
    return f"{SIDES[statement.view]}{said}{often}"
