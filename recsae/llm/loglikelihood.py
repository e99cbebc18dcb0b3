"""Log-likelihoods with few requests, log-odds, and the status of a text: pure functions over token ids."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jsonschema

MAX_TOKEN_IDS = 128
"""Tokens whose log-probability vLLM gives for one position."""

Ids = tuple[int, ...]


class TokenStep(NamedTuple):
    """A token as it comes after a beginning."""

    beginning: Ids
    token: int


class Walk(NamedTuple):
    """One request for the likelihoods of many continuations: it reads `ids` and writes `path`, likely or not.

    Before the path's first token and after each of them it reports the log-probabilities of `tokens`.
    """

    ids: Ids
    path: Ids
    tokens: list[int]

    def steps(self) -> list[TokenStep]:
        """What is reported."""
        beginnings = [self.ids + self.path[:at] for at in range(len(self.path) + 1)]
        return [TokenStep(beginning, token) for beginning in beginnings for token in self.tokens]

    def read(self, reported: Sequence[Mapping[int, Any]]) -> dict[TokenStep, float]:
        """The log-probabilities, in nats, of what the engine reported: for each token written, entries by token."""
        return {step: float(reported[len(step.beginning) - len(self.ids)][step.token].logprob) for step in self.steps()}


def steps(prompt: Ids, continuation: Ids) -> list[TokenStep]:
    """What the likelihood of a continuation is summed over."""
    return [TokenStep(prompt + continuation[:at], token) for at, token in enumerate(continuation)]


def walks(texts: Iterable[tuple[Ids, Ids]]) -> list[Walk]:
    """Requests whose reports hold every step of these prompts and continuations.

    The prefixes of a prompt's continuations form a trie. One walk leads to each leaf, and no prefix is visited twice: a
    request costs what its prompt has beyond its last full cache block, some 16 tokens, and each further step one token.
    """
    after: dict[Ids, dict[int, None]] = {}
    for prompt, continuation in texts:
        for beginning, token in steps(prompt, continuation):
            after.setdefault(beginning, {})[token] = None
    goes_on = {beginning[:-1] for beginning in after}
    passed: set[Ids] = set()
    found: list[Walk] = []
    for end in after:
        if end not in goes_on:
            found += _lead_to(end, after, passed)
    return found


def _lead_to(end: Ids, after: Mapping[Ids, Iterable[int]], passed: set[Ids]) -> Iterator[Walk]:
    """Mostly one walk, from the first beginning not yet passed; several where they have too many tokens to report."""
    start, last, tokens = end, end, list[int]()
    while last in after and last not in passed:
        passed.add(last)
        wanted = list(after[last])
        while len(wanted) > MAX_TOKEN_IDS:
            yield Walk(last, (), wanted[:MAX_TOKEN_IDS])
            del wanted[:MAX_TOKEN_IDS]
        together = list(dict.fromkeys([*tokens, *wanted]))
        if len(together) > MAX_TOKEN_IDS:
            yield Walk(start, end[len(start) :], tokens)
            end, together = last, wanted
        start, tokens, last = last, together, last[:-1]
    yield Walk(start, end[len(start) :], tokens)


def log_odds(logprobs: Mapping[int, float], yes: Sequence[int], no: Sequence[int]) -> float:
    """log P(yes) - log P(no), each summed over its spellings, in nats."""

    def total(tokens: Sequence[int]) -> float:
        values = [logprobs[token] for token in tokens]
        top = max(values)
        return top + math.log(sum(math.exp(value - top) for value in values))

    return total(yes) - total(no)


def text_status(text: str, schema: Mapping[str, Any] | None) -> str:
    """`unparsed` where the text is not JSON of that schema."""
    if schema is None:
        return "ok"
    try:
        jsonschema.validate(json.loads(text), schema)
    except (json.JSONDecodeError, jsonschema.ValidationError):
        return "unparsed"
    return "ok"
