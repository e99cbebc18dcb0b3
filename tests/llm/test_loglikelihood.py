"""Walks that give every step of many likelihoods, log-odds, and the status of a text."""

from __future__ import annotations

import hashlib
import math
import random
from types import SimpleNamespace
from typing import Any

import pytest

from recsae.llm.loglikelihood import MAX_TOKEN_IDS, Ids, TokenStep, Walk, log_odds, steps, text_status, walks


def logprob(beginning: Ids, token: int) -> float:
    """A model that knows nothing but hashing."""
    return -float(hashlib.blake2b(repr((beginning, token)).encode(), digest_size=2).digest()[0])


def reported(walk: Walk) -> list[dict[int, Any]]:
    """What an engine says while it writes the path: at each step the tokens asked for, and the one it wrote."""
    beginnings = [walk.ids + walk.path[:at] for at in range(len(walk.path) + 1)]
    return [
        {token: SimpleNamespace(logprob=logprob(beginning, token)) for token in (*walk.tokens, 7)}
        for beginning in beginnings
    ]


def told(texts: list[tuple[Ids, Ids]]) -> list[float]:
    """Each text's likelihood, by walks."""
    values: dict[TokenStep, float] = {}
    for walk in walks(texts):
        values |= walk.read(reported(walk))
    return [sum(values[step] for step in steps(*text)) for text in texts]


def alone(prompt: Ids, continuation: Ids) -> float:
    """The same, token by token."""
    return sum(logprob(prompt + continuation[:at], token) for at, token in enumerate(continuation))


@pytest.mark.parametrize("seed", range(5))
def test_walks_give_every_likelihood(seed: int) -> None:
    """Few tokens, so that continuations share beginnings, and one prompt goes on where another ends."""
    draw = random.Random(seed)
    prompts = [(1, 2, 3), (1, 2, 3, 0), (4,)]
    texts = [
        (draw.choice(prompts), tuple(draw.choices(range(4), k=draw.randint(1, 6)))) for _ in range(draw.randint(1, 200))
    ]
    assert told(texts) == [alone(*text) for text in texts]
    beginnings = {prompt + continuation[:at] for prompt, continuation in texts for at in range(len(continuation))}
    assert sum(len(walk.path) + 1 for walk in walks(texts)) == len(beginnings), "a beginning is passed twice"


def test_single_tokens_after_one_prompt_are_one_request() -> None:
    assert walks([((1, 2), (token,)) for token in (5, 6, 7, 5)]) == [Walk((1, 2), (), [5, 6, 7])]


def test_a_request_leads_to_each_end_of_the_trie() -> None:
    """1990s, 1950s and horror in space, horror: three ends, of which the first is reached from the prompt."""
    texts = [((9,), (1, 9, 9, 0)), ((9,), (1, 9, 5, 0)), ((9,), (3, 4, 5)), ((9,), (3,))]
    found = walks(texts)
    assert [(walk.ids, walk.path) for walk in found] == [((9,), (1, 9, 9)), ((9, 1, 9, 5), ()), ((9, 3), (4,))]
    assert set(found[0].tokens) == {1, 3, 9, 5, 0}


def test_prompts_do_not_share_requests() -> None:
    assert [walk.ids for walk in walks([((1,), (5,)), ((2,), (5,)), ((1,), (6,))])] == [(1,), (2,)]


@pytest.mark.parametrize(("count", "requests"), [(MAX_TOKEN_IDS, 2), (MAX_TOKEN_IDS + 1, 3), (3 * MAX_TOKEN_IDS, 6)])
def test_a_request_reports_no_more_tokens_than_it_may(count: int, requests: int) -> None:
    wide = [((1,), (10 + number,)) for number in range(count)]
    deeper = [((1,), (10, 5000 + number)) for number in range(count)]
    texts = [*wide, *deeper]
    found = walks(texts)
    assert max(len(walk.tokens) for walk in found) <= MAX_TOKEN_IDS
    assert len(found) == requests
    assert told(texts) == [alone(*text) for text in texts]


def test_nothing_to_ask_takes_no_request() -> None:
    assert walks([]) == []


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
