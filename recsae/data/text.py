"""Text of the catalogue made fit to show: to a person, in a prompt, as a term. It knows one string at a time, and
nothing of prompts: what marks of theirs a text must not bear is their own concern.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Any, NamedTuple

TITLE_LIMIT = 300
VALUE_LIMIT = 100
MAX_MARKS = 4
"""Marks in a row that take no space of their own. Pointed Hebrew and stacked Tibetan need so many; a flood of them
hides the lines around it."""

_MAX_READ = 2**16
"""Letters that are looked at. A text that says nothing in these says nothing."""
_BLANK = {0x2800: " "}
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
"""A character as HTML writes it, with its semicolon: without one `R&degree` would be told as a sign."""
# What Unicode calls letters or marks and shows as nothing: joiners and fillers, and variation selectors, which can
# carry a hidden message of any length behind one visible letter.
_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)


class NormalisedText(NamedTuple):
    """A text as it is shown, and what that took."""

    text: str
    mended: bool
    """Letters were dropped, composed or read as HTML writes them, or white space collapsed."""
    cut: bool
    """It was longer than the limit."""


def normalise(text: str, limit: int) -> NormalisedText:
    """One line of at most `limit` letters, in NFC, of letters that show.

    Dropped are invalid Unicode, control, format, private and unassigned characters, those that show nothing, and all
    but the first MOST_MARKS of marks in a row. White space collapses to single spaces; what is outside does not count
    as mended. Emoji stay, those joined of several apart. What a shop's export wrote for HTML, as `&quot;`, is the
    character that it stands for.
    """
    text = text.strip()
    read = text[:_MAX_READ].rstrip()
    whole = _visible(read)
    while "&" in whole and (meant := _visible(_REFERENCE.sub(lambda found: html.unescape(found[0]), whole))) != whole:
        whole = meant  # some exports write it twice, and what was dropped may have stood in between
    return NormalisedText(whole[:limit].rstrip(), whole != read, len(whole) > limit or len(text) > _MAX_READ)


def _visible(text: str) -> str:
    """One line of letters that show."""
    whole = " ".join(text.split())
    if not (whole.isascii() and whole.isprintable()):
        # white space came first: a line break is a control character and parts two words
        whole = "".join(letter for letter in whole.translate(_BLANK) if _is_visible(letter))
        whole = " ".join(_limit_marks(unicodedata.normalize("NFC", whole)).split())
    return whole


def clean(text: str, limit: int) -> str:
    """The text of `normalise`."""
    return normalise(text, limit).text


def is_utf8(text: str) -> bool:
    """False where bytes that are no UTF-8, or half a pair in JSON, came as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def cell_text(value: Any) -> str | None:
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


def _is_visible(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("C") and letter not in _INVISIBLE


def _limit_marks(text: str) -> str:
    kept = []
    row = 0
    for letter in text:
        row = row + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if row <= MAX_MARKS:
            kept.append(letter)
    return "".join(kept)
