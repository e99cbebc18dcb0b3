"""Reads statements out in words.

Titles and terms come from the catalogue and may hold anything: what shows the words escapes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recsae.statements import behaviour
from recsae.statements.language import (
    HISTORY,
    Behaviour,
    Body,
    Formula,
    FreeText,
    ItemSet,
    Range,
    Statement,
    Term,
)

SHOWN = 3
"""Seeds or listed items that are named."""
BEFORE: Mapping[str, str] = {"recommended": "recommends", "last": "after", "item": ""}
POPULARITY = "popularity"
PAUSES = (
    "short pause before the last event",
    "long pause before the last event",
    "pause of medium length before the last event",
)
QUALITIES: Mapping[str, tuple[str, str, str, str]] = {
    behaviour.LENGTH: ("short history", "long history", "history of medium length", "{} events"),
    behaviour.POPULARITY: (
        "unpopular items in the last ten",
        "popular items in the last ten",
        "items of medium popularity in the last ten",
        "mean popularity {}",
    ),
    behaviour.REPEATS: ("few repeats in the last ten", "many repeats in the last ten", "some repeats", "share {}"),
    behaviour.DIVERSITY: ("similar items in the last ten", "varied last ten", "mixed last ten", "mean distance {}"),
    behaviour.DAYS: (*PAUSES, "{}"),
    behaviour.GAP: (*PAUSES, "{} in the unit of the timestamps"),
}
"""What a low, a high and a medium value is called, and its measure."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def in_words(statement: Statement, titles: Mapping[str, str]) -> str:
    """The statement as a phrase: `after Comedy, 1990s, not Drama`, `recommends items around Clueless and Quiz Show`.

    `titles` holds titles by external item id.
    """
    body = statement.body
    if isinstance(body, (Behaviour, FreeText)):
        return body_in_words(body, titles)
    words = body_in_words(body, titles)
    if statement.min_share is None:
        return f"{BEFORE[statement.view]} {words}".strip()
    return f"at least {statement.min_share * HISTORY:.0f} of the last {HISTORY}: {words}"


def body_in_words(body: Body, titles: Mapping[str, str]) -> str:
    """The body without its view."""
    if isinstance(body, Behaviour):
        return behaviour_in_words(body)
    if isinstance(body, FreeText):
        return body.text
    if isinstance(body, Formula):
        return formula_in_words(body)
    if isinstance(body, ItemSet):
        return "items around " + listed([titles.get(seed, seed) for seed in body.seeds[:SHOWN]])
    shown = listed([titles.get(item, item) for item in body.items[:SHOWN]])
    more = len(body.items) - SHOWN
    return f"{shown} or {more} more" if more > 0 else shown


def formula_in_words(formula: Formula) -> str:
    """`Thriller or Action, 1990s, not Drama`: a comma reads "and"; brackets where the order needs them."""
    words = _literal(formula.literal, formula.negated)
    last = None
    for step in formula.steps:
        if step.op == "or" and last == "and":
            words = f"({words})"
        joint = " or " if step.op == "or" else ", "
        if step.op == "and" and last == "or":
            words = f"({words})"
        words += joint + _literal(step.literal, step.negated)
        last = step.op
    return words


def behaviour_in_words(body: Behaviour) -> str:
    """`short history (up to 5 events)`, `popular items in the last ten (mean popularity from 0.8)`."""
    if body.feature in QUALITIES:
        low, high, between, measure = QUALITIES[body.feature]
        word = high if body.high is None else low if body.low is None else between
        return f"{word} ({measure.format(_range(body, duration if body.feature == behaviour.DAYS else _number))})"
    if body.feature == behaviour.WEEKDAY:
        first, last = round(body.low or 0), 6 if body.high is None else round(body.high)
        return f"last event on {WEEKDAYS[first]}" + (f" to {WEEKDAYS[last]}" if last > first else "")
    if body.feature == behaviour.HOUR:
        until = 23 if body.high is None else body.high
        return f"last event from {body.low or 0:02.0f}:00 to {until:02.0f}:59 UTC"
    if body.feature.startswith("same "):
        return body.feature if body.low is not None else _not_the_same(body.feature)
    return f"{body.feature} {_range(body)}"


def _not_the_same(feature: str) -> str:
    if feature == behaviour.SAME_ITEM:
        return "another item than the event before"
    attribute = feature.removeprefix("same ").removesuffix(" as the event before")
    return f"no {attribute} in common with the event before"


def duration(days: float) -> str:
    """`3 days`, `20 minutes`: in the largest unit of which there is at least one."""
    for unit, of_day in (("day", 1), ("hour", 24), ("minute", 1440)):
        if days * of_day >= 1:
            amount = np.format_float_positional(days * of_day, precision=2, fractional=False, trim="-")
            return f"{amount} {unit}{'' if amount == '1' else 's'}"
    return f"{_number(round(days * 86_400))} seconds"


def listed(names: Sequence[str]) -> str:
    """`A, B and C`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _literal(literal: Term | Range, negated: bool) -> str:
    words = literal.term if isinstance(literal, Term) else _number_in_words(literal)
    return f"not {words}" if negated else words


def _number_in_words(one: Range) -> str:
    """`year 1984 to 1991`; popularity, a quantile, as `among the most popular 20 %`."""
    if one.feature != POPULARITY:
        return f"{one.feature} {_range(one)}"
    if one.high is None:
        return f"among the most popular {_percent(1 - (one.low or 0))}"
    if one.low is None:
        return f"not among the most popular {_percent(1 - one.high)}"
    return f"among the most popular {_percent(1 - one.low)} but not the first {_percent(1 - one.high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _range(one: Range | Behaviour, spelt: Callable[[float], str] | None = None) -> str:
    low, high = (None if end is None else (spelt or _number)(end) for end in (one.low, one.high))
    if low is None:
        return f"up to {high}"
    if high is None:
        return f"from {low}"
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    if abs(value - round(value)) < 1e-6 and abs(value) < 1e15:
        return str(round(value))
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
