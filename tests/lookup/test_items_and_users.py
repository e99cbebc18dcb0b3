"""One item and one user of the served night, and the messages about unknown ones."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup.items import item
from recsae.lookup.served import served
from recsae.lookup.users import user
from tests.lookup import made_night


@pytest.mark.parametrize("asked", ["i09", "Film 09", "fILM 09", "m 09"])
def test_an_item_is_found_by_id_title_or_unique_part(night_config: Config, asked: str) -> None:
    found = item(served(night_config), asked)
    assert found.item["item_id"] == "i09" and found.item["popularity"] == 91
    assert [(one["latent"], one["name"], one["activations"], one["lift"]) for one in found.latents] == [
        (1, "Noir", 50 - 1, 8.0)
    ]


def test_an_item_without_latents_is_shown_too(night_config: Config) -> None:
    found = item(served(night_config), f"i{made_night.TARGET}")
    assert found.item["title"] == f"Film {made_night.TARGET}" and found.latents == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("Film", r"39 items match: i01 \(Film 01\), .* and 34 more; give the id of one"),
        ("Film 99", r"no such item.*similar: i01 \(Film 01\)"),
        ("zz", "no such item.*give another id or title"),
        ("", "no such item"),
    ],
)
def test_an_unknown_item_is_an_error_with_similar_items(night_config: Config, asked: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        item(served(night_config), asked)


def test_a_user_has_events_in_order_and_cases_in_evidence(night_config: Config) -> None:
    found = user(served(night_config), "user-05")
    assert found.user["part"] == "score"
    assert [event["position"] for event in found.events] == list(range(made_night.EVENTS))
    assert [event["split"] for event in found.events[-3:]] == ["train", "validation", "test"]
    assert found.events[-1]["item_id"] == f"i{made_night.TARGET}"
    expected = {
        (row["latent"], row["activation"])
        for row in made_night.evidence()
        if row["user_idx"] == 5 and row["activation"] > 0
    }
    assert expected and {(one["latent"], one["activation"]) for one in found.evidence} == expected
    assert all(one["first"] and one["name"] == made_night.genre(one["latent"]) for one in found.evidence)


def test_an_unknown_user_is_an_error_with_similar_ids(night_config: Config) -> None:
    with pytest.raises(BadInput, match=r"user user-4x: .*similar: user-40, user-41, user-42, user-43, user-44"):
        user(served(night_config), "user-4x")
    with pytest.raises(BadInput, match="give another id"):
        user(served(night_config), "nobody")


def test_no_table_that_grows_with_users_is_read_whole(night_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    read = pq.read_table
    whole: list[object] = []

    def watched(source: object, **told: object) -> object:
        whole.extend([told["columns"]] if told["filters"] is None else [])
        return read(source, **told)

    monkeypatch.setattr(pq, "read_table", watched)
    user(served(night_config), "user-05")
    with pytest.raises(BadInput):
        user(served(night_config), "nobody")
    assert whole == []
