"""Finds concepts in the dictionary by name or terms, with their latents."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from recsae.errors import BadInput
from recsae.store.run_store import Committed

_BETWEEN = re.compile(r"\s*[,+&]\s*")


class RequestedConcept(NamedTuple):
    """A concept that a policy was requested for."""

    name: str
    """As the dictionary spells it."""
    terms: list[str]
    latents: list[int]
    """Interpretable ones first, then by confidence."""


@dataclass(frozen=True)
class Dictionary:
    """Rows of the dictionary, by latent."""

    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, concepts: Committed) -> Self:
        columns = ["latent", "name", "terms", "interpretable", "confidence"]
        return cls(concepts.read_table(concepts.files("concepts")[0], columns).to_pylist())

    @property
    def latents(self) -> np.ndarray:
        """All latents of the dictionary, `(N,)`."""
        return np.array([row["latent"] for row in self.rows], dtype=np.int64)

    @property
    def names(self) -> dict[int, str]:
        return {row["latent"]: row["name"] for row in self.rows if row["name"]}

    def find(self, option: str, wanted: str) -> RequestedConcept:
        """The concept with this name or these comma-separated terms, ignoring case.

        Raises BadInput, with the nearest names, if there is none, and if it has no terms: its share is undefined then.
        """
        terms = sorted(_BETWEEN.split(wanted.strip().casefold()))
        found = [row for row in self.rows if (row["name"] or "").casefold() == wanted.strip().casefold()]
        found = found or [row for row in self.rows if row["terms"] and _folded(row) == terms]
        if not found:
            known = {row["name"].casefold(): row["name"] for row in self.rows if row["name"]}
            near = difflib.get_close_matches(wanted.casefold(), known, n=3, cutoff=0)
            nearest = ", ".join(known[name] for name in near) or "none"
            raise BadInput(
                f"{option} {wanted}: no latent of the dictionary has that concept; the nearest are {nearest}"
            )
        found.sort(key=lambda row: (not row["terms"], not row["interpretable"], -(row["confidence"] or 0.0)))
        first = found[0]
        if not first["terms"]:
            raise BadInput(
                f"{option} {wanted}: the name has no terms of the catalogue, so its share of the recommendations "
                "cannot be measured; give a concept that has some"
            )
        same = [row for row in found if _folded(row) == _folded(first)]
        return RequestedConcept(first["name"] or wanted, list(first["terms"]), [row["latent"] for row in same])


def _folded(row: dict[str, Any]) -> list[str]:
    return sorted(term.casefold() for term in row["terms"])
