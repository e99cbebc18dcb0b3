"""Names that a language model writes by contrast: a few first, then all, then drawn ones and one round of correction.

A model that cannot write copies a title or says something else that does not tell the latent's cases from others. It
is noticed on the first latents, by the judge on select users, and not asked further.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from recsae.data.catalogue import Catalogue
from recsae.evidence.cases import LatentCases
from recsae.labels import prompts
from recsae.labels.asking import Asker
from recsae.labels.candidates import Usage, prompt_items
from recsae.labels.rows import Row, free_row
from recsae.labels.select_users import OnSelect, SelectCases, SelectJudge
from recsae.labels.truncation import NameQuestion
from recsae.schemas.base import NEAR_DIRECTION, NEAR_MISS
from recsae.store.run_store import Metrics

log = logging.getLogger(__name__)

FIRST = 8
"""Latents whose names show whether the model can write."""
HOLDING = 0.3
"""Least share of the first names that hold on select users and differ; below it the rest is not asked."""
DRAWN = 2
"""Names drawn by the seed for each latent, beside the likeliest."""
CONTRAST = 6
"""Hard negatives in a naming prompt."""
MISJUDGED = 2
"""Misjudged select cases of each kind that a correction shows."""
NOT_HOLDING = "no better than guessing"


class Subject(NamedTuple):
    """What names of one latent are written from and judged on."""

    latent: int
    evidence: np.ndarray
    """Items of its explain cases, one entry per case."""
    shown: np.ndarray
    """Items in the prompt, most informative first."""
    contrast: np.ndarray
    select: SelectCases

    @staticmethod
    def of(latent: int, cases: LatentCases, count: int) -> Subject:
        """With up to `count` items in the prompt."""
        shown = prompt_items(cases, count)
        return Subject(latent, cases.items("explain"), shown, hard_negatives(cases), SelectCases.of(cases))


class FreeNames(NamedTuple):
    """The names written, and whether the model can write."""

    rows: dict[int, list[Row]]
    """Rows of `labels` by latent; a latent that was not asked has none."""
    writes: bool
    counts: dict[str, int]
    """How many of the first names hold on select users (`held`), and by reason those that are of no use."""

    @property
    def metrics(self) -> Metrics:
        asked = sum(self.counts.values())
        return {"first": asked, "written": sum(map(len, self.rows.values())), **self.counts}


def hard_negatives(cases: LatentCases) -> np.ndarray:
    """Up to CONTRAST items of explain users that nearly activate the latent, or of other non-activating cases."""
    near = [cases.of_role("explain", role).item.tolist() for role in (NEAR_MISS, NEAR_DIRECTION)]
    alternately = [item for pair in zip(*near, strict=False) for item in pair]
    rest = cases.non_activating("explain", len(cases.item)).item.tolist()
    active = set(cases.items("explain").tolist())
    found = [item for item in dict.fromkeys([*alternately, *near[0], *near[1], *rest]) if item not in active]
    return np.array(found[:CONTRAST], dtype=np.int64)


class NameWriter:
    """Writes and judges the free names of a sample of latents."""

    def __init__(self, catalogue: Catalogue, usage: Usage, judge: SelectJudge, asker: Asker, seed: int) -> None:
        self._catalogue, self._usage, self._judge, self._asker = catalogue, usage, judge, asker
        self._seeds = range(seed, seed + DRAWN)

    def write(self, subjects: Sequence[Subject], wrote: bool | None = None) -> FreeNames:
        """Names of the first subjects and, where enough of these hold, of all of them.

        `wrote`: whether the same model could write last night. One that could not is not asked again; for one that
        could, fewer than FIRST names are too few to say otherwise.
        """
        if wrote is False:
            return FreeNames({}, writes=False, counts={})
        first = subjects[:FIRST]
        rows: dict[int, list[Row]] = {one.latent: [] for one in first}
        self._ask([(one, self._question(one)) for one in first], rows, "free names")
        counts = self._count(first, rows)
        if not (wrote and len(first) < FIRST) and counts["held"] < HOLDING * len(first):
            self._say_what_failed(len(first), counts)
            return FreeNames(rows, writes=False, counts=counts)
        more = [(one, self._question(one)) for one in subjects[FIRST:]]
        more += [(one, self._question(one)._replace(seed=seed)) for one in subjects for seed in self._seeds]
        self._ask(more, rows, "more free names")
        self._ask(self._corrections(subjects, rows), rows, "corrected names")
        return FreeNames({latent: _distinct(found) for latent, found in rows.items()}, writes=True, counts=counts)

    def _ask(self, questions: Sequence[tuple[Subject, NameQuestion]], rows: dict[int, list[Row]], phase: str) -> None:
        """Add the row of each answer to those of its latent."""
        asked = [question for _, question in questions]
        latents = len({one.latent for one, _ in questions})
        answers = self._asker.write(asked, prompts.NAME_SCHEMA, phase, latents, "names")
        for (one, _), answer in zip(questions, answers, strict=True):
            titles = [self._catalogue.titles[int(item)] for item in [*one.shown, *one.contrast]]
            row = free_row(answer, one.evidence, titles, self._usage) | {"model": self._asker.author}
            rows.setdefault(one.latent, []).append(row)

    def _question(self, one: Subject) -> NameQuestion:
        return NameQuestion(self._catalogue.texts(one.shown), self._catalogue.texts(one.contrast))

    def _judged(
        self, subjects: Sequence[Subject], rows: Mapping[int, Sequence[Row]], phase: str
    ) -> list[tuple[Subject, Row, OnSelect]]:
        """All names that passed as such, with what they are worth on select users."""
        named = [(one, row) for one in subjects for row in rows[one.latent] if row["status"] == "ok"]
        results = self._judge.judge([(row["concept"], one.select) for one, row in named], phase)
        return [(one, row, result) for (one, row), result in zip(named, results, strict=True)]

    def _count(self, first: Sequence[Subject], rows: Mapping[int, Sequence[Row]]) -> dict[str, int]:
        """By reason, how many of the first names are of no use, most frequent first; `held`: the others.

        A name that several latents get counts once: one for everything says nothing.
        """
        judged = self._judged(first, rows, "judging the first names")
        holding = [row["concept"].casefold() for _, row, result in judged if result.holds]
        held = len(set(holding))
        failed = Counter(row["status"] for found in rows.values() for row in found if row["status"] != "ok")
        failed += Counter({NOT_HOLDING: len(judged) - len(holding), "repeated": len(holding) - held})
        return {"held": held, **dict(failed.most_common())}

    def _say_what_failed(self, asked: int, counts: Mapping[str, int]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items() if reason != "held")
        log.info(
            "labels: of the first %d names that %s wrote, %d hold on select users (%s): it is not asked for more",
            asked,
            self._asker.author,
            counts["held"],
            reasons,
        )

    def _corrections(
        self, subjects: Sequence[Subject], rows: Mapping[int, Sequence[Row]]
    ) -> list[tuple[Subject, NameQuestion]]:
        """For the best name of each latent, a question whose lists begin with the cases that it misjudges most."""
        best: dict[int, tuple[Subject, Row, OnSelect]] = {}
        for one, row, result in self._judged(subjects, rows, "judging free names"):
            if result.auc is not None and (one.latent not in best or result.auc > (best[one.latent][2].auc or 0)):
                best[one.latent] = one, row, result
        questions = []
        for one, row, result in best.values():
            missed, taken = misjudged(one.select, result.value)
            if len(missed) or len(taken):
                plain = self._question(one)
                items, contrast = (self._catalogue.texts(found) for found in (missed, taken))
                asked = plain._replace(items=items + plain.items, contrast=contrast + plain.contrast)
                questions.append((one, asked._replace(tried=row["concept"])))
        return questions


def misjudged(cases: SelectCases, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Up to MISJUDGED items of activating cases that a text fits least, and of others that it fits best.

    Only those on the wrong side of the midpoint between the medians of both kinds.
    """
    known = ~np.isnan(value)
    item, active, value = cases.item[known], cases.active[known], value[known]
    centre = (np.median(value[active]) + np.median(value[~active])) / 2
    order = np.argsort(value, kind="stable")
    missed = [place for place in order if active[place] and value[place] <= centre]
    taken = [place for place in order[::-1] if not active[place] and value[place] > centre]
    first, second = (
        np.array(list(dict.fromkeys(item[places].tolist()))[:MISJUDGED], dtype=np.int64) for places in (missed, taken)
    )
    return first, second


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """The rows without repeated names, the first of each kept; a row that failed stays."""
    seen: set[str] = set()
    found = []
    for row in rows:
        key = row["concept"].casefold()
        if row["status"] == "ok" and key in seen:
            continue
        seen.add(key)
        found.append(row)
    return found
