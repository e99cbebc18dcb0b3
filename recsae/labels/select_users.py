"""Judges texts on the cases of select users, as the stage `scores` will: does a name or a caption hold there?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsae.evidence.cases import LatentCases
from recsae.labels.asking import Asker
from recsae.labels.judges import LlmJudge
from recsae.stats import classification

CASES = 16
"""Activating cases of select users, and as many non-activating ones."""


GUESSING = 0.5
BEYOND_CHANCE = 1.645
"""Standard errors by which a text must beat guessing, so that one in twenty that guess does."""


class SelectCases(NamedTuple):
    """The cases of one latent on which a text is judged, `(cases,)` each."""

    item: np.ndarray
    active: np.ndarray

    @staticmethod
    def of(cases: LatentCases) -> SelectCases:
        active, other = (found.item for found in (cases.active("select", CASES), cases.non_activating("select", CASES)))
        return SelectCases(np.concatenate([active, other]), np.arange(len(active) + len(other)) < len(active))


class OnSelect(NamedTuple):
    """How well a text tells activating cases from the others."""

    auc: float | None
    """None unless both kinds of case have a value."""
    error: float
    """The standard error of the AUC."""
    value: np.ndarray
    """The judge's value by case; NaN where it failed."""

    @property
    def holds(self) -> bool:
        """Whether the text does better than guessing."""
        return self.auc is not None and self.auc - BEYOND_CHANCE * self.error > GUESSING


class SelectJudge:
    """Judges by likelihood, and asks about each pair of a text and an item once."""

    def __init__(self, llm: LlmJudge, asker: Asker) -> None:
        self.llm, self._asker = llm, asker

    def judge(self, texts: Sequence[tuple[str, SelectCases]], phase: str) -> list[OnSelect]:
        """One result per text and its latent's cases, in order."""
        pairs = self.llm.missing((text, item) for text, cases in texts for item in cases.item.tolist())
        answers = self._asker.verdicts([self.llm.request(pair) for pair in pairs], phase, len(texts))
        self.llm.answers.update(zip(pairs, answers, strict=True))
        return [_measured(self.llm.values(text, cases.item), cases.active) for text, cases in texts]


def _measured(value: np.ndarray, active: np.ndarray) -> OnSelect:
    known = ~np.isnan(value)
    auc = classification.auc(value[known], active[known])
    if auc is None:
        return OnSelect(None, 0.0, value)
    positive = int(np.count_nonzero(active[known]))
    return OnSelect(auc, classification.auc_error(auc, positive, int(np.count_nonzero(known)) - positive), value)
