"""Text of the catalogue made fit to show: to a person, in a prompt, as a term. It knows one string at a time."""

from __future__ import annotations

import unicodedata
from typing import Any

TITLE_LIMIT = 300
VALUE_LIMIT = 100


def clean(text: str, limit: int) -> str:
    """NFC, without control and format characters or invalid Unicode, white space collapsed, cut at `limit`."""
    if not (text.isascii() and text.isprintable()):
        # white space first: a line break is a control character and parts two words
        text = " ".join(text.split())
        text = unicodedata.normalize("NFC", "".join(letter for letter in text if _shows(letter)))
    return " ".join(text.split())[:limit].rstrip()


def is_utf8(text: str) -> bool:
    """False where bytes that are no UTF-8, or half a pair in JSON, came as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain(value: Any) -> str | None:
    """One cell as text, uncleaned; None where it holds nothing. Raises TypeError where it holds more than one value."""
    match value:
        case None:
            return None
        case str():
            return value
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case bool():
            return str(value).lower()
        case float():
            if value != value:
                return None
            # tables with gaps turn whole numbers into floats; nobody means the year 1997.0
            return str(int(value)) if value.is_integer() else str(value)
        case list() | dict() | tuple():
            raise TypeError(type(value).__name__)
        case _:
            return str(value)


def _shows(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("C")
