"""RecSAE's own protocol (Wang et al., arXiv 2411.06112), for comparison: a level from 0 to 10 for each of ten cases.

The arithmetic is RecSAE's, the evidence ours, with two differences from the published code: the ten cases come from
users who were used neither to name nor to choose the concept, and an invalid answer always counts as wrong (there it
may count as right). Chance levels are reported beside the results, since ten answers pass the threshold now and then
whatever they say.
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
"""Number of held-out active cases per latent, and of random non-activating ones."""
ACTIVE_ABOVE = 5
LEVEL_SCHEMA = {"type": "integer", "minimum": 0, "maximum": 10}
THRESHOLDS = (0.8, 0.9)
"""Of the confidence; a latent that reaches the first is interpretable by the protocol."""


class Quiz(NamedTuple):
    """A concept, and the items of five active cases followed by five non-activating ones."""

    finalist: Finalist
    items: list[int]


class LevelVotes(NamedTuple):
    """Number of answers that say active or inactive, on cases of one kind; the rest were invalid."""

    active: int
    inactive: int


class Result(NamedTuple):
    finalist: Finalist
    on_active: LevelVotes
    on_non_activating: LevelVotes

    @property
    def counts(self) -> ConfusionCounts:
        """Confusion counts; invalid answers count as wrong."""
        tp, tn = self.on_active.active, self.on_non_activating.inactive
        return ConfusionCounts(tp, CASES - tn, tn, CASES - tp)

    @property
    def right(self) -> int:
        return self.counts.tp + self.counts.tn


def draw_quizzes(chosen: Sequence[Finalist], latents: Mapping[int, LatentCases], count: int, seed: int) -> list[Quiz]:
    """Quizzes for `count` latents, drawn by the seed from those with five score-user cases of each kind.

    Half of the active cases are the strongest, half span the range of activations; non-activating cases are random.
    """
    quizzes = {}
    for finalist in chosen:
        cases = latents[finalist.latent]
        active, other = cases.active("score", CASES).item, cases.of_role("score", "random").item[:CASES]
        if len(active) == len(other) == CASES:
            quizzes[finalist.latent] = Quiz(finalist, [*active.tolist(), *other.tolist()])
    return [quizzes[latent] for latent in draw(quizzes, count, seed)]


def requests(quizzes: Sequence[Quiz], catalogue: Catalogue) -> list[Request]:
    """Ten requests per quiz, to be answered under LEVEL_SCHEMA."""
    return [
        Request("generate", prompts.level(quiz.finalist.concept, catalogue.text(item)))
        for quiz in quizzes
        for item in quiz.items
    ]


def results(quizzes: Sequence[Quiz], answers: Sequence[Completion]) -> list[Result]:
    """One result per quiz, from the answers to `requests` in the same order."""
    levels = [parse_level(answer) for answer in answers]
    found = []
    for number, quiz in enumerate(quizzes):
        quiz_levels = levels[2 * CASES * number : 2 * CASES * (number + 1)]
        found.append(Result(quiz.finalist, _votes(quiz_levels[:CASES]), _votes(quiz_levels[CASES:])))
    return found


def parse_level(answer: Completion) -> int | None:
    """The level in an answer; None if the answer is not a level."""
    try:
        parsed = json.loads(answer.text or "") if answer.status == "ok" else None
    except ValueError:
        return None
    return parsed if type(parsed) is int and 0 <= parsed <= 10 else None


def _votes(levels: Sequence[int | None]) -> LevelVotes:
    votes = [level > ACTIVE_ABOVE for level in levels if level is not None]
    return LevelVotes(sum(votes), len(votes) - sum(votes))


def score_row(result: Result) -> dict[str, Any]:
    """The latent's row of SCORES. With five cases of each kind, the confidence equals the plain accuracy."""
    return {
        **evaluation.key_columns(result.finalist, "score", "recsae", "none"),
        **result.counts.columns(),
        "centre": float(ACTIVE_ABOVE),
    }


def metrics(results: Sequence[Result]) -> Metrics:
    """Latents at each threshold, beside the shares expected from coin flips and from shuffling the judge's answers."""
    found: Metrics = {"latents": len(results)}
    for threshold in THRESHOLDS:
        least = int(np.ceil(threshold * 2 * CASES - 1e-9))
        found[f"at_{threshold}"] = sum(result.right >= least for result in results)
        found[f"coin_{threshold}"] = sum(comb(2 * CASES, right) for right in range(least, 2 * CASES + 1)) / 4**CASES
        shares = [shuffled_share(result, least) for result in results]
        found[f"chance_{threshold}"] = float(np.mean(shares)) if shares else None
    return found


def shuffled_share(result: Result, least: int) -> float:
    """P(at least `least` of ten are right) if the same ten answers were assigned to the cases at random.

    Of A answers "active" and S answers "inactive", a and b fall on the five active cases, whose other answers are
    invalid, in C(A, a) C(S, b) C(10 - A - S, 5 - a - b) of C(10, 5) ways (hypergeometric); a + S - b are right.
    """
    active = result.on_active.active + result.on_non_activating.active
    inactive = result.on_active.inactive + result.on_non_activating.inactive
    none = 2 * CASES - active - inactive
    ways = sum(
        comb(active, a) * comb(inactive, b) * comb(none, CASES - a - b)
        for a in range(min(active, CASES) + 1)
        for b in range(min(inactive, CASES - a) + 1)
        if a + inactive - b >= least
    )
    return ways / comb(2 * CASES, CASES)
