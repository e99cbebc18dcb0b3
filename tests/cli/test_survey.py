"""The job `survey` from export to score: ten simulated people whose agreement is worked out by other formulas, and one
sentence with status 2 for bad input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsae.schemas.survey import SURVEY
from tests.cli.asking import Asker, served_toml

Said = dict[str, str]
OPEN = "open"


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_toml(tmp_path_factory.mktemp("survey"))


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker("survey", monkeypatch, capsys)


@pytest.fixture
def form(ask: Asker, toml: Path, tmp_path: Path) -> Path:
    ask("export", "--config", toml, "--to", tmp_path / "form.html", "--concepts", 5, "--decoys", 3)
    return tmp_path / "form.html"


def key_of(form: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(form.with_suffix(".key.json").read_text())
    return found


def save(form: Path, rater: str, answers: Said) -> Path:
    """What the form saves, by what stands in the form alone."""
    page = re.search(r'<script type="application/json" id="data">(.*?)</script>', form.read_text())
    assert page
    data = json.loads(page[1])
    ids = {f"{at}.{case}" for at, one in enumerate(data["questions"]) for case in range(len(one["cases"]))}
    assert ids >= answers.keys()
    path = form.with_name(f"answers-{rater}.json")
    told = {"format": "recsae survey answers", "version": 1, "survey": data["survey"], "rater": rater}
    path.write_text(json.dumps({**told, "answers": answers}))
    return path


def facts(form: Path) -> dict[str, dict[str, Any]]:
    """By question what the key says of it."""
    return {
        f"{place}.{case_place}": {**case, "decoy": concept["decoy"], "name": concept["name"]}
        for place, concept in enumerate(key_of(form)["concepts"])
        for case_place, case in enumerate(concept["cases"])
    }


def kappa(first: Said, second: Said) -> float:
    """Of two raters and two categories: 2 (ad − bc) / ((a + b)(b + d) + (a + c)(c + d)), over what both said."""
    told = [(first[one], second[one]) for one in first if {first[one], second[one]} <= {"yes", "no"}]
    a, b, c, d = (told.count(pair) for pair in (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")))
    return 2 * (a * d - b * c) / ((a + b) * (b + d) + (a + c) * (c + d))


def fleiss(people: list[Said]) -> float:
    """Of two categories and n answers to each of N questions: 1 − Σ x (n − x) / (N n (n − 1) p (1 − p))."""
    yes = [sum(one[question] == "yes" for one in people) for question in people[0]]
    n, p = len(people), sum(yes) / (len(yes) * len(people))
    return 1 - sum(x * (n - x) for x in yes) / (len(yes) * n * (n - 1) * p * (1 - p))


def simulate(form: Path, unsure: float = 0.0) -> dict[str, Said]:
    """Ten people who see a genre where it is written, each wrong on his own share of the questions."""
    draw, known = np.random.default_rng(3), facts(form)
    people = {}
    for number in range(10):
        genre = {question: one["name"].removeprefix("recommends ") for question, one in known.items()}
        right = {question: f"genres: {genre[question]}" in one["text"] for question, one in known.items()}
        wrong = {question for question in known if draw.random() < number / 20}
        said = {question: "yes" if right[question] != (question in wrong) else "no" for question in known}
        people[f"p{number}"] = {
            question: "unsure" if draw.random() < unsure else answer for question, answer in said.items()
        }
    return people


def score(
    ask: Asker, form: Path, people: dict[str, Said], *options: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    files = [save(form, rater, said) for rater, said in people.items()]
    to = form.with_name("out.parquet")
    found = json.loads(ask("score", "--key", form.with_suffix(".key.json"), *files, "--to", to, "--json", *options))
    table = pq.read_table(to)
    assert table.schema.equals(SURVEY, check_metadata=True)
    return found, table.to_pylist()


@pytest.mark.parametrize("unsure", [0.0, 0.15])
def test_ten_peoples_answers_come_back_with_the_right_kappas(ask: Asker, form: Path, unsure: float) -> None:
    people, known = simulate(form, unsure), facts(form)
    found, _ = score(ask, form, people)
    judge = {question: "yes" if one["judge"] else "no" for question, one in known.items()}
    assert [one["rater"] for one in found["people"]] == list(people)
    for told in found["people"]:
        said = people[told["rater"]]
        assert told["kappa_judge"] == pytest.approx(kappa(said, judge))
        assert told["answered"] + told["unsure"] == len(known) and told["open"] == 0
        assert told["unsure"] == list(said.values()).count("unsure")
    assert len(found["pairs"]) == 45
    for pair in found["pairs"]:
        first, second = (people[rater] for rater in pair["raters"])
        assert pair["kappa"] == pytest.approx(kappa(first, second))
    if not unsure:
        assert found["fleiss"]["kappa"] == pytest.approx(fleiss(list(people.values())))
        assert found["fleiss"]["questions"] == len(known)
    votes = {question: [said[question] for said in people.values()] for question in known}
    majority = {
        question: "yes"
        if cast.count("yes") > cast.count("no")
        else "no"
        if cast.count("no") > cast.count("yes")
        else OPEN
        for question, cast in votes.items()
    }
    told = found["others"]["majority"]
    assert told["kappa_judge"] == pytest.approx(kappa(majority, judge))
    assert told["kappa_judge"] > max(one["kappa_judge"] for one in found["people"][6:])


def test_real_and_decoy_are_told_apart_as_counted_by_hand(ask: Asker, form: Path) -> None:
    people, known = simulate(form), facts(form)
    found, rows = score(ask, form, people)
    for told in found["people"]:
        said = people[told["rater"]]

        def share(answer: str, active: bool, decoy: bool, said: Said = said) -> float:
            here = [q for q, one in known.items() if (one["active"], one["decoy"]) == (active, decoy)]
            return sum(said[question] == answer for question in here) / len(here)

        assert told["decoys_rejected"] == pytest.approx(share("no", True, True))
        both = (share("yes", True, False) + share("no", False, False)) / 2
        assert told["confidence"] == pytest.approx(both)
        apart = (share("yes", True, False) + share("no", True, True)) / 2
        assert told["real_against_decoy"] == pytest.approx(apart)
        assert told["decoys_rejected_interval"] is None  # of three decoys
        assert told["confidence_interval"][0] <= told["confidence"] <= told["confidence_interval"][1]
    assert found["people"][0]["confidence"] == found["people"][0]["decoys_rejected"] == 1
    assert [row["decoy"] for row in rows] == [False] * 5 + [True] * 3


def test_a_concepts_row_counts_its_votes_and_stands_beside_the_judges(ask: Asker, form: Path) -> None:
    known = facts(form)
    concepts = key_of(form)["concepts"]
    place = next(number for number, one in enumerate(concepts) if not one["decoy"] and one["name"] != "recommends Noir")
    own = [question for question in known if question.startswith(f"{place}.")]
    active = [question for question in own if known[question]["active"]]
    silent = [question for question in own if not known[question]["active"]]
    ann = dict.fromkeys(active, "yes") | dict.fromkeys(silent, "no")
    bob = dict.fromkeys(active[:2], "yes") | {active[2]: "no", active[3]: "unsure"} | dict.fromkeys(silent[:2], "no")
    _, rows = score(ask, form, {"ann": ann, "bob": bob})
    row = next(row for row in rows if row["latent"] == concepts[place]["latent"] and not row["decoy"])
    assert (row["yes_active"], row["no_active"], row["unsure_active"]) == (4 + 2, 1, 1)
    assert (row["yes_silent"], row["no_silent"], row["unsure_silent"], row["open"]) == (0, 4 + 2, 0, 2)
    assert (row["raters"], row["cases"]) == (2, 8)
    assert row["people_recall"] == pytest.approx((1 + 1 + 0.5 + 1) / 4) and row["people_true_negative_rate"] == 1
    assert row["people_confidence"] == pytest.approx(0.9375)
    assert row["people_lower"] < 0.8 < row["people_confidence"] < row["people_upper"] <= 1
    assert row["judge_confidence"] == concepts[place]["confidence"] and row["majority_agrees"] is not None
    others = [one for one in rows if one is not row]
    assert {one["raters"] for one in others} == {0} and {one["people_confidence"] for one in others} == {None}
    assert {one["open"] for one in others} == {16}


def test_the_printed_figures_name_every_person_and_concept(ask: Asker, form: Path) -> None:
    people = {"Ann\x1b[31m": simulate(form)["p1"], "Bob": simulate(form)["p2"]}
    files = [save(form, f"p{number}", said) for number, said in enumerate(people.values())]
    for path, rater in zip(files, people, strict=True):
        path.write_text(json.dumps({**json.loads(path.read_text()), "rater": rater}))
    out = ask("score", "--key", form.with_suffix(".key.json"), *files, "--to", form.with_name("out.parquet"))
    assert "Ann [31m" in out and "\x1b" not in out and "judge" in out and "Fleiss' κ" in out
    assert all(concept["name"] in out for concept in key_of(form)["concepts"])
    assert "8 rows" in out


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held.update(survey="another"), "these answer survey another, the key belongs to"),
        (lambda held: held["answers"].update({"99.0": "yes"}), "unknown question 99.0"),
        (lambda held: held["answers"].update({"0.0": "maybe"}), "answers.0.0 = 'maybe' is refused"),
        (lambda held: held["answers"].clear(), "no question is answered"),
        (lambda held: held.pop("rater"), "rater is missing"),
        (lambda held: held.update(rater=" "), "rater is blank"),
        (lambda held: held.update(rater="ANN "), "ANN  also answered in"),
        (lambda held: held.update(more=1), "unknown key more"),
        (lambda held: held.update(version=2), "version = 2 is refused"),
    ],
)
def test_answers_that_are_not_of_this_form_are_refused(
    ask: Asker, form: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    ann, bob = save(form, "ann", {"0.0": "yes"}), save(form, "bob", {"0.0": "no"})
    edit(bob, change)
    to = form.with_name("out.parquet")
    said = ask("score", "--key", form.with_suffix(".key.json"), ann, bob, "--to", to, status=2)
    assert f"answers {bob}: " in said and told in said and not to.exists()


def test_other_bad_input_is_refused_and_leaves_nothing(ask: Asker, form: Path, toml: Path, tmp_path: Path) -> None:
    key, to = form.with_suffix(".key.json"), tmp_path / "out.parquet"
    ann = save(form, "ann", {"0.0": "yes"})
    twice = tmp_path / "twice.json"
    twice.write_text(ann.read_text().replace('"0.0": "yes"', '"0.0": "yes", "0.0": "no"'))
    assert "the key 0.0 is there twice" in ask("score", "--key", key, twice, "--to", to, status=2)
    (tmp_path / "half.json").write_text(ann.read_text()[:40])
    assert "half.json: not valid JSON" in ask("score", "--key", key, tmp_path / "half.json", "--to", to, status=2)
    assert "no such file" in ask("score", "--key", key, tmp_path / "none.json", "--to", to, status=2)
    assert "format = " in ask("score", "--key", ann, ann, "--to", to, status=2)
    assert "answers reads that file" in ask("score", "--key", key, ann, "--to", ann, status=2)
    assert "--key reads that file" in ask("score", "--key", key, ann, "--to", key, status=2)
    edit(key, lambda held: held["concepts"][0].update(name="another"))
    assert "its questions do not match survey" in ask("score", "--key", key, ann, "--to", to, status=2)
    assert not to.exists() and json.loads(ann.read_text())["rater"] == "ann"


def test_an_export_that_cannot_be_made_leaves_nothing(ask: Asker, toml: Path, tmp_path: Path) -> None:
    export = ("export", "--config", toml, "--to", tmp_path / "form.html")
    assert "--cases 7: half of them activate" in ask(*export, "--cases", 7, status=2)
    assert "--concepts 0: give 1 or more" in ask(*export, "--concepts", 0, status=2)
    assert "--seed -1" in ask(*export, "--seed", -1, status=2)
    assert "ask for fewer" in ask(*export, status=2)
    assert "no night is served yet" in ask(*export, "--set", "name=other", status=2)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_answers_may_need_is_not_replaced(ask: Asker, form: Path, toml: Path) -> None:
    before = form.with_suffix(".key.json").read_text()
    told = ask("export", "--config", toml, "--to", form, "--concepts", 4, "--decoys", 2, status=2)
    assert "form.key.json is there already" in told
    assert form.with_suffix(".key.json").read_text() == before
