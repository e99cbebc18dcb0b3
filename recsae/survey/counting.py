"""Counts the answers of a survey: per concept (the table SURVEY), per person, and agreement between people.

"Can't tell" and open questions count as no answer and are reported separately. The majority of a case is the more
frequent answer; a tie has none. Shape suffixes: R raters, Q questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from recsae.schemas.base import conform
from recsae.schemas.survey import SURVEY
from recsae.stats import agreement
from recsae.stats.agreement import Statistic
from recsae.survey.key import Answers, Key

VALUES = {"yes": 1.0, "no": 0.0}


class SurveyVotes(NamedTuple):
    """All answers, with the key's facts about each question."""

    raters: list[str]
    answer_RQ: np.ndarray
    """1 yes, 0 no, NaN if the person could not tell or left the question open."""
    unsure_RQ: np.ndarray
    concept_Q: np.ndarray
    """Index of its concept in the key."""
    decoy_Q: np.ndarray
    active_Q: np.ndarray
    judge_Q: np.ndarray
    """The judge's verdict as 1 or 0, NaN if there is none."""

    @property
    def open_RQ(self) -> np.ndarray:
        return np.asarray(np.isnan(self.answer_RQ) & ~self.unsure_RQ)

    @property
    def share_Q(self) -> np.ndarray:
        """Share of yes among yes and no; NaN without an answer."""
        answered_Q = (~np.isnan(self.answer_RQ)).sum(0)
        return np.where(answered_Q > 0, np.nansum(self.answer_RQ, 0) / np.maximum(answered_Q, 1), np.nan)

    @property
    def majority_Q(self) -> np.ndarray:
        """The majority answer as 1 or 0; NaN on a tie or without an answer."""
        share_Q = self.share_Q
        return np.where(np.isnan(share_Q) | (share_Q == 0.5), np.nan, (share_Q > 0.5).astype(np.float64))


def collect_votes(key: Key, answers: Sequence[Answers]) -> SurveyVotes:
    """All answers as arrays, with the key's facts about each question."""
    ids = key.ids()
    rows = [[one.answers.get(question) for question in ids] for one in answers]
    of_case = [(index, one, case) for index, one in enumerate(key.concepts) for case in one.cases]
    return SurveyVotes(
        [one.rater for one in answers],
        np.array([[VALUES.get(answer or "", np.nan) for answer in row] for row in rows]),
        np.array([[answer == "unsure" for answer in row] for row in rows]),
        np.array([index for index, _, _ in of_case]),
        np.array([one.decoy for _, one, _ in of_case]),
        np.array([case.active for _, _, case in of_case]),
        np.array([np.nan if case.judge is None else float(case.judge) for _, _, case in of_case]),
    )


def by_concept(key: Key, votes: SurveyVotes) -> pa.Table:
    """One row of SURVEY per concept, ordered by latent, real before decoy."""
    rows = [_row(key, index, votes) for index in range(len(key.concepts))]
    rows.sort(key=lambda row: (row["decoy"], row["latent"]))
    return conform(pa.Table.from_pylist(rows, SURVEY), SURVEY)


def _row(key: Key, index: int, votes: SurveyVotes) -> dict[str, Any]:
    concept, own = key.concepts[index], votes.concept_Q == index
    counts: dict[str, int] = {}
    for kind, here in (("active", own & votes.active_Q), ("silent", own & ~votes.active_Q)):
        answer = votes.answer_RQ[:, here]
        counts |= {
            f"yes_{kind}": int((answer == 1).sum()),
            f"no_{kind}": int((answer == 0).sum()),
            f"unsure_{kind}": int(votes.unsure_RQ[:, here].sum()),
        }
    active, inactive = votes.share_Q[own & votes.active_Q], 1 - votes.share_Q[own & ~votes.active_Q]
    active, inactive = active[~np.isnan(active)], inactive[~np.isnan(inactive)]
    recall, true_negative = (float(side.mean()) if len(side) else None for side in (active, inactive))
    confidence: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    if recall is not None and true_negative is not None:
        confidence = (recall + true_negative) / 2
        bounds = agreement.balanced_interval(recall, len(active), true_negative, len(inactive))
    majority, judge = votes.majority_Q[own], votes.judge_Q[own]
    both = ~(np.isnan(majority) | np.isnan(judge))
    return {
        **concept.model_dump(exclude={"cases", "confidence", "lower", "upper"}),
        **counts,
        "raters": int((~votes.open_RQ[:, own]).any(1).sum()),
        "cases": len(concept.cases),
        "open": int(votes.open_RQ[:, own].sum()),
        "people_recall": recall,
        "people_true_negative_rate": true_negative,
        "people_confidence": confidence,
        "people_lower": bounds[0],
        "people_upper": bounds[1],
        "majority_agrees": float((majority == judge)[both].mean()) if both.any() else None,
        "judge_on_cases": agreement.known(agreement.balanced(_right(votes.judge_Q, votes)[own].sum(0))),
        "judge_confidence": concept.confidence,
        "judge_lower": concept.lower,
        "judge_upper": concept.upper,
        "survey": key.survey,
        "night": key.night,
        "view": key.view,
        "model": key.model,
    }


def overall(votes: SurveyVotes, seed: int) -> dict[str, Any]:
    """Results over all concepts, as JSON: `people` with their answers; `others`, the majority and the judge;
    agreement between people as `pairs` (Cohen's kappa) and `fleiss`. Intervals resample concepts; what cannot be
    measured is null."""
    people = [
        {
            "rater": rater,
            "answered": int((~np.isnan(answer_Q)).sum()),
            "unsure": int(unsure_Q.sum()),
            "open": int(open_Q.sum()),
            **_rater_results(answer_Q, votes, seed, judged=True),
        }
        for rater, answer_Q, unsure_Q, open_Q in zip(
            votes.raters, votes.answer_RQ, votes.unsure_RQ, votes.open_RQ, strict=True
        )
    ]
    pairs = []
    for first, second in combinations(range(len(votes.raters)), 2):
        cells = agreement.cells(votes.answer_RQ[first], votes.answer_RQ[second]).sum(0)
        raters = [votes.raters[first], votes.raters[second]]
        pairs.append(
            {"raters": raters, "questions": int(cells.sum()), "kappa": agreement.known(agreement.cohen(cells))}
        )
    counts_Q2 = np.stack([(votes.answer_RQ == value).sum(0) for value in (1, 0)], axis=1)
    return {
        "people": people,
        "others": {
            "majority": _rater_results(votes.majority_Q, votes, seed, judged=True),
            "judge": _rater_results(votes.judge_Q, votes, seed, judged=False),
        },
        "pairs": pairs,
        "fleiss": {
            "questions": int((counts_Q2.sum(1) >= 2).sum()),
            **_with_interval(
                "kappa", agreement.fleiss, agreement.agreeing(counts_Q2), [counts_Q2.sum(1) >= 2], votes, seed
            ),
        },
    }


def _rater_results(answer_Q: np.ndarray, votes: SurveyVotes, seed: int, *, judged: bool) -> dict[str, Any]:
    """Results of one rater: Cohen's kappa with the judge, balanced accuracy on real concepts, the share of
    decoys' activating cases rejected, and balanced accuracy on activating cases of real concepts against decoys'."""
    found: dict[str, Any] = {}
    answered_Q = ~np.isnan(answer_Q)
    if judged:
        both_Q = answered_Q & ~np.isnan(votes.judge_Q)
        found["judged"] = int(both_Q.sum())
        cells_Q4 = agreement.cells(answer_Q, votes.judge_Q)
        found |= _with_interval("kappa_judge", agreement.cohen, cells_Q4, [both_Q], votes, seed)
    real_Q, decoy_Q = answered_Q & ~votes.decoy_Q, answered_Q & votes.decoy_Q & votes.active_Q
    active_real_Q = real_Q & votes.active_Q
    rejected_Q2 = np.column_stack([decoy_Q & (answer_Q == 0), decoy_Q])
    separated_Q4 = np.column_stack([active_real_Q & (answer_Q == 1), active_real_Q, rejected_Q2])
    right_Q4 = _right(answer_Q, votes) * ~votes.decoy_Q[:, None]
    return {
        **found,
        **_with_interval("confidence", agreement.balanced, right_Q4, [real_Q], votes, seed),
        **_with_interval("decoys_rejected", agreement.share, rejected_Q2, [decoy_Q], votes, seed),
        **_with_interval("real_against_decoy", agreement.balanced, separated_Q4, [active_real_Q, decoy_Q], votes, seed),
    }


def _right(answer_Q: np.ndarray, votes: SurveyVotes) -> np.ndarray:
    """The terms of balanced accuracy, `(Q, 4)`: yes on activating cases, no on non-activating ones."""
    answered_Q, active_Q = ~np.isnan(answer_Q), votes.active_Q
    return np.column_stack(
        [active_Q & (answer_Q == 1), active_Q & answered_Q, ~active_Q & (answer_Q == 0), ~active_Q & answered_Q]
    )


def _with_interval(
    name: str, statistic: Statistic, terms_QT: np.ndarray, sides: Sequence[np.ndarray], votes: SurveyVotes, seed: int
) -> dict[str, Any]:
    """A statistic and its interval; `sides` as in `agreement.interval`."""
    value = agreement.known(statistic(terms_QT.sum(0)))
    bounds = None if value is None else agreement.interval(statistic, terms_QT, votes.concept_Q, sides, seed)
    return {name: value, f"{name}_interval": None if bounds is None else list(bounds)}
