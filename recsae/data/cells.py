"""Reads single cells of the files of items, tags and users; refuses those that cannot be used."""

from __future__ import annotations

from collections import Counter
from typing import Any

from recsae.data.sources import Row, Source
from recsae.data.text import cell_text, is_utf8, normalise


def identifier(source: Source, row: int, column: str, cells: Row) -> str:
    """The id in a cell, as written. Raises BadInput if it is empty or not UTF-8."""
    text = read_text(source, row, column, cells.get(column)) or ""
    if not text.strip():
        source.refuse(f"row {row}, column {column} is empty; fill it or leave the row out")
    if not is_utf8(text):
        source.refuse(f"row {row}, column {column} is not valid UTF-8; write the file in UTF-8")
    return text


def read_text(source: Source, row: int, column: str, cell: Any) -> str | None:
    """A cell as text, not cleaned; None if it is empty. Raises BadInput if it holds more than one value."""
    try:
        return cell_text(cell)
    except TypeError as error:
        source.refuse(f"row {row}, column {column} holds a {error}, expected text or a list of texts; flatten it")


def cleaned_text(raw: str, limit: int, counter: str, cleaned: Counter[str]) -> str:
    """A text fit to show; counts changed ones under `counter`, and those that were cut under `counter_cut`."""
    text, changed, truncated = normalise(raw, limit)
    cleaned[counter] += changed
    cleaned[f"{counter}_cut"] += truncated
    return text
