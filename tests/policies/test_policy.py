"""Policies in files: they round-trip, and invalid ones are refused with the file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recsae.errors import BadInput
from recsae.policies.policy import MadeFor, Policy, PolicyStep, Users, check, read, write
from recsae.steering.operations import Operation
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

MADE_FOR = MadeFor(recommender="r1", sae="s1", site="user")
POLICY = Policy(
    made_for=MADE_FOR,
    users=Users(attribute="gender", value="F"),
    operations=(
        PolicyStep(latent=3, concept="Wéstern", operation="add", value=-0.1),
        PolicyStep(latent=4, operation="ablate"),
    ),
    found={"gap": 0.1, "none": None},
)


def committed(fingerprint: str) -> Committed:
    return Committed(Folder("nowhere"), {"fingerprint": fingerprint})


def put(tmp_path: Path, **changed: Any) -> str:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({**json.loads(POLICY.model_dump_json()), **changed}))
    return str(path)


def test_a_policy_round_trips(tmp_path: Path) -> None:
    write(POLICY, Folder(str(tmp_path)), "policy.json")
    assert read("--policy", str(tmp_path / "policy.json")) == POLICY
    assert [path.name for path in tmp_path.iterdir()] == ["policy.json"]
    assert POLICY.steps() == [Operation(3, "add", -0.1), Operation(4, "ablate")]
    write(POLICY.model_copy(update={"users": Users(ids=("a", "b"))}), Folder(str(tmp_path)), "policy.json")
    assert read("--policy", str(tmp_path / "policy.json")).users == Users(ids=("a", "b"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"operations": [{"latent": 1, "operation": "add", "value": float("nan")}]}, r"operations\.0\.value = nan"),
        ({"operations": [{"latent": 1, "operation": "add", "value": float("inf")}]}, "finite number"),
        ({"operations": [{"latent": 1.5, "operation": "ablate"}]}, r"operations\.0\.latent = 1\.5"),
        ({"operations": [{"latent": 1, "operation": "remove"}]}, r"operations\.0\.operation = 'remove'"),
        ({"operations": [{"latent": 1, "operation": "ablate", "value": 2.0}]}, "ablate on latent 1 takes no value"),
        (
            {"operations": [{"latent": 1, "operation": "ablate", "strength": 2.0}]},
            r"unknown key operations\.0\.strength",
        ),
        ({"made_for": {"sae": "s1", "site": "user"}}, r"made_for\.recommender is missing; add it"),
        ({"format": "recipe"}, "format = 'recipe'"),
        ({"version": 2}, "version = 2"),
        ({"users": {"attribute": "gender"}}, "users takes attribute and value, or ids"),
        ({"users": {}}, "users takes attribute and value, or ids"),
        ({"users": {"attribute": "gender", "value": "F", "ids": ["a"]}}, "give either"),
    ],
)
def test_invalid_values_are_refused_with_file_and_key(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = put(tmp_path, **changed)
    with pytest.raises(BadInput, match=said) as caught:
        read("--policy", path)
    assert str(caught.value).startswith(f"--policy {path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\x00"])
def test_other_content_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(BadInput, match=r"--policy .*p\.json: "):
        read("--policy", str(tmp_path / "p.json"))


@pytest.mark.parametrize("source", ["missing.json", "", "nowhere://x/p.json", "folder"])
def test_a_missing_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match=f"--policy {source}: cannot be read"):
        read("--policy", source)


@pytest.mark.parametrize(
    ("recommender", "sae", "site", "said"),
    [
        ("r2", "s1", "user", r"made for another recommender \(r1; this config has r2\)"),
        ("r1", "s2", "user", r"made for another SAE \(s1; this config has s2\)"),
        ("r1", "s1", "block-0", r"made for another site \(user; this config has block-0\)"),
    ],
)
def test_a_policy_made_for_another_is_refused(recommender: str, sae: str, site: str, said: str) -> None:
    check("--policy", "p", POLICY, committed("r1"), committed("s1"), "user", 10)
    with pytest.raises(BadInput, match=said):
        check("--policy", "p", POLICY, committed(recommender), committed(sae), site, 10)


def test_an_unknown_latent_is_refused() -> None:
    with pytest.raises(BadInput, match="--policy p: latent 4 is none of the SAE's; give one from 0 to 3"):
        check("--policy", "p", POLICY, committed("r1"), committed("s1"), "user", 4)


@pytest.mark.parametrize("kind", ["add", "scale", "set"])
def test_an_operation_without_its_value_is_refused(tmp_path: Path, kind: str) -> None:
    whole = json.loads(POLICY.model_dump_json())
    whole["operations"][1] = {"latent": 4, "operation": kind}
    (tmp_path / "p.json").write_text(json.dumps(whole))
    with pytest.raises(BadInput, match=r"operations\.1\.value is missing; add it"):
        read("--policy", str(tmp_path / "p.json"))


def test_a_policy_for_nobody_is_refused(tmp_path: Path) -> None:
    whole = json.loads(POLICY.model_dump_json())
    whole["users"] = {"ids": []}
    (tmp_path / "p.json").write_text(json.dumps(whole))
    with pytest.raises(BadInput, match=r"users\.ids"):
        read("--policy", str(tmp_path / "p.json"))
