"""The pipeline over small made-up stages: order, skipping, fingerprints, and two drivers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.pipeline import runner
from recsae.pipeline.runner import Pipeline, Stage
from recsae.store.progress import Lease
from recsae.store.run_store import Attempt, Committed, Metrics, RunStore

ORDER = ["ingest", "sae", "concepts", "report"]


class Line:
    """Four stages that write one file each, a store, and a record of what was executed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.executed: list[str] = []
        self.hook: Callable[[str, Attempt], None] = lambda name, out: None
        self.source = folder / "events.csv"
        self.source.write_text("first")

    def stages(self) -> dict[str, Stage]:
        def stage(name: str, file: str, inputs: tuple[str, ...], *config: str, **more: Any) -> Stage:
            def run(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
                self.executed.append(name)
                read = [found.data.read_json(found.files()[0]) for found in inputs.values()]
                out.data.put(file, f'"{name} of {len(read)}"'.encode())
                self.hook(name, out)
                return {"read": read}

            return Stage(name, run, inputs, config, **more)

        def content(config: Config) -> dict[str, str]:
            return {"events": self.source.read_text()}

        return {
            "ingest": stage("ingest", "events.json", (), "seed", "data", content=content),
            "sae": stage("sae", "sae.json", ("ingest",), "sae"),
            "concepts": stage("concepts", "concepts.parquet", ("ingest", "sae"), "labels"),
            "report": stage("report", "report.html", ("concepts",), "name"),
        }

    def pipeline(self, **sections: Any) -> Pipeline:
        root = str(self.folder / "runs")
        return Pipeline(Config.model_validate({"name": "night", "store": {"root": root}, **sections}))

    def run(self, **sections: Any) -> list[str]:
        """What a night of a new driver executes."""
        self.executed.clear()
        driver = self.pipeline(**sections)
        for name in ORDER:
            driver.run(name)
        return list(self.executed)

    def attempts(self, stage: str) -> list[Path]:
        return list((self.folder / "runs/night" / stage).glob("*/attempt-*"))


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    made = Line(tmp_path)
    monkeypatch.setattr(runner, "STAGES", made.stages())
    return made


def test_the_real_table_lists_every_stage_after_its_inputs() -> None:
    before: set[str] = set()
    for name, stage in runner.STAGES.items():
        assert name == stage.name and set(stage.inputs) <= before, name
        before.add(name)


def test_stages_run_in_order_and_read_what_their_inputs_committed(line: Line) -> None:
    assert line.run() == ORDER
    concepts = line.pipeline().committed("concepts")
    assert concepts is not None
    assert concepts.metrics == {"read": ["ingest of 0", "sae of 1"]}
    driver = line.pipeline()
    assert concepts.manifest["inputs"] == {name: driver.fingerprint(name) for name in ("ingest", "sae")}
    assert concepts.manifest["config"] == {"labels": driver.config.labels.recorded()}


def test_a_manifest_tells_what_stood_reserved_and_none_where_that_is_not_known(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.cluster, "reserved", lambda: {"cpus": 96.0, "gpus": 8.0})
    assert line.pipeline().run("ingest").manifest["machines"] == {"cpus": 96.0, "gpus": 8.0}
    monkeypatch.setattr(runner.cluster, "reserved", lambda: None)
    assert "machines" not in line.pipeline().run("sae").manifest


def test_a_second_run_executes_nothing_and_changes_no_file(line: Line) -> None:
    line.run()
    files = {path: path.stat().st_mtime_ns for path in (line.folder / "runs").rglob("*")}
    assert line.run() == []
    assert {path: path.stat().st_mtime_ns for path in (line.folder / "runs").rglob("*")} == files


@pytest.mark.parametrize(
    ("change", "executed"),
    [
        ({"seed": 1}, ORDER),
        ({"data": {"min_user_events": 2}}, ORDER),
        ({"sae": {"k": 4}}, ["sae", "concepts", "report"]),
        ({"labels": {"finalists_per_ranking": 3}}, ["concepts", "report"]),
        ({"evidence": {"top": 3}}, []),
        ({"resources": {"train_workers": 4, "llm_actors": 7, "lease_seconds": 3.0}}, []),
    ],
)
def test_a_change_of_config_reruns_the_stages_it_belongs_to_and_those_after(
    line: Line, change: dict[str, Any], executed: list[str]
) -> None:
    line.run()
    assert line.run(**change) == executed
    assert line.run() == [], "the earlier results are still there"


def test_new_content_of_an_input_file_reruns_everything(line: Line) -> None:
    line.run()
    line.source.write_text("second")
    assert line.run() == ORDER


def test_a_new_version_reruns_its_stage_and_those_after(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.run()
    sae = runner.STAGES["sae"]
    monkeypatch.setitem(runner.STAGES, "sae", Stage(sae.name, sae.run, sae.inputs, sae.config, version=2))
    assert line.run() == ["sae", "concepts", "report"]


def test_a_missing_input_is_bad_input_that_names_the_job_to_run(line: Line) -> None:
    with pytest.raises(BadInput, match=r"stage sae needs ingest.*`recsae stage ingest`"):
        line.pipeline().run("sae")
    line.pipeline().run("ingest")
    line.pipeline().run("sae")
    with pytest.raises(BadInput, match=r"stage sae needs ingest"):
        line.pipeline(seed=1).run("sae")
    assert line.executed == ["ingest", "sae"]


def test_a_root_that_cannot_be_written_is_bad_input_and_nothing_runs(line: Line) -> None:
    driver = line.pipeline(store={"root": str(line.source / "below")})
    with pytest.raises(BadInput, match=r"store\.root"):
        driver.run("ingest")
    assert line.executed == []


@pytest.mark.parametrize("error", [ValueError, BadInput, KeyboardInterrupt, SystemExit])
def test_a_stage_that_raises_leaves_nothing_but_a_free_lease(line: Line, error: type[BaseException]) -> None:
    def fail(name: str, out: Attempt) -> None:
        assert line.attempts(name) != []
        raise error("half way")

    line.hook = fail
    driver = line.pipeline()
    with pytest.raises(error, match="half way"):
        driver.run("ingest")
    assert driver.committed("ingest") is None and line.attempts("ingest") == []
    line.hook = lambda name, out: None
    assert line.run() == ORDER


def test_progress_of_a_failed_attempt_is_there_for_the_next(line: Line) -> None:
    rows = pa.table({"key": ["a"]})
    found: list[int] = []

    def append_and_fail_once(name: str, out: Attempt) -> None:
        if name == "ingest":
            found.append(out.progress.rows("names", rows.schema).num_rows)
            out.progress.append("names", rows)
            if len(found) == 1:
                raise ValueError("half way")

    line.hook = append_and_fail_once
    with pytest.raises(ValueError, match="half way"):
        line.run()
    line.run()
    assert found == [0, 1]


def test_an_interrupt_after_the_manifest_does_not_delete_what_it_names(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = RunStore.commit

    def commit_and_be_interrupted(*arguments: Any) -> Committed:
        commit(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunStore, "commit", commit_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        line.pipeline().run("ingest")
    monkeypatch.setattr(RunStore, "commit", commit)
    done = line.pipeline().run("ingest")
    assert line.executed == ["ingest"] and done.data.read_json("events.json") == "ingest of 0"


def test_two_drivers_that_both_believe_to_hold_the_lease_commit_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_wrote = threading.Barrier(2)
    monkeypatch.setattr(Lease, "try_acquire", lambda lease: True)

    def wait_for_the_other(name: str, out: Attempt) -> None:
        both_wrote.wait(timeout=30)

    line.hook = wait_for_the_other
    drivers = [line.pipeline(), line.pipeline()]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda driver: driver.run("ingest"), drivers)
    assert line.executed == ["ingest", "ingest"]
    assert first.manifest == second.manifest
    assert [path.name for path in line.attempts("ingest")] == [first.manifest["attempt"]]
    assert first.data.read_json("events.json") == "ingest of 0"


def sleeping(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do `act` where the pipeline would sleep, rather than sleep."""
    clock = SimpleNamespace(sleep=lambda seconds: act(), monotonic=time.monotonic)
    monkeypatch.setattr(runner, "time", clock)


def other_driver_commits(driver: Pipeline, lease: Lease) -> None:
    attempt = driver.store.attempt("ingest", driver.fingerprint("ingest"), lease)
    attempt.data.put("events.json", b'"from the other"')
    driver.store.commit("ingest", attempt, {"metrics": {}})


def test_a_driver_waits_for_a_held_lease_and_finds_the_result(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = line.pipeline()
    lease = driver.store.lease("ingest", driver.fingerprint("ingest"), 600)
    assert lease.try_acquire()
    naps: list[int] = []

    def act() -> None:
        naps.append(1)
        if len(naps) == 3:
            other_driver_commits(driver, lease)

    sleeping(monkeypatch, act)
    assert driver.run("ingest").data.read_json("events.json") == "from the other"
    assert len(naps) == 3 and line.executed == []
    lease.release()


def test_a_driver_takes_over_when_the_holder_gives_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = line.pipeline()
    lease = driver.store.lease("ingest", driver.fingerprint("ingest"), 600)
    assert lease.try_acquire()
    sleeping(monkeypatch, lease.release)
    driver.run("ingest")
    assert line.executed == ["ingest"]


def test_a_result_that_came_just_before_the_lease_is_not_made_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = line.pipeline()
    try_acquire = Lease.try_acquire

    def acquire_late(lease: Lease) -> bool:
        other_driver_commits(driver, lease)
        return try_acquire(lease)

    monkeypatch.setattr(Lease, "try_acquire", acquire_late)
    assert driver.run("ingest").data.read_json("events.json") == "from the other"
    assert line.executed == [] and len(line.attempts("ingest")) == 1
    monkeypatch.setattr(Lease, "try_acquire", try_acquire)
    assert driver.store.lease("ingest", driver.fingerprint("ingest"), 600).try_acquire(), "it was let go"


def test_publishing_needs_every_stage(line: Line) -> None:
    driver = line.pipeline()
    for name in ORDER[:-1]:
        driver.run(name)
    with pytest.raises(BadInput, match=r"publish needs report, .*run `recsae stage report`"):
        driver.publish()
    assert driver.store.current() is None


def test_publishing_names_dictionary_and_report_of_this_config(line: Line) -> None:
    line.run()
    first = line.pipeline().publish()
    assert Path(first["dictionary"]).read_text() == '"concepts of 2"'
    assert Path(first["report"]).read_text() == '"report of 1"'
    assert list(first["fingerprints"]) == ORDER
    assert line.pipeline().publish() == first
    line.run(seed=1)
    assert line.pipeline().store.current() == first, "served until the next night is published"
    second = line.pipeline(seed=1).publish()
    assert second["dictionary"] != first["dictionary"] and Path(first["dictionary"]).exists()
