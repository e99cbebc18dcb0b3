"""Draws a blind sample of a served dictionary: real concepts and decoys, with activating and non-activating cases.

People are asked whether the statement in words fits what it is about: the item recommended, the last item, or the last
ten. Cases come from score users, who took no part in finding or choosing it; targets are never read. A decoy is a
shuffled control of the stage `statements`: the statement with the cases of its control latent. A behaviour is not asked
about, as people do not see it in items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from recsae.data.catalogue import Catalogue
from recsae.errors import BadInput
from recsae.lookup import cases
from recsae.lookup.served import Row, Served
from recsae.schemas.base import ACTIVE_ROLES, SILENT_ROLES
from recsae.statements import features
from recsae.statements.evaluation import Cases, holds, last_events
from recsae.statements.language import ITEM_BODIES, Behaviour, Statement, from_json
from recsae.store.tables import among
from recsae.survey.key import Case, Key, SurveyConcept

COLUMNS = (
    *("latent", "stable_id", "name", "words", "statement", "kind", "group", "interpretable", "view", "model"),
    *("confidence", "confidence_lower", "confidence_upper", "confidence_shuffled"),
    *("judge_name", "judge_confidence", "judge_lower", "judge_upper"),
)
EXACT = ("confidence", "confidence_lower", "confidence_upper")
JUDGE = ("judge_confidence", "judge_lower", "judge_upper")
EVIDENCE = ("latent", "role", "case_id", "user_idx", "position", "top_idx", "item_idx", "activation")


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
    rows = [row for row in served.rows("concepts", "concepts.parquet", COLUMNS) if _can_be_asked(row)]
    if not rows:
        raise BadInput("the served dictionary has no statement about items, so there is nothing to survey")
    draw = np.random.default_rng(size.seed)
    control = _controls(served)
    drawer = Drawer(served, size.cases // 2, draw)
    candidates = _one_per_group(rows, draw)
    real = list(_take(candidates, size.concepts, lambda row: drawer.concept(row, row["latent"])))
    asked = {one.latent for one in real}
    remaining = [row for row in candidates if row["latent"] not in asked and row["latent"] in control]
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


def _can_be_asked(row: Row) -> bool:
    """Whether it has a statement about items: exact, or a free text."""
    return row["statement"] is not None and not isinstance(from_json(row["statement"]).body, Behaviour)


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
    """For each latent, the control latent before which the stage `statements` put its statement."""
    where = pc.field("role") == "shuffled"
    rows = served.rows("statements", "statement_scores.parquet", ("latent", "on_latent"), where)
    return {row["latent"]: row["on_latent"] for row in rows}


class Drawer:
    """Draws cases of latents with the judge's verdicts; tables are read per latent, on demand."""

    def __init__(self, served: Served, half: int, draw: np.random.Generator) -> None:
        self._served, self._half, self._draw = served, half, draw
        self._catalogue = Catalogue.read(served.made["ingest"])
        self._features = features.read(self._catalogue, served.made["statements"])

    def concept(self, row: Row, of: int) -> SurveyConcept | None:
        """The concept of `row` with shuffled cases of the latent `of`; None if it has too few different items.

        Each item, or history, is asked about once; one with both kinds of cases counts as activating.
        """
        statement, decoy = from_json(row["statement"]), of != row["latent"]
        item = "top_idx" if statement.view == "recommended" else "item_idx"
        key = "case_id" if statement.view == "history" else item
        where = among("latent", [of]) & (pc.field("part") == "score") & pc.field(item).is_valid()
        evidence = self._served.rows("evidence", "evidence.parquet", EVIDENCE, where)
        active = self._pick(evidence, key, ACTIVE_ROLES, set())
        non_activating = self._pick(evidence, key, SILENT_ROLES, {case[key] for case in active})
        if min(len(active), len(non_activating)) < self._half:
            return None
        both = [*active, *non_activating]
        both = [both[place] for place in self._draw.permutation(len(both))]
        histories = self._histories(both) if statement.view == "history" else [[case[item]] for case in both]
        verdicts = self._verdicts(row, statement, both, histories)
        exact = isinstance(statement.body, ITEM_BODIES)
        confidence, lower, upper = (row[name] for name in (JUDGE if not exact else EXACT))
        return SurveyConcept(
            latent=row["latent"],
            stable_id=row["stable_id"],
            name=row["words"],
            statement_view=statement.view,
            decoy=decoy,
            cases_of=of,
            interpretable=row["interpretable"],
            confidence=row["confidence_shuffled"] if decoy else confidence,
            lower=None if decoy else lower,
            upper=None if decoy else upper,
            cases=tuple(
                Case(
                    case_id=case["case_id"],
                    item_id=self._catalogue.ids[case[item]],
                    text=self._text(items),
                    role=case["role"],
                    active=case["role"] in ACTIVE_ROLES,
                    activation=case["activation"],
                    judge=verdict,
                )
                for case, items, verdict in zip(both, histories, verdicts, strict=True)
            ),
        )

    def _histories(self, rows: Sequence[Row]) -> list[list[int]]:
        """The last ten items of each case, latest first."""
        events = cases.events(self._served, {row["user_idx"] for row in rows})
        found = []
        for row in rows:
            before = [one["item_idx"] for one in events[row["user_idx"]] if one["position"] < row["position"]]
            found.append([item for item in last_events(np.array(before), len(before)).tolist() if item >= 0])
        return found

    def _verdicts(
        self, row: Row, statement: Statement, rows: Sequence[Row], histories: Sequence[Sequence[int]]
    ) -> list[bool | None]:
        """Whether the statement holds of each case: exactly, or, of a free text, by the language model."""
        if isinstance(statement.body, ITEM_BODIES):
            history_BL = np.array([last_events(np.array(items[::-1]), len(items)) for items in histories])
            item_B = history_BL[:, 0]
            return [
                bool(one) for one in holds([statement], self._features, Cases(item_B, item_B, history_BL, {}))[:, 0]
            ]
        items = [case_items[0] for case_items in histories]
        known = cases.verdicts(self._served, [row["judge_name"]], items)
        centre = cases.centres(self._served, [row["latent"]]).get(row["latent"])
        return [cases.says_yes(known, row["judge_name"], item, centre) for item in items]

    def _text(self, items: Sequence[int]) -> str:
        if len(items) == 1:
            return self._catalogue.text(items[0])
        return " · ".join(self._catalogue.titles[item] for item in items)

    def _pick(self, rows: Sequence[Row], key: str, roles: Sequence[str], taken: set[int]) -> list[Row]:
        """Half the cases, distinct by `key` and not in `taken`, drawn from the roles in turn."""
        drawn = [rows[place] for place in self._draw.permutation(len(rows))]
        of_role = [[row for row in drawn if row["role"] == role] for role in roles]
        in_turn = sorted(
            ((place, number, row) for number, found in enumerate(of_role) for place, row in enumerate(found)),
            key=lambda one: one[:2],
        )
        picked: list[Row] = []
        for _, _, row in in_turn:
            if row[key] not in taken and len(picked) < self._half:
                picked.append(row)
                taken = taken | {row[key]}
        return picked
