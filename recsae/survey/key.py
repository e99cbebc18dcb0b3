"""A survey as JSON: the key, which says what was drawn, and the answers of one person.

The form shows what `questions` gives and nothing else of the key. It knows files and words, and neither how a sample is
drawn nor how answers are counted.
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

JOB = "`python -m jobs.survey export`"
LONGEST_RATER = 64


class Case(Section):
    """One case before people, in the order of the form."""

    case_id: int
    item_id: str
    text: str
    """What people read of it, and the judge read."""
    role: str
    """Its role in the evidence."""
    active: bool
    """Whether the latent fires in it."""
    activation: float
    judge: bool | None
    """The language model's verdict; null where it gave none."""


class SurveyConcept(Section):
    """A name, and the cases that it is put to."""

    latent: int
    """Whose name it is."""
    stable_id: str
    name: str
    decoy: bool
    cases_of: int
    """The latent whose cases these are: another one of a decoy."""
    interpretable: bool
    confidence: float | None
    """The judge's on all its score cases; of a decoy that of the shuffled control."""
    lower: float | None
    upper: float | None
    cases: Annotated[tuple[Case, ...], Field(strict=False, min_length=2)]


class Key(Section):
    """All that was drawn. It never reaches whoever answers."""

    format: Literal["recsae survey key"] = "recsae survey key"
    version: Literal[1] = 1
    survey: str
    """A digest of the questions: what answers are of."""
    run: str
    night: str
    view: Literal["recommended", "input"]
    model: str
    """The judge."""
    seed: int
    concepts: Annotated[tuple[SurveyConcept, ...], Field(strict=False, min_length=1)]

    def questions(self) -> list[dict[str, Any]]:
        """What people see: names and texts, in order."""
        return [{"name": one.name, "cases": [case.text for case in one.cases]} for one in self.concepts]

    def ids(self) -> list[str]:
        """Of all questions, concept by concept: the places of concept and case in the form."""
        return [f"{place}.{case}" for place, one in enumerate(self.concepts) for case in range(len(one.cases))]

    def digest(self) -> str:
        return hashlib.sha256(as_json([self.view, self.questions()])).hexdigest()[:16]


Answer = Literal["yes", "no", "unsure"]


class Answers(Section):
    """What one person said; questions that are not there were left open."""

    format: Literal["recsae survey answers"] = "recsae survey answers"
    version: Literal[1] = 1
    survey: str
    rater: Annotated[str, Field(min_length=1, max_length=LONGEST_RATER)]
    answers: dict[str, Answer]


def read_key(source: str) -> Key:
    """Raises BadInput that names the file."""
    key = read_edited("--key", source, Key, "survey's key", JOB)
    if key.survey != key.digest():
        raise BadInput(
            f"--key {source}: its questions are not those of survey {key.survey}; give the file as {JOB} left it"
        )
    return key


def read_answers(sources: Sequence[str], key: Key) -> list[Answers]:
    """Of all people, in the order of their files. Raises BadInput that names the file."""
    found: list[Answers] = []
    known = set(key.ids())
    said_by: dict[str, str] = {}
    for source in sources:
        one = read_edited("answers", source, Answers, "survey's answers", "the form")
        if one.survey != key.survey:
            raise BadInput(
                f"answers {source}: of survey {one.survey}, and the key is of {key.survey}; give the key of that form"
            )
        strange = sorted(one.answers.keys() - known)
        if strange:
            raise BadInput(f"answers {source}: there is no question {strange[0]}; leave it out, or save the form again")
        if not one.answers:
            raise BadInput(f"answers {source}: no question was answered; leave the file out")
        name = " ".join(one.rater.split()).casefold()
        if not name:
            raise BadInput(f"answers {source}: rater is blank; write a name or id")
        if name in said_by:
            raise BadInput(
                f"answers {source}: {one.rater} has answered in {said_by[name]} too; leave one out, or change `rater`"
            )
        said_by[name] = source
        found.append(one)
    return found
