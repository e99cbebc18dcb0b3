"""Builds the rows of `labels` for one latent: its terms, its pairs of terms and its free names, and marks finalists."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from recsae.data.terms import Vocabulary
from recsae.data.text import clean
from recsae.labels import prompts
from recsae.labels.candidates import Candidate, Usage, measure
from recsae.llm.pool import Completion

MAX_WORDS = 4
"""The prompt asks for so many. Longer names mostly copy an item's text, which a likelihood judge favours."""

Row = dict[str, Any]
"""Columns of `labels`, except those that all rows of a latent or of the table share."""


def term_row(candidate: Candidate, given_evidence: Completion, baseline: float, vocabulary: Vocabulary) -> Row:
    """The row of a single term: its PMI is the log-likelihood after the evidence minus that after baseline lists."""
    pmi = (np.nan if given_evidence.value is None else given_evidence.value) - baseline
    text = vocabulary.terms[candidate.terms[0]]
    return {
        "concept": text,
        "description": f"{text}: {_shares(candidate)}",
        "source": "terms",
        "terms": [text],
        **_statistics(candidate),
        "pmi": None if np.isnan(pmi) else float(pmi),
        "finalist": False,
        "status": "no_answer" if given_evidence.status == "ok" and np.isnan(pmi) else given_evidence.status,
    }


def pair_row(candidate: Candidate, vocabulary: Vocabulary) -> Row:
    """The row of a pair, `A and B`: an item must have both terms."""
    both = [vocabulary.terms[term] for term in candidate.terms]
    return {
        "concept": " and ".join(both),
        "description": f"{both[0]} and {both[1]} at once: {_shares(candidate)}",
        "source": "pair",
        "terms": both,
        **_statistics(candidate),
        "pmi": None,
        "finalist": True,
        "status": "ok",
    }


def free_row(answer: Completion, items: np.ndarray, titles: Sequence[str], usage: Usage) -> Row:
    """The row of a name written by a language model, in the vocabulary's spelling if it is a term.

    `items` is the evidence, one entry per case; the statistics of the terms found in the name are computed from it.
    `titles` are those of the items in the prompt.
    """
    vocabulary = usage.vocabulary
    try:
        answered = json.loads(answer.text or "")
        name = clean(answered["name"], prompts.NAME_LIMIT)
        description = clean(answered["description"], prompts.DESCRIPTION_LIMIT)
        concept = vocabulary.canonical(re.sub(r"[^\w\s&'/+.,-]", "", name).strip(" .,-"))
        status = _status_of(concept, titles, vocabulary) if answer.status == "ok" else answer.status
    except (ValueError, KeyError, TypeError, AttributeError):
        concept, description, status = "", "", answer.status if answer.status != "ok" else "unparsed"
    terms = vocabulary.terms_in(concept)
    measured = measure(items, tuple(vocabulary.columns(terms)), usage) if terms and len(items) else None
    return {
        "concept": concept,
        "description": description or None,
        "source": "model",
        "terms": terms,
        **(_statistics(measured) if measured else {"support": None, "tfidf": None, "lift": None}),
        "pmi": None,
        "finalist": status == "ok",
        "status": status,
    }


def _status_of(concept: str, titles: Sequence[str], vocabulary: Vocabulary) -> str:
    """`ok`, or why the text is rejected as a name; `copied` if it is a part of one title in the prompt."""
    if not concept:
        return "empty"
    if sum(concept.casefold() in title.casefold() for title in titles) == 1 and not vocabulary.has(concept):
        return "copied"
    return "wordy" if len(concept.split()) > MAX_WORDS else "ok"


def mark_finalists(
    singles: Sequence[tuple[Candidate, Row]], pairs: Sequence[Row], free: Sequence[Row], per_ranking: int
) -> None:
    """Marks the top `per_ranking` single terms by PMI, by TF-IDF and by lift as finalists, beside pairs and free names.

    If a free name repeats a single term or a pair, that row becomes the finalist instead of the free name.
    """
    scored = [(candidate, row) for candidate, row in singles if row["pmi"] is not None]
    for values in (
        [row["pmi"] for _, row in scored],
        [candidate.tfidf for candidate, _ in scored],
        [candidate.lift_lower for candidate, _ in scored],
    ):
        for place in sorted(range(len(scored)), key=lambda place: -values[place])[:per_ranking]:
            scored[place][1]["finalist"] = True
    for row in [*(row for _, row in scored), *pairs]:
        for name in free:
            if name["finalist"] and row["concept"].casefold() == name["concept"].casefold():
                row["finalist"], name["finalist"] = True, False


def _statistics(candidate: Candidate) -> Row:
    return {"support": candidate.support, "tfidf": candidate.tfidf, "lift": candidate.lift}


def _shares(candidate: Candidate) -> str:
    return f"{candidate.share:.0%} of its evidence, {candidate.background:.1%} of all events."
