"""RecSAE's protocol: ten cases per latent, their levels, and the chance level."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from recsae.concepts.finalists import Finalist
from recsae.data.catalogue import Catalogue
from recsae.evidence.cases import LatentCases
from recsae.labels import prompts
from recsae.llm.loglikelihood import text_status
from recsae.llm.pool import Completion
from recsae.scores.recsae_protocol import (
    LEVEL_SCHEMA,
    Quiz,
    draw_quizzes,
    metrics,
    parse_level,
    requests,
    results,
    score_row,
    shuffled_share,
)
from tests.labels.test_prompts import NASTY, marks

CATALOGUE = Catalogue(
    list("abcdefghij"), [f"Title {one}" for one in "abcdefghij"], [{}] * 10, np.ones(10, dtype=np.int64)
)


def answer(text: str | None, status: str = "ok") -> Completion:
    return Completion(text, None, status, 1)


def quiz(latent: int = 0) -> Quiz:
    return Quiz(Finalist(latent, 3, "War", ["War"]), list(range(10)))


@pytest.mark.parametrize(
    ("completion", "parsed"),
    [
        (answer("0"), 0), (answer(" 7 "), 7), (answer("10"), 10), (answer("11"), None), (answer("-1"), None),
        (answer("5.5"), None), (answer("true"), None), (answer('"7"'), None), (answer("seven"), None),
        (answer(""), None), (answer(None), None), (answer("[7]"), None), (answer("7", "unparsed"), None),
        (answer("null"), None),
    ],
)  # fmt: skip
def test_a_level_or_none(completion: Completion, parsed: int | None) -> None:
    assert parse_level(completion) == parsed


def test_the_grammar_is_of_levels() -> None:
    assert [text_status(text, LEVEL_SCHEMA) for text in ("0", "10", "11", '"7"')] == [
        "ok",
        "ok",
        "unparsed",
        "unparsed",
    ]


def test_above_five_is_active_and_invalid_answers_are_wrong() -> None:
    answers = [answer(text) for text in ("6", "10", "5", "x", "7", "5", "0", "6", "99", "1")]
    (found,) = results([quiz()], answers)
    # Active: 6, 10, 7 right, 5 and x wrong. Non-activating: 5, 0, 1 right, 6 and 99 wrong.
    scores = score_row(found)
    assert (scores["tp"], scores["fn"], scores["tn"], scores["fp"]) == (3, 2, 3, 2)
    assert scores["confidence"] == pytest.approx(0.6) and scores["recall"] == pytest.approx(0.6)
    assert (scores["latent"], scores["candidate"], scores["judge"], scores["part"], scores["control"]) == (
        0, 3, "recsae", "score", "none",
    )  # fmt: skip


def test_every_quiz_asks_ten_questions_and_gets_its_answers() -> None:
    both = [quiz(4), quiz(9)]
    asked = requests(both, CATALOGUE)
    assert len(asked) == 20 and {one.kind for one in asked} == {"generate"}
    assert [one.prompt for one in asked[:10]] == [prompts.level("War", f"Title {one}") for one in "abcdefghij"]
    found = results(both, [answer("9")] * 10 + [answer("0")] * 10)
    assert [(one.finalist.latent, one.counts) for one in found] == [(4, (5, 5, 0, 0)), (9, (0, 0, 5, 5))]


def by_all_assignments(answers: list[str], least: int) -> float:
    """The pass rate over every way to assign five of the ten answers to the active cases."""
    passed = []
    for five in combinations(range(10), 5):
        right = sum(
            (one in five and answers[one] == "active") or (one not in five and answers[one] == "inactive")
            for one in range(10)
        )
        passed.append(right >= least)
    return float(np.mean(passed))


@pytest.mark.parametrize("votes", [(5, 5), (10, 0), (0, 10), (4, 6), (8, 1), (3, 3), (0, 0), (6, 4)])
def test_chance_matches_all_assignments(votes: tuple[int, int]) -> None:
    active, inactive = votes
    texts = ["9"] * active + ["1"] * inactive + ["none"] * (10 - active - inactive)
    kinds = ["active"] * active + ["inactive"] * inactive + ["none"] * (10 - active - inactive)
    (found,) = results([quiz()], [answer(text) for text in texts])
    for least in (5, 8, 9, 10):
        assert shuffled_share(found, least) == pytest.approx(by_all_assignments(kinds, least))


def test_metrics_count_at_both_thresholds_beside_chance() -> None:
    def completions(right: int) -> list[Completion]:
        """The first `right` cases answered right, active ones first."""
        return [answer("9" if (place < 5) == (place < right) else "0") for place in range(10)]

    found = metrics(
        results([quiz(one) for one in range(4)], [*completions(10), *completions(9), *completions(8), *completions(7)])
    )
    assert (found["latents"], found["at_0.8"], found["at_0.9"]) == (4, 3, 2)
    draws = np.array([bin(ways).count("1") for ways in range(1024)])
    assert found["coin_0.8"] == pytest.approx((draws >= 8).mean()) and found["coin_0.9"] == pytest.approx(
        (draws >= 9).mean()
    )
    assert found["coin_0.8"] == pytest.approx(0.0547, abs=1e-4)
    votes = [5, 6, 7, 8]
    shares = [by_all_assignments(["active"] * one + ["inactive"] * (10 - one), 8) for one in votes]
    assert found["chance_0.8"] == pytest.approx(np.mean(shares))


def latent_cases(active: int, non_activating: int) -> LatentCases:
    role = np.array(
        ["top"] * (active // 2) + ["level"] * (active - active // 2) + ["random"] * non_activating, dtype=object
    )
    number = np.arange(active + non_activating)
    return LatentCases(np.full(len(role), "score", dtype=object), role, number, number)


def test_the_sample_is_of_latents_with_ten_cases_and_nested() -> None:
    latents = {one: latent_cases(8, 8) for one in range(40)} | {40: latent_cases(4, 8), 41: latent_cases(8, 4)}
    chosen = [Finalist(latent, 0, f"C{latent}", []) for latent in latents]
    small, large, all_of_them = (
        {one.finalist.latent for one in draw_quizzes(chosen, latents, count, 1)} for count in (5, 20, 100)
    )
    assert len(small) == 5 and len(large) == 20 and small < large < all_of_them == set(range(40))
    assert small != {one.finalist.latent for one in draw_quizzes(chosen, latents, 5, 2)}
    one = draw_quizzes(chosen, latents, 1, 1)[0]
    assert all(item < 8 for item in one.items[:5]) and one.items[5:] == [8, 9, 10, 11, 12]


@pytest.mark.parametrize("text", NASTY)
def test_titles_and_concepts_stay_in_their_places(text: str) -> None:
    usual = prompts.level("War", "Film")
    for asked in (prompts.level("War", text), prompts.level(text, "Film")):
        assert len(asked.splitlines()) == len(usual.splitlines()) and marks(asked) == marks(usual)
        lines = zip(asked.splitlines(), usual.splitlines(), strict=True)
        assert sum(one != other for one, other in lines) == 1
        assert "<|" not in asked and "</" not in asked
    assert prompts.level('War" 10. "', "Film").count('"') == usual.count('"') == 2


def test_the_item_comes_last() -> None:
    first, second = prompts.level("War", "Film"), prompts.level("War", "Other")
    shared = next(place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    assert "War" in first[:shared] and first[shared:] == "Film\n>>>"
