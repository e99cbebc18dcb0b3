"""The classes of latents in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from recsae.schemas.concepts import INTERPRETABLE, KINDS


def in_short(kinds: Iterable[str]) -> tuple[str, str]:
    """`18 formula, 92 item set` and `1 unexplained`: how many latents are in which class, those that are interpretable
    and the others."""
    counts = Counter(kinds)
    others = [kind for kind in KINDS if kind not in INTERPRETABLE]
    holding, rest = (
        ", ".join(f"{counts[kind]:,} {kind}" for kind in some if counts[kind]) for some in (INTERPRETABLE, others)
    )
    return holding, rest
