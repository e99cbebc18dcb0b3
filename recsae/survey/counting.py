"""What the answers of a survey say: by concept, as the table SURVEY, and over all, by person and between people.

"Can't tell" and open questions count as no answer, and how many there were is told. The majority of a case is what more
people said; a tie is none. It knows keys and answers, and neither files nor terminals. Shape suffixes: R raters,
Q questions.
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
    """All answers, and what the key says of each question."""

    raters: list[str]
    told_RQ: np.ndarray
    """1 yes, 0 no, NaN where the person could not tell or left the question open."""
    unsure_RQ: np.ndarray
    concept_Q: np.ndarray
    """Place of its concept in the key."""
    decoy_Q: np.ndarray
    active_Q: np.ndarray
    judge_Q: np.ndarray
    """The language model's verdict as 1 or 0, NaN where there is none."""

    @property
    def open_RQ(self) -> np.ndarray:
        return np.asarray(np.isnan(self.told_RQ) & ~self.unsure_RQ)

    @property
    def share_Q(self) -> np.ndarray:
        """Of yes among yes and no; NaN where nobody said either."""
        said_Q = (~np.isnan(self.told_RQ)).sum(0)
        return np.where(said_Q > 0, np.nansum(self.told_RQ, 0) / np.maximum(said_Q, 1), np.nan)

    @property
    def majority_Q(self) -> np.ndarray:
        """1 or 0, NaN on a tie or where nobody said either."""
        share_Q = self.share_Q
        return np.where(np.isnan(share_Q) | (share_Q == 0.5), np.nan, (share_Q > 0.5).astype(np.float64))


def gather(key: Key, answers: Sequence[Answers]) -> SurveyVotes:
    ids = key.ids()
    told = [[one.answers.get(question) for question in ids] for one in answers]
    of_case = [(place, one, case) for place, one in enumerate(key.concepts) for case in one.cases]
    return SurveyVotes(
        [one.rater for one in answers],
        np.array([[VALUES.get(answer or "", np.nan) for answer in row] for row in told]),
        np.array([[answer == "unsure" for answer in row] for row in told]),
        np.array([place for place, _, _ in of_case]),
        np.array([one.decoy for _, one, _ in of_case]),
        np.array([case.active for _, _, case in of_case]),
        np.array([np.nan if case.judge is None else float(case.judge) for _, _, case in of_case]),
    )


def by_concept(key: Key, votes: SurveyVotes) -> pa.Table:
    """One row for each concept of the survey, in the schema SURVEY, by latent, real before decoy."""
    rows = [_row(key, place, votes) for place in range(len(key.concepts))]
    rows.sort(key=lambda row: (row["decoy"], row["latent"]))
    return conform(pa.Table.from_pylist(rows, SURVEY), SURVEY)


def _row(key: Key, place: int, votes: SurveyVotes) -> dict[str, Any]:
    concept, own = key.concepts[place], votes.concept_Q == place
    counts: dict[str, int] = {}
    for kind, here in (("active", own & votes.active_Q), ("silent", own & ~votes.active_Q)):
        told = votes.told_RQ[:, here]
        counts |= {
            f"yes_{kind}": int((told == 1).sum()),
            f"no_{kind}": int((told == 0).sum()),
            f"unsure_{kind}": int(votes.unsure_RQ[:, here].sum()),
        }
    active, silent = votes.share_Q[own & votes.active_Q], 1 - votes.share_Q[own & ~votes.active_Q]
    active, silent = active[~np.isnan(active)], silent[~np.isnan(silent)]
    recall, true_negative = (float(side.mean()) if len(side) else None for side in (active, silent))
    confidence: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    if recall is not None and true_negative is not None:
        confidence = (recall + true_negative) / 2
        bounds = agreement.balanced_interval(recall, len(active), true_negative, len(silent))
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
    """Figures over all concepts, as JSON: `people`, each with what he answered; `others`, the majority and the language
    model; between people `pairs` by Cohen's kappa, and `fleiss`. An interval resamples concepts; what cannot be
    measured is null."""
    people = [
        {
            "rater": rater,
            "answered": int((~np.isnan(told_Q)).sum()),
            "unsure": int(unsure_Q.sum()),
            "open": int(open_Q.sum()),
            **_figures(told_Q, votes, seed, judged=True),
        }
        for rater, told_Q, unsure_Q, open_Q in zip(
            votes.raters, votes.told_RQ, votes.unsure_RQ, votes.open_RQ, strict=True
        )
    ]
    pairs = []
    for first, second in combinations(range(len(votes.raters)), 2):
        cells = agreement.cells(votes.told_RQ[first], votes.told_RQ[second]).sum(0)
        raters = [votes.raters[first], votes.raters[second]]
        pairs.append(
            {"raters": raters, "questions": int(cells.sum()), "kappa": agreement.known(agreement.cohen(cells))}
        )
    counts_Q2 = np.stack([(votes.told_RQ == value).sum(0) for value in (1, 0)], axis=1)
    return {
        "people": people,
        "others": {
            "majority": _figures(votes.majority_Q, votes, seed, judged=True),
            "language model": _figures(votes.judge_Q, votes, seed, judged=False),
        },
        "pairs": pairs,
        "fleiss": {
            "questions": int((counts_Q2.sum(1) >= 2).sum()),
            **_told("kappa", agreement.fleiss, agreement.agreeing(counts_Q2), [counts_Q2.sum(1) >= 2], votes, seed),
        },
    }


def _figures(told_Q: np.ndarray, votes: SurveyVotes, seed: int, *, judged: bool) -> dict[str, Any]:
    """Of one who answers: Cohen's kappa with the language model, balanced accuracy on real concepts, the share of
    decoys' activating cases rejected, and balanced accuracy on activating cases of real concepts against decoys'."""
    found: dict[str, Any] = {}
    said_Q = ~np.isnan(told_Q)
    if judged:
        both_Q = said_Q & ~np.isnan(votes.judge_Q)
        found["judged"] = int(both_Q.sum())
        cells_Q4 = agreement.cells(told_Q, votes.judge_Q)
        found |= _told("kappa_judge", agreement.cohen, cells_Q4, [both_Q], votes, seed)
    real_Q, decoy_Q = said_Q & ~votes.decoy_Q, said_Q & votes.decoy_Q & votes.active_Q
    seen_Q = real_Q & votes.active_Q
    rejected_Q2 = np.column_stack([decoy_Q & (told_Q == 0), decoy_Q])
    apart_Q4 = np.column_stack([seen_Q & (told_Q == 1), seen_Q, rejected_Q2])
    right_Q4 = _right(told_Q, votes) * ~votes.decoy_Q[:, None]
    return {
        **found,
        **_told("confidence", agreement.balanced, right_Q4, [real_Q], votes, seed),
        **_told("decoys_rejected", agreement.share, rejected_Q2, [decoy_Q], votes, seed),
        **_told("real_against_decoy", agreement.balanced, apart_Q4, [seen_Q, decoy_Q], votes, seed),
    }


def _right(told_Q: np.ndarray, votes: SurveyVotes) -> np.ndarray:
    """The terms of balanced accuracy, `(Q, 4)`: yes on activating cases, and no on silent ones."""
    said_Q, active_Q = ~np.isnan(told_Q), votes.active_Q
    return np.column_stack([active_Q & (told_Q == 1), active_Q & said_Q, ~active_Q & (told_Q == 0), ~active_Q & said_Q])


def _told(
    name: str, statistic: Statistic, terms_QT: np.ndarray, sides: Sequence[np.ndarray], votes: SurveyVotes, seed: int
) -> dict[str, Any]:
    """A figure and its interval; `sides` as in `agreement.interval`."""
    value = agreement.known(statistic(terms_QT.sum(0)))
    bounds = None if value is None else agreement.interval(statistic, terms_QT, votes.concept_Q, sides, seed)
    return {name: value, f"{name}_interval": None if bounds is None else list(bounds)}
