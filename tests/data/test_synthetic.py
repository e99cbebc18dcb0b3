"""A synthetic catalogue has the promised sizes and concepts, whatever the rows per table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsae.data.synthetic import (
    EXPONENT,
    INTERACTIONS,
    ITEMS,
    MAX_CONCEPTS,
    STRAY_EVERY,
    SyntheticSpec,
    concept_name,
    event_tables,
    followed_concepts,
    item_tables,
)
from recsae.errors import BadInput

SPEC = SyntheticSpec(users=2000, items=1500, events=20_000, concepts=10, seed=3)


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    found = pa.concat_tables(event_tables(SPEC)).to_pandas()
    found["user"], found["item"] = (found[name].str[5:].astype(int) for name in ("user_id", "item_id"))
    return found


def test_sizes_are_as_specified(events: pd.DataFrame) -> None:
    items = pa.concat_tables(item_tables(SPEC))
    assert items.schema == ITEMS and items.num_rows == items["item_id"].to_pandas().nunique() == SPEC.items
    assert len(events) == SPEC.events
    assert sorted(events.user.unique()) == list(range(SPEC.users))
    lengths = events.groupby("user").size()
    assert (lengths.min(), lengths.max()) == (5, 15), "a half more or less than the mean"
    assert events.groupby("user").timestamp.is_monotonic_increasing.all()


@pytest.mark.parametrize(("users", "events"), [(1, 6), (7, 50), (8, 48), (333, 4001)])
def test_users_share_all_events_and_none_has_too_few(users: int, events: int) -> None:
    found = pa.concat_tables(event_tables(SPEC._replace(users=users, events=events)))
    lengths = found["user_id"].to_pandas().value_counts()
    assert found.num_rows == events and len(lengths) == users and lengths.min() >= 3


@pytest.mark.slow
def test_rows_made_at_a_time_change_nothing(events: pd.DataFrame) -> None:
    for rows in (1, 777, 10**9):
        pd.testing.assert_frame_equal(
            pa.concat_tables(event_tables(SPEC, rows)).to_pandas(), events[INTERACTIONS.names]
        )
        assert pa.concat_tables(item_tables(SPEC, rows)).equals(pa.concat_tables(item_tables(SPEC)))


def test_tables_are_bounded_by_the_rows_requested() -> None:
    assert max(table.num_rows for table in event_tables(SPEC, 500)) <= 500 + 15
    assert max(table.num_rows for table in item_tables(SPEC, 500)) == 500


def test_another_seed_gives_another_catalogue(events: pd.DataFrame) -> None:
    other = pa.concat_tables(event_tables(SPEC._replace(seed=4))).to_pandas()
    assert (other.item_id.to_numpy() == events.item_id.to_numpy()).mean() < 0.2


def test_users_follow_their_concepts_in_runs_and_a_tenth_strays(events: pd.DataFrame) -> None:
    concept = events.item % SPEC.concepts
    follows = followed_concepts(SPEC, events.user.to_numpy())
    strays = (concept.to_numpy()[:, None] != follows).all(1)
    assert strays.mean() == pytest.approx(1 / STRAY_EVERY, abs=0.03)
    one = follows[:, 0] == follows[:, 1]
    assert one.mean() == pytest.approx(0.5, abs=0.05)
    within = (events.user.diff() == 0).to_numpy()
    stays = (concept.diff() == 0).to_numpy()
    assert 0.55 < stays[within & ~one].mean() < stays[within & one].mean()
    assert np.bincount(follows[:, 0], minlength=SPEC.concepts).min() > 0


def test_items_have_the_concept_that_their_users_follow(events: pd.DataFrame) -> None:
    items = pa.concat_tables(item_tables(SPEC)).to_pandas()
    assert items.genres.str.len().eq(1).all()
    assert items.genres.str[0].tolist() == [concept_name(item % SPEC.concepts) for item in range(SPEC.items)]
    assert items.genres.str[0].groupby(items.brand).nunique().median() > 1, "a brand is no concept"
    titles = items.title.str.casefold()
    assert not any(titles.str.contains(concept_name(number).casefold()).any() for number in range(SPEC.concepts))


def test_popularity_follows_the_law_and_no_item_is_left_out(events: pd.DataFrame) -> None:
    seen = np.bincount(events.item, minlength=SPEC.items)
    assert seen.min() >= 1
    by_rank = seen.reshape(-1, SPEC.concepts).sum(1).astype(float)
    slope = np.polyfit(np.log(np.arange(1, 31)), np.log(by_rank[:30]), 1)[0]
    assert slope == pytest.approx(-EXPONENT, abs=0.1)


def test_all_concepts_have_a_name_of_their_own() -> None:
    assert len({concept_name(number) for number in range(MAX_CONCEPTS)}) == MAX_CONCEPTS


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("users", 0),
        ("items", 9),
        ("items", 2**31),
        ("events", 11_999),
        ("events", 2**48),
        ("concepts", 0),
        ("concepts", MAX_CONCEPTS + 1),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_impossible_sizes_are_refused_in_one_sentence(option: str, value: int) -> None:
    SPEC.check()
    with pytest.raises(BadInput, match=f"^--{option} {value}: .*give ") as caught:
        SPEC._replace(**{option: value}).check()
    assert "\n" not in str(caught.value)
