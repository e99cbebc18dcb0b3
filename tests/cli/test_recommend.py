"""The job `recommend`: its file, whom a policy steers, and one sentence with status 2 for bad input."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsae.cli import recommend
from recsae.policies import policy
from recsae.policies.policy import MadeFor, Policy, PolicyStep, Users
from recsae.steering.recommending import RECOMMENDATIONS
from recsae.store.filesystem import Folder
from tests.cli.tuned import Ask, Line, asking


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return Line(tmp_path_factory.mktemp("line"))


@pytest.fixture
def ask(line: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    line.place(monkeypatch)
    monkeypatch.setattr(recommend, "connect", lambda config: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    return asking("recommend", line, monkeypatch, capsys)


def put(line: Line, folder: Path, users: Users | None = None, **changed: object) -> str:
    """A policy for the line in a file."""
    made_for = MadeFor(recommender=line.made.recommender.fingerprint, sae=line.made.sae.fingerprint, site="user")
    operations = (PolicyStep(latent=2, operation="add", value=1.0), PolicyStep(latent=0, operation="ablate"))
    found = Policy(made_for=made_for, users=users, operations=operations).model_copy(update=changed)
    policy.write(found, Folder(str(folder)), "policy.json")
    return str(folder / "policy.json")


def test_everybody_gets_k_items_in_one_file(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "clean.parquet"
    said = ask("--k", "7", "--to", str(path))
    table = pq.read_table(path)
    assert table.schema.equals(RECOMMENDATIONS, check_metadata=True) and table.num_rows == 7 * 240
    assert table["rank"].to_pylist()[:8] == [1, 2, 3, 4, 5, 6, 7, 1]
    assert "up to 7 items for each of 240 users, " in said and str(path) in said
    assert [one.name for one in tmp_path.iterdir()] == ["clean.parquet"]


def test_a_segment_is_steered_and_the_others_are_left_clean(ask: Ask, line: Line, tmp_path: Path) -> None:
    ask("--to", str(tmp_path / "clean.parquet"))
    source = put(line, tmp_path, Users(attribute="age", value="old"))
    said = ask("--policy", source, "--to", str(tmp_path / "steered.parquet"))
    assert "240 users, 80 of them steered" in said
    clean, steered = (pq.read_table(tmp_path / f"{name}.parquet").to_pandas() for name in ("clean", "steered"))
    old = clean.user_id.str.removeprefix("user-").astype(int) % 3 == 0
    assert (clean[~old].item_id == steered[~old].item_id).all()
    assert (clean[old].item_id != steered[old].item_id).mean() > 0.3


def test_users_of_a_file_alone(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("user-9\nuser-200\n")
    ask("--users", str(tmp_path / "ids"), "--to", str(tmp_path / "some.parquet"))
    assert set(pq.read_table(tmp_path / "some.parquet")["user_id"].to_pylist()) == {"user-9", "user-200"}


def test_bad_input_is_refused_and_leaves_nothing(ask: Ask, line: Line, tmp_path: Path) -> None:
    out = ("--to", str(tmp_path / "out.parquet"))
    assert "--k 0: give at least 1" in ask("--k", "0", *out, status=2)
    (tmp_path / "ids").write_text("user-9\nuser-999\n")
    assert "user user-999 is none of the 240 users" in ask("--users", str(tmp_path / "ids"), *out, status=2)
    source = put(line, tmp_path, Users(ids=("user-999",)))
    said = ask("--policy", source, *out, status=2)
    assert f"--policy {source}: user user-999 is none" in said
    other = MadeFor(recommender=line.made.recommender.fingerprint, sae="another", site="user")
    said = ask("--policy", put(line, tmp_path, made_for=other), *out, status=2)
    assert "made for another SAE (another; this config has" in said
    said = ask("--policy", put(line, tmp_path, operations=(PolicyStep(latent=99, operation="ablate"),)), *out, status=2)
    assert "latent 99 is none of the SAE's; give one from 0 to 9" in said
    held = json.loads(Path(put(line, tmp_path)).read_text())
    held["operations"][0]["value"] = float("nan")
    (tmp_path / "nan.json").write_text(json.dumps(held))
    assert "operations.0.value = nan" in ask("--policy", str(tmp_path / "nan.json"), *out, status=2)
    assert "no such file" in ask("--policy", str(tmp_path / "none.json"), *out, status=2)
    assert not (tmp_path / "out.parquet").exists()


def test_a_stage_that_has_not_run_is_named(
    ask: Ask, line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = put(line, tmp_path)
    monkeypatch.setitem(line.committed, "sae", None)
    ask("--to", str(tmp_path / "clean.parquet"))
    said = ask("--policy", source, "--to", str(tmp_path / "out.parquet"), status=2)
    assert "recsae stage sae" in said


def test_a_file_that_is_read_is_not_overwritten(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("user-1\n")
    said = ask("--users", str(tmp_path / "ids"), "--to", str(tmp_path / "sub" / ".." / "ids"), status=2)
    assert "--users reads that file; give another" in said
    assert (tmp_path / "ids").read_text() == "user-1\n"
