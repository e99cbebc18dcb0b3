"""The job `explain`: what it prints for one user, what it writes for many, and one sentence with status 2 else."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from recsae.cli import explain
from recsae.cli.main import main
from recsae.config.schema import Config
from recsae.pipeline.runner import Pipeline
from recsae.sae import model
from recsae.schemas.concepts import CONCEPTS
from recsae.steering.user_batches import user_ids
from recsae.store.run_store import Attempt, Committed
from tests.activations.committed import trained
from tests.concepts.worlds import term
from tests.conftest import committing
from tests.report.concepts_table import HOSTILE, concept_row, concepts_table
from tests.sae.fake_ray import without_ray

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stages(ingested: Committed, planted_config: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the job reads; every name is hostile but those of every third latent, which have none."""
    commit = committing(tmp_path_factory.mktemp("explain"))

    def sae(out: Attempt) -> dict[str, Any]:
        torch.manual_seed(0)
        model.save(out.data.child("model"), model.Sae(16, 64, "topk", 6))
        return {}

    def concepts(out: Attempt) -> dict[str, Any]:
        names = [None if latent % 3 == 0 else HOSTILE[latent % len(HOSTILE)] for latent in range(64)]
        said = {"statement": term("Comedy", "last").to_json()}
        rows = [concept_row(n, name=name, interpretable=n % 3 > 0, **said) for n, name in enumerate(names)]
        out.write_table("concepts.parquet", concepts_table(rows), CONCEPTS)
        return {}

    recommender = trained(commit, planted_config.recommender, ingested)
    return {
        "ingest": ingested,
        "recommender": recommender,
        "sae": commit("sae", sae),
        "concepts": commit("concepts", concepts),
    }


@pytest.fixture
def made(stages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The stages that are committed, as far as the job can tell; and no Ray."""
    some = dict(stages)
    monkeypatch.setattr(Pipeline, "committed", lambda self, name: some.get(name))
    monkeypatch.chdir(REPOSITORY)

    def no_ray(config: Config) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(explain, "connect", no_ray)
    return some


def ask(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    command = ["explain", "--config", "jobs/configs/demo.toml", *map(str, arguments)]
    monkeypatch.setattr(sys, "argv", command)
    main(["explain"])


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        ask(monkeypatch, *arguments)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("recsae: ") and said.err.count("\n") == 1
    return said.err


def test_one_user_his_history_and_what_carried_each_item(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "--user", "user-0007", "--concepts", "5")
    out = capsys.readouterr().out
    assert out.startswith("user user-0007: ") and "events" in out.splitlines()[0]
    headings = [line for line in out.splitlines() if line[:1].isdigit()]
    assert [line.split(".")[0] for line in headings] == [str(rank) for rank in range(1, 11)]
    assert out.count("1 other latents that fire") == out.count("what everyone gets") == 10
    assert "after " in out and "no concept" in out and "exactly" in out
    assert re.search(r"in all of these, [+-][\d.]+, named latents carry -?\d+%, unnamed ones -?\d+%, and the SAE", out)
    assert "\x1b[31m" not in out and "\x07" not in out and "\u2028" not in out


@pytest.mark.parametrize("site", ["user", "item", "block-0"])
def test_the_figures_of_an_item_add_up(
    site: str, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "--user", "user-0007", "--set", f"probe.site={site}", "--set", "probe.view=input")
    blocks = re.split(r"activation +score *\n", capsys.readouterr().out)[1:]
    assert len(blocks) == 10
    for block in blocks:
        figures = [float(figure) for figure in re.findall(r" ([+-]\d+\.\d\d) *$", block, re.MULTILINE)]
        # five latents, the others, those that do not fire, error, the rest, everyone, and the score beyond the average
        assert len(figures) == 10 + site.startswith("block")
        assert sum(figures[:-1]) == pytest.approx(figures[-1], abs=0.06)
        score, average = map(float, re.search(r"by score +([+-][\d.]+)\s+against +([+-][\d.]+)", block).groups())  # type: ignore[union-attr]
        assert score - average == pytest.approx(figures[-1], abs=0.011)


def test_an_item_that_he_knows_and_one_at_the_end_of_the_list(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "--user", "user-0007", "--item", "item-0001")
    first = capsys.readouterr().out
    assert first.count("what everyone gets ") == 1 and "Film 0001" in first
    known = next(line for line in first.splitlines() if line.startswith("  Film")).split()[1]
    ask(monkeypatch, "--user", "user-0007", "--item", f"item-{known}")
    assert "in the history" in capsys.readouterr().out
    assert ("in the history" in first) == ("Film 0001" in first.split("\n\n")[0])


@pytest.mark.parametrize("named", ["Film 0001", "fILM 0001", "m 0001"])
def test_an_item_is_named_by_its_title_too(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    ask(monkeypatch, "--user", "user-0007", "--item", "item-0001")
    by_id = capsys.readouterr().out
    ask(monkeypatch, "--user", "user-0007", "--item", named)
    assert capsys.readouterr().out == by_id and " item-0001" in by_id


def test_a_part_of_several_titles_names_the_candidates(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(monkeypatch, capsys, "--user", "user-0007", "--item", "Film 00")
    assert "items match: item-" in said and "give the id of one" in said


def test_behind_more_layers_it_says_that_parts_are_approximate(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "--user", "user-0007", "--set", "probe.site=block-0")
    out = capsys.readouterr().out
    assert out.count("rest, of the approximation") == 10 and "approximate: gradient times activation" in out


def test_many_users_from_a_file(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_ray(monkeypatch)
    monkeypatch.setattr(explain, "connect", lambda config: None)
    (tmp_path / "ids").write_text("user-0040\n\n user-0003 \nuser-0040\n")
    ask(monkeypatch, "--users", tmp_path / "ids", "--to", tmp_path / "out.parquet", "--concepts", "2")
    assert "20 recommendations of 2 users" in capsys.readouterr().out
    table = pq.read_table(tmp_path / "out.parquet")
    assert set(table["user_id"].to_pylist()) == {"user-0003", "user-0040"}
    assert all(len(latents) == 2 for latents in table["latents"].to_pylist())
    ask(monkeypatch, "--users", "all", "--to", tmp_path / "out.parquet")
    users = len(user_ids(made["ingest"]))
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 10 * users
    assert f"{10 * users:,} recommendations of {users:,} users" in capsys.readouterr().out


def test_ids_that_there_are_not(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "user nobody: the data has no such user" in refusal(monkeypatch, capsys, "--user", "nobody")
    assert "item nothing: the catalogue has no such item" in refusal(
        monkeypatch, capsys, "--user", "user-0007", "--item", "nothing"
    )
    target = ("--to", tmp_path / "out.parquet")
    for content, said in (
        (b"user-0003\nnobody\nnone\n", "user nobody is none of the 120 users"),
        (b"\n\n", "names no user"),
        (b"\xff\xfe\xff", "not UTF-8 text"),
    ):
        (tmp_path / "ids").write_bytes(content)
        assert said in refusal(monkeypatch, capsys, "--users", tmp_path / "ids", *target)
    assert "cannot be read" in refusal(monkeypatch, capsys, "--users", tmp_path / "missing", *target)
    assert not (tmp_path / "out.parquet").exists()


def test_options_that_do_not_go_together(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "either --user" in refusal(monkeypatch, capsys)
    assert "either --user" in refusal(monkeypatch, capsys, "--user", "a", "--users", "all")
    assert "--to go together" in refusal(monkeypatch, capsys, "--users", "all")
    assert "--to go together" in refusal(monkeypatch, capsys, "--user", "a", "--to", tmp_path / "x")
    many = ("--users", "all", "--to", tmp_path)
    assert "--item goes with --user" in refusal(monkeypatch, capsys, *many, "--item", "b")
    assert "--concepts 0" in refusal(monkeypatch, capsys, "--user", "user-0007", "--concepts", "0")
    assert "is a folder" in refusal(monkeypatch, capsys, *many)


def test_without_a_model_or_a_stage_there_is_nothing_to_explain(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ('recommender.kind="given"', 'probe.activations=["a.parquet"]', 'probe.cases="c.parquet"')
    words = [word for pair in given for word in ("--set", pair)]
    assert "recommender.kind = given" in refusal(monkeypatch, capsys, "--user", "user-0007", *words)
    del made["concepts"]
    assert "recsae stage concepts" in refusal(monkeypatch, capsys, "--user", "user-0007")
