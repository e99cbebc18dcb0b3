"""The rows of `labels` of one latent: its terms, its pairs of terms, its free name, and which of them are finalists.

It knows candidates and answers, and nothing of how they were asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from recsae.data.terms import Vocabulary
from recsae.data.text import clean
from recsae.labels import prompts
from recsae.labels.candidates import Candidate, Usage, weigh
from recsae.llm.pool import Completion

MOST_WORDS = 4
"""One to three are asked for. A longer name is mostly a copy of some item's text, which a likelihood judge likes."""

Row = dict[str, Any]
"""Columns of `labels` but those that all rows of a latent or of the table share."""


def term_row(candidate: Candidate, given: Completion, without: float, vocabulary: Vocabulary) -> Row:
    """A single term; `given` is its likelihood after the evidence, `without` the mean one after ordinary items."""
    pmi = (np.nan if given.value is None else given.value) - without
    text = vocabulary.terms[candidate.terms[0]]
    return {
        "concept": text,
        "description": f"{text}: {_shares(candidate)}",
        "source": "terms",
        "terms": [text],
        **_figures(candidate),
        "pmi": None if np.isnan(pmi) else float(pmi),
        "finalist": False,
        "status": "no_answer" if given.status == "ok" and np.isnan(pmi) else given.status,
    }


def pair_row(candidate: Candidate, vocabulary: Vocabulary) -> Row:
    """Two terms that an item must both bear: `A and B`, which the description says in full."""
    both = [vocabulary.terms[term] for term in candidate.terms]
    return {
        "concept": " and ".join(both),
        "description": f"{both[0]} and {both[1]} at once: {_shares(candidate)}",
        "source": "pair",
        "terms": both,
        **_figures(candidate),
        "pmi": None,
        "finalist": True,
        "status": "ok",
    }


def free_row(answer: Completion, items: np.ndarray, usage: Usage) -> Row:
    """A name that a language model wrote, spelt as the vocabulary spells it where it is a term.

    `items` is the evidence, one entry a case, from which the terms that stand in the name get their figures.
    """
    vocabulary = usage.vocabulary
    try:
        told = json.loads(answer.text or "")
        named = clean(told["name"], prompts.NAME_LIMIT)
        said = clean(told["description"], prompts.DESCRIPTION_LIMIT)
        concept = vocabulary.spelt(re.sub(r"[^\w\s&'/+.,-]", "", named).strip(" .,-"))
        status = _status_of(concept) if answer.status == "ok" else answer.status
    except (ValueError, KeyError, TypeError, AttributeError):
        concept, said, status = "", "", answer.status if answer.status != "ok" else "unparsed"
    terms = vocabulary.named_in(concept)
    weighed = weigh(items, tuple(vocabulary.columns(terms)), usage) if terms and len(items) else None
    return {
        "concept": concept,
        "description": said or None,
        "source": "model",
        "terms": terms,
        **(_figures(weighed) if weighed else {"support": None, "tfidf": None, "lift": None}),
        "pmi": None,
        "finalist": status == "ok",
        "status": status,
    }


def _status_of(concept: str) -> str:
    """`ok`, or why what was written is no name."""
    if not concept:
        return "empty"
    if concept.casefold() in prompts.example_names():
        return "copied"
    return "wordy" if len(concept.split()) > MOST_WORDS else "ok"


def mark_finalists(singles: Sequence[tuple[Candidate, Row]], pairs: Sequence[Row], free: Row, ranked: int) -> None:
    """The best `ranked` singles by PMI, by TF-IDF and by lift join the pairs and the free name.

    A free name that repeats a single or a pair is no finalist of its own: that one is, in its place.
    """
    judged = [(candidate, row) for candidate, row in singles if row["pmi"] is not None]
    for value in (
        [row["pmi"] for _, row in judged],
        [candidate.tfidf for candidate, _ in judged],
        [candidate.lower for candidate, _ in judged],
    ):
        for place in sorted(range(len(judged)), key=lambda place: -value[place])[:ranked]:
            judged[place][1]["finalist"] = True
    for row in [*(row for _, row in judged), *pairs]:
        if free["finalist"] and row["concept"].casefold() == free["concept"].casefold():
            row["finalist"], free["finalist"] = True, False


def _figures(candidate: Candidate) -> Row:
    return {"support": candidate.support, "tfidf": candidate.tfidf, "lift": candidate.lift}


def _shares(candidate: Candidate) -> str:
    return f"{candidate.share:.0%} of its evidence, {candidate.background:.1%} of all events."
