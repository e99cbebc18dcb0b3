"""The rows of one latent, and which of them are finalists."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from recsae.data.terms import Vocabulary
from recsae.labels.candidates import Candidate, Usage, measure
from recsae.labels.rows import free_row, mark_finalists, pair_row, term_row
from recsae.llm.pool import Completion
from recsae.schemas.concepts import LABELS

VOCABULARY = Vocabulary(["War", "Old"], sparse.csr_matrix(np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)))
USAGE = Usage(VOCABULARY, np.array([1, 3, 5, 90]))
EVIDENCE = np.array([0, 1, 1, 2])
TITLES = ["Star Wars (1977)", "Star Trek (1979)", "War of the Worlds"]
SHARED = {"latent": 0, "candidate": 0, "view": "input", "prompt_version": "1", "model": "m"}


def through_table(row: dict[str, Any]) -> dict[str, Any]:
    """The row as the table gives it back."""
    found: dict[str, Any] = pa.Table.from_pylist([{**row, **SHARED}], LABELS).to_pylist()[0]
    return found


def free(text: str | None, status: str = "ok") -> dict[str, Any]:
    return through_table(free_row(Completion(text, None, status, 1), EVIDENCE, TITLES, USAGE))


def named(name: Any, description: Any = "Films of old wars.") -> str:
    return json.dumps({"name": name, "description": description})


def test_a_good_name_is_a_finalist() -> None:
    row = free(named("  Old\n  war films. "))
    assert row["concept"] == "Old war films"
    assert (row["finalist"], row["status"], row["source"]) == (True, "ok", "model")
    assert sorted(row["terms"]) == ["Old", "War"]
    assert row["description"] == "Films of old wars."


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (None, "unparsed"),
        ("", "unparsed"),
        ("War films", "unparsed"),
        ('{"name": "War', "unparsed"),
        ("[]", "unparsed"),
        ('"War"', "unparsed"),
        ("null", "unparsed"),
        ("{}", "unparsed"),
        (named(None), "unparsed"),
        (named(["War"]), "unparsed"),
        (named("War", 7), "unparsed"),
        (named("War", {"a": 1}), "unparsed"),
        (named(""), "empty"),
        (named(" .,- "), "empty"),
        (named('«»<>"{}!?'), "empty"),
        (named("\ud83d"), "empty"),
        (named("\u0000\u200b\u202e"), "empty"),
    ],
)
def test_a_bad_answer_costs_its_row_only(text: str | None, status: str) -> None:
    row = free(text)
    assert (row["status"], row["finalist"], row["concept"]) == (status, False, "")


def test_odd_characters_are_removed_and_the_table_accepts_the_description() -> None:
    row = free(named('<b>"War" {films}</b> & more\u202e', "Broken \ud83d half\nand\u0000 more"))
    assert row["concept"] == "bWar films/b & more"
    assert row["description"] == "Broken half and more"
    assert row["finalist"]
    assert free(named("Фильмы о войне, été 第二"))["concept"] == "Фильмы о войне, été 第二"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("star wars", "copied"),
        ("Worlds", "copied"),
        ("Star", "ok"),  # in two titles
        ("war", "ok"),  # a term of the vocabulary
        ("Calm films", "ok"),
        ("Films of the war", "ok"),
        ("The 1999 genres Drama, War", "wordy"),
    ],
)
def test_rejected_names_are_not_finalists(name: str, status: str) -> None:
    row = free(json.dumps({"name": name, "description": "What they have in common."}))
    assert (row["status"], row["finalist"]) == (status, status == "ok")


def test_an_answer_that_failed_keeps_its_status() -> None:
    assert free(None, "too_long")["status"] == "too_long"
    row = free(named("War films"), "unparsed")
    assert row["status"] == "unparsed" and not row["finalist"]


def test_a_free_name_takes_the_spelling_and_statistics_of_its_term() -> None:
    row = free(named("WAR"))
    war = measure(EVIDENCE, (0,), USAGE)
    assert row["concept"] == "War" and row["terms"] == ["War"]
    assert (row["support"], row["tfidf"], row["lift"]) == (war.support, war.tfidf, war.lift) == (2, war.tfidf, war.lift)
    both = free(named("Old war films"))
    assert (both["support"], both["lift"]) == (1, pytest.approx(0.5 / (4 / 100)))
    none = free(named("Something else"))
    assert (none["support"], none["lift"], none["tfidf"], none["terms"]) == (None, None, None, [])


def test_a_name_without_evidence_has_no_statistics() -> None:
    row = free_row(Completion(named("War"), None, "ok", 1), EVIDENCE[:0], TITLES, USAGE)
    assert row["terms"] == ["War"] and row["support"] is None


def test_a_terms_row_needs_both_likelihoods() -> None:
    candidate, nan = Candidate((0,), 2, 0.75, 0.25, 1.5), float("nan")
    good, bad = Completion(None, -2.0, "ok", 1), Completion(None, None, "too_long", 0)
    row = through_table(term_row(candidate, good, -5.0, VOCABULARY))
    assert (row["pmi"], row["status"], row["terms"], row["source"]) == (3.0, "ok", ["War"], "terms")
    assert (row["support"], row["lift"], row["tfidf"]) == (2, 3.0, pytest.approx(0.75 * np.log(4)))
    assert row["description"] == "War: 75% of its evidence, 25.0% of all events." and not row["finalist"]
    for given, without in ((bad, -5.0), (good, nan), (bad, nan)):
        row = term_row(candidate, given, without, VOCABULARY)
        assert row["pmi"] is None and row["status"] != "ok"


def test_a_pair_is_one_text_and_both_terms() -> None:
    row = through_table(pair_row(measure(EVIDENCE, (1, 0), USAGE), VOCABULARY))
    assert (row["concept"], row["terms"], row["source"]) == ("Old and War", ["Old", "War"], "pair")
    assert row["description"] == "Old and War at once: 50% of its evidence, 4.0% of all events."
    assert (row["support"], row["lift"], row["finalist"]) == (1, pytest.approx(12.5), True)


def singles(**figures: tuple[float | None, float, float]) -> list[tuple[Candidate, dict[str, Any]]]:
    """For each name: PMI, share of the evidence (which sets TF-IDF) and lower bound of the lift."""
    return [
        (Candidate((place,), 2, share, 0.1, lower), {"concept": name, "pmi": pmi, "finalist": False, "status": "ok"})
        for place, (name, (pmi, share, lower)) in enumerate(figures.items())
    ]


def finalists(found: list[tuple[Candidate, dict[str, Any]]], free_name: str, ranked: int = 1) -> tuple[list[str], bool]:
    pair = {"concept": "Old and War", "finalist": True}
    written = {"concept": free_name, "finalist": bool(free_name)}
    mark_finalists(found, [pair], [{"concept": "Other", "finalist": True}, written], ranked)
    assert pair["finalist"]
    return [row["concept"] for _, row in found if row["finalist"]], bool(written["finalist"])


def test_the_top_of_each_ranking_is_a_finalist() -> None:
    figures = {"a": (3.0, 0.1, 1.0), "b": (2.0, 0.9, 2.0), "c": (1.0, 0.5, 9.0), "d": (0.0, 0.4, 0.5)}
    assert finalists(singles(**figures), "Free") == (["a", "b", "c"], True)
    assert finalists(singles(**figures), "", ranked=4) == (["a", "b", "c", "d"], False)
    # A term without a PMI failed and is never a finalist, however well the other rankings rate it.
    assert finalists(singles(**figures | {"b": (None, 0.9, 99.0)}), "Free") == (["a", "c"], True)
    assert finalists([], "Free") == ([], True)


def test_a_free_name_that_repeats_a_term_or_pair_is_not_judged_twice() -> None:
    figures = {"a": (3.0, 0.9, 9.0), "Sea": (1.0, 0.1, 1.0)}
    assert finalists(singles(**figures), "SEA") == (["a", "Sea"], False)
    assert finalists(singles(**figures), "old and war") == (["a"], False)
    assert finalists(singles(**figures), "Seas") == (["a"], True)
    assert finalists(singles(**figures | {"Sea": (None, 0.1, 1.0)}), "Sea") == (["a"], True)
