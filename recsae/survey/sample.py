"""Draws a blind sample of a served dictionary: real concepts, and decoys, each with activating and silent cases.

Cases are of score users, who had no part in writing or choosing a concept, and among those that the judge was asked
about; targets are never read. A decoy is a shuffled control of the stage `scores`: the concept before the cases of the
latent that the judge saw it before, so that people and judge answer the same questions. It knows the served tables, and
nothing of forms.
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
from recsae.lookup.served import Row, Served, among
from recsae.schemas.base import ACTIVE_ROLES, SILENT_ROLES
from recsae.scores.controls import draw_controls
from recsae.survey.key import Case, Key, SurveyConcept

COLUMNS = (
    *("latent", "stable_id", "name", "group", "interpretable", "view", "model"),
    *("confidence", "confidence_lower", "confidence_upper", "confidence_shuffled"),
)
EVIDENCE = ("latent", "role", "case_id", "top_idx", "item_idx", "activation")


class SurveySize(NamedTuple):
    """How much is asked."""

    concepts: int
    decoys: int
    cases: int
    """Of each, half of them activating."""
    seed: int


def draw_sample(served: Served, run: str, asked: SurveySize) -> Key:
    """Every concept is there once, whatever the number of latents that share it; half of the real ones are
    interpretable where there are so many.

    Raises BadInput where the dictionary has fewer different concepts with enough cases than are asked for.
    """
    rows = served.rows("concepts", "concepts.parquet", COLUMNS, pc.field("confidence").is_valid())
    if not rows:
        raise BadInput("the served dictionary has no scored concept, so there is nothing to ask people about")
    draw = np.random.default_rng(asked.seed)
    control = _controls(served)
    drawer = _Drawer(served, rows[0]["view"], asked.cases // 2, draw)
    offered = _different(rows, draw)
    real = list(_take(offered, asked.concepts, lambda row: drawer.concept(row, row["latent"])))
    names = {one.name for one in real}
    left = [row for row in offered if row["name"] not in names and row["latent"] in control]
    decoys = list(_take(left, asked.decoys, lambda row: drawer.concept(row, control[row["latent"]])))
    if len(real) < asked.concepts or len(decoys) < asked.decoys:
        raise BadInput(
            f"--concepts {asked.concepts} and --decoys {asked.decoys}: {len(real)} and {len(decoys)} can be drawn of "
            f"{len(offered)} different concepts with {asked.cases} cases each; ask for fewer"
        )
    both = [*real, *decoys]
    shuffled = tuple(both[place] for place in draw.permutation(len(both)))
    key = Key(
        survey="",
        run=run,
        night=str(served.record["night"]),
        view=rows[0]["view"],
        model=rows[0]["model"],
        seed=asked.seed,
        concepts=shuffled,
    )
    return key.model_copy(update={"survey": key.digest()})


def _different(rows: Sequence[Row], draw: np.random.Generator) -> list[Row]:
    """One latent of each group, drawn; interpretable concepts and others in turn."""
    by_group: dict[int, Row] = {}
    for place in draw.permutation(len(rows)):
        by_group.setdefault(rows[place]["group"], rows[place])
    sides = [[row for row in by_group.values() if row["interpretable"] == side] for side in (True, False)]
    in_turn = [(place, side, row) for side, of_side in enumerate(sides) for place, row in enumerate(of_side)]
    return [row for _, _, row in sorted(in_turn, key=lambda one: one[:2])]


def _take(rows: Sequence[Row], count: int, make: Callable[[Row], SurveyConcept | None]) -> Iterator[SurveyConcept]:
    """The first `count` that have enough cases."""
    taken = 0
    for row in rows:
        if taken == count:
            return
        made = make(row)
        if made is not None:
            taken += 1
            yield made


def _controls(served: Served) -> dict[int, int]:
    """By latent the one on whose cases the stage `scores` judged its concept as a control."""
    proposals = read_proposals(served.made["labels"])
    where = (pc.field("part") == "score") & (pc.field("judge") == "llm") & (pc.field("control") == "none")
    chosen = {(row["latent"], row["candidate"]) for row in served.rows("scores", "scores.parquet", None, where)}
    finalists = [one for one in proposals.finalists if (one.latent, one.candidate) in chosen]
    return draw_controls(finalists, proposals.words, int(served.made["scores"].manifest["config"]["seed"]))


class _Drawer:
    """Cases of latents, and what the judge said of them; read when a latent's turn comes."""

    def __init__(self, served: Served, view: str, half: int, draw: np.random.Generator) -> None:
        self._served, self._half, self._draw = served, half, draw
        self._item = cases.shown_column(view)
        self._catalogue = Catalogue.read(served.made["ingest"])

    def concept(self, row: Row, of: int) -> SurveyConcept | None:
        """A name before the cases of a latent, shuffled; None where it has too few different items.

        An item is asked about once: one that the latent fires at now and then stands among the activating ones.
        """
        name, decoy = row["name"], of != row["latent"]
        where = among("latent", [of]) & (pc.field("part") == "score") & pc.field(self._item).is_valid()
        evidence = self._served.rows("evidence", "evidence.parquet", EVIDENCE, where)
        said = cases.verdicts(self._served, [name], [case[self._item] for case in evidence])
        asked = [case for case in evidence if (name, case[self._item]) in said] or evidence
        active = self._pick(asked, ACTIVE_ROLES, set())
        silent = self._pick(asked, SILENT_ROLES, {case[self._item] for case in active})
        if min(len(active), len(silent)) < self._half:
            return None
        both = [*active, *silent]
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
                self._case(case, cases.says_yes(said, name, case[self._item], centre))
                for case in (both[place] for place in self._draw.permutation(len(both)))
            ),
        )

    def _pick(self, rows: Sequence[Row], roles: Sequence[str], taken: set[int]) -> list[Row]:
        """So many cases of other items than `taken` and than each other, drawn from the roles in turn."""
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
