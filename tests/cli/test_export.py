"""The job `export`: what it takes from the store, where it writes, and one sentence with status 2 for bad input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from recsae.cli.main import main
from recsae.pipeline.runner import Pipeline
from recsae.sae import model
from recsae.store.filesystem import Folder

REPOSITORY = Path(__file__).parents[2]


class Found(NamedTuple):
    """As much of a committed stage as the job reads."""

    data: Folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config whose stage `sae` is committed, as far as the job can tell; the folder to export into."""
    model.save(Folder(str(tmp_path / "sae" / "model")), model.Sae(6, 20, "batchtopk", 4))
    monkeypatch.setattr(Pipeline, "committed", lambda self, name: Found(Folder(str(tmp_path / name))))
    monkeypatch.chdir(REPOSITORY)
    return tmp_path / "out"


def ask(monkeypatch: pytest.MonkeyPatch, form: str, to: Path | str) -> None:
    monkeypatch.setattr(
        sys, "argv", ["export", "--config", "jobs/configs/demo.toml", "--format", form, "--to", str(to)]
    )
    main(["export"])


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str, to: Path | str) -> str:
    with pytest.raises(SystemExit) as caught:
        ask(monkeypatch, form, to)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("recsae: ") and said.err.count("\n") == 1
    return said.err


def test_it_writes_and_says_where_what_and_in_which_units(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "saelens", run)
    assert sorted(path.name for path in run.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    said = capsys.readouterr().out
    assert str(run) in said and "sae_weights.safetensors and cfg.json (jumprelu, 20 latents of 6 dimensions)" in said
    assert "its latents are 1 times" in said


def test_a_second_export_into_the_same_folder_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "saelens", run)
    capsys.readouterr()
    assert "is not empty" in refusal(monkeypatch, capsys, "saelens", run)


def test_a_kind_that_the_format_lacks_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "sparsify supports only topk" in refusal(monkeypatch, capsys, "sparsify", run)
    assert not run.exists()


def test_a_folder_below_a_file_or_on_no_filesystem_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert "file/below" in refusal(monkeypatch, capsys, "saelens", tmp_path / "file" / "below")
    message = refusal(monkeypatch, capsys, "saelens", "nowhere://bucket")
    assert "--to nowhere://bucket" in message and "store.root" not in message


def test_a_relative_folder_of_a_submitted_job_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert "is relative" in refusal(monkeypatch, capsys, "saelens", "out")


def test_without_the_stage_the_job_that_makes_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(Pipeline, "committed", lambda self, name: None)
    assert "recsae stage sae" in refusal(monkeypatch, capsys, "saelens", tmp_path / "out")
