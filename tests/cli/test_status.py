"""What `recsae status` prints, for people and for machines."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recsae.cli.main import main
from recsae.cli.render.status import MARKS
from recsae.config.schema import Config
from recsae.observability.log_format import FORMAT
from recsae.pipeline.stages import STAGES
from recsae.store.filesystem import as_json
from tests.made_run import commit_all, config_at, serve, store_of

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("recsae.cli.command.stop_with_143", lambda: None)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_at(tmp_path / "runs")


@pytest.fixture
def asked(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Any:
    """What the job prints with these options."""
    toml = tmp_path / "shop.toml"
    toml.write_text(f'name = "shop"\n[store]\nroot = "{config.store.root}"\n')

    def ask(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["status", "--config", str(toml), *options])
        main(["status"])
        return capsys.readouterr().out

    return ask


def test_a_row_tells_a_stage_and_the_last_lines_what_is_served(config: Config, asked: Any) -> None:
    serve(config, commit_all(config))
    out = asked()
    rows = [line.split() for line in out.splitlines() if line.split()[:1] == [MARKS["committed"]]]
    assert [row[1] for row in rows] == list(STAGES)
    sae = rows[list(STAGES).index("sae")]
    assert sae[2:5] == ["committed", "1.5", "4"] and sae[-1] == "sae-1"
    assert "fvu 0.05 · l0 8" in out
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", " ".join(sae[-3:-1]))
    assert "next        nothing: all is made and served" in out
    served = [line for line in out.splitlines() if line.startswith(("dictionary", "report"))]
    assert len(served) == 2 and served[0].endswith("concepts.parquet") and served[1].endswith("report.html")


def test_the_next_command_is_one_that_can_be_copied(config: Config, asked: Any, tmp_path: Path) -> None:
    commit_all(config, names=["ingest"])
    line = next(line for line in asked("--set", "llm.model=a b").splitlines() if line.startswith("next"))
    assert f"recsae stage recommender --config {tmp_path}/shop.toml --set 'llm.model=a b'" in line
    line = next(line for line in asked().splitlines() if line.startswith("missing"))
    assert line.split("  ")[-1].strip() == ", ".join(list(STAGES)[1:])


def test_who_runs_a_stage_is_told_and_cannot_command_the_terminal(config: Config, asked: Any) -> None:
    said = {"host": "node\x1b[2J\n7", "pid": 3, "since": 0.0, "beat": time.time(), "seconds": 20, "released": False}
    store_of(config).folder.put("ingest/ingest-1/_progress/lease/lease-000000.json", as_json(said))
    out = asked()
    assert "\x1b" not in out and "1970-01-01" in out
    assert "ingest is being made" in out


def test_for_machines_it_is_one_object(config: Config, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORMAT, "json")
    commit_all(config, names=["ingest", "recommender"])
    told = json.loads(asked("--json"))
    assert [one["name"] for one in told["stages"]] == list(STAGES)
    assert told["stages"][1]["figures"]["ndcg_10"] == 0.25
    assert told["missing"] == list(STAGES)[2:] and "recsae stage activations " in told["next"]
    assert told["served"] is None


def test_a_store_without_a_run_says_so(asked: Any, config: Config) -> None:
    out = asked()
    assert f"run         shop: there is none yet in {config.store.root}" in out and "recsae run " in out
    assert not Path(config.store.root).exists()


def test_a_store_that_is_none_ends_in_one_sentence_and_status_2(asked: Any, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        asked("--set", "store.root=nowhere://user:hunter22@x/y")
    captured = capsys.readouterr()
    assert ended.value.code == 2 and captured.out == ""
    assert captured.err.startswith("recsae: store.root") and captured.err.count("\n") == 1
    assert "hunter22" not in captured.err
