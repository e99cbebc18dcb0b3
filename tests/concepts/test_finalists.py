"""Which candidates are judged, and which finalist is chosen."""

from __future__ import annotations

from recsae.concepts.finalists import Finalist, choose, read_proposals
from recsae.store.run_store import Committed
from tests.concepts.worlds import genres, labels_of
from tests.conftest import Commit


def one(latent: int, candidate: int, source: str = "terms") -> Finalist:
    return Finalist(latent, candidate, f"{latent}-{candidate}", [], source)


def test_a_clear_winner_is_chosen_in_any_order() -> None:
    judged = [
        (one(3, 0), 0.5, 0.1), (one(3, 1), 0.75, 0.1), (one(1, 0), 0.25, 0.1), (one(3, 2), 0.6, 0.3),
        (one(1, 2), None, 0.0),
    ]  # fmt: skip
    for order in (judged, judged[::-1]):
        assert choose(order) == [one(1, 0), one(3, 1)]
    assert choose([(one(0, 0), None, 0.0)]) == [] == choose([])


def test_within_one_standard_error_of_the_best_the_first_is_chosen() -> None:
    judged = [(one(0, 0), 0.7, 0.01), (one(0, 1), 0.8, 0.01), (one(0, 2), 0.9, 0.1)]
    assert choose(judged) == [one(0, 1)]
    assert choose([*judged[:2], (one(0, 2), 0.9, 0.25)]) == [one(0, 0)]


def test_ties_go_to_terms_and_then_to_the_first() -> None:
    judged: list[tuple[Finalist, float | None, float]] = [
        (one(0, 0, "model"), 1.0, 0.0), (one(0, 3), 1.0, 0.0), (one(0, 2, "pair"), 1.0, 0.0), (one(0, 4), 1.0, 0.0),
    ]  # fmt: skip
    for order in (judged, judged[::-1]):
        assert choose(order) == [one(0, 2, "pair")]
    assert choose([*judged, (one(0, 5, "model"), 1.1, 0.0)])[0].candidate == 5


def test_words_come_from_all_candidates(commit: Commit, ingested: Committed) -> None:
    first, second = genres(ingested)[:2]
    labels = labels_of(commit, ingested, {5: [f"-{first}", "Some Name"], 2: [second, "-Other"]})
    found = read_proposals(labels)
    assert found.words == {5: {first.casefold(), "some name"}, 2: {second.casefold(), "other"}}
    assert [(finalist.latent, finalist.candidate, finalist.source) for finalist in found.finalists] == [
        (2, 0, "terms"), (5, 1, "model"),
    ]  # fmt: skip
    assert found.finalists[0].terms == [second] and found.finalists[1].terms == []
