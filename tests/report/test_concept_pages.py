"""Concept pages hold every alive latent once, with all its details, and no text can break out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recsae.config.schema import Config
from recsae.report import concept_pages as pages
from recsae.report.concept_pages import ConceptPage, concept_pages, groups_of, page_name
from recsae.schemas.concepts import EVIDENCE
from recsae.schemas.nightly import HISTORY
from recsae.store.filesystem import Folder
from tests.report.concepts_table import HOSTILE, concept_row, concepts_table
from tests.report.made_page import METRICS, NO_TABLES, Page, Tables, committed, make_pages
from tests.report.made_tables import ALL, table, tables


def made(
    root: Path, concepts: pa.Table, tables: Tables = NO_TABLES, viewed: dict[str, int] | None = None, site: str = "user"
) -> list[ConceptPage]:
    config = Config.model_validate({"name": "demo", "probe": {"site": site}})
    inputs = committed(Folder(str(root)), METRICS, tables)
    return list(concept_pages(config, inputs, concepts, viewed or {}))


def latents_of(page: ConceptPage) -> list[int]:
    place = page.data["columns"].index("latent")
    return [row[place] for row in page.data["rows"]]


def test_every_latent_is_on_the_page_of_its_hundred(tmp_path: Path) -> None:
    alive = [0, 5, 99, 100, 250, 251]
    found = made(tmp_path, concepts_table([concept_row(latent) for latent in alive]))
    assert [(page.name, latents_of(page)) for page in found] == [
        ("concepts-000.html", [0, 5, 99]),
        ("concepts-001.html", [100]),
        ("concepts-002.html", [250, 251]),
    ]
    assert [page.data["around"] for page in found] == [[None, 100], [99, 250], [100, None]]
    assert page_name(1234) == "concepts-1234.html"


def test_a_page_names_every_latent_that_it_links_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PER_PAGE", 2)
    rows = [
        concept_row(latent, group=0 if latent in (0, 3) else None, name=f"n{latent}", interpretable=latent == 1)
        for latent in range(4)
    ]
    first, second = made(tmp_path, concepts_table(rows))
    assert first.data["groups"] == {0: [0, 3]} == second.data["groups"]
    assert first.data["names"] == {0: ("n0", False), 1: ("n1", True), 3: ("n3", False)}


def test_latents_that_share_a_concept_are_grouped_and_others_are_not() -> None:
    rows = [concept_row(latent, group=group) for latent, group in enumerate([0, 1, 0, None, 0])]
    assert groups_of(concepts_table(rows)) == {0: [0, 2, 4]}


def test_items_link_to_the_report_where_it_shows_them(tmp_path: Path) -> None:
    (page,) = made(tmp_path, concepts_table([concept_row(1)]), tables(), {"id 2": 7})
    titles = page.data["titles"]
    assert {item: view for item, view in zip(titles["ids"], titles["views"], strict=True) if view is not None} == {
        "id 2": 7
    }
    assert {"items", "levels", "attributes", "turned", "curves"} <= set(page.data["details"])


def case(latent: int, role: str, rank: int, **values: Any) -> dict[str, Any]:
    fires = role in ("top", "level")
    row = {"latent": latent, "part": "score", "role": role, "rank": rank, "case_id": 9, "user_idx": rank, "position": 0}
    return row | {"item_idx": 3, "top_idx": 2, "activation": 1.5 if fires else 0.0, "level": 7 if fires else 0} | values


def test_cases_of_score_users_some_of_each_role(tmp_path: Path) -> None:
    rows = [case(1, role, rank) for role in ("random", "near_miss", "top") for rank in range(4)]
    rows += [case(1, "top", 0, part="explain", item_idx=5), case(1, "popularity", 0)]
    found = {**tables(), ("evidence", "evidence.parquet"): table(rows, EVIDENCE)}
    (page,) = made(tmp_path, concepts_table([concept_row(1)]), found, site="item")
    roles, cases, titles = page.data["roles"], page.data["cases"][1], page.data["titles"]["titles"]
    assert [roles[role] for role, *_ in cases] == ["top", "top", "near_miss", "near_miss", "random", "random"]
    assert [(fired, level) for _, fired, level, *_ in cases[:3]] == [(1.5, 7), (1.5, 7), (0, 0)]
    assert {titles[top] for *_, top, _ in cases} == {HOSTILE[2]}
    assert {titles[item] for *_, items in cases for item in items} == {HOSTILE[3]}


def test_nights_of_a_concept_oldest_first(tmp_path: Path) -> None:
    told = {"latent": 1, "confidence": 0.7, "confidence_lower": 0.6, "confidence_upper": 0.8, "interpretable": True}
    rows = [
        {"stable_id": "c-1", "night": 2, "change": "renamed", "name": HOSTILE[0], **told},
        {"stable_id": "c-1", "night": 1, "change": None, "name": HOSTILE[1], **told},
        {"stable_id": "c-9", "night": 1, "change": None, "name": "another", **told},
    ]
    found = {("concepts", "history.parquet"): table(rows, HISTORY)}
    (page,) = made(tmp_path, concepts_table([concept_row(1), concept_row(2)]), found)
    first, second = (
        [night, change, name, 0.7, 0.6, 0.8, True]
        for night, change, name in ((1, None, HOSTILE[1]), (2, "renamed", HOSTILE[0]))
    )
    assert page.data["nights"] == {1: [first, second]}


def test_the_pages_admit_only_their_own_script_and_send_no_requests(tmp_path: Path) -> None:
    rows = [concept_row(latent, name=text, description=text) for latent, text in enumerate(HOSTILE, 1)]
    texts = make_pages(tmp_path, concepts_table(rows), ALL, tables=tables())
    assert set(texts) == {"report.html", "concepts-000.html"}
    page = Page(texts["concepts-000.html"])
    assert [at.get("type") for tag, at in page.tags if tag == "script"] == ["application/json", "module"]
    assert page.policy.startswith("default-src 'none';") and "unsafe" not in page.policy
    assert not [key for _, at in page.tags for key in at if key.startswith("on") or key == "style"]
    addresses = {str(at[key]) for _, at in page.tags for key in ("href", "src", "action") if key in at}
    assert addresses == {"data:,", "#main", "report.html", "report.html#dictionary"}
    assert [row[page.json["columns"].index("name")] for row in page.json["rows"]] == list(HOSTILE)
