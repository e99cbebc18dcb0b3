"""Finds concepts in the dictionary by name or terms, with their latents and the items that are theirs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from recsae.errors import BadInput
from recsae.statements.language import ITEM_BODIES, Formula, Statement, Term, from_json
from recsae.store.run_store import Committed

_BETWEEN = re.compile(r"\s*[,+&]\s*")
_AND = re.compile(r"\s+and\s+|\s*[,+&]\s*")
_JOINTS = re.compile(r", | or |[()]")
"""Between the literals of a formula in words."""


class RequestedConcept(NamedTuple):
    """A concept that a policy was requested for."""

    name: str
    """As the dictionary spells it."""
    terms: list[str]
    """Its items are those that have all of these; empty where they are the members of `statement`."""
    latents: list[int]
    """Interpretable ones first, then by confidence."""
    statement: Statement | None = None


@dataclass(frozen=True)
class Dictionary:
    """Rows of the dictionary, by latent."""

    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, concepts: Committed) -> Self:
        columns = ["latent", "name", "terms", "statement", "gloss", "interpretable", "confidence"]
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

        Of a term, all latents whose statement says it, or whose set of items is best told by it. Raises BadInput, with
        the nearest names, if there is none, and if no item can be checked against it: its share is undefined then.
        """
        named = wanted.strip().casefold()
        terms = sorted(_BETWEEN.split(named))
        found = [row for row in self.rows if row["terms"] and _folded(row) in (terms, sorted(_AND.split(named)))]
        if found:
            terms = _folded(found[0])
        said = found + [row for row in self.rows if row not in found and set(terms) <= _said(row)]
        if said:
            return RequestedConcept(" and ".join(_spelled(said[0], terms)), _spelled(said[0], terms), _best_first(said))
        return self._by_name(option, wanted)

    def _by_name(self, option: str, wanted: str) -> RequestedConcept:
        row = next((row for row in self.rows if (row["name"] or "").casefold() == wanted.strip().casefold()), None)
        if row is None:
            known = {row["name"].casefold(): row["name"] for row in self.rows if row["name"]}
            near = difflib.get_close_matches(wanted.casefold(), known, n=3, cutoff=0)
            nearest = ", ".join(known[name] for name in near) or "none"
            raise BadInput(
                f"{option} {wanted}: no latent of the dictionary has that concept; the nearest are {nearest}"
            )
        statement = from_json(row["statement"]) if row["statement"] else None
        if statement is None or not isinstance(statement.body, ITEM_BODIES):
            raise BadInput(
                f"{option} {wanted}: no item can be checked against the concept, so its share of the recommendations "
                "cannot be measured; give a concept that is about items"
            )
        body = statement.body.model_dump()
        same = [one for one in self.rows if one["statement"] and from_json(one["statement"]).body.model_dump() == body]
        return RequestedConcept(row["name"], [], _best_first(same), statement)


def _best_first(rows: Sequence[dict[str, Any]]) -> list[int]:
    order = sorted(rows, key=lambda row: (not row["interpretable"], -(row["confidence"] or 0.0)))
    return [row["latent"] for row in order]


def _folded(row: dict[str, Any]) -> list[str]:
    return sorted(term.casefold() for term in row["terms"])


def _said(row: dict[str, Any]) -> set[str]:
    """The terms, case-folded, that the statement has without "not", and those of the formula beside a set of items."""
    return {term.casefold() for term in _terms(row)}


def _terms(row: dict[str, Any]) -> list[str]:
    found = [*row["terms"]]
    body = from_json(row["statement"]).body if row["statement"] else None
    if isinstance(body, Formula):
        literals = [(body.negated, body.literal), *((step.negated, step.literal) for step in body.steps)]
        found += [literal.term for negated, literal in literals if isinstance(literal, Term) and not negated]
    elif row["gloss"]:
        found += _JOINTS.split(row["gloss"])
    return found


def _spelled(row: dict[str, Any], terms: Sequence[str]) -> list[str]:
    """The terms as the row spells them."""
    spelling = {term.casefold(): term for term in _terms(row)}
    return [spelling[term] for term in terms]
