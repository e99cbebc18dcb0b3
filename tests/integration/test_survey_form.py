"""Ten people of known quality fill in the form of a survey, in a real browser and from the disk; what it saves is read
and counted by the project, and the figures are those of other formulas. Names and titles are hostile."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from recsae.store.filesystem import as_json
from recsae.survey import counting
from recsae.survey.form import form_page
from recsae.survey.key import Case, Key, SurveyConcept, read_answers, read_key
from tests.integration.browsing import assert_accessible, needs_browser, watched
from tests.report.concepts_table import HOSTILE

pytestmark = needs_browser
LABELS = {"yes": "Yes", "no": "No", "unsure": "Can’t tell"}
KEYS = {"yes": "y", "no": "n", "unsure": "c"}
REAL, DECOYS, CASES = 3, 2, 4


class Person(NamedTuple):
    """How often someone is right, cannot tell and leaves a question open; and how he answers."""

    name: str
    right: float
    unsure: float = 0.0
    open: float = 0.0
    by_keys: bool = False


PEOPLE = (
    Person("Ann", 1.0, by_keys=True),
    Person("Bob", 0.0, by_keys=True),
    Person('<img src=x onerror="alert(3)">', 0.95, by_keys=True),
    Person("\u202enivek\u202c", 0.95, unsure=0.2, by_keys=True),
    Person("Éva", 0.9, unsure=0.1, open=0.2),
    Person("F/../F", 0.9),
    Person("שלום", 0.85, open=0.3),
    Person("Hal", 0.85, unsure=0.3, by_keys=True),
    Person("Ida", 0.8, by_keys=True),
    Person("Joe", 0.5, open=0.1),
)


def made_key() -> Key:
    """Every case is right as its concept is real and it activates; the language model errs twice and is silent once."""
    draw = random.Random(0)
    concepts = []
    for place in range(REAL + DECOYS):
        decoy = place % 3 == 1
        active = draw.sample([True, False] * (CASES // 2), CASES)
        cases = tuple(
            Case(
                case_id=10 * place + number,
                item_id=f"i{number}",
                text=HOSTILE[(place + number) % len(HOSTILE)],
                role="top" if fires else "random",
                active=fires,
                activation=float(fires),
                judge=None
                if (place, number) == (4, 0)
                else (fires and not decoy) ^ ((place, number) in {(0, 1), (1, 2)}),
            )
            for number, fires in enumerate(active)
        )
        concepts.append(
            SurveyConcept(
                latent=place,
                stable_id=f"c-{place}",
                name=HOSTILE[place],
                decoy=decoy,
                cases_of=place + 100 * decoy,
                interpretable=True,
                confidence=0.75,
                lower=None,
                upper=None,
                cases=cases,
            )
        )
    key = Key(survey="", run="r", night="n", view="recommended", model="m", seed=0, concepts=tuple(concepts))
    return key.model_copy(update={"survey": key.digest()})


KEY = made_key()
TRUTH = {
    f"{place}.{number}": case.active and not one.decoy
    for place, one in enumerate(KEY.concepts)
    for number, case in enumerate(one.cases)
}


def meant(person: Person) -> dict[str, str]:
    """What someone wants to answer."""
    draw, told = random.Random(person.name), {}
    for question, true in TRUTH.items():
        says = "yes" if true == (draw.random() < person.right) else "no"
        if draw.random() >= person.open:
            told[question] = "unsure" if draw.random() < person.unsure else says
    return told


MEANT = {person.name: meant(person) for person in PEOPLE}


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("form") / "form.html"
    path.write_text(form_page(KEY.survey, KEY.view, KEY.questions()), encoding="utf-8")
    return path.as_uri()


def by_mouse(page: Any, told: Mapping[str, str]) -> None:
    for place, one in enumerate(KEY.concepts):
        for number in range(len(one.cases)):
            if f"{place}.{number}" in told:
                case = page.locator("#cases fieldset").nth(number)
                case.get_by_label(LABELS[told[f"{place}.{number}"]], exact=True).click()
        if place + 1 < len(KEY.concepts):
            page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Save answers").click()


def by_keys(page: Any, told: Mapping[str, str]) -> None:
    """Without one click: a key goes on to the next case, from the last one to Next, and at the end to Save."""
    for place, one in enumerate(KEY.concepts):
        page.keyboard.press("Tab")
        for number in range(len(one.cases)):
            page.keyboard.press(KEYS[told[f"{place}.{number}"]])
        page.keyboard.press("Enter")


@pytest.fixture(scope="module")
def saved(browser: Any, form: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files that ten people handed in."""
    folder, files = tmp_path_factory.mktemp("answers"), []
    for number, person in enumerate(PEOPLE):
        with watched(browser) as page:
            page.goto(form)
            page.get_by_label("Your name or id").fill(person.name)
            with page.expect_download() as download:
                (by_keys if person.by_keys else by_mouse)(page, MEANT[person.name])
            files.append(str(folder / f"{number}.json"))
            download.value.save_as(files[-1])
            assert "/" not in download.value.suggested_filename
    return files


@pytest.fixture(scope="module")
def counted(saved: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("key") / "key.json"
    path.write_bytes(as_json(KEY.model_dump(mode="json")))
    key = read_key(str(path))
    return counting.overall(counting.collect_votes(key, read_answers(saved, key)), key.seed)


def test_what_people_saved_is_what_they_meant(saved: list[str]) -> None:
    assert [(one.rater, one.answers) for one in read_answers(saved, KEY)] == list(MEANT.items())


def said(person: Person) -> dict[str, bool]:
    return {question: told == "yes" for question, told in MEANT[person.name].items() if told != "unsure"}


def kappa(first: Mapping[str, bool], second: Mapping[str, bool]) -> float:
    """Cohen's of two categories: 2 (ad − bc) / ((a + b)(b + d) + (a + c)(c + d))."""
    both = [(first[question], second[question]) for question in first if question in second]
    a, b, c, d = (both.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False)))
    return 2 * (a * d - b * c) / ((a + b) * (b + d) + (a + c) * (c + d))


def fleiss() -> float:
    """1 − D_o / D_e: how often two people who answered a question differ, against two answers drawn from all."""
    differ, everything = [], []
    for question in TRUTH:
        here = [told[question] for told in map(said, PEOPLE) if question in told]
        everything += here
        differ.append(np.mean([one != other for one, other in combinations(here, 2)]))
    yes = np.mean(everything)
    return float(1 - np.mean(differ) / (2 * yes * (1 - yes)))


def test_agreement_is_that_of_other_formulas(counted: dict[str, Any]) -> None:
    assert counted["fleiss"]["kappa"] == pytest.approx(fleiss()) and 0.1 < fleiss() < 0.8
    judge = {
        question: case.judge
        for question, case in zip(TRUTH, (case for one in KEY.concepts for case in one.cases), strict=True)
        if case.judge is not None
    }
    for person, told in zip(PEOPLE, counted["people"], strict=True):
        assert told["rater"] == person.name and told["kappa_judge"] == pytest.approx(kappa(said(person), judge))
    pairs = [kappa(said(one), said(other)) for one, other in combinations(PEOPLE, 2)]
    assert [pair["kappa"] for pair in counted["pairs"]] == pytest.approx(pairs)


def test_decoys_and_real_concepts_are_told_as_well_as_people_tell_them(counted: dict[str, Any]) -> None:
    of = {told["rater"]: (told["confidence"], told["decoys_rejected"]) for told in counted["people"]}
    assert of["Ann"] == (1, 1) and of["Bob"] == (0, 0)
    trap = {
        f"{place}.{number}"
        for place, one in enumerate(KEY.concepts)
        for number, case in enumerate(one.cases)
        if one.decoy and case.active
    }
    assert len(trap) == DECOYS * CASES // 2
    for person in PEOPLE:
        here = [yes for question, yes in said(person).items() if question in trap]
        assert of[person.name][1] == pytest.approx(1 - np.mean(here))


def test_a_reload_keeps_what_was_answered_and_a_file_brings_it_elsewhere(
    browser: Any, form: str, tmp_path: Path
) -> None:
    with watched(browser) as page:
        page.goto(form)
        page.get_by_label("Your name or id").fill("Zoë")
        page.get_by_label("Yes", exact=True).first.click()
        page.get_by_role("button", name="Next").click()
        page.get_by_label("Can’t tell").last.click()
        page.reload()
        assert page.get_by_label("Your name or id").input_value() == "Zoë"
        assert page.locator("#place").inner_text() == f"Concept 2 of {REAL + DECOYS}"
        assert page.get_by_label("Can’t tell").last.is_checked()
        assert page.locator("#told").inner_text() == f"2 of {len(TRUTH)} answered"
        with page.expect_download() as download:
            page.get_by_role("button", name="Save answers").click()
        download.value.save_as(tmp_path / "zoe.json")
    with watched(browser) as page:
        page.goto(form)
        page.get_by_label("or continue from a saved file").set_input_files(tmp_path / "zoe.json")
        page.get_by_text("The answers in the file are loaded.").wait_for()
        assert page.get_by_label("Yes", exact=True).first.is_checked()
        assert page.locator("#told").inner_text() == f"2 of {len(TRUTH)} answered"


def test_nobody_s_answers_are_not_saved(opened: Any, form: str) -> None:
    opened.goto(form)
    opened.get_by_label("Yes", exact=True).first.click()
    opened.get_by_role("button", name="Save answers").click()
    assert opened.get_by_role("status").inner_text().startswith("Enter your name or id first")
    assert opened.get_by_label("Your name or id").evaluate("made => made === document.activeElement")


@pytest.mark.parametrize("opened", [("light", 1400), ("dark", 1400), ("light", 400), ("dark", 400)], indirect=True)
def test_the_form_is_accessible_and_shows_hostile_texts_as_they_are(opened: Any, form: str) -> None:
    opened.goto(form)
    for one in KEY.questions():
        assert opened.locator("#concept").evaluate("made => made.textContent") == one["name"]
        assert opened.locator("legend bdi").evaluate_all("all => all.map((made) => made.textContent)") == one["cases"]
        if opened.get_by_role("button", name="Next").is_enabled():
            opened.get_by_role("button", name="Next").click()
    assert opened.locator("img, iframe, object").count() == 0 and opened.locator("script").count() == 2
    opened.get_by_label("No", exact=True).first.click()
    assert_accessible(opened)
