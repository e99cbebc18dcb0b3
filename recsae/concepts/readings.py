"""From what the engine returns to a number: log-probabilities by position, log-odds, the status of a text.

Pure functions over token ids. They know how vLLM reports, and load no model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jsonschema

MAX_TOKEN_IDS = 128
"""Tokens whose probability vLLM gives for one position."""


class Query(NamedTuple):
    """A request as tokens: `ids[start:]` are those of the continuation."""

    ids: list[int]
    start: int
    params: Any


def known(query: Query, cached: int, logprobs: Sequence[Any]) -> list[float | None]:
    """The log-probability of each token of the continuation; None where the engine did not compute it.

    The token at position p is predicted at p - 1. Positions below `cached` were read from the prefix cache and not
    computed: one runner of vLLM leaves them out, the other returns uninitialised memory there, which may look like a
    value. So they are dropped by their number, and the rest is aligned at the end and checked by token.
    """
    values: list[float | None] = []
    for position in range(query.start, len(query.ids)):
        back = len(query.ids) - position
        computed = position - 1 >= cached and back <= len(logprobs)
        entry = (logprobs[-back] if computed else None) or {}
        found = entry.get(query.ids[position])
        values.append(None if found is None else float(found.logprob))
    return values


def probes(gaps: Mapping[int, Sequence[int]], queries: Mapping[int, Query]) -> list[tuple[tuple[int, ...], list[int]]]:
    """What to ask to fill gaps: beginnings of texts, each with the tokens whose log-probability comes next.

    `gaps` gives the positions missing in each query. Queries of one prefix share a probe.
    """
    wanted: dict[tuple[int, ...], dict[int, None]] = {}
    for index, positions in gaps.items():
        ids = queries[index].ids
        for position in positions:
            wanted.setdefault(tuple(ids[:position]), {})[ids[position]] = None
    return [
        (prefix, list(tokens)[first : first + MAX_TOKEN_IDS])
        for prefix, tokens in wanted.items()
        for first in range(0, len(tokens), MAX_TOKEN_IDS)
    ]


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
