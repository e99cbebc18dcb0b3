"""Classes of latents in words."""

from __future__ import annotations

from recsae.concepts.classes import in_short


def test_what_holds_and_what_does_not_in_the_order_of_the_schema() -> None:
    kinds = ["unexplained", "item set", "behaviour", "item set", "effect only", "formula"]
    assert in_short(kinds) == ("1 formula, 2 item set, 1 behaviour", "1 effect only, 1 unexplained")
    assert in_short([]) == ("", "")
