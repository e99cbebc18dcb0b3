"""A night reads the night that is served, is itself when run again, and is served only through the gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsae.errors import BadInput, NotServed
from recsae.pipeline.runner import Pipeline
from recsae.pipeline.stages import STAGES
from recsae.store.run_store import Committed
from tests.pipeline.following import ORDER, Following


@pytest.fixture
def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Following:
    return Following(tmp_path, monkeypatch)


def found(driver: Pipeline, name: str) -> Committed:
    done = driver.committed(name)
    assert done is not None
    return done


def test_stages_of_the_real_table_read_only_what_comes_before_them_or_themselves() -> None:
    order = list(STAGES)
    for name, stage in STAGES.items():
        assert all(order.index(need) <= order.index(name) or need == "scores" for need in stage.last), name


def test_the_first_night_reads_nothing_and_the_second_the_first(following: Following) -> None:
    monday = following.night("monday")
    assert not any(following.read.values())
    tuesday = following.night("tuesday")
    assert following.read["sae"] == ["recommender", "sae"] and following.read["report"] == []
    driver = following.pipeline()
    for name in ("ingest", "sae", "concepts"):
        last = found(driver, name).manifest["last"]
        assert last[name] == monday["fingerprints"][name]
    assert tuesday["before"] == monday["night"] and tuesday["number"] == 2


def test_the_same_night_again_executes_nothing_and_serves_the_same(following: Following) -> None:
    following.night("monday")
    tuesday = following.night("tuesday")
    assert following.run() == []
    assert following.pipeline().publish() == tuesday


def test_a_night_that_was_killed_goes_on_where_it_was(following: Following) -> None:
    following.night("monday")
    following.events = "tuesday"
    driver = following.pipeline()
    for name in ORDER[:3]:
        driver.run(name)
    assert following.run() == ORDER[3:]


def test_a_change_after_the_night_was_served_reruns_only_what_it_touches(following: Following) -> None:
    following.night("monday")
    tuesday = following.night("tuesday")
    assert following.run(steering={"null_directions": 30}) == ["concepts", "report"]
    again = following.pipeline(steering={"null_directions": 30}).publish()
    assert again["fingerprints"]["sae"] == tuesday["fingerprints"]["sae"]
    assert following.read["concepts"] == ["concepts"]


def test_keys_of_nights_matter_where_they_belong_and_only_where_there_was_a_night(following: Following) -> None:
    following.run()
    following.nights = {"steps": 7, "gate": {"fvu": 0.9}, "keep": 2}
    assert following.run() == [], "a first night is built on none"
    following.night("monday")
    following.events = "tuesday"
    following.run()
    following.nights = {"steps": 9, "gate": {"fvu": 0.7}, "keep": 5}
    assert following.run() == ["sae", "matching", "concepts", "report"]


def test_without_the_section_every_run_stands_for_itself(following: Following) -> None:
    following.nights = None
    monday = following.night("monday")
    tuesday = following.night("tuesday")
    assert not any(following.read.values())
    assert following.night("monday")["fingerprints"] == monday["fingerprints"] != tuesday["fingerprints"]
    assert following.executed == []


def test_a_night_that_fails_the_gate_is_kept_and_what_was_served_stays(following: Following) -> None:
    monday = following.night("monday")
    following.figures["sae"]["fvu"] = 3.0
    with pytest.raises(NotServed, match=r"fvu is 3, above nights\.gate\.fvu = 0\.6; .* stays the one that is served"):
        following.night("tuesday")
    driver = following.pipeline()
    assert driver.store.current() == monday
    kept = driver.store.nights.all()[-1]
    assert kept["served"] is False and [one["key"] for one in kept["checks"] if not one["passed"]] == ["fvu"]
    assert driver.committed("concepts") is not None
    with pytest.raises(NotServed):
        driver.publish()
    assert len(driver.store.nights.all()) == 2

    following.figures["sae"]["fvu"] = 0.1
    wednesday = following.night("wednesday")
    assert wednesday["before"] == monday["night"], "a night that failed is nobody's last night"
    assert found(following.pipeline(), "sae").manifest["last"]["sae"] == monday["fingerprints"]["sae"]


def test_an_operator_who_moves_the_threshold_serves_the_same_night(following: Following) -> None:
    following.night("monday")
    following.figures["sae"]["fvu"] = 0.7
    with pytest.raises(NotServed):
        following.night("tuesday")
    following.nights = {"gate": {"fvu": 0.8}}
    assert following.run() == []
    assert following.pipeline().publish()["served"]


def test_the_fall_of_the_recommender_is_against_the_night_that_is_served(following: Following) -> None:
    following.night("monday")
    following.figures["recommender"]["test"] = {"ndcg@10": 0.1}
    with pytest.raises(NotServed, match=r"ranking_fall is 0\.5"):
        following.night("tuesday")


def test_old_nights_are_deleted_and_the_newest_go_on(following: Following) -> None:
    for day in range(6):
        following.night(f"day {day}")
    store = following.pipeline().store
    assert [night["number"] for night in store.nights.all()] == [4, 5, 6]
    assert len(list((following.folder / "runs/shop/sae").glob("*/_manifest.json"))) == 3
    assert following.run() == []


def test_a_last_night_of_which_something_is_missing_is_none(following: Following) -> None:
    monday = following.night("monday")
    (following.folder / "runs/shop/matching" / monday["fingerprints"]["matching"] / "_manifest.json").unlink()
    following.night("tuesday")
    assert following.read["matching"] == [] and following.read["sae"] == ["recommender", "sae"]


def test_a_damaged_input_stops_the_night_in_one_sentence_and_what_is_served_stays(following: Following) -> None:
    monday = following.night("monday")
    following.events = "tuesday"
    driver = following.pipeline()
    driver.run("ingest")
    Path(found(driver, "ingest").data.locate("ingest.txt")).write_text("cut")
    with pytest.raises(BadInput, match=r"ingest\.txt has 3 bytes and not \d+, as stage ingest .* delete"):
        driver.run("recommender")
    assert driver.store.current() == monday and following.executed[-1] == "ingest"


def test_expected_seconds_are_the_served_nights_if_it_was_made_alike(following: Following) -> None:
    assert following.pipeline().expected_seconds("sae") is None, "no night is served"
    following.night("monday")
    assert following.pipeline().expected_seconds("sae") is None, "monday read no earlier night"
    tuesday = following.night("tuesday")
    driver = following.pipeline()
    for name in ("sae", "report"):
        served = driver.store.committed(name, tuesday["fingerprints"][name])
        assert served is not None and driver.expected_seconds(name) == served.manifest["seconds"]
    assert following.pipeline(sae={"k": 4}).expected_seconds("sae") is None, "another config"
