"""A made night as a notebook opens it: tables, items, users, and names that the run has."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsae import BadInput, Run, open_run
from recsae.schemas.concepts import CONCEPTS
from recsae.store.filesystem import as_json
from recsae.store.run_store import RunStore
from tests.lookup import made_night


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("night")
    made_night.serve(made_night.config_at(root).model_copy(update={"seed": 7}))
    return open_run(root, "shop")


def test_root_and_name_are_enough(run: Run) -> None:
    assert run.config.seed == 7 and run.config.name == "shop" and run.config.resources.device == "cpu"
    assert run.night in repr(run) and run.committed("sae") is not None and run.committed("survey") is None


def test_a_config_may_be_given_for_what_manifests_do_not_hold(run: Run, tmp_path: Path) -> None:
    root = run.config.store.root
    given = run.config.model_copy(update={"seed": 8})
    assert open_run(root, "shop", given).config is given
    toml = tmp_path / "shop.toml"
    toml.write_text('name = "shop"\nresources = { retries = 1 }\ndata = { interactions = ["events.csv"] }\n')
    assert open_run(root, "shop", toml).config.resources.retries == 1


def test_manifests_of_another_version_ask_for_the_config(tmp_path: Path) -> None:
    config = made_night.config_at(tmp_path)
    record = made_night.serve(config)
    store = RunStore(str(tmp_path), "shop")
    attempt = store.attempt("scores", "later", store.lease("scores", "later", 20))
    store.commit("scores", attempt, {"config": {"report": {"jury": 3}}, "metrics": {}})
    later = {**record, "fingerprints": {**record["fingerprints"], "scores": "later"}}
    store.folder.put("current.json", as_json(later))
    with pytest.raises(BadInput, match=r"report\.jury.*give open_run the config"):
        open_run(tmp_path, "shop")
    assert open_run(tmp_path, "shop", config).config is config


def test_no_served_night_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no night is served yet"):
        open_run(tmp_path, "shop")


def test_the_dictionary_is_a_frame(run: Run) -> None:
    assert list(run.concepts.columns) == CONCEPTS.names and run.concepts is run.concepts
    names = dict(zip(run.concepts["latent"], run.concepts["name"], strict=True))
    assert names == {latent: made_night.genre(latent) for latent in made_night.LATENTS}


@pytest.mark.parametrize("asked", ["i09", "Film 09"])
def test_latents_of_an_item(run: Run, asked: str) -> None:
    (row,) = run.latents(asked).to_dict("records")
    assert (row["latent"], row["name"], row["activations"], row["lift"]) == (1, "Noir", 49, 8.0)
    assert run.latents(f"i{made_night.TARGET}").empty
    with pytest.raises(BadInput, match="item Film 99"):
        run.latents("Film 99")


def test_a_user_has_a_history_and_cases(run: Run) -> None:
    found = run.user("user-05")
    assert found.user["part"] == "score" and len(found.history) == made_night.EVENTS
    assert found.history["item_id"].iloc[-1] == f"i{made_night.TARGET}"
    expected = [row for row in made_night.evidence() if row["user_idx"] == 5 and row["activation"] > 0]
    assert len(expected) == len(found.cases) and set(found.cases["latent"]) == {row["latent"] for row in expected}
    assert found.cases["first_title"].notna().all() and found.cases["title"].str.startswith("Film").all()
    with pytest.raises(BadInput, match="user user-4x"):
        run.user("user-4x")


def test_a_latent_that_the_run_labelled_has_its_names_in_the_tables(run: Run) -> None:
    found = run.label(1)
    assert found.name == "Noir" and not found.made_now
    assert found.candidates["concept"].tolist() == ["Noir", "Other 1"]
    with pytest.raises(BadInput, match="latent 99"):
        run.label(99)


def test_policies_are_asked_for_in_one_way(run: Run) -> None:
    with pytest.raises(BadInput, match="leave one of them out"):
        run.recommend(["user-05"], more={"Noir": 2}, policy="policy.json")


def test_an_unknown_part_is_refused(run: Run) -> None:
    with pytest.raises(BadInput, match="part = test: choose among explain, select, score"):
        next(run.activations("test"))
