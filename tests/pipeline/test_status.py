"""The state of a run, from stores at work, half finished, damaged and empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.pipeline.stages import STAGES
from recsae.pipeline.status import RunState, StageState, look
from recsae.store.filesystem import as_json
from tests.made_run import commit, commit_all, config_at, serve, store_of

NOW = 1_000_000.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_at(tmp_path / "runs")


def seen(config: Config) -> RunState:
    return look(config, lambda: NOW)


def stage(state: RunState, name: str) -> StageState:
    return next(one for one in state.stages if one.name == name)


def held(config: Config, name: str, fingerprint: str, **said: Any) -> None:
    """A lease of a stage, as its holder wrote it last."""
    lease = {"holder": "abc", "host": "node-7", "pid": 12, "since": NOW - 60, "beat": NOW - 1, "seconds": 20.0}
    folder = store_of(config).folder.child(name, fingerprint, "_progress")
    folder.put("lease/lease-000000.json", as_json({**lease, "released": False, **said}))


def path(config: Config, name: str) -> Path:
    return Path(store_of(config).folder.path, name)


def test_a_whole_run_says_what_each_stage_made_and_what_is_served(config: Config) -> None:
    serve(config, commit_all(config))
    state = seen(config)
    assert [one.name for one in state.stages] == list(STAGES)
    assert {one.state for one in state.stages} == {"committed"}
    sae = stage(state, "sae")
    assert (sae.seconds, sae.rows, sae.fingerprint) == (1.5, 4, "sae-1")
    assert sae.figures == {"fvu": 0.05, "dead_share": 0.0, "l0": 8.0} and sae.bytes and sae.committed_at
    assert (state.missing, state.following, state.why) == ((), "", "all is made and served")
    assert state.served is not None and state.served["dictionary"].endswith("concepts.parquet")
    assert state.problem == "" and state.making is None
    (night,) = state.nights
    assert night["current"] and night["readable"] and night["missed"] == []


def test_a_store_without_the_run_is_no_error_and_nothing_is_made_there(config: Config, tmp_path: Path) -> None:
    state = seen(config)
    assert not state.exists and state.following == "nightly"
    assert list(tmp_path.iterdir()) == []


def test_of_a_half_finished_run_the_first_missing_stage_is_next(config: Config) -> None:
    commit_all(config, names=["ingest", "recommender"])
    state = seen(config)
    assert state.missing == tuple(STAGES)[2:]
    assert state.following == "activations" and "`recsae run`" in state.why
    assert state.served is None and state.nights == ()


def test_a_running_stage_says_by_whom_and_since_when(config: Config) -> None:
    commit_all(config, names=["ingest"])
    held(config, "recommender", "recommender-1")
    state = seen(config)
    found = stage(state, "recommender")
    assert found.state == "running" and found.holder is not None
    assert (found.holder.name, found.holder.since) == ("node-7 (process 12)", NOW - 60)
    assert (state.following, state.why) == ("", "recommender is being made")
    assert stage(state, "activations").state == "missing"


def test_while_a_second_night_runs_its_stages_are_not_taken_for_the_firsts(config: Config) -> None:
    serve(config, commit_all(config))
    commit(config, "ingest", "2")
    held(config, "recommender", "recommender-2")
    state = seen(config)
    assert stage(state, "ingest").fingerprint == "ingest-2"
    assert stage(state, "recommender").state == "running"
    assert stage(state, "sae").note == "only made of other inputs"
    assert state.served is not None and state.problem == ""


@pytest.mark.parametrize(
    ("said", "note"),
    [({"beat": NOW - 3600}, "its owner fell silent"), ({"released": True}, "ended without a result")],
)
def test_a_stage_that_was_left_is_not_running(config: Config, said: dict[str, Any], note: str) -> None:
    commit_all(config, names=["ingest"])
    held(config, "recommender", "recommender-1", **said)
    found = stage(seen(config), "recommender")
    assert (found.state, found.note) == ("unfinished", note)
    assert found.holder is not None and found.holder.beat == {"beat": NOW - 1, **said}["beat"]


def test_a_lease_of_a_clock_that_runs_ahead_is_alive(config: Config) -> None:
    held(config, "ingest", "ingest-1", beat=NOW + 3600)
    assert stage(seen(config), "ingest").state == "running"


def test_a_result_of_another_config_or_version_is_not_this_configs(config: Config, tmp_path: Path) -> None:
    commit_all(config, names=["ingest", "recommender", "activations", "sae"])
    other = config_at(tmp_path / "runs", sae={"k": 4})
    found = stage(look(other, lambda: NOW), "sae")
    assert (found.state, found.note) == ("missing", "only made under another config")
    manifest = path(config, "sae/sae-1/_manifest.json")
    manifest.write_text(manifest.read_text().replace(f'"version": {STAGES["sae"].version}', '"version": 99'))
    assert stage(seen(config), "sae").note == "only made by another version of the stage"


def test_a_file_of_another_size_or_gone_is_damage_with_its_mend(config: Config) -> None:
    made = commit_all(config)
    file = Path(made["ingest"].data.path, "ingest.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:10])
    state = seen(config)
    assert stage(state, "ingest").state == "damaged"
    assert stage(state, "ingest").note == f"ingest.parquet has 10 bytes and not {len(whole)}"
    assert state.following == "ingest" and f"delete {made['ingest'].folder.uri} first" in state.why
    file.unlink()
    assert stage(seen(config), "ingest").note == "ingest.parquet is gone"


def test_a_table_of_the_right_size_that_is_none_is_damage(config: Config) -> None:
    made = commit_all(config)
    file = Path(made["sae"].data.path, "sae.parquet")
    file.write_bytes(b"\0" * file.stat().st_size)
    assert stage(seen(config), "sae").note == "sae.parquet cannot be read"


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "{}", '{"stage": "sae", "files": 3}', "\udcff"])
def test_a_manifest_that_cannot_be_used_is_damage_and_nothing_breaks(config: Config, content: str) -> None:
    commit_all(config)
    path(config, "sae/sae-1/_manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    found = stage(seen(config), "sae")
    assert found.state == "damaged" and found.note.startswith("_manifest.json")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"files": [{"name": 3}]}', b'{"released": false}'])
def test_leases_nights_and_current_that_are_damaged_break_nothing(config: Config, content: bytes) -> None:
    serve(config, commit_all(config))
    folder = store_of(config).folder
    folder.put("ingest/ingest-2/_progress/lease/lease-000000.json", content)
    folder.put("nights/20261126T030000-000000001Z.json", content)
    folder.put("current.json", content)
    state = seen(config)
    assert stage(state, "ingest").state == "committed"
    assert len(state.nights) == 2 and state.following == "publish"
    assert state.problem


def test_a_served_dictionary_that_is_gone_is_told(config: Config) -> None:
    made = commit_all(config)
    serve(config, made)
    Path(made["concepts"].data.path, "concepts.parquet").unlink()
    assert seen(config).problem == "the dictionary that current.json names is gone"


def test_what_is_made_and_not_served_is_to_be_published(config: Config) -> None:
    commit_all(config)
    assert seen(config).following == "publish"


def test_a_night_that_missed_the_gate_is_told_and_not_to_be_published(config: Config) -> None:
    serve(config, commit_all(config))
    made = commit_all(config, "2")
    checks = [{"key": "fvu", "value": 0.9, "limit": 0.6, "passed": False}, {"key": "drift", "passed": True}]
    fingerprints = {name: one.fingerprint for name, one in made.items()}
    night = {"fingerprints": fingerprints, "checks": checks, "served": False}
    store_of(config).folder.put("nights/20261126T030000-000000001Z.json", as_json(night))
    state = seen(config)
    assert state.following == "" and state.why.endswith("was not served: it missed fvu")
    assert [one["missed"] for one in state.nights] == [["fvu"], []]


def test_who_makes_a_night_is_told(config: Config) -> None:
    commit_all(config, names=["ingest"])
    lease = {"host": "node-7", "pid": 3, "since": NOW - 9, "beat": NOW, "seconds": 20, "released": False}
    store_of(config).folder.put("_night/lease/lease-000000.json", as_json(lease))
    making = seen(config).making
    assert making is not None and making.name == "node-7 (process 3)"


def test_a_store_that_cannot_be_asked_is_bad_input(closed: Path) -> None:
    with pytest.raises(BadInput, match=r"store\.root: .* cannot be read"):
        seen(config_at(closed))


@pytest.mark.parametrize("root", ["nowhere://bucket/x", "s3://"])
def test_a_root_that_is_none_is_bad_input(root: str) -> None:
    with pytest.raises(BadInput, match=r"store\.root"):
        seen(config_at(root))
