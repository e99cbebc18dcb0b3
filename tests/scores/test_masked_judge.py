"""The judge's worth on texts that do not hold the answer."""

from __future__ import annotations

import numpy as np

from recsae.data.catalogue import Catalogue
from recsae.llm.pool import Completion
from recsae.scores.masked_judge import PAIRS, MaskedJudge, draw_pairs

CATALOGUE = Catalogue(
    ["a", "b", "c"],
    ["War and Peace", "Warm (1994)", "Sea"],
    [
        {"genres": ["Drama", "War films"], "tags": ["slow"]},
        {"genres": ["Comedy"], "decade": ["1990s"]},
        {"genres": ["War films"], "tags": ["war"]},
    ],
    np.ones(3, dtype=np.int64),
)
TERMS = {"War": ["War"], "1990s": ["1990s"], "slow and Drama": ["slow", "Drama"]}


def test_the_attribute_that_is_asked_about_is_not_in_the_text() -> None:
    """Neither of items that have the term nor of others; and the word is taken out of titles."""
    judge = MaskedJudge("pmi", CATALOGUE, TERMS)
    assert judge.text(("War", 0)) == "… and Peace"
    assert judge.text(("War", 1)) == "Warm (1994) (decade: 1990s)"
    assert judge.text(("War", 2)) == "Sea"
    assert judge.text(("1990s", 1)) == "Warm (1994) (genres: Comedy)"
    assert judge.text(("1990s", 0)) == CATALOGUE.text(0)
    assert judge.text(("slow and Drama", 1)) == "Warm (1994) (decade: 1990s)"
    assert "genres" not in judge.request(("War", 0)).prompt and judge.request(("War", 0)).continuation == " War"


def test_pairs_are_drawn_by_the_seed_from_those_with_an_answer_and_terms() -> None:
    judge = MaskedJudge("pmi", CATALOGUE, TERMS)
    judge.answers = {("War", item): Completion(None, 1.0, "ok", 1) for item in range(2 * PAIRS)}
    judge.answers |= {("War", 1000): Completion(None, None, "too_long", 1), ("Free", 0): Completion(None, 1.0, "ok", 1)}
    found = draw_pairs(judge, TERMS, 0)
    assert len(found) == PAIRS and found == sorted(found) == draw_pairs(judge, TERMS, 0)
    assert {concept for concept, _ in found} == {"War"} and max(item for _, item in found) < 2 * PAIRS
    assert found != draw_pairs(judge, TERMS, 1)
