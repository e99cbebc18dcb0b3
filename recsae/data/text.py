"""Cleans catalogue text for people, prompts and terms: one line of visible characters of bounded length.

Escaping the delimiters of a prompt is up to the prompt.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Any, NamedTuple

TITLE_LIMIT = 300
VALUE_LIMIT = 100
MAX_MARKS = 4
"""Consecutive combining marks that are kept. Pointed Hebrew and stacked Tibetan need this many; more of them would
cover the lines above and below."""

_MAX_READ = 2**16
"""Characters that are read; the rest of a longer text is ignored."""
_BLANK = {0x2800: " "}
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
"""An HTML character reference with its semicolon; without one, `R&degree` would become a degree sign."""
# Letters and marks of Unicode that show nothing: joiners and fillers, and variation selectors, which can carry a
# hidden message of any length behind one visible letter.
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
    """A text fit to show, and how it was changed."""

    text: str
    changed: bool
    """Whether characters were dropped, composed or decoded from HTML, or white space was collapsed."""
    truncated: bool
    """Whether the text was longer than the limit."""


def normalise(text: str, limit: int) -> NormalisedText:
    """One line of at most `limit` visible characters, in NFC.

    Drops invalid Unicode, control, format, private and unassigned characters, invisible ones, and all but the first
    MAX_MARKS of consecutive combining marks. White space collapses to single spaces; stripping it at both ends does not
    count as a change. Emoji stay; joined ones come apart. HTML references such as `&quot;` are decoded.
    """
    text = text.strip()
    read = text[:_MAX_READ].rstrip()
    line = _visible(read)
    while "&" in line and (decoded := _visible(_REFERENCE.sub(lambda match: html.unescape(match[0]), line))) != line:
        line = decoded  # some exports escape twice, and dropped characters may have split a reference
    return NormalisedText(line[:limit].rstrip(), line != read, len(line) > limit or len(text) > _MAX_READ)


def _visible(text: str) -> str:
    """The visible characters of a text as one line."""
    line = " ".join(text.split())
    if not (line.isascii() and line.isprintable()):
        # after white space: a line break is a control character, and separates two words
        line = "".join(letter for letter in line.translate(_BLANK) if _is_visible(letter))
        line = " ".join(_limit_marks(unicodedata.normalize("NFC", line)).split())
    return line


def clean(text: str, limit: int) -> str:
    """The text of `normalise`."""
    return normalise(text, limit).text


def is_utf8(text: str) -> bool:
    """False if the text has surrogates, which stand for bytes that are not UTF-8 or for half a pair in JSON."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def cell_text(value: Any) -> str | None:
    """One cell as text, not cleaned; None if it is empty. Raises TypeError if it holds more than one value."""
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
            # missing values turn integers into floats; nobody means the year 1997.0
            return str(int(value)) if value.is_integer() else str(value)
        case list() | dict() | tuple():
            raise TypeError(type(value).__name__)
        case _:
            return str(value)


def _is_visible(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("C") and letter not in _INVISIBLE


def _limit_marks(text: str) -> str:
    kept = []
    run = 0
    for letter in text:
        run = run + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if run <= MAX_MARKS:
            kept.append(letter)
    return "".join(kept)
