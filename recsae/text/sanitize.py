"""Untrusted text made safe for a terminal."""

from __future__ import annotations

import unicodedata

LONGEST = 2000
_JOINERS = "\u200c\u200d"
"""Invisible, but they spell words and draw emoji."""
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str) -> str:
    """`text` without characters that a terminal obeys: control characters, line breaks and marks of writing
    direction."""
    kept = text[:LONGEST]
    return "".join(" " if unicodedata.category(mark) in _OBEYED and mark not in _JOINERS else mark for mark in kept)
