"""The config: what is refused, in which words, and what an override does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.pipeline.stages import STAGES

CONFIGS = sorted((Path(__file__).parents[2] / "jobs/configs").glob("*.toml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text('name = "night"\n[sae]\nk = 4\n[data]\ninteractions = ["a.csv"]\n')
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        load(path, list(overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_jobs_loads(path: Path) -> None:
    assert path.stem.startswith(load(path).name)


def test_values_come_from_the_file_and_the_rest_from_the_defaults(file: Path) -> None:
    config = load(file)
    assert (config.name, config.sae.k, config.data.interactions) == ("night", 4, ("a.csv",))
    assert config.recommender == Config(name="x").recommender


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("sead = 1", "sead", "seed"),
        ("[recomender]\nwidth = 1", "recomender", "recommender"),
        ("[sae]\nnum_latent = 1", "sae.num_latent", "num_latents"),
        ('[data.columns]\nuser = "u"', "data.columns.user", "user_id"),
        ('[data]\nattribute = "u"', "data.attribute", "attributes"),
        ("[nights]\nepoch = 3", "nights.epoch", "epochs"),
        ("[nights.gate]\nfvus = 0.3", "nights.gate.fvus", "fvu"),
        ("[report]\ncpu_hours = 1", "report.cpu_hours", "cpu_hour"),
    ],
)
def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_known_one(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f'name = "night"\n{text}\n')
    assert refusal(path) == f"{path}: unknown key {key}; the nearest known one is {nearest}"


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("sae.k=many", "sae.k"),
        ("sae.k=0", "sae.k"),
        ("sae.k=true", "sae.k"),
        ("sae.k=8.0", "sae.k"),
        ('sae.k="8"', "sae.k"),
        ("sae.k=2000", "sae.k"),
        ("sae.auxk=-1", "sae.auxk"),
        ("sae=1", "sae"),
        ("seed=-1", "seed"),
        ("seed=4294967296", "seed"),
        ("seed=true", "seed"),
        ("name=", "name"),
        ("name=two words", "name"),
        ("name=../elsewhere", "name"),
        ("name=7", "name"),
        ("store.root=", "store.root"),
        ("split.test=1.0", "split.test"),
        ("split.test=nan", "split.test"),
        ("split.kind=random", "split.kind"),
        ("data.interactions=a.csv", "data.interactions"),
        ("data.interactions=[1]", "data.interactions.0"),
        ("data.attributes.genres=3", "data.attributes.genres"),
        ("data.columns.title=3", "data.columns.title"),
        ("data.min_weight=high", "data.min_weight"),
        ("recommender.heads=3", "recommender.heads"),
        ("recommender.learning_rate=inf", "recommender.learning_rate"),
        ("resources.train_workers=3", "resources.train_workers"),
        ("cases.max_per_user=101", "cases.max_per_user"),
        ("scores.score_cases.x=1", "scores.score_cases"),
        ("labels.latents=-1", "labels.latents"),
        ("report.cpu_hour=-0.1", "report.cpu_hour"),
        ("report.gpu_hour=inf", "report.gpu_hour"),
        ("report.currency=gold ducats", "report.currency"),
    ],
)
def test_a_bad_value_is_refused_with_its_path(file: Path, override: str, key: str) -> None:
    assert refusal(file, override).startswith(f"{file}: {key} = ")


def test_the_rule_that_a_name_breaks_is_quoted_as_it_is(file: Path) -> None:
    assert "[A-Za-z0-9]" in refusal(file, "name=two words")


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("sae.k=8", "sae", "k", 8),
        (" sae.k = 8 ", "sae", "k", 8),
        ("sae.learning_rate=1", "sae", "learning_rate", 1.0),
        ("sae.auxk=3", "sae", "auxk", 3),
        ("llm.model=org/model-1.5", "llm", "model", "org/model-1.5"),
        ("llm.model= /a folder/of = mine ", "llm", "model", "/a folder/of = mine"),
        ('llm.model="7"', "llm", "model", "7"),
        ('data.items=["x.csv", "y.csv"]', "data", "items", ("x.csv", "y.csv")),
        ("data.interactions=[]", "data", "interactions", ()),
        ("data.attributes.genres=|", "data", "attributes", {"genres": "|"}),
        ("data.columns.weight=", "data", "weight", None),
    ],
)
def test_an_override_sets_one_key(file: Path, override: str, section: str, key: str, value: object) -> None:
    before, after = load(file), load(file, [override])
    if value is None:
        assert after.data.columns.weight == ""
    else:
        assert getattr(getattr(after, section), key) == value
    others = set(Config.model_fields) - {section}
    assert after.model_dump(include=others) == before.model_dump(include=others)


def test_the_last_of_two_overrides_counts(file: Path) -> None:
    assert load(file, ["sae.k=5", "sae.k=6"]).sae.k == 6


def test_an_override_is_refused_where_a_section_is_given_for_a_value(file: Path) -> None:
    assert refusal(file, "sae.k.deep=1").startswith("--set sae.k.deep=1: k is a value, not a section")
    assert refusal(file, "name.deep=1").startswith("--set name.deep=1: name is a value, not a section")


@pytest.mark.parametrize("override", ["sae.k", "=3", "", " = 3"])
def test_an_override_without_key_or_value_is_refused(file: Path, override: str) -> None:
    assert refusal(file, override) == f"--set {override}: write it as section.key=value"


def test_an_unknown_key_in_an_override_is_refused(file: Path) -> None:
    assert "unknown key sae.kk; the nearest known one is k" in refusal(file, "sae.kk=1")


def test_a_missing_file_a_folder_bad_toml_and_bad_text_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.toml").startswith(f"{tmp_path}/none.toml: no such config file")
    assert refusal(tmp_path).startswith(f"{tmp_path}: cannot be read")
    broken = tmp_path / "broken.toml"
    broken.write_text('name = "night"\n[sae\n')
    assert refusal(broken).startswith(f"{broken}: not valid TOML") and "line 2" in refusal(broken)
    broken.write_bytes(b'name = "\xff"\n')
    assert refusal(broken).startswith(f"{broken}: cannot be read")


def test_a_missing_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("seed = 1\n")
    assert refusal(path) == f"{path}: name is missing; add it"


def test_a_config_cannot_be_changed(file: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(file).sae.k = 5


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str | None]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}", field.description


def test_every_key_has_a_doc_line() -> None:
    described = dict(fields(Config))
    assert len(described) > 50
    assert [key for key, description in described.items() if not description] == []


def test_slices_of_stages_are_sections_and_never_resources_or_store() -> None:
    for stage in STAGES.values():
        assert set(stage.config) <= set(Config.model_fields) - {"resources", "store"}, stage.name


def test_a_key_of_another_section_is_named(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('name = "shop"\nnum_latents = 8\n')
    with pytest.raises(BadInput, match=r"unknown key num_latents; did you mean sae\.num_latents\?"):
        load(file)


def test_one_path_where_a_list_is_due_is_told_how(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('name = "shop"\n[data]\ninteractions = "events.csv"\n')
    with pytest.raises(
        BadInput, match=r"data\.interactions = 'events.csv' is refused: write a list, as in \[\"events.csv\"\]"
    ):
        load(file)
    with pytest.raises(BadInput, match=r"sae\.sweep\.k = 8 is refused: write a list, as in \[8\]"):
        load(file, ['data.interactions=["events.csv"]', "sae.sweep.k=8"])


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('\ufeffname = "shop"\n', encoding="utf-8")
    assert load(file).name == "shop"


def test_an_unknown_key_of_a_stage_s_job_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('name = "x"\n[submit.stages.labels]\ngpu = 1\n')
    with pytest.raises(BadInput, match=r"unknown key submit\.stages\.labels\.gpu; the nearest known one is gpus"):
        load(path)
    path.write_text('name = "x"\n[submit.entrypoint]\ncpus = -1\n')
    with pytest.raises(BadInput, match=r"submit\.entrypoint\.cpus = -1 is refused"):
        load(path)
