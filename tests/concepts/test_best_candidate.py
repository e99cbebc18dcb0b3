"""The concept of each latent: by the exact judge, by the language model where only that can tell, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsae.concepts.best_candidate import (
    chosen_labels,
    control_bar,
    passes,
    read_chosen,
    read_labels,
    read_scores,
    terms_of,
)
from recsae.data.catalogue import Catalogue
from recsae.schemas.concepts import SCORES
from recsae.statements.language import Behaviour, Formula, FreeText, ItemSet, Op, Range, Statement, Step, Term
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.concepts.worlds import genres, items_by_concept, labels_of, latents_by_concept, statements_of, term
from tests.conftest import Commit

COUNTS = dict.fromkeys(("tp", "fp", "tn", "fn"), 1)
SHORT = Statement(view="history", body=Behaviour(feature="history length", high=5))


def row(latent: int, candidate: int = 0, judge: str = "llm", control: str = "none", **more: Any) -> dict[str, Any]:
    """A row of SCORES on score users."""
    names = {"latent": latent, "candidate": candidate, "concept": "", "part": "score"}
    return {**names, "judge": judge, "control": control, **COUNTS, **more}


def scores_of(commit: Commit, rows: list[dict[str, Any]]) -> Committed:
    def write(out: Attempt) -> Metrics:
        out.write_table("scores.parquet", pa.Table.from_pylist(rows, SCORES), SCORES)
        return {}

    return commit("scores", write)


@pytest.fixture
def labels(commit: Commit, ingested: Committed) -> Committed:
    """Latents 2 and 5 have only a free name; latent 4 has no score."""
    first, second, third, _ = genres(ingested)
    candidates = {1: [first, second], 2: ["Late at night"], 3: [third], 4: [first], 5: ["In the rain"]}
    return labels_of(commit, ingested, candidates)


def judged(commit: Commit) -> Committed:
    """The language model accepts latents 1, 2 and 3, and not 5, which equals the bar."""
    rows = [row(latent, lower=0.8, confidence=0.9) for latent in (1, 2, 3)] + [row(5, lower=0.6, confidence=0.9)]
    rows += [row(latent, control="shuffled", confidence=0.6) for latent in (1, 2, 3, 5)]
    return scores_of(commit, rows)


def inputs_of(commit: Commit, ingested: Committed, labels: Committed, statements: Committed) -> dict[str, Committed]:
    evidence = latents_by_concept(commit, ingested, 8)
    return {"statements": statements, "labels": labels, "scores": judged(commit), "evidence": evidence}


def test_every_latent_is_in_the_class_of_what_tells_it(commit: Commit, ingested: Committed, labels: Committed) -> None:
    catalogue, (first, second, third, fourth) = Catalogue.read(ingested), genres(ingested)
    seed = catalogue.ids[int(items_by_concept(ingested)[1][0])]
    around = Statement(view="last", body=ItemSet(space="recommender", seeds=(seed,), min_cosine=0.9))
    statements = statements_of(
        commit,
        ingested,
        {0: term(first), 1: around, 2: term(third), 3: term(fourth), 4: SHORT, 5: None, 6: None, 7: term(second)},
        doubted=[2, 3, 7],
        effects={3: 0.6, 5: 0.69, 6: 0.7},
    )
    found = read_chosen(inputs_of(commit, ingested, labels, statements), catalogue)
    assert {latent: one.kind for latent, one in found.items()} == {
        0: "formula",
        1: "item set",
        2: "free text",
        3: "unexplained",  # the language model accepts its term, which the exact judge does not
        4: "behaviour",
        5: "unexplained",
        6: "effect only",
        7: "unexplained",
    }
    assert {latent for latent, one in found.items() if one.interpretable} == {0, 1, 2, 4}
    assert found[2].statement == Statement(view="recommended", body=FreeText(text="Late at night"))
    assert found[2].concept == "Late at night" and found[5].concept == "" and found[0].concept == first
    assert found[6].concept == f"promotes {first}" and found[6].statement is None
    assert found[5].statement is None and found[7].statement == term(second)


def test_members_satisfy_the_statement_or_tell_the_latent(
    commit: Commit, ingested: Committed, labels: Committed
) -> None:
    catalogue, second = Catalogue.read(ingested), genres(ingested)[1]
    concepts = items_by_concept(ingested)
    seed = catalogue.ids[int(concepts[3][2])]
    around = Statement(view="last", body=ItemSet(space="recommender", seeds=(seed,), min_cosine=0.9))
    statements = statements_of(commit, ingested, {0: term(second), 1: around, 2: SHORT, 3: None})
    found = read_chosen(inputs_of(commit, ingested, labels, statements), catalogue)
    for latent, concept in {0: 1, 1: 3, 2: 2, 3: 3}.items():  # latents l of the evidence are about concept l
        assert found[latent].members.tolist() == sorted(concepts[concept].tolist()), latent
        assert found[latent].members.dtype == np.int32
    assert [found[latent].terms for latent in range(4)] == [[second], [], [], []]


def formula(*literals: tuple[Op, bool, Term | Range]) -> Statement:
    (_, negated, first), *others = literals
    steps = tuple(Step(op=op, negated=negated, literal=literal) for op, negated, literal in others)
    return Statement(view="last", body=Formula(negated=negated, literal=first, steps=steps))


def test_terms_are_those_that_every_member_has() -> None:
    a, b, year = Term(term="A"), Term(term="B"), Range(feature="year", low=1990)
    assert terms_of(formula(("and", False, a), ("and", False, b))) == ["A", "B"]
    assert terms_of(formula(("and", False, a), ("and", True, b))) == ["A"]
    assert terms_of(formula(("and", False, a), ("or", False, b))) == []
    assert terms_of(formula(("and", False, a), ("and", False, year))) == []
    assert terms_of(formula(("and", True, a))) == terms_of(SHORT) == terms_of(None) == []


def test_the_bar_is_taken_over_all_judged_latents(commit: Commit) -> None:
    rows = [row(latent, lower=0.75, confidence=0.9) for latent in (1, 2, 3)]
    rows += [row(latent, control="shuffled", confidence=0.5 + 0.15 * latent) for latent in (1, 2, 3)]
    rows += [row(1, control="shuffled", confidence=1.0, part="select"), row(1, 0, "attributes", "shuffled")]
    found = read_scores(scores_of(commit, rows))
    bar = control_bar(found)
    assert bar == pytest.approx(0.935) and not any(passes(one["llm", "none"], bar) for one in found.values())
    assert passes({"lower": 0.94}, bar) and not passes({"lower": 0.935}, 0.935)


def test_without_a_bound_or_a_bar_nothing_passes() -> None:
    assert not passes({"lower": None}, 0.5) and not passes({"lower": 0.9}, None) and not passes(None, 0.5)
    assert control_bar({1: {("llm", "none"): {"confidence": 0.9}}}) is None


def test_tables_by_latent(commit: Commit, ingested: Committed, labels: Committed) -> None:
    rows = [row(1, 1), row(1, 1, "held_out"), row(1, 0, part="select"), row(3, 0)]
    scores, candidates = read_scores(scores_of(commit, rows)), read_labels(labels)
    assert {latent: set(found) for latent, found in scores.items()} == {
        1: {("llm", "none"), ("held_out", "none")},
        3: {("llm", "none")},
    }
    assert {latent: list(found) for latent, found in candidates.items()} == {1: [0, 1], 2: [0], 3: [0], 4: [0], 5: [0]}
    chosen = chosen_labels(candidates, scores)
    assert {latent: found["concept"] for latent, found in chosen.items()} == {
        1: genres(ingested)[1],
        3: genres(ingested)[2],
    }
