"""Tests behaviours by intervention: synthetic histories in which one feature alone is moved.

A latent that fires in long histories may do so because long histories hold rare items. Here histories are made up:
items are drawn by the seed, and only the feature of the statement differs between them. If the statement holds, the
latent fires more often where the feature lies in its range. Shape suffixes: N histories, L events, latest first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse

from recsae.recommenders.base import Recommender, last_position
from recsae.recommenders.ranking import pad
from recsae.sae.model import Sae
from recsae.statements import behaviour
from recsae.statements.behaviour import About
from recsae.statements.evaluation import last_events, within
from recsae.statements.language import HISTORY, Behaviour, Statement
from recsae.stats.bootstrap import resampled_sums

HISTORIES = 600
LONGEST = 50
USUAL = 20
"""Events of a history in which the length is not what is moved."""
LEAST_HISTORIES = 30
"""Fewest histories within the range, and outside it, for an answer."""
RESAMPLINGS = 1000

Row = dict[str, Any]
Histories = list[np.ndarray]
Maker = Callable[[About, int, np.random.Generator], Histories]


class Moved(NamedTuple):
    """Histories in which one feature is moved, oldest event first, and its value in each."""

    histories: list[np.ndarray]
    value_N: np.ndarray


def check(chosen: Mapping[int, Statement], model: Recommender, sae: Sae, about: About, seed: int) -> dict[int, Row]:
    """The columns `causal_check` and `causal_change` of the latents whose statement is a behaviour.

    `causal_change` is the share of histories in which the latent fires within the range minus that outside it;
    `causal_check` says whether its 95 % interval lies above 0 (`agrees`), below (`contradicts`) or holds it
    (`unclear`), or that the feature cannot be moved in a history of items (`untested`).
    """
    found: dict[int, Row] = {}
    fires: dict[str, tuple[Moved, np.ndarray]] = {}
    for latent, statement in sorted(chosen.items()):
        body = statement.body
        if not isinstance(body, Behaviour):
            continue
        maker = _maker(body.feature, about)
        if maker is None or not model.sequential:
            found[latent] = {"causal_check": "untested", "causal_change": None}
            continue
        if body.feature not in fires:
            histories = maker(about, min(LONGEST, model.max_length), np.random.default_rng(seed))
            moved = _measured(histories, about, body.feature)
            fires[body.feature] = moved, firing(model, sae, moved.histories)
        moved, fires_NH = fires[body.feature]
        found[latent] = _compare(fires_NH[:, latent], within(moved.value_N, body), seed)
    return found


@torch.inference_mode()
def firing(model: Recommender, sae: Sae, histories: list[np.ndarray]) -> np.ndarray:
    """Which latents fire at the end of each history, `(N, num_latents)` bool."""
    fires_NH = np.zeros((len(histories), sae.num_latents), dtype=bool)
    padded = pad(histories, "cpu", np.zeros(len(histories), dtype=np.int64))
    encoded = sae.encode(last_position(model.probe(padded), padded))
    row, column = np.nonzero(encoded.value_BK.numpy() > 0)
    fires_NH[row, encoded.index_BK.numpy()[row, column]] = True
    return fires_NH


def _compare(fires_N: np.ndarray, inside_N: np.ndarray, seed: int) -> Row:
    if min(inside_N.sum(), (~inside_N).sum()) < LEAST_HISTORIES:
        return {"causal_check": "untested", "causal_change": None}
    change = float(fires_N[inside_N].mean() - fires_N[~inside_N].mean())
    by_history = np.stack([fires_N & inside_N, inside_N, fires_N & ~inside_N, ~inside_N], axis=1).astype(np.int64)
    hits, held, misses, rest = resampled_sums(by_history, RESAMPLINGS, seed).T
    lower, upper = np.percentile(hits / np.maximum(held, 1) - misses / np.maximum(rest, 1), [2.5, 97.5])
    verdict = "agrees" if lower > 0 else "contradicts" if upper < 0 else "unclear"
    return {"causal_check": verdict, "causal_change": change}


def _maker(feature: str, about: About) -> Maker | None:
    """How the histories of a feature are made; None for one that items alone do not move, such as the hour."""
    for name, has_IV in about.attributes.items():
        if feature == behaviour.same_attribute(name):
            return functools.partial(_pairs, has_IV=has_IV)
    return MAKERS.get(feature)


def _lengths(about: About, longest: int, generator: np.random.Generator) -> Histories:
    """Histories of 1 to `longest` events."""
    items = len(about.popularity_I)
    length_N = generator.integers(1, min(longest, items) + 1, HISTORIES)
    return [generator.choice(items, size=length, replace=False) for length in length_N.tolist()]


def _popularities(about: About, longest: int, generator: np.random.Generator) -> Histories:
    """Histories of items around one popularity each, from the rarest to the most popular."""
    order = np.argsort(about.popularity_I, kind="stable")
    width = max(USUAL, len(order) // 10)
    starts = generator.integers(0, max(len(order) - width, 0) + 1, HISTORIES)
    length = min(USUAL, longest, width, len(order))
    return [generator.choice(order[start : start + width], size=length, replace=False) for start in starts.tolist()]


def _diversities(about: About, longest: int, generator: np.random.Generator) -> Histories:
    """Histories of the neighbours of one item each, from its closest ones to the whole catalogue."""
    items = np.flatnonzero(np.any(about.vectors_IA != 0, axis=1))
    length = min(HISTORY, longest, len(items))
    widths = np.geomspace(length, len(items), HISTORIES).astype(np.int64)
    histories = []
    for item, width in zip(generator.choice(items, size=HISTORIES).tolist(), widths.tolist(), strict=True):
        cosine = about.vectors_IA[items] @ about.vectors_IA[item]
        histories.append(generator.choice(items[np.argsort(-cosine, kind="stable")[:width]], length, replace=False))
    return histories


def _repeats(about: About, longest: int, generator: np.random.Generator) -> Histories:
    """Histories whose last ten events hold from one to ten different items."""
    histories = []
    for different in generator.integers(1, min(HISTORY, len(about.popularity_I)) + 1, HISTORIES).tolist():
        items = generator.choice(len(about.popularity_I), size=different, replace=False)
        recent = np.concatenate([items, generator.choice(items, size=HISTORY - different)])
        histories.append(generator.permutation(recent)[-longest:])
    return histories


def _pairs(
    about: About, longest: int, generator: np.random.Generator, has_IV: sparse.csr_matrix | None = None
) -> Histories:
    """Histories of any items; in one half, the event before the last is the last item, or one that shares a value."""
    items = len(about.popularity_I)
    histories = []
    for alike in np.arange(HISTORIES) % 2 == 0:
        history = generator.choice(items, size=min(USUAL, longest, items), replace=False)
        if alike and len(history) > 1:
            last = int(history[-1])
            same = np.array([last]) if has_IV is None else np.setdiff1d((has_IV @ has_IV[last].T).tocsc().indices, last)
            if len(same):
                history[-2] = generator.choice(same)
        histories.append(history)
    return histories


def _measured(histories: Histories, about: About, feature: str) -> Moved:
    recent_NL = np.stack([last_events(items, len(items)) for items in histories]).astype(np.int64)
    length_N = np.array([len(items) for items in histories])
    value_N = behaviour.features(recent_NL, length_N, about)[feature]
    known = np.flatnonzero(~np.isnan(value_N))
    return Moved([histories[history] for history in known.tolist()], value_N[known])


MAKERS: dict[str, Maker] = {
    behaviour.LENGTH: _lengths,
    behaviour.POPULARITY: _popularities,
    behaviour.REPEATS: _repeats,
    behaviour.DIVERSITY: _diversities,
    behaviour.SAME_ITEM: _pairs,
}
