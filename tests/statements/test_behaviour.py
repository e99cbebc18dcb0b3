"""Features of cases whose values are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsae.data.catalogue import Catalogue
from recsae.statements import behaviour
from recsae.statements.behaviour import About, attributes_of, features, same_attribute
from recsae.statements.clock import Clock
from recsae.statements.language import HISTORY

GENRES = [["Drama"], ["Drama", "War"], ["War"], [], ["Comedy"], ["Drama"], ["War"], ["Comedy"]]
CATALOGUE = Catalogue(
    [f"i{item}" for item in range(8)],
    [f"Film {item}" for item in range(8)],
    [{"id": [str(item)]} | ({"genres": values} if values else {}) for item, values in enumerate(GENRES)],
    np.arange(8),
)
ALONG, ACROSS, NONE = (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)
ABOUT = About(
    np.arange(8) / 8,
    np.array([ALONG, ALONG, ACROSS, NONE, ALONG, ALONG, ACROSS, ACROSS], np.float32),
    attributes_of(CATALOGUE),
    None,
)


def found(history: list[int], about: About = ABOUT, times: list[int] | None = None) -> dict[str, float]:
    history_BL = np.full((1, HISTORY), -1)
    history_BL[0, : len(history)] = history
    time_BT = np.array([times]) if times else None
    by_name = features(history_BL, np.array([len(history)]), about, time_BT)
    return {name: float(values[0]) for name, values in by_name.items()}


def test_a_history_known_by_hand() -> None:
    of = found([2, 1, 2, 0])
    assert of[behaviour.LENGTH] == 4
    assert of[behaviour.POPULARITY] == pytest.approx(5 / 32)
    assert of[behaviour.REPEATS] == 0.25
    assert of[behaviour.DIVERSITY] == pytest.approx(4 / 6)  # of six pairs, four are orthogonal
    assert of[behaviour.SAME_ITEM] == 0
    assert of[same_attribute("genres")] == 1


def test_an_item_after_itself() -> None:
    assert found([2, 2])[behaviour.SAME_ITEM] == 1


def test_items_without_a_vector_or_value_do_not_count() -> None:
    of = found([3, 0, 1])
    assert of[behaviour.DIVERSITY] == pytest.approx(0)
    assert np.isnan(of[same_attribute("genres")])


def test_one_event_has_nothing_before_it() -> None:
    of = found([2])
    assert all(np.isnan(of[name]) for name in (behaviour.DIVERSITY, behaviour.SAME_ITEM, same_attribute("genres")))


def test_no_event_has_only_a_length() -> None:
    of = found([])
    assert of.pop(behaviour.LENGTH) == 0
    assert all(np.isnan(value) for value in of.values())


def test_attributes_that_tell_every_item_are_not_compared() -> None:
    assert list(attributes_of(CATALOGUE)) == ["genres"]


def test_times_in_days_hours_and_weekdays() -> None:
    hour, day = 3_600_000_000, 86_400_000_000
    friday = 19_723 * day + 4 * day  # 2024-01-05
    of = found([1, 0], ABOUT._replace(clock=Clock(day)), [friday + 21 * hour, friday + 9 * hour])
    assert of[behaviour.DAYS] == 0.5
    assert of[behaviour.HOUR] == 21
    assert of[behaviour.WEEKDAY] == 4


def test_steps_of_an_unknown_unit_have_gaps_alone() -> None:
    of = found([1, 0], ABOUT._replace(clock=Clock(None)), [7, 5])
    assert of[behaviour.GAP] == 2
    assert behaviour.HOUR not in of
