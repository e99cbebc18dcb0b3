"""Log-likelihoods from few requests, log-odds, and the status of a text: pure functions over token ids."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jsonschema

MAX_TOKEN_IDS = 128
"""vLLM's limit on token ids with log-probabilities per position."""

Ids = tuple[int, ...]


class TokenStep(NamedTuple):
    """A token and the prefix it follows."""

    prefix: Ids
    token: int


class Walk(NamedTuple):
    """One request that scores many continuations: it reads `ids` and is forced to generate `path`.

    Before the path's first token and after each of them it reports the log-probabilities of `tokens`.
    """

    ids: Ids
    path: Ids
    tokens: list[int]

    def steps(self) -> list[TokenStep]:
        """The steps whose log-probabilities this walk reports."""
        prefixes = [self.ids + self.path[:at] for at in range(len(self.path) + 1)]
        return [TokenStep(prefix, token) for prefix in prefixes for token in self.tokens]

    def read(self, reported: Sequence[Mapping[int, Any]]) -> dict[TokenStep, float]:
        """Log-probabilities, in nats, by step. `reported` has one mapping from token to entry per generated token."""
        return {step: float(reported[len(step.prefix) - len(self.ids)][step.token].logprob) for step in self.steps()}


def steps(prompt: Ids, continuation: Ids) -> list[TokenStep]:
    """The steps over which a continuation's log-likelihood is summed."""
    return [TokenStep(prompt + continuation[:at], token) for at, token in enumerate(continuation)]


def walks(texts: Iterable[tuple[Ids, Ids]]) -> list[Walk]:
    """Walks that together report every step of these prompts and continuations.

    The prefixes of a prompt's continuations form a trie. One walk leads to each leaf, and no prefix is visited twice:
    with prefix caching a walk costs the prompt tokens after the last full block (some 16) and one token per step.
    """
    after: dict[Ids, dict[int, None]] = {}
    for prompt, continuation in texts:
        for prefix, token in steps(prompt, continuation):
            after.setdefault(prefix, {})[token] = None
    inner = {prefix[:-1] for prefix in after}
    visited: set[Ids] = set()
    found: list[Walk] = []
    for end in after:
        if end not in inner:
            found += _walks_to(end, after, visited)
    return found


def _walks_to(end: Ids, after: Mapping[Ids, Iterable[int]], visited: set[Ids]) -> Iterator[Walk]:
    """The walks to one leaf from its first unvisited prefix: one, or several if there are too many tokens to report."""
    start, last, tokens = end, end, list[int]()
    while last in after and last not in visited:
        visited.add(last)
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
    """`ok`, or `unparsed` if the text is not JSON that satisfies the schema."""
    if schema is None:
        return "ok"
    try:
        jsonschema.validate(json.loads(text), schema)
    except (json.JSONDecodeError, jsonschema.ValidationError):
        return "unparsed"
    return "ok"
