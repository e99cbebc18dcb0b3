"""The language in which concepts are spoken: statements about a case, as typed and versioned JSON.

A statement is a body and a view. The body describes an item (a formula, an item set, an item list), a case (behaviour)
or cannot be computed (free text). The view says which item is meant: the one that the recommender ranks first, the last
one of the history or, as a share, the last ten; at the site `item`, the item itself. evaluation.py applies statements
to cases; wording.py reads them out.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from recsae.errors import BadInput

VERSION = 1
HISTORY = 10
"""Events of a history that the view `history` covers, the latest."""
MAX_LITERALS, MAX_SEEDS, MAX_LISTED = 4, 8, 60

View = Literal["recommended", "last", "history", "item"]
Op = Literal["and", "or"]
USER_VIEWS: tuple[View, ...] = ("recommended", "last", "history")
ITEM_VIEWS: tuple[View, ...] = ("item",)
"""Views of cases that are positions of users, and of cases that are items (the site `item`)."""
ONE_ITEM = ("recommended", "last", "item")
"""Views of one item."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Term(_Part):
    """The item has a term of the vocabulary: an attribute value, or a phrase of a title or tag."""

    type: Literal["term"] = "term"
    term: str


class Range(_Part):
    """A number of the item lies in a range, both ends included; an open end is None. An item without one does not."""

    type: Literal["range"] = "range"
    feature: str
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("a range needs low or high")
        return self


Literal_ = Annotated[Term | Range, Field(discriminator="type")]


class Step(_Part):
    """Joins a literal to the formula so far."""

    op: Op
    negated: bool = False
    literal: Literal_


class Formula(_Part):
    """Up to four literals, joined from left to right: ((A or B) and C) and not D."""

    kind: Literal["formula"] = "formula"
    negated: bool = False
    """Of the first literal."""
    literal: Literal_
    steps: Annotated[tuple[Step, ...], Field(max_length=MAX_LITERALS - 1)] = ()

    @property
    def terms(self) -> list[str]:
        """The terms that occur in it, negated or not."""
        literals = (self.literal, *(step.literal for step in self.steps))
        return [literal.term for literal in literals if isinstance(literal, Term)]


class ItemSet(_Part):
    """The item lies around the seeds: its vector's cosine with the mean of the seeds' unit vectors is high enough."""

    kind: Literal["item set"] = "item set"
    space: str
    """Whose vectors: `recommender` (its item vectors) or `co-consumption`."""
    seeds: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_SEEDS)]
    """External item ids."""
    min_cosine: float


class ItemList(_Part):
    """The item is one of those listed. Says nothing about others."""

    kind: Literal["item list"] = "item list"
    items: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_LISTED)]
    """External item ids, the most telling first."""


class Behaviour(_Part):
    """A feature of the case (behaviour.py) lies in a range, both ends included; an open end is None."""

    kind: Literal["behaviour"] = "behaviour"
    feature: str
    low: float | None = None
    high: float | None = None


class FreeText(_Part):
    """What a language model writes; only a language model can judge it."""

    kind: Literal["free text"] = "free text"
    text: str


Body = Annotated[Formula | ItemSet | ItemList | Behaviour | FreeText, Field(discriminator="kind")]
ITEM_BODIES = (Formula, ItemSet, ItemList)


class Statement(_Part):
    """A statement about a case."""

    version: Literal[1] = 1
    view: View
    """For a behaviour always `history`."""
    body: Body
    min_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """In the view `history`: the least share of the last ten events whose item satisfies the body."""

    @model_validator(mode="after")
    def _share_fits_the_view(self) -> Self:
        wanted = self.view == "history" and isinstance(self.body, ITEM_BODIES)
        if wanted != (self.min_share is not None):
            raise ValueError("min_share belongs to items in the view history, and only there")
        return self

    @property
    def kind(self) -> str:
        return self.body.kind

    def to_json(self) -> str:
        """One line of JSON, the same for equal statements."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


_STATEMENT = TypeAdapter(Statement)


def from_json(text: str) -> Statement:
    """The statement that `Statement.to_json` wrote. Raises BadInput where the text is none of this version."""
    try:
        return _STATEMENT.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise BadInput(f"this is no statement of version {VERSION}, {first['msg']} at {place}: {text[:200]}") from error
