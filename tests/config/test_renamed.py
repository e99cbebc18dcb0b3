"""Renamed keys: old names are taken with a note, both at once are refused, and records keep the old names."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from recsae.config.loader import load
from recsae.config.renamed import RENAMED
from recsae.config.schema import Config
from recsae.errors import BadInput

VALUES: dict[str, Any] = {
    "data.oldest": 0.8,
    "labels.ranked": 3,
    "nights.match": 0.6,
    "nights.unchanged": 0.7,
    "probe.searched": 0.25,
    "steering.directions": 30,
    "steering.factor": 3.0,
}
"""Of each key by its old name; none is the default."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text('name = "night"\n')
    return path


def written(path: Path, values: dict[str, Any]) -> Path:
    path.write_text('name = "night"\n' + "".join(f"{key} = {value}\n" for key, value in values.items()))
    return path


def notes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def value_of(tree: dict[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return tree[section][name]


def test_every_renamed_key_has_a_new_name_in_the_schema() -> None:
    assert set(VALUES) == set(RENAMED)
    for old, new in RENAMED.items():
        config = Config(name="night", nights={}).model_dump()
        assert value_of(config, new) != VALUES[old]
        assert old.partition(".")[2] not in config[old.partition(".")[0]]


def test_old_names_are_taken_from_the_file_with_one_note_each(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = load(written(file, VALUES))
    said = notes(caplog)
    assert len(said) == len(VALUES)
    assert (
        said[2] == f"{file}: nights.match is now called nights.match_threshold; the old name goes with the next release"
    )
    caplog.clear()
    assert load(written(file, {RENAMED[key]: value for key, value in VALUES.items()})) == old
    assert notes(caplog) == []


def test_old_names_are_taken_from_overrides_too(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = load(file, [f"{key}={value}" for key, value in VALUES.items()] + ["nights.match=0.65"])
    assert config.nights and config.nights.match_threshold == 0.65
    assert value_of(config.model_dump(), "probe.search_fraction") == 0.25
    assert len(notes(caplog)) == len(VALUES)
    assert load(file, ["nights={ match = 0.6 }"]).nights == load(file, ["nights.match_threshold=0.6"]).nights


def test_an_override_by_either_name_is_above_the_file(file: Path) -> None:
    for in_file in ("steering.factor", "steering.target_multiple"):
        for override in ("steering.factor", "steering.target_multiple"):
            assert load(written(file, {in_file: 3.0}), [f"{override}=4.0"]).steering.target_multiple == 4.0


def test_a_key_under_both_names_is_refused_in_one_sentence(file: Path) -> None:
    said = "data.oldest and data.replay_fraction are the old and the new name of one key; leave data.oldest out"
    with pytest.raises(BadInput) as caught:
        load(written(file, {"data.oldest": 0.8, "data.replay_fraction": 0.9}))
    assert str(caught.value) == f"{file}: {said}"
    written(file, {})
    with pytest.raises(BadInput) as caught:
        load(file, ["data.replay_fraction=0.9", "data.oldest=0.8"])
    assert str(caught.value) == f"--set data.oldest=0.8: {said}"
    with pytest.raises(BadInput) as caught:
        load(file, ["data={ oldest = 0.8, replay_fraction = 0.9 }"])
    assert str(caught.value) == f"--set data={{ oldest = 0.8, replay_fraction = 0.9 }}: {said}"


def test_a_value_under_an_old_name_is_checked(file: Path) -> None:
    with pytest.raises(BadInput, match=r"run\.toml: data\.replay_fraction = 2 is refused"):
        load(file, ["data.oldest=2"])


def test_what_is_recorded_keeps_the_old_names(file: Path) -> None:
    old = load(written(file, VALUES)).recorded()
    new = load(written(file, {RENAMED[key]: value for key, value in VALUES.items()})).recorded()
    assert new == old
    assert {key: value_of(new, key) for key in VALUES} == VALUES
    assert not any(key.partition(".")[2] in new[key.partition(".")[0]] for key in RENAMED.values())
    assert new["steering"] == {
        "latents": 48,
        "strengths": [-0.25, 0.0625, 0.125, 0.25, 0.5, 1.0],
        "reference": 0.25,
        "factor": 3.0,
        "directions": 30,
        "users": 5000,
    }


def test_parts_of_a_config_are_recorded_by_the_names_of_fields() -> None:
    config = Config(name="night", nights={})
    assert config.recorded(include={"seed"}) == {"seed": 0}
    assert config.nights is not None
    assert config.nights.recorded(include={"match_threshold", "epochs"}) == {"match": 0.5, "epochs": 5}
    assert set(config.recorded(exclude={"nights"})) == set(Config.model_fields) - {"nights"}
