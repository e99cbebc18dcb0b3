"""The chosen candidate: on score users, by the language model, above the bar of the controls."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from recsae.concepts.best_candidate import BestCandidate, chosen_labels, read_chosen, read_labels, read_scores
from recsae.schemas.concepts import SCORES
from recsae.store.run_store import Attempt, Committed, Metrics
from tests.concepts.worlds import genres, labels_of
from tests.conftest import Commit

COUNTS = dict.fromkeys(("tp", "fp", "tn", "fn"), 1)


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
    """Latent 2 has only a free name; latent 4 has no score."""
    first, second, third, _ = genres(ingested)
    return labels_of(commit, ingested, {1: [first, second], 2: ["Late at night"], 3: [third], 4: [first]})


def test_the_judged_candidate_and_whether_it_is_interpretable(
    commit: Commit, ingested: Committed, labels: Committed
) -> None:
    first, second, third, _ = genres(ingested)
    rows = [
        row(1, 1, lower=0.8, confidence=0.9),
        row(1, 0, lower=0.1, confidence=0.2, part="select"),
        row(1, 0, "attributes", lower=0.1, confidence=0.2),
        row(2, 0, lower=0.7, confidence=0.9),
        row(3, 0, lower=0.6, confidence=0.9),
        *(row(latent, 0, control="shuffled", confidence=0.6) for latent in (1, 2, 3)),
        row(1, 0, "attributes", "shuffled", confidence=1.0),
        row(1, 0, control="shuffled", confidence=1.0, part="select"),
    ]
    found = {
        1: BestCandidate(second, [second], True),
        2: BestCandidate("Late at night", [], True),
        3: BestCandidate(third, [third], False),  # equal to the bar
    }
    assert read_chosen(labels, scores_of(commit, rows)) == found
    assert read_chosen(labels, scores_of(commit, rows[::-1])) == found
    assert first != second


def test_the_bar_is_taken_over_all_latents(commit: Commit, labels: Committed) -> None:
    """High controls of other latents raise the bar above the first latent's bound."""
    rows = [row(latent, 0, lower=0.75, confidence=0.9) for latent in (1, 2, 3)]
    rows += [row(latent, 0, control="shuffled", confidence=0.5 + 0.15 * latent) for latent in (1, 2, 3)]
    assert not any(one.interpretable for one in read_chosen(labels, scores_of(commit, rows)).values())
    low = [one | {"confidence": 0.5} if one["control"] == "shuffled" else one for one in rows]
    assert all(one.interpretable for one in read_chosen(labels, scores_of(commit, low)).values())


def test_without_a_bound_or_a_bar_nothing_is_interpretable(commit: Commit, labels: Committed) -> None:
    rows = [row(1, 0, lower=None, confidence=None), row(2, 0, lower=0.9, confidence=0.9)]
    assert {one.interpretable for one in read_chosen(labels, scores_of(commit, rows)).values()} == {False}
    rows.append(row(2, 0, control="shuffled", confidence=0.5))
    found = read_chosen(labels, scores_of(commit, rows))
    assert (found[1].interpretable, found[2].interpretable) == (False, True)


def test_without_scores_there_are_no_concepts(commit: Commit, labels: Committed) -> None:
    assert read_chosen(labels, scores_of(commit, [])) == {}


def test_tables_by_latent(commit: Commit, ingested: Committed, labels: Committed) -> None:
    rows = [row(1, 1), row(1, 1, "held_out"), row(1, 0, part="select"), row(3, 0)]
    scores, candidates = read_scores(scores_of(commit, rows)), read_labels(labels)
    assert {latent: set(found) for latent, found in scores.items()} == {
        1: {("llm", "none"), ("held_out", "none")},
        3: {("llm", "none")},
    }
    assert {latent: list(found) for latent, found in candidates.items()} == {1: [0, 1], 2: [0], 3: [0], 4: [0]}
    chosen = chosen_labels(candidates, scores)
    assert {latent: found["concept"] for latent, found in chosen.items()} == {
        1: genres(ingested)[1],
        3: genres(ingested)[2],
    }
