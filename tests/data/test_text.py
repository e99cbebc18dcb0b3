"""Cleaning of titles and values."""

from __future__ import annotations

import pytest

from recsae.data.text import clean, plain


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        ("  Toy   Story ", "Toy Story"),
        ("Toy\nStory\t(1995)", "Toy Story (1995)"),
        ("Ame\u0301lie", "Am\u00e9lie"),
        ("zero\u200bwidth \u202eflip\x07", "zerowidth flip"),
        ("bad\udcff byte", "bad byte"),
        ("\x00 \x01", ""),
    ],
)
def test_clean(held: str, shown: str) -> None:
    assert clean(held, 300) == shown


def test_clean_cuts() -> None:
    assert clean("ab " * 200, 100) == ("ab " * 34)[:100].rstrip()


@pytest.mark.parametrize(
    ("cell", "text"), [(None, None), (float("nan"), None), (1997.0, "1997"), (7.5, "7.5"), (True, "true"), (3, "3")]
)
def test_plain(cell: object, text: str | None) -> None:
    assert plain(cell) == text


def test_plain_refuses_what_is_nested() -> None:
    with pytest.raises(TypeError):
        plain({"a": 1})
