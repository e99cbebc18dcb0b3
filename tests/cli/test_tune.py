"""The job `tune`: a policy at the end, what it says of it, and one sentence with status 2 for bad input."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from recsae.cli import tune
from recsae.policies import policy
from tests.cli.tuned import Ask, Line, asking
from tests.policies import biased

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return Line(tmp_path_factory.mktemp("line"))


@pytest.fixture
def ask(line: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    line.place(monkeypatch)
    monkeypatch.setattr(tune, "connect", lambda config: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    return asking("tune", line, monkeypatch, capsys)


def test_a_bias_is_balanced_and_the_policy_written(ask: Ask, line: Line, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    said = ask("--balance", "group", "--to", str(path))
    found = policy.read("--policy", str(path))
    assert found.operations[0].latent == biased.PUSHED and found.users is None
    assert found.made_for.sae == line.made.sae.fingerprint and found.made_for.site == "user"
    assert f"latent {biased.PUSHED} (Horror)" in said and f"policy  {path}" in said
    gap = found.found["score"]["figures"]["gap"]
    assert f"{gap['before']:.4g} -> {gap['after']:.4g}" in said
    assert "dealt to groups at random" in said and "on random latents: gap" in said


def test_more_and_less_for_a_segment(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    more = ("--more", "western", "--less", "Comedy", "--factor", "1.4", "--segment", "age=old")
    said = ask(*more, "--to", str(path))
    found = policy.read("--policy", str(path))
    assert found.users == policy.Users(attribute="age", value="old")
    assert set() < {one.concept for one in found.operations} <= {"Western", "Comedy"}
    assert all(row["met"] for row in found.found["select"])
    assert "share of Western" in said and "NOT" not in said
    factors = [one["factor"] for one in found.found["asked"]["wishes"]]
    assert factors == [1.4, pytest.approx(1 / 1.4)]


def test_for_a_list_of_users_and_what_cannot_be_reached_is_said(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("\n".join(f"user-{user}" for user in range(0, 240, 4)))
    said = ask("--more", "War", "--factor", "99", "--max-loss", "0.01", "--users", str(tmp_path / "ids"),
               "--to", str(tmp_path / "p.json"))  # fmt: skip
    assert "War: a factor of 99 is NOT reached" in said
    assert json.loads((tmp_path / "p.json").read_text())["users"]["ids"][1] == "user-4"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --balance, or --more and --less"),
        (("--balance", "age", "--more", "War"), "give --balance, or --more and --less"),
        (("--balance", "agee"), "--balance agee: users have no attribute agee; the nearest are age"),
        (("--balance", "age", "--factor", "2"), "--factor goes with --more and --less"),
        (("--balance", "age", "--segment", "a=b"), "--segment goes with --more and --less"),
        (("--more", "War", "--target", "0.5"), "--target goes with --balance"),
        (("--balance", "age", "--target", "1.5"), "--target 1.5: give a share from 0 to below 1"),
        (("--balance", "age", "--max-loss", "nan"), "--max-loss nan: give a share"),
        (("--more", "War", "--factor", "nan"), "--factor nan: give a finite number above 1"),
        (("--more", "War", "--factor", "inf"), "--factor inf: give a finite number above 1"),
        (("--more", "Warr"), "--more Warr: no latent of the dictionary has that concept; the nearest are War"),
        (("--more", "War", "--less", "war"), "--less war: named by two targets"),
        (("--more", "War", "--segment", "age"), "--segment age: write it as attribute=value"),
        (("--more", "War", "--segment", "age=x"), "--segment age=x: no user has age = x; the nearest are"),
        (("--more", "War", "--segment", "a=b", "--users", "f"), "--segment and --users both say for whom"),
        (("--more", "War", "--users", "nobody"), "--users nobody: cannot be read"),
        (("--more", "War", "--users", ""), "--users : "),
        (("--more", "War", "--segment", ""), "--segment : write it as attribute=value"),
        (("--balance", ""), "--balance : users have no attribute"),
        (("--balance", "age", "--target", "half"), "invalid value for '--target': 'half' is not a valid float"),
    ],
)
def test_what_cannot_be_meant_is_refused(ask: Ask, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    assert said in ask(*options, "--to", str(tmp_path / "p.json"), status=2)
    assert not (tmp_path / "p.json").exists()


def test_an_unknown_user_is_refused(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("user-1\nuser-x\n")
    said = ask("--more", "War", "--users", str(tmp_path / "ids"), "--to", str(tmp_path / "p.json"), status=2)
    assert "user user-x is none of the 240 users" in said


@pytest.mark.parametrize("name", ["ingest", "sae", "concepts"])
def test_a_stage_that_has_not_run_is_named(
    ask: Ask, line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setitem(line.committed, name, None)
    assert f"recsae stage {name}" in ask("--more", "War", "--to", str(tmp_path / "p.json"), status=2)


def test_a_balance_needs_no_dictionary(ask: Ask, line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(line.committed, "concepts", None)
    assert f"latent {biased.PUSHED}\n" in ask("--balance", "group", "--to", str(tmp_path / "p.json"))
