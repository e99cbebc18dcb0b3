"""Applies statements to items and to cases, exactly.

Shape suffixes: I items, S statements, B cases, L the last ten events of a case, latest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from scipy import sparse

from recsae.statements.features import ItemFeatures
from recsae.statements.language import (
    HISTORY,
    Behaviour,
    Formula,
    FreeText,
    ItemList,
    ItemSet,
    Range,
    Statement,
    Term,
)


class Cases(NamedTuple):
    """Cases as statements see them."""

    recommended_B: np.ndarray
    """int32 item_idx of the unseen item that the model ranks first; -1 where it is not known."""
    last_B: np.ndarray
    """int32 item_idx of the last event; at the site `item`, the item itself."""
    history_BL: np.ndarray
    """int32 item_idx of the last ten events, latest first; -1 pads."""
    behaviour: Mapping[str, np.ndarray]
    """`(B,)` float64 by feature of behaviour.py; NaN where a case has none."""

    def of_view(self, view: str) -> np.ndarray:
        """The item of each case in a view of one item."""
        return self.recommended_B if view == "recommended" else self.last_B

    def take(self, rows: np.ndarray) -> Cases:
        behaviour = {name: values[rows] for name, values in self.behaviour.items()}
        return Cases(self.recommended_B[rows], self.last_B[rows], self.history_BL[rows], behaviour)


def satisfied_by(body: Formula | ItemSet | ItemList, features: ItemFeatures) -> np.ndarray:
    """Which items satisfy the body, `(I,)` bool.

    Raises KeyError where it names a term, number or space that the features do not have. Items of another catalogue
    are left out.
    """
    if isinstance(body, ItemSet):
        return cosines(body, features) >= body.min_cosine
    if isinstance(body, ItemList):
        listed = np.zeros(features.n_items, dtype=bool)
        listed[[features.index[item] for item in body.items if item in features.index]] = True
        return listed
    holds = _literal(body.literal, features) ^ body.negated
    for step in body.steps:
        other = _literal(step.literal, features) ^ step.negated
        holds = holds & other if step.op == "and" else holds | other
    return np.asarray(holds)


def cosines(body: ItemSet, features: ItemFeatures) -> np.ndarray:
    """The cosine of every item with the mean of the seeds' unit vectors, `(I,)` float32; -2 where it has no vector."""
    vectors = features.spaces[body.space]
    cosine_I = vectors @ centre(vectors, _known_seeds(body, features))
    return np.where(features.has_vector(body.space), cosine_I, np.float32(-2))


def _known_seeds(body: ItemSet, features: ItemFeatures) -> list[int]:
    return [features.index[seed] for seed in body.seeds if seed in features.index]


def centre(vectors: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """The unit vector of the mean of the seeds' vectors; zeros where they cancel out."""
    total = vectors[list(seeds)].sum(axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), dtype=np.float32)


def membership(statements: Sequence[Statement], features: ItemFeatures) -> np.ndarray:
    """Which items satisfy the bodies, `(I, S)` bool; all False for behaviour and free text."""
    member_IS = np.zeros((features.n_items, len(statements)), dtype=bool, order="F")
    sets: dict[str, list[int]] = {}
    for number, statement in enumerate(statements):
        if isinstance(statement.body, ItemSet):
            sets.setdefault(statement.body.space, []).append(number)
        elif not isinstance(statement.body, (Behaviour, FreeText)):
            member_IS[:, number] = satisfied_by(statement.body, features)
    for space, numbers in sets.items():
        vectors = features.spaces[space]
        bodies = [cast(ItemSet, statements[number].body) for number in numbers]
        centres = np.stack([centre(vectors, _known_seeds(body, features)) for body in bodies], axis=1)
        least_S = np.array([body.min_cosine for body in bodies], dtype=np.float32)
        member_IS[:, numbers] = (vectors @ centres >= least_S) & features.has_vector(space)[:, None]
    return np.ascontiguousarray(member_IS)


def holds(statements: Sequence[Statement], features: ItemFeatures, cases: Cases) -> np.ndarray:
    """Which statements hold of which cases, `(B, S)` bool; a case whose item or feature is not known: False.

    Raises ValueError on free text, which only a language model can judge.
    """
    return holds_given(statements, membership(statements, features), cases)


def holds_given(statements: Sequence[Statement], member_IS: np.ndarray, cases: Cases) -> np.ndarray:
    """As `holds`, with the items that satisfy the bodies."""
    holds_BS = np.zeros((len(cases.last_B), len(statements)), dtype=bool)
    by_view: dict[str, list[int]] = {}
    for number, statement in enumerate(statements):
        if isinstance(statement.body, FreeText):
            raise ValueError(f"free text cannot be evaluated: {statement.body.text}")
        if isinstance(statement.body, Behaviour):
            holds_BS[:, number] = within(cases.behaviour[statement.body.feature], statement.body)
        else:
            by_view.setdefault(statement.view, []).append(number)
    for view, numbers in by_view.items():
        if view == "history":
            least_S = np.array([statements[number].min_share for number in numbers], dtype=np.float64)
            columns, place_S = _distinct([statements[number].body for number in numbers])
            share_BC = shares(cases.history_BL, member_IS[:, [numbers[column] for column in columns]])
            holds_BS[:, numbers] = share_BC[:, place_S] >= least_S - 1e-6
        else:
            item_B = cases.of_view(view)
            holds_BS[:, numbers] = member_IS[item_B.clip(min=0)][:, numbers] & (item_B >= 0)[:, None]
    return holds_BS


def _distinct(bodies: Sequence[object]) -> tuple[list[int], list[int]]:
    """Where each different body first stands, and the place of each body among them."""
    first: dict[object, int] = {}
    places = [first.setdefault(body, len(first)) for body in bodies]
    return [places.index(place) for place in range(len(first))], places


def shares(history_BL: np.ndarray, member_IS: np.ndarray) -> np.ndarray:
    """The share of each history's events whose item is a member, `(B, S)` float32; -1 for an empty history."""
    known_BL = history_BL >= 0
    length_B = known_BL.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(length_B)])
    ones = np.ones(int(starts[-1]), dtype=np.float32)
    events = sparse.csr_matrix((ones, history_BL[known_BL], starts), shape=(len(history_BL), len(member_IS)))
    share_BS = (events @ member_IS.astype(np.float32)) / np.maximum(length_B, 1)[:, None]
    share_BS[length_B == 0] = -1
    return np.asarray(share_BS)


def last_events(items: np.ndarray, stop: int, events: int = HISTORY) -> np.ndarray:
    """The `events` items before index `stop`, latest first, padded with -1."""
    found = items[max(0, stop - events) : stop][::-1]
    return np.pad(found, (0, events - len(found)), constant_values=-1)


def within(values: np.ndarray, range_: Range | Behaviour) -> np.ndarray:
    """Which values lie in the range; NaN does not."""
    inside = ~np.isnan(values)
    if range_.low is not None:
        inside &= values >= range_.low
    if range_.high is not None:
        inside &= values <= range_.high
    return np.asarray(inside)


def _literal(literal: Term | Range, features: ItemFeatures) -> np.ndarray:
    if isinstance(literal, Term):
        return features.has_term(literal.term)
    return within(features.numbers[literal.feature], literal)
