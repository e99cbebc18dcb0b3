"""Captions: a sentence that says what an exact statement means, kept only where it holds on select users.

The language model sees the statement read out, items in whose cases the latent fires, and hard negatives, all of
explain users. Of its readings, the one with the highest pointwise mutual information with the items is judged beside
the statement's own words. It is kept if it beats guessing and is no worse than the words by one standard error;
otherwise the statement is read out without it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recsae.data.catalogue import Catalogue
from recsae.data.text import clean
from recsae.evidence.cases import LatentCases
from recsae.labels import prompts
from recsae.labels.asking import Asker
from recsae.labels.free_names import DRAWN, Subject
from recsae.labels.rows import MAX_WORDS, Row
from recsae.labels.select_users import OnSelect, SelectJudge
from recsae.labels.truncation import CaptionQuestion, LikelihoodQuestion
from recsae.llm.pool import Completion
from recsae.statements.language import Behaviour, FreeText, from_json
from recsae.statements.wording import body_in_words

log = logging.getLogger(__name__)

NOT_HOLDING = "does not hold on select users"
OF_THE_PROMPT = ("first list", "second list")
"""A caption with these words repeats the prompt."""


class Stated(NamedTuple):
    """A statement to caption, and what is known of its latent."""

    subject: Subject
    words: str
    """Its body read out, without the view."""


def stated(
    rows: Sequence[Mapping[str, Any]],
    sample: Sequence[int],
    cases: Mapping[str, Mapping[int, LatentCases]],
    catalogue: Catalogue,
    count: int,
) -> list[Stated]:
    """The statements about items that `rows` of STATEMENTS make of sampled latents.

    `cases` holds the evidence by view, `recommended` and `last`; a statement about the history is shown by the last
    items. A behaviour has no items and is read out as it is.
    """
    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    wanted = set(sample)
    found = []
    for row in rows:
        if row["latent"] not in wanted or row["statement"] is None:
            continue
        statement = from_json(row["statement"])
        if isinstance(statement.body, (Behaviour, FreeText)):
            continue
        of_view = cases["recommended" if statement.view == "recommended" else "last"]
        subject = Subject.of(row["latent"], of_view[row["latent"]], count)
        found.append(Stated(subject, body_in_words(statement.body, titles)))
    return found


def caption(
    to_caption: Sequence[Stated], catalogue: Catalogue, asking: Asker, judge: SelectJudge, seed: int
) -> list[Row]:
    """One row of CAPTIONS per statement, in order."""
    readings = _readings(to_caption, catalogue, asking, seed)
    best = _most_informative(to_caption, readings, catalogue, asking)
    found = [(number, text) for number, text in enumerate(best) if text is not None]
    texts = [(text, to_caption[number].subject.select) for number, text in found]
    words = [(to_caption[number].words, to_caption[number].subject.select) for number, _ in found]
    results = judge.judge([*texts, *words], "judging captions")
    of_texts, of_words = results[: len(found)], results[len(found) :]
    judged = {number: pair for (number, _), pair in zip(found, zip(of_texts, of_words, strict=True), strict=True)}
    rows = [_row(one, best[number], readings[number], judged.get(number)) for number, one in enumerate(to_caption)]
    kept = sum(row["kept"] for row in rows)
    log.info("labels: captions of %d statements, %d hold on select users and are kept", len(rows), kept)
    return rows


def _readings(
    to_caption: Sequence[Stated], catalogue: Catalogue, asking: Asker, seed: int
) -> list[dict[str, Completion]]:
    """By statement, the model's distinct readings, and under "" an answer that failed."""
    questions = [
        CaptionQuestion(catalogue.texts(one.subject.shown), catalogue.texts(one.subject.contrast), one.words, drawn)
        for one in to_caption
        for drawn in (None, *range(seed, seed + DRAWN))
    ]
    answers = asking.write(questions, prompts.CAPTION_SCHEMA, "captions", len(to_caption), "captions")
    each = 1 + DRAWN
    found = []
    for number, one in enumerate(to_caption):
        parsed = [_reading(answer, one.words) for answer in answers[each * number : each * (number + 1)]]
        found.append(dict(parsed))
    return found


def _reading(answer: Completion, words: str) -> tuple[str, Completion]:
    """The caption in an answer, empty if there is none, and the answer, `copied` if it repeats prompt or statement.

    The few words of a short formula may well stand in its caption.
    """
    try:
        text = json.loads(answer.text or "")["caption"] if answer.status == "ok" else ""
        text = clean(text, prompts.DESCRIPTION_LIMIT)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = ""
    repeated = (*OF_THE_PROMPT, words) if len(words.split()) > MAX_WORDS else OF_THE_PROMPT
    if any(one.casefold() in text.casefold() for one in repeated):
        return "", answer._replace(status="copied")
    return text, answer


def _most_informative(
    to_caption: Sequence[Stated], readings: Sequence[Mapping[str, Completion]], catalogue: Catalogue, asking: Asker
) -> list[str | None]:
    """By statement, the reading whose log-likelihood rises most from the hard negatives to the items."""
    texts = [(number, text) for number, found in enumerate(readings) for text in found if text]
    questions = [
        LikelihoodQuestion(catalogue.texts(items), text)
        for number, text in texts
        for items in (to_caption[number].subject.shown, to_caption[number].subject.contrast)
    ]
    answers = asking.likelihoods(questions, "ranking captions", len(to_caption))
    values = np.array([np.nan if one.value is None else one.value for one in answers]).reshape(-1, 2)
    best: dict[int, tuple[float, str]] = {}
    for (number, text), (given_items, given_contrast) in zip(texts, values.tolist(), strict=True):
        pmi = given_items - given_contrast
        if np.isfinite(pmi) and (number not in best or pmi > best[number][0]):
            best[number] = pmi, text
    return [best[number][1] if number in best else None for number in range(len(readings))]


def _row(
    one: Stated, text: str | None, readings: Mapping[str, Completion], judged: tuple[OnSelect, OnSelect] | None
) -> Row:
    row: Row = {"latent": one.subject.latent, "caption": text, "auc_select": None, "auc_words": None, "kept": False}
    if judged is None:
        failed = next((answer.status for answer in readings.values() if answer.status != "ok"), "no_answer")
        return row | {"status": failed}
    caption, words = judged
    kept = caption.holds and (words.auc is None or (caption.auc or 0) >= words.auc - words.error)
    return row | {
        "auc_select": caption.auc,
        "auc_words": words.auc,
        "kept": kept,
        "status": "ok" if kept else NOT_HOLDING,
    }
