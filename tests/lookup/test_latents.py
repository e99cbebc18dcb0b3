"""One latent of the served night: every part from its table, on score users, with histories that end before a case."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup.latents import EXAMPLES, LATEST, latent
from recsae.lookup.served import served
from tests.lookup import made_night


def test_every_part_is_of_the_latent(night_config: Config) -> None:
    found = latent(served(night_config), "0")
    assert found.concept["name"] == "Western" and found.proposed == ["Other 0"]
    assert {(row["judge"], row["control"]) for row in found.scores} == {
        ("llm", "none"),
        ("llm", "shuffled"),
        ("attributes", "none"),
    }
    assert [row["title"] for row in found.items["activations"]][1:] == ["Film 08", "Film 16", "Film 24", "Film 32"]
    assert found.items["strength"][0]["item_id"] == "i32"
    assert [row["item_id"] for row in found.items["lift"]] == ["i00", "i08"]
    assert [row["hits"] for row in found.levels] == list(range(0, 22, 2))
    assert [row["value"] for row in found.attributes] == list(made_night.GENRES[:5])
    assert found.steering == [] and found.nights == []


def test_cases_are_of_score_users_with_verdicts_and_histories_that_end_before_them(
    night_config: Config,
) -> None:
    cases = latent(served(night_config), "1").cases
    assert [case["kind"] for case in cases] == [
        kind for kind in ("activating", "near miss", "silent") for _ in range(EXAMPLES)
    ]
    assert [case["item"]["item_id"] for case in cases[:EXAMPLES]] == ["i01", "i09", "i17"]
    assert [case["judge"] for case in cases[:EXAMPLES]] == [False, True, True]  # the first is one of WRONG
    assert {case["judge"] for case in cases[EXAMPLES:]} == {False}
    for case in cases:
        user = int(case["user_id"].removeprefix("user-"))
        assert user % 3 == 2  # PARTS[2] is score
        expected = [(7 * user + 3 * place) % 39 for place in range(5)][-LATEST:]
        titles = [made_night.HOSTILE if item == 0 else f"Film {item:02d}" for item in expected]
        assert [one["title"] for one in case["history"]] == titles
        assert [one["item_id"] for one in case["history"]] == [f"i{item:02d}" for item in expected]


def test_steering_rows_are_of_score_users(night_config: Config) -> None:
    rows = latent(served(night_config), "2").steering
    assert [(row["operation"], row["strength"], row["share_change"]) for row in rows] == [
        ("ablate", None, -0.03),
        ("add", 0.25, 0.2),
    ]


def test_nights_are_matched_by_stable_id(tmp_path: Path) -> None:
    config = made_night.config_at(tmp_path)
    made_night.serve(config, "1", {3: "Battle"})
    made_night.serve(config, "2")
    made_night.serve(config, "3", {3: "Never served"}, passed=False)
    nights = latent(served(config), "3").nights
    assert [(row["name"], row["served"]) for row in nights] == [
        ("Battle", True),
        ("War", True),
        ("Never served", False),
    ]


def test_a_night_with_a_damaged_record_is_skipped(tmp_path: Path) -> None:
    config = made_night.config_at(tmp_path)
    for night in "123":
        made_night.serve(config, night)
    first, *_ = sorted(tmp_path.glob("shop/nights/*.json"))
    first.write_text("{")
    assert len(latent(served(config), "3").nights) == 2


@pytest.mark.parametrize(
    ("probe", "user", "events"),
    [({"site": "block-0"}, True, LATEST), ({"site": "item"}, False, 0)],
)
def test_input_views_show_the_item_there_and_item_cases_have_no_user(
    tmp_path: Path, probe: dict[str, str], user: bool, events: int
) -> None:
    config = made_night.config_at(tmp_path, **probe)
    made_night.serve(config)
    cases = latent(served(config), "1").cases
    shown = {(row["case_id"], f"i{row['item_idx']:02d}") for row in made_night.evidence() if row["latent"] == 1}
    assert {(case["case_id"], case["item"]["item_id"]) for case in cases} <= shown
    assert {(case["user_id"] is not None, len(case["history"])) for case in cases} == {(user, events)}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("west", "give a latent's number; similar names: 0 \\(Western\\), 8 \\(Western\\)"),
        ("Horor", "similar names: 4 \\(Horror\\)"),
        ("-1", "give a latent's number$"),
        ("12", "never fires"),
        ("99", "there is none; the dictionary has 9 latents, the last is 8"),
        ("9" * 30, "there is none"),
    ],
)
def test_an_unknown_latent_is_an_error(night_config: Config, asked: str, told: str) -> None:
    with pytest.raises(BadInput, match=f"latent {asked}: .*{told}"):
        latent(served(night_config), asked)
