"""Verdicts are shared per pair, and the judge is evaluated against the attributes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.labels.judges import AttributeJudge, LlmJudge, in_sorted
from recsae.llm.pool import Completion
from recsae.schemas.base import conform
from recsae.schemas.concepts import VERDICTS
from recsae.stats.classification import auc

CATALOGUE = Catalogue(list("abcd"), ["A", "B", "C", "D"], [{"genres": ["War"]}, {}, {}, {}], np.ones(4, dtype=np.int64))
VOCABULARY = Vocabulary(["War", "Old"], sparse.csr_matrix(np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)))


def completion(value: float | None) -> Completion:
    return Completion(None, value, "ok" if value is not None else "too_long", 1)


def test_missing_pairs_are_unique_and_ordered_by_item() -> None:
    judge = LlmJudge("pmi", CATALOGUE)
    judge.answers["War", 1] = completion(0.0)
    pairs = [("War", 2), ("Old", 0), ("War", 0), ("War", 2), ("War", 1), ("Old", 2)]
    assert judge.missing(iter(pairs)) == [("Old", 0), ("War", 0), ("Old", 2), ("War", 2)]


def test_a_request_holds_the_item_and_the_concept() -> None:
    likelihood = LlmJudge("pmi", CATALOGUE).request(("War", 0))
    assert likelihood.kind == "loglikelihood" and likelihood.continuation == " War"
    assert "A (genres: War)" in likelihood.prompt
    asked = LlmJudge("yes_no", CATALOGUE).request(("War", 1))
    assert asked.kind == "yes_no" and '"War"' in asked.prompt and asked.continuation == ""


def test_values_are_nan_where_a_row_failed() -> None:
    judge = LlmJudge("pmi", CATALOGUE)
    judge.answers |= {("War", 0): completion(-1.5), ("War", 1): completion(None)}
    np.testing.assert_array_equal(judge.values("War", np.array([0, 1, 0])), [-1.5, np.nan, -1.5])
    assert judge.values("War", np.array([], dtype=int)).shape == (0,)


def test_an_item_has_a_concept_if_it_has_all_terms() -> None:
    items = np.array([0, 1, 2, 3, 1])
    attributes = AttributeJudge(VOCABULARY)
    for _ in range(2):  # the second time from the cache
        assert attributes.has_terms(["War"], items).tolist() == [True, True, False, False, True]
        assert attributes.has_terms(["war", "Old"], items).tolist() == [False, True, False, False, True]
        assert attributes.has_terms(["War"], items[:0]).tolist() == []
    assert attributes.items(["War"]).tolist() == [0, 1] and attributes.items(["War", "Old"]).tolist() == [1]
    with pytest.raises(KeyError):
        attributes.items(["Musical"])


@pytest.mark.parametrize("seed", range(5))
def test_in_sorted_equals_isin(seed: int) -> None:
    draw = np.random.default_rng(seed)
    known, items = np.unique(draw.integers(0, 30, seed * 4)), draw.integers(0, 40, 25)
    np.testing.assert_array_equal(in_sorted(known, items), np.isin(items, known))


def test_verdicts_are_stored_by_concept_and_item() -> None:
    judge = LlmJudge("yes_no", CATALOGUE)
    judge.answers = {("War", 2): completion(1.0), ("Old", 3): completion(None), ("War", 0): completion(-1.0)}
    stored = conform(judge.table("input", "m"), VERDICTS).to_pylist()
    assert [(row["concept"], row["item_idx"], row["value"]) for row in stored] == [
        ("Old", 3, None), ("War", 0, -1.0), ("War", 2, 1.0),
    ]  # fmt: skip
    assert {row["judge"] for row in stored} == {"yes_no"} and stored[0]["status"] == "too_long"
    assert conform(LlmJudge("pmi", CATALOGUE).table("input", "m"), VERDICTS).num_rows == 0


def test_the_judges_own_auc_by_hand() -> None:
    judge = LlmJudge("pmi", CATALOGUE)
    judge.answers = {
        # War, mean -2: two items have it (centred +1 and 0), one does not (-1).
        ("War", 0): completion(-1.0), ("War", 1): completion(-2.0), ("War", 3): completion(-3.0),
        ("War", 2): completion(None),
        # Old, mean -20: one item has it (centred -2), one does not (+2).
        ("Old", 2): completion(-22.0), ("Old", 0): completion(-18.0),
        ("Free name", 0): completion(5.0),
    }  # fmt: skip
    found = auc(*judge.centred(AttributeJudge(VOCABULARY), {"War": ["War"], "Old": ["Old"], "Free name": []}))
    # With the term: 1, 0, -2. Without: -1, 2. Two of six pairs are ordered right: 1 > -1, 0 > -1.
    assert found == pytest.approx(2 / 6)


def test_without_terms_the_judge_has_no_auc() -> None:
    judge = LlmJudge("pmi", CATALOGUE)
    judge.answers["Free name", 0] = completion(1.0)
    assert auc(*judge.centred(AttributeJudge(VOCABULARY), {"Free name": []})) is None
    assert auc(*judge.centred(AttributeJudge(VOCABULARY), {"Free name": ["War"]})) is None
