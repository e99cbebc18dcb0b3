"""Verdicts are shared by pair, and the judge is judged where attributes tell the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.llm.pool import Completion
from recsae.schemas.base import conform
from recsae.schemas.concepts import VERDICTS
from recsae.scores.judges import AttributeJudge, LlmJudge, among

CATALOGUE = Catalogue(list("abcd"), ["A", "B", "C", "D"], [{"genres": ["War"]}, {}, {}, {}], np.ones(4, dtype=np.int64))
VOCABULARY = Vocabulary(["War", "Old"], sparse.csr_matrix(np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)))


def told(value: float | None) -> Completion:
    return Completion(None, value, "ok" if value is not None else "too_long", 1)


def test_missing_pairs_are_unique_and_ordered_by_item() -> None:
    verdicts = LlmJudge("pmi", CATALOGUE)
    verdicts.answers["War", 1] = told(0.0)
    pairs = [("War", 2), ("Old", 0), ("War", 0), ("War", 2), ("War", 1), ("Old", 2)]
    assert verdicts.missing(iter(pairs)) == [("Old", 0), ("War", 0), ("Old", 2), ("War", 2)]


def test_a_request_holds_the_item_and_the_concept() -> None:
    likelihood = LlmJudge("pmi", CATALOGUE).request(("War", 0))
    assert likelihood.kind == "loglikelihood" and likelihood.continuation == " War"
    assert "A (genres: War)" in likelihood.prompt
    asked = LlmJudge("yes_no", CATALOGUE).request(("War", 1))
    assert asked.kind == "yes_no" and '"War"' in asked.prompt and asked.continuation == ""


def test_values_are_nan_where_a_row_failed() -> None:
    verdicts = LlmJudge("pmi", CATALOGUE)
    verdicts.answers |= {("War", 0): told(-1.5), ("War", 1): told(None)}
    np.testing.assert_array_equal(verdicts.values("War", np.array([0, 1, 0])), [-1.5, np.nan, -1.5])
    assert verdicts.values("War", np.array([], dtype=int)).shape == (0,)


def test_an_item_bears_a_concept_if_it_bears_all_terms() -> None:
    items = np.array([0, 1, 2, 3, 1])
    bearing = AttributeJudge(VOCABULARY)
    for _ in range(2):  # the second time it is known already
        assert bearing.of(["War"], items).tolist() == [True, True, False, False, True]
        assert bearing.of(["war", "Old"], items).tolist() == [False, True, False, False, True]
        assert bearing.of(["War"], items[:0]).tolist() == []
    assert bearing.items(["War"]).tolist() == [0, 1] and bearing.items(["War", "Old"]).tolist() == [1]
    with pytest.raises(KeyError):
        bearing.items(["Musical"])


@pytest.mark.parametrize("seed", range(5))
def test_among_is_isin(seed: int) -> None:
    draw = np.random.default_rng(seed)
    known, items = np.unique(draw.integers(0, 30, seed * 4)), draw.integers(0, 40, 25)
    np.testing.assert_array_equal(among(known, items), np.isin(items, known))


def test_verdicts_are_stored_by_concept_and_item() -> None:
    verdicts = LlmJudge("yes_no", CATALOGUE)
    verdicts.answers = {("War", 2): told(1.0), ("Old", 3): told(None), ("War", 0): told(-1.0)}
    stored = conform(verdicts.table("input", "m"), VERDICTS).to_pylist()
    assert [(row["concept"], row["item_idx"], row["value"]) for row in stored] == [
        ("Old", 3, None), ("War", 0, -1.0), ("War", 2, 1.0),
    ]  # fmt: skip
    assert {row["judge"] for row in stored} == {"yes_no"} and stored[0]["status"] == "too_long"
    assert conform(LlmJudge("pmi", CATALOGUE).table("input", "m"), VERDICTS).num_rows == 0


def test_the_judges_own_auc_by_hand() -> None:
    verdicts = LlmJudge("pmi", CATALOGUE)
    verdicts.answers = {
        # War, mean -2: two bear it (centred +1 and 0), one does not (-1).
        ("War", 0): told(-1.0), ("War", 1): told(-2.0), ("War", 3): told(-3.0), ("War", 2): told(None),
        # Old, mean -20: one bears it (centred -2), one does not (+2).
        ("Old", 2): told(-22.0), ("Old", 0): told(-18.0),
        ("Free name", 0): told(5.0),
    }  # fmt: skip
    found = verdicts.own_auc(AttributeJudge(VOCABULARY), [("War", ["War"]), ("Old", ["Old"]), ("Free name", [])])
    # Bearing: 1, 0, -2. Not bearing: -1, 2. Pairs won: 1 > -1, 0 > -1; the other four are lost.
    assert found == pytest.approx(2 / 6)


def test_without_terms_the_judge_has_no_auc() -> None:
    verdicts = LlmJudge("pmi", CATALOGUE)
    verdicts.answers["Free name", 0] = told(1.0)
    assert verdicts.own_auc(AttributeJudge(VOCABULARY), [("Free name", [])]) is None
    assert verdicts.own_auc(AttributeJudge(VOCABULARY), [("Free name", ["War"])]) is None
