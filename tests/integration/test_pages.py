"""The report in a real browser, from the disk: search, sort, follow, both colour schemes, and what a tool says of WCAG.

Whatever a page asks of any server, and whatever its console says, fails the test. Titles and names are hostile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsae.comparison.models import compare
from recsae.comparison.page import models_page
from recsae.lookup.served import served
from tests.comparison.made_models import rows, serve
from tests.comparison.test_models import GOOD, POOR
from tests.integration.browsing import assert_accessible, needs_browser
from tests.report.concepts_table import HOSTILE, hostile_table, made_up_table
from tests.report.made_page import make_pages
from tests.report.made_tables import ALL, tables
from tests.report.sections.test_sweep import committed

pytestmark = [needs_browser, pytest.mark.short]
MANY = 10_000
WRONG = """(picture) => {
  const outer = picture.getBoundingClientRect(), root = getComputedStyle(document.documentElement), wrong = [];
  const probe = document.body.appendChild(document.createElement("i"));
  const coloured = (value) => {
    probe.style.color = value;
    return getComputedStyle(probe).color;
  };
  for (const part of ["fill", "stroke"]) for (const drawn of picture.querySelectorAll(`[${part}^=var]`)) {
    const name = drawn.getAttribute(part).slice(4, -1);
    if (getComputedStyle(drawn)[part] !== coloured(root.getPropertyValue(name))) wrong.push([part, name]);
  }
  probe.remove();
  const texts = [...picture.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  for (const [text, box] of texts) {
    const cut = box.left < outer.left - 1 || box.right > outer.right + 1 || box.bottom > outer.bottom + 1;
    if (cut) wrong.push(["cut", text]);
    if (box.height < 9) wrong.push(["small", text, box.height]);
    for (const [other, beside] of texts) {
      const over = Math.min(box.right, beside.right) - Math.max(box.left, beside.left) > 1;
      const upon = Math.min(box.bottom, beside.bottom) - Math.max(box.top, beside.top) > box.height / 2;
      if (text !== other && over && upon) wrong.push(["overlap", text, other]);
    }
  }
  return wrong;
}"""
"""Parts that have not the colour of their variable, and letters that are cut, too small or upon one another."""


def folder_of(root: Path) -> Path:
    return root / "report" / "a"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("hostile")
    swept = ALL["sae"] | {"sweep": committed(num_latents=[512, 1024, 2048], k=[4, 8], picked=1)}
    make_pages(root, hostile_table(), ALL | {"sae": swept}, tables=tables())
    runs = [
        serve(root / "runs", name, kind, ndcg, rows(groups))
        for name, kind, ndcg, groups in (("good", "sasrec", 0.2, GOOD), ("poor", HOSTILE[1], 0.05, POOR))
    ]
    models = compare([(config, served(config)) for config in runs])
    (folder_of(root) / "models.html").write_text(models_page(models))
    return folder_of(root).as_uri()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("many")
    make_pages(root, made_up_table(MANY, 0.61))
    return folder_of(root).as_uri()


def numbers(page: Any, column: str) -> list[float]:
    texts = page.locator(f"#rows td.{column}").all_inner_texts()
    return [float(text.split()[0]) for text in texts if text.split()[0] != "—"]


def test_ten_thousand_latents_are_searched_sorted_and_turned_over(opened: Any, many: str) -> None:
    opened.goto(f"{many}/report.html")
    assert opened.locator("#rows tr").count() == 50
    assert opened.locator("output.range").first.inner_text() == "1–50 of 10,000"
    opened.locator("#query").fill("space opera")
    names = opened.locator("#rows th.name button bdi").all_inner_texts()
    assert len(names) == 50 and opened.locator("output.range").first.inner_text() != "1–50 of 10,000"
    opened.locator("th[data-key=f1] button").click()
    falling = numbers(opened, "f1")
    opened.locator("th[data-key=f1] button").click()
    rising = numbers(opened, "f1")
    assert falling == sorted(falling, reverse=True) and rising == sorted(rising) and falling != rising
    opened.get_by_label("Interpretable only").check()
    assert set(opened.locator("#rows td.kind").all_inner_texts()) == {"formula", "item set"}
    assert opened.locator("#rows tr.unproven").count() == 0
    first = opened.locator("#rows th.name").first.inner_text()
    opened.get_by_role("button", name="Next").first.click()
    assert opened.locator("#rows th.name").first.inner_text() != first


def test_what_has_no_interval_stands_behind_what_has_one(opened: Any, hostile: str) -> None:
    opened.goto(f"{hostile}/report.html")
    intervals = opened.locator("#rows .interval").all_inner_texts()
    assert set(intervals[:-1]) == {"0.60 to 0.90"} and intervals[-1] == "no interval"


def test_a_row_opens_and_leads_to_the_page_of_its_concept_and_on(opened: Any, many: str) -> None:
    opened.goto(f"{many}/report.html#latent-4321")
    assert opened.locator("#latent-4321 button").get_attribute("aria-expanded") == "true"
    opened.get_by_role("link", name="All of latent 4321").click()
    assert opened.url == f"{many}/concepts-043.html#latent-4321"
    assert "latent 4321" in opened.locator("p.lead").inner_text()
    opened.get_by_role("link", name="Next latent").press("Enter")
    opened.locator("p.lead", has_text="latent 4322").wait_for()  # the page hears of its new address a moment later
    assert "latent 4322" in opened.locator("p.lead").inner_text()
    opened.goto(f"{many}/concepts-043.html#latent-4399")
    opened.get_by_role("link", name="Next latent").click()
    assert opened.url == f"{many}/concepts-044.html#latent-4400"


def test_items_lead_to_latents_and_latents_to_items(opened: Any, hostile: str) -> None:
    opened.goto(f"{hostile}/report.html")
    opened.get_by_label("Search").last.fill("img src")
    assert opened.locator("#item-list h3").all_inner_texts() == [f"{HOSTILE[1]} id 1"]
    opened.locator("#item-list li a").first.click()
    assert opened.url.startswith(f"{hostile}/concepts-000.html#latent-")
    opened.locator(".measure a").first.click()
    assert opened.url.startswith(f"{hostile}/report.html#item-")
    assert opened.locator("#item-list h3").count() == 1


def test_hostile_texts_are_shown_as_they_are(opened: Any, hostile: str) -> None:
    for latent, text in enumerate(HOSTILE, 1):
        opened.goto(f"{hostile}/concepts-000.html#latent-{latent}")
        assert opened.locator("#heading bdi").evaluate("made => made.textContent") == text
    assert opened.locator("img, iframe, object, script:not([type])").count() == 0
    opened.goto(f"{hostile}/concepts-000.html#latent-1")
    assert opened.locator("svg").count() >= 2 and opened.locator("a.numbers").count() >= 2


@pytest.mark.parametrize("opened", [("light", 1400), ("dark", 1400), ("light", 400), ("dark", 400)], indirect=True)
@pytest.mark.parametrize("name", ["report.html", "concepts-000.html#latent-1", "concepts-000.html", "models.html"])
def test_pages_are_accessible_in_both_schemes_and_on_a_phone(opened: Any, hostile: str, name: str) -> None:
    opened.goto(f"{hostile}/{name}")
    assert_accessible(opened)


@pytest.mark.parametrize("opened", [("light", 1400), ("dark", 400)], indirect=True)
def test_pictures_are_in_the_colours_of_the_scheme_and_whole(opened: Any, hostile: str) -> None:
    opened.goto(f"{hostile}/report.html")
    pictures = opened.locator("svg.plot")
    assert pictures.count() >= 2 + 4 + 3
    for number in range(pictures.count()):
        wrong = pictures.nth(number).evaluate(WRONG)
        assert wrong == [], pictures.nth(number).get_attribute("aria-labelledby")
