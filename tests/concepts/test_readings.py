"""Token boundaries, positions that the prefix cache swallowed, log-odds, and the status of a text."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from recsae.concepts.readings import MAX_TOKEN_IDS, Query, known, log_odds, probes, text_status


def reported(ids: list[int]) -> list[Any]:
    """What vLLM gives for a prompt: nothing for the first token, then each token's log-probability, here -token."""
    return [None, *({token: SimpleNamespace(logprob=-float(token))} for token in ids[1:])]


def query(ids: list[int], start: int) -> Query:
    return Query(ids, start, None)


def test_only_the_continuation_counts() -> None:
    ids = [5, 6, 7, 8, 9]
    assert known(query(ids, 3), 0, reported(ids)) == [-8, -9]
    assert known(query(ids, 5), 0, reported(ids)) == []


@pytest.mark.parametrize(("cached", "values"), [(2, [-8, -9]), (3, [None, -9]), (4, [None, None])])
def test_cached_positions_do_not_count(cached: int, values: list[float | None]) -> None:
    """Token 3 is predicted at position 2, so it is lost once three positions come from the cache."""
    ids = [5, 6, 7, 8, 9]
    assert known(query(ids, 3), cached, reported(ids)) == values


def test_report_that_leaves_cached_positions_out_is_read_from_its_end() -> None:
    ids = [5, 6, 7, 8, 9]
    assert known(query(ids, 2), 2, [None, *reported(ids)[3:]]) == [None, -8, -9]
    assert known(query(ids, 2), 2, []) == [None, None, None]


def test_value_of_another_token_does_not_count() -> None:
    ids = [5, 6, 7, 8, 9]
    logprobs = reported(ids)
    logprobs[3] = {1: SimpleNamespace(logprob=-0.5)}
    assert known(query(ids, 3), 0, logprobs) == [None, -9]


def test_probes_are_shared_by_queries_of_one_prefix() -> None:
    queries = {0: query([1, 2, 3, 4], 2), 1: query([1, 2, 3, 5], 2), 2: query([1, 2, 6], 2), 3: query([9, 2, 3], 2)}
    asked = probes({0: [2, 3], 1: [2], 2: [2], 3: [2]}, queries)
    assert asked == [((1, 2), [3, 6]), ((1, 2, 3), [4]), ((9, 2), [3])]


def test_probes_keep_to_what_a_position_reports() -> None:
    queries = {index: query([1, 1000 + index], 1) for index in range(MAX_TOKEN_IDS + 1)}
    asked = probes({index: [1] for index in queries}, queries)
    assert [len(tokens) for _, tokens in asked] == [MAX_TOKEN_IDS, 1]


def test_log_odds_sum_over_spellings() -> None:
    logprobs = {1: math.log(0.3), 2: math.log(0.1), 3: math.log(0.2), 4: -1000.0}
    assert log_odds(logprobs, [1, 2], [3, 4]) == pytest.approx(math.log(0.4 / 0.2))
    assert log_odds({1: -2000.0, 2: -2001.0}, [1], [2]) == pytest.approx(1.0)


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 10}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"name": "heist"}', "ok"),
        ('{"name": "heist', "unparsed"),
        ('{"name": "longer than ten"}', "unparsed"),
        ('{"title": "heist"}', "unparsed"),
        ("heist", "unparsed"),
        ("", "unparsed"),
    ],
)
def test_text_is_checked_against_the_schema(text: str, status: str) -> None:
    assert text_status(text, SCHEMA) == status


def test_text_without_a_schema_is_any_text() -> None:
    assert text_status("heist", None) == "ok"
