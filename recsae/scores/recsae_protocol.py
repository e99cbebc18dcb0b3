"""RecSAE's own protocol (Wang et al., arXiv 2411.06112), for comparison: a level from 0 to 10 for each of ten cases.

Its arithmetic on our evidence: the ten cases are of users that neither wrote nor chose the concept, which in the
published code they are not, and an answer that is no level counts as wrong, which there may count as right. Beside what
it finds stands what chance would: ten answers pass its threshold now and then whatever they say. It knows concepts,
cases and answers, and nothing of how our own judges score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import comb
from typing import Any, NamedTuple

import numpy as np

from recsae.concepts.finalists import Finalist
from recsae.data.catalogue import Catalogue
from recsae.evidence.cases import LatentCases
from recsae.labels import prompts
from recsae.llm.pool import Completion, Request
from recsae.scores import evaluation
from recsae.stats.classification import ConfusionCounts
from recsae.stats.sampling import draw
from recsae.store.run_store import Metrics

CASES = 5
"""Held-out active cases of a latent, and random silent ones."""
ACTIVE_ABOVE = 5
LEVEL_SCHEMA = {"type": "integer", "minimum": 0, "maximum": 10}
THRESHOLDS = (0.8, 0.9)
"""Of the confidence; from the first on, a latent is interpretable by the protocol."""


class Quiz(NamedTuple):
    """A concept, and the items of five active cases and then of five silent ones."""

    finalist: Finalist
    items: list[int]


class LevelVotes(NamedTuple):
    """Answers to the active cases or to the silent ones, by what they say; the rest were no level."""

    active: int
    silent: int


class Result(NamedTuple):
    finalist: Finalist
    on_active: LevelVotes
    on_silent: LevelVotes

    @property
    def counts(self) -> ConfusionCounts:
        """What is no level counts as wrong."""
        tp, tn = self.on_active.active, self.on_silent.silent
        return ConfusionCounts(tp, CASES - tn, tn, CASES - tp)

    @property
    def right(self) -> int:
        return self.counts.tp + self.counts.tn


def draw_quizzes(chosen: Sequence[Finalist], latents: Mapping[int, LatentCases], count: int, seed: int) -> list[Quiz]:
    """Of `count` latents drawn by the seed, among those with five cases of score users of either kind.

    Active cases are half the strongest and half across the range of activations, silent ones random.
    """
    quizzes = {}
    for finalist in chosen:
        cases = latents[finalist.latent]
        active, silent = cases.active("score", CASES).item, cases.of_role("score", "random").item[:CASES]
        if len(active) == len(silent) == CASES:
            quizzes[finalist.latent] = Quiz(finalist, [*active.tolist(), *silent.tolist()])
    return [quizzes[latent] for latent in draw(quizzes, count, seed)]


def requests(quizzes: Sequence[Quiz], catalogue: Catalogue) -> list[Request]:
    """Ten for each, to be answered under LEVEL_SCHEMA."""
    return [
        Request("generate", prompts.level(quiz.finalist.concept, catalogue.text(item)))
        for quiz in quizzes
        for item in quiz.items
    ]


def results(quizzes: Sequence[Quiz], answers: Sequence[Completion]) -> list[Result]:
    """What the answers to `requests` come to, in its order."""
    levels = [level(answer) for answer in answers]
    found = []
    for number, quiz in enumerate(quizzes):
        own = levels[2 * CASES * number : 2 * CASES * (number + 1)]
        found.append(Result(quiz.finalist, _votes(own[:CASES]), _votes(own[CASES:])))
    return found


def level(answer: Completion) -> int | None:
    """The level that an answer tells; None where it tells none."""
    try:
        told = json.loads(answer.text or "") if answer.status == "ok" else None
    except ValueError:
        return None
    return told if type(told) is int and 0 <= told <= 10 else None


def _votes(levels: Sequence[int | None]) -> LevelVotes:
    told = [level > ACTIVE_ABOVE for level in levels if level is not None]
    return LevelVotes(sum(told), len(told) - sum(told))


def row(result: Result) -> dict[str, Any]:
    """The latent's row of SCORES. The confidence is the plain accuracy, of ten the same as the balanced one."""
    return {
        **evaluation.names(result.finalist, "score", "recsae", "none"),
        **evaluation.figures(result.counts),
        "centre": float(ACTIVE_ABOVE),
    }


def metrics(found: Sequence[Result]) -> Metrics:
    """Latents at each threshold; a coin's share, and that of the judge's own answers shuffled over the ten cases."""
    told: Metrics = {"latents": len(found)}
    for threshold in THRESHOLDS:
        least = int(np.ceil(threshold * 2 * CASES - 1e-9))
        told[f"at_{threshold}"] = sum(result.right >= least for result in found)
        told[f"coin_{threshold}"] = sum(comb(2 * CASES, right) for right in range(least, 2 * CASES + 1)) / 4**CASES
        shares = [shuffled_share(result, least) for result in found]
        told[f"chance_{threshold}"] = float(np.mean(shares)) if shares else None
    return told


def shuffled_share(result: Result, least: int) -> float:
    """P(at least `least` of the ten are right), were the same ten answers dealt to the cases at random.

    a of the A answers "active" and b of the S answers "silent" fall on the five active cases, the rest of those five
    being no levels, in C(A, a) C(S, b) C(10 - A - S, 5 - a - b) of C(10, 5) ways (hypergeometric); a + S - b are right.
    """
    active = result.on_active.active + result.on_silent.active
    silent = result.on_active.silent + result.on_silent.silent
    none = 2 * CASES - active - silent
    ways = sum(
        comb(active, a) * comb(silent, b) * comb(none, CASES - a - b)
        for a in range(min(active, CASES) + 1)
        for b in range(min(silent, CASES - a) + 1)
        if a + silent - b >= least
    )
    return ways / comb(2 * CASES, CASES)
