"""The section on steering: targets by cost, charts by distance beyond chance, and the reason if nothing was steered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.report.sections import steering as steering_section
from recsae.report.sections.steering import SteeringFacts, about_steering
from recsae.schemas.steering import STEERING, WISHES
from recsae.store.filesystem import Folder
from tests.report.concepts_table import HOSTILE, hostile_table
from tests.report.made_page import METRICS, NO_TABLES, Page, Tables, committed, make_report
from tests.report.made_tables import ALL, steering, step_row, table, tables, target_row, targets

CONFIG = Config.model_validate({"name": "demo"})
EMPTY: Tables = {
    ("steering", "steering.parquet"): STEERING.empty_table(),
    ("steering", "steering_wishes.parquet"): WISHES.empty_table(),
}
GIVEN = {"recommender": {"kind": "given"}, "probe": {"activations": ["a.parquet"], "cases": "c.parquet"}}


def about(root: Path, made: Tables, **metrics: Any) -> SteeringFacts:
    inputs = committed(Folder(str(root)), METRICS | {"steering": metrics}, made)
    return about_steering(CONFIG, inputs)


def made(rows: list[dict[str, Any]], target_share: list[dict[str, Any]]) -> Tables:
    return {
        ("steering", "steering.parquet"): table(rows, STEERING),
        ("steering", "steering_wishes.parquet"): table(target_share, WISHES),
    }


def section(text: str) -> str:
    return text[text.index('<section id="turning"') : text.index('<section id="reading"')]


def test_targets_are_ordered_by_cost_and_unreached_ones_last(tmp_path: Path) -> None:
    found = about(tmp_path, tables())
    assert [target.concept for target in found.targets] == [HOSTILE[1], HOSTILE[0], HOSTILE[2]]
    cheap, dear, none = found.targets
    assert cheap[1:] == (2, "20.0\u00a0%", "40.0\u00a0%", "0.25", "41.0\u00a0%", "\u22125.0\u00a0%", "not reached")
    assert dear[-2:] == ("\u221210.0\u00a0%", "±0.0\u00a0%")
    assert none[1:] == (None, "20.0\u00a0%", "40.0\u00a0%", "not reached", "—", "—", "\u22122.0\u00a0%")


def test_latents_and_concepts_beyond_chance_are_counted_at_the_reference(tmp_path: Path) -> None:
    found = about(tmp_path, tables(), unchecked=2)
    # Latent 3 rises by 0.02 with a lower bound of 0.01; random directions reach 0.02.
    assert (found.latents, found.above, found.concepts, found.concepts_above) == (3, 2, 3, 2)
    assert (found.reference, found.factor, found.users, found.unchecked) == ("0.25", "2", "1,500", 2)
    assert found.noise == "5.0\u00a0%"  # half of 0.02 to 0.06, by 0.4
    assert found.probed and not found.scaled


def test_concepts_furthest_beyond_chance_are_drawn_with_the_latent_of_the_target(tmp_path: Path) -> None:
    strength = {1: ("noir", 0.1), 2: ("noir", 0.3), 3: ("epic and war", 0.2), 4: ("heist", 0.05)}
    rows = [step_row(latent, 0.25, change, concept=concept) for latent, (concept, change) in strength.items()]
    target_share = [
        target_row("noir", "latent", latent=1, strength=0.2, share=0.4, ndcg_change=-0.01),
        target_row("epic and war", "latent"),
        target_row("heist", "latent", latent=4, strength=0.9, share=0.4, ndcg_change=-0.5),
        target_row("no latent was tried", "latent"),
    ]
    found = about(tmp_path, made(rows, target_share))
    # Latent 2 is further beyond chance than 1, but 1 is in the table; without a latent in the table, the furthest.
    assert [(one.steered.concept, one.steered.latent) for one in found.pictures] == [
        ("epic and war", 3),
        ("noir", 1),
        ("heist", 4),
    ]
    assert not found.probed and found.concepts == 4 and found.concepts_above == 3
    assert [[row.strength for row in rows] for rows in found.numbers] == [["0.25"]] * 3


def test_many_concepts_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering_section, "MAX_SHOWN", 1)
    monkeypatch.setattr(steering_section, "MAX_PICTURES", 2)
    found = about(tmp_path, tables())
    assert [target.concept for target in found.targets] == [HOSTILE[1]] and found.more == 2
    assert [one.steered.latent for one in found.pictures] == [1, 2]
    text = make_report(tmp_path / "page", hostile_table(), ALL, tables=tables())
    assert "The 1 cheapest; 2 more are in steering_wishes.parquet" in text
    assert "Shown are the 2 concepts that steering moves furthest beyond chance" in text


@pytest.mark.parametrize("none", [NO_TABLES, EMPTY])
def test_one_sentence_explains_why_nothing_was_steered(tmp_path: Path, none: Tables) -> None:
    assert about(tmp_path / "a", none).skipped_because == "no latent is interpretable, so there is no concept to steer"
    assert "3 have a freely written name" in about(tmp_path / "b", none, unchecked=3).skipped_because
    given = Config.model_validate({"name": "demo", **GIVEN})
    text = make_report(tmp_path / "c", hostile_table(), METRICS, given, none)
    shown = section(text)
    assert "Nothing was steered: the activations were given, so there is no model to steer." in shown
    assert "<table" not in shown and "<svg" not in shown and shown.count("<p>") == 1
    assert "no latent was steered in this run to test that" in text


def test_concepts_are_shown_as_text(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table(), ALL, tables=tables())
    shown = section(text)
    page = Page(shown)
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]
    assert not [key for _, at in page.tags for key in at if key.startswith("on") or key == "style"]
    names = [Page(f"<p>{cell}</p>").text for cell in re.findall(r"<bdi>(.*?)</bdi>", shown, re.DOTALL)]
    # In the table by cost; above the charts and in their numbers by distance beyond chance.
    by_cost, by_chance = [HOSTILE[1], HOSTILE[0], HOSTILE[2]], list(HOSTILE[:3])
    assert names == [*by_cost, *by_chance, *by_chance]
    links = [at["href"] for tag, at in page.tags if tag == "a"]
    assert links == [f"#latent-{latent}" for latent in (2, 1, 1, 2, 3)]
    assert "never shown" not in text
    assert "2 of 3 latents" in page.text and "2 more interpretable latents have freely written names" in page.text


def test_every_row_has_as_many_cells_as_there_are_columns(tmp_path: Path) -> None:
    at_the_item = {"operation": "scale", "probe_share_change": None, "probe_ndcg_change": None}
    without = made([step_row(1, 0.25, 0.2, **at_the_item)], targets().filter([True, False] * 3).to_pylist())
    for root, some, columns in ((tmp_path / "with", tables(), (8, 7)), (tmp_path / "without", without, (7, 5))):
        shown = section(make_report(root, hostile_table(), ALL, tables=some))
        found = re.findall(r"<table.*?</table>", shown, re.DOTALL)
        assert tuple(len(re.findall(r'role="columnheader"', one)) for one in found) == columns
        for one, wanted in zip(found, columns, strict=True):
            for row in re.findall(r"<tr[ >].*?</tr>", one.split("</thead>")[1], re.DOTALL):
                spans = sum(int(span) - 1 for span in re.findall(r'colspan="(\d+)"', row))
                assert len(re.findall(r"<t[hd][ >]", row)) + spans == wanted
        assert ("moves all items along that direction" in shown) == (columns == (7, 5))


def test_the_numbers_include_negative_strengths_and_ablation(tmp_path: Path) -> None:
    found = about(tmp_path, {**tables(), ("steering", "steering.parquet"): steering()})
    assert [row.strength for row in found.numbers[0]] == ["\u22120.25", "0.25", "0.5", "ablated"]
    out = found.numbers[0][-1]
    assert (out.share, out.ndcg) == ("17.0\u00a0% [16.0\u00a0%, 18.5\u00a0%]", "\u221210.0\u00a0%")
    assert (out.probe, out.chance, out.chance_ndcg) == ("—", "18.0\u00a0% to 22.0\u00a0%", "\u22125.0\u00a0%")
