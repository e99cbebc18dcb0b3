"""The form is self-contained, blind and safe against any catalogue text. tests/integration/test_survey_form.py fills it
in in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from recsae.config.schema import Config
from recsae.lookup.served import served
from recsae.survey import form
from recsae.survey.form import form_page
from recsae.survey.key import Answers, Key
from recsae.survey.sample import SurveySize, draw_sample
from tests.report.concepts_table import HOSTILE

SCRIPT = (Path(form.__file__).parent / "static" / "form.js").read_text()


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.held: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.elements[-1] if self.elements else ("", {})
        if tag in ("script", "style") and data.strip():
            self.held.append((str(attributes.get("type", tag)), data))


@pytest.fixture(scope="module")
def key(night_config: Config) -> Key:
    return draw_sample(served(night_config), "shop", SurveySize(5, 3, 8, 0))


def form(key: Key) -> str:
    return form_page(key.survey, key.view, key.questions())


def test_nothing_of_the_key_reaches_the_form(key: Key) -> None:
    """Keys that differ in everything except the questions give identical pages."""
    other = key.model_copy(
        update={
            "seed": 77,
            "night": "another",
            "run": "another",
            "model": "another",
            "concepts": tuple(
                concept.model_copy(
                    update={
                        "latent": concept.latent + 100,
                        "stable_id": "another",
                        "decoy": not concept.decoy,
                        "cases_of": 3,
                        "interpretable": not concept.interpretable,
                        "confidence": 0.123,
                        "lower": None,
                        "upper": None,
                        "cases": tuple(
                            case.model_copy(
                                update={
                                    "case_id": 5,
                                    "item_id": "another",
                                    "role": "top",
                                    "active": not case.active,
                                    "activation": 0.5,
                                    "judge": None,
                                }
                            )
                            for case in concept.cases
                        ),
                    }
                )
                for concept in key.concepts
            ),
        }
    )
    assert form(other) == form(key)
    assert "decoy" not in form(key)


def test_the_policy_admits_only_its_own_script_and_style(key: Key) -> None:
    page = Page(form(key))
    policy = next(held["content"] for tag, held in page.elements if tag == "meta" and "http-equiv" in held)
    assert policy is not None and policy.startswith("default-src 'none'")
    for kind in ("script", "style"):
        (text,) = [text for held, text in page.held if held == kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    asked = [held.get(name) for _, held in page.elements for name in ("src", "href", "action", "style", "onclick")]
    assert {one for one in asked if one} == {"data:,", "#concept"}


def test_hostile_text_stays_data(key: Key) -> None:
    concepts = tuple(
        concept.model_copy(
            update={
                "name": HOSTILE[place],
                "cases": tuple(case.model_copy(update={"text": HOSTILE[place]}) for case in concept.cases),
            }
        )
        for place, concept in enumerate(key.concepts)
    )
    hostile = key.model_copy(update={"concepts": concepts})
    page, clean = Page(form(hostile)), Page(form(key))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in clean.elements]
    (data,) = [json.loads(text) for kind, text in page.held if kind == "application/json"]
    assert data == {"survey": key.survey, "questions": hostile.questions()}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(", SCRIPT)


def test_the_scripts_ids_exist_and_its_file_format_matches(key: Key) -> None:
    ids = {held["id"] for _, held in Page(form(key)).elements if "id" in held}
    sought = set(re.findall(r'(?:part|getElementById)\("(\w+)"\)', SCRIPT)) | set(re.findall(r'"(next|save)"', SCRIPT))
    assert sought and sought <= ids
    fields = Answers.model_fields
    assert (
        f'format: "{fields["format"].default}", version: {fields["version"].default}, survey, rater, answers' in SCRIPT
    )
    assert re.findall(r'\["(\w+)", "', SCRIPT) == ["yes", "no", "unsure"]


def test_every_input_has_a_label(key: Key) -> None:
    elements = Page(form(key)).elements
    labelled = {held["for"] for tag, held in elements if tag == "label"}
    assert {held["id"] for tag, held in elements if tag == "input"} <= labelled
    assert ("html", {"lang": "en"}) in elements and any(tag == "title" for tag, _ in elements)
