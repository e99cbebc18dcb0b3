"""Draws a blind sample of a served dictionary: real concepts and decoys, with activating and non-activating cases.

Cases come from score users, who took no part in writing or choosing a concept, and from those that the judge was asked
about; targets are never read. A decoy is a shuffled control of the stage `scores`: the concept with the cases of its
control latent, so that people and judge answer the same questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from recsae.concepts.finalists import read_proposals
from recsae.data.catalogue import Catalogue
from recsae.errors import BadInput
from recsae.lookup import cases
from recsae.lookup.served import Row, Served
from recsae.schemas.base import ACTIVE_ROLES, SILENT_ROLES, item_column
from recsae.scores.controls import draw_controls
from recsae.store.tables import among
from recsae.survey.key import Case, Key, SurveyConcept

COLUMNS = (
    *("latent", "stable_id", "name", "group", "interpretable", "view", "model"),
    *("confidence", "confidence_lower", "confidence_upper", "confidence_shuffled"),
)
EVIDENCE = ("latent", "role", "case_id", "top_idx", "item_idx", "activation")


class SurveySize(NamedTuple):
    """The size of a survey."""

    concepts: int
    decoys: int
    cases: int
    """Per concept, half of them activating."""
    seed: int


def draw_sample(served: Served, run: str, size: SurveySize) -> Key:
    """The key of a new sample: every concept at most once, however many latents share it, and half of the real
    concepts interpretable if there are enough.

    Raises BadInput if the dictionary has too few different concepts with enough cases.
    """
    rows = served.rows("concepts", "concepts.parquet", COLUMNS, pc.field("confidence").is_valid())
    if not rows:
        raise BadInput("the served dictionary has no scored concept, so there is nothing to survey")
    draw = np.random.default_rng(size.seed)
    control = _controls(served)
    drawer = _Drawer(served, rows[0]["view"], size.cases // 2, draw)
    candidates = _one_per_group(rows, draw)
    real = list(_take(candidates, size.concepts, lambda row: drawer.concept(row, row["latent"])))
    names = {one.name for one in real}
    remaining = [row for row in candidates if row["name"] not in names and row["latent"] in control]
    decoys = list(_take(remaining, size.decoys, lambda row: drawer.concept(row, control[row["latent"]])))
    if len(real) < size.concepts or len(decoys) < size.decoys:
        raise BadInput(
            f"--concepts {size.concepts} and --decoys {size.decoys}: {len(real)} and {len(decoys)} can be drawn of "
            f"{len(candidates)} different concepts with {size.cases} cases each; ask for fewer"
        )
    both = [*real, *decoys]
    shuffled = tuple(both[place] for place in draw.permutation(len(both)))
    key = Key(
        survey="",
        run=run,
        night=str(served.record["night"]),
        view=rows[0]["view"],
        model=rows[0]["model"],
        seed=size.seed,
        concepts=shuffled,
    )
    return key.model_copy(update={"survey": key.digest()})


def _one_per_group(rows: Sequence[Row], draw: np.random.Generator) -> list[Row]:
    """One random latent of each group, alternating between interpretable concepts and others."""
    by_group: dict[int, Row] = {}
    for place in draw.permutation(len(rows)):
        by_group.setdefault(rows[place]["group"], rows[place])
    sides = [[row for row in by_group.values() if row["interpretable"] == side] for side in (True, False)]
    alternating = [(place, side, row) for side, of_side in enumerate(sides) for place, row in enumerate(of_side)]
    return [row for _, _, row in sorted(alternating, key=lambda one: one[:2])]


def _take(rows: Sequence[Row], count: int, make: Callable[[Row], SurveyConcept | None]) -> Iterator[SurveyConcept]:
    """Yields the first `count` concepts with enough cases."""
    taken = 0
    for row in rows:
        if taken == count:
            return
        concept = make(row)
        if concept is not None:
            taken += 1
            yield concept


def _controls(served: Served) -> dict[int, int]:
    """For each latent, the control latent on which the stage `scores` judged its concept."""
    proposals = read_proposals(served.made["labels"])
    where = (pc.field("part") == "score") & (pc.field("judge") == "llm") & (pc.field("control") == "none")
    chosen = {(row["latent"], row["candidate"]) for row in served.rows("scores", "scores.parquet", None, where)}
    finalists = [one for one in proposals.finalists if (one.latent, one.candidate) in chosen]
    return draw_controls(finalists, proposals.words, int(served.made["scores"].manifest["config"]["seed"]))


class _Drawer:
    """Draws cases of latents with the judge's verdicts; tables are read per latent, on demand."""

    def __init__(self, served: Served, view: str, half: int, draw: np.random.Generator) -> None:
        self._served, self._half, self._draw = served, half, draw
        self._item = item_column(view)
        self._catalogue = Catalogue.read(served.made["ingest"])

    def concept(self, row: Row, of: int) -> SurveyConcept | None:
        """The concept of `row` with shuffled cases of the latent `of`; None if it has too few different items.

        Each item is asked about once; an item with both kinds of cases counts as activating.
        """
        name, decoy = row["name"], of != row["latent"]
        where = among("latent", [of]) & (pc.field("part") == "score") & pc.field(self._item).is_valid()
        evidence = self._served.rows("evidence", "evidence.parquet", EVIDENCE, where)
        verdicts = cases.verdicts(self._served, [name], [case[self._item] for case in evidence])
        asked = [case for case in evidence if (name, case[self._item]) in verdicts] or evidence
        active = self._pick(asked, ACTIVE_ROLES, set())
        non_activating = self._pick(asked, SILENT_ROLES, {case[self._item] for case in active})
        if min(len(active), len(non_activating)) < self._half:
            return None
        both = [*active, *non_activating]
        centre = cases.centres(self._served, [row["latent"]]).get(row["latent"])
        return SurveyConcept(
            latent=row["latent"],
            stable_id=row["stable_id"],
            name=name,
            decoy=decoy,
            cases_of=of,
            interpretable=row["interpretable"],
            confidence=row["confidence_shuffled" if decoy else "confidence"],
            lower=None if decoy else row["confidence_lower"],
            upper=None if decoy else row["confidence_upper"],
            cases=tuple(
                self._case(case, cases.says_yes(verdicts, name, case[self._item], centre))
                for case in (both[place] for place in self._draw.permutation(len(both)))
            ),
        )

    def _pick(self, rows: Sequence[Row], roles: Sequence[str], taken: set[int]) -> list[Row]:
        """Half the cases, of distinct items not in `taken`, drawn from the roles in turn."""
        drawn = [rows[place] for place in self._draw.permutation(len(rows))]
        of_role = [[row for row in drawn if row["role"] == role] for role in roles]
        in_turn = sorted(
            ((place, number, row) for number, found in enumerate(of_role) for place, row in enumerate(found)),
            key=lambda one: one[:2],
        )
        picked: list[Row] = []
        for _, _, row in in_turn:
            if row[self._item] not in taken and len(picked) < self._half:
                picked.append(row)
                taken = taken | {row[self._item]}
        return picked

    def _case(self, case: Row, judge: bool | None) -> Case:
        return Case(
            case_id=case["case_id"],
            item_id=self._catalogue.ids[case[self._item]],
            text=self._catalogue.text(case[self._item]),
            role=case["role"],
            active=case["role"] in ACTIVE_ROLES,
            activation=case["activation"],
            judge=judge,
        )
