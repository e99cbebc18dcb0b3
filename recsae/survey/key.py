"""The JSON files of a survey: the key, which records the sample, and the answers of one person.

The form shows `Key.questions()` and nothing else of the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from recsae.config.base import Section
from recsae.errors import BadInput
from recsae.store.filesystem import as_json
from recsae.store.validated_json import read_edited

JOB = "`recsae survey export`"
MAX_RATER_LENGTH = 64


class Case(Section):
    """One case shown to people, in the order of the form."""

    case_id: int
    item_id: str
    text: str
    """The text that people read, and that the judge read."""
    role: str
    """Its role in the evidence."""
    active: bool
    """Whether the latent fires in it."""
    activation: float
    judge: bool | None
    """Whether the statement holds, exactly; of a free text the language model's verdict. Null if there is none."""


class SurveyConcept(Section):
    """A statement in words, and the cases on which people judge it."""

    latent: int
    """The latent whose statement it is."""
    stable_id: str
    name: str
    """The statement in words."""
    statement_view: str | None = None
    """What a case shows: the item `recommended`, the `last` one, the `history`, the `item`; null in older keys."""
    decoy: bool
    cases_of: int
    """The latent whose cases these are; for a decoy, another latent."""
    interpretable: bool
    confidence: float | None
    """The statement's confidence on all score cases; for a decoy, that of the shuffled control."""
    lower: float | None
    upper: float | None
    cases: Annotated[tuple[Case, ...], Field(strict=False, min_length=2)]


class Key(Section):
    """Everything that was drawn. Never shown to the people who answer."""

    format: Literal["recsae survey key"] = "recsae survey key"
    version: Literal[1] = 1
    survey: str
    """A digest of the questions, which answers refer to."""
    run: str
    night: str
    view: Literal["recommended", "input"]
    model: str
    """The judge of free texts."""
    seed: int
    concepts: Annotated[tuple[SurveyConcept, ...], Field(strict=False, min_length=1)]

    def questions(self) -> list[dict[str, Any]]:
        """What people see: names and case texts, in order."""
        return [{"name": one.name, "cases": [case.text for case in one.cases]} for one in self.concepts]

    def ids(self) -> list[str]:
        """The ids of all questions, `concept.case`, by position in the form."""
        return [f"{place}.{case}" for place, one in enumerate(self.concepts) for case in range(len(one.cases))]

    def digest(self) -> str:
        return hashlib.sha256(as_json([self.view, self.questions()])).hexdigest()[:16]


Answer = Literal["yes", "no", "unsure"]


class Answers(Section):
    """The answers of one person; missing questions were left open."""

    format: Literal["recsae survey answers"] = "recsae survey answers"
    version: Literal[1] = 1
    survey: str
    rater: Annotated[str, Field(min_length=1, max_length=MAX_RATER_LENGTH)]
    answers: dict[str, Answer]


def read_key(source: str) -> Key:
    """The key in the file `source`. Raises BadInput naming the file."""
    key = read_edited("--key", source, Key, "survey's key", JOB)
    if key.survey != key.digest():
        raise BadInput(
            f"--key {source}: its questions do not match survey {key.survey}; give the file as {JOB} wrote it"
        )
    return key


def read_answers(sources: Sequence[str], key: Key) -> list[Answers]:
    """The answers of all people, in the order of the files. Raises BadInput naming the file."""
    found: list[Answers] = []
    ids = set(key.ids())
    file_of: dict[str, str] = {}
    for source in sources:
        one = read_edited("answers", source, Answers, "survey's answers", "the form")
        if one.survey != key.survey:
            raise BadInput(
                f"answers {source}: these answer survey {one.survey}, the key belongs to {key.survey}; give the key of "
                "that form"
            )
        unknown = sorted(one.answers.keys() - ids)
        if unknown:
            raise BadInput(f"answers {source}: unknown question {unknown[0]}; remove it, or save the form again")
        if not one.answers:
            raise BadInput(f"answers {source}: no question is answered; leave out the file")
        name = " ".join(one.rater.split()).casefold()
        if not name:
            raise BadInput(f"answers {source}: rater is blank; write a name or id")
        if name in file_of:
            raise BadInput(
                f"answers {source}: {one.rater} also answered in {file_of[name]}; leave one out, or change `rater`"
            )
        file_of[name] = source
        found.append(one)
    return found
