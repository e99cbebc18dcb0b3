"""The section on the SAE: its table beside the controls in a fixed order, and attributes that stay text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.report.sections.sae import SaeFacts, about_sae
from recsae.text.formatting import Cell
from tests.report.concepts_table import HOSTILE, hostile_table
from tests.report.made_page import METRICS, Page, make_report

SAE = METRICS["sae"]
GIVEN = {"recommender": {"kind": "given"}, "probe": {"activations": ["a.parquet"], "cases": "c.parquet"}}


def about(metrics: dict[str, Any] = SAE, **settings: Any) -> SaeFacts:
    config = Config.model_validate({"name": "demo", **settings})
    return about_sae(config, metrics, "items" if config.probe.site == "item" else "users")


def section(tmp_path: Path, metrics: dict[str, Any] = SAE, **settings: Any) -> str:
    """The HTML of the section in a whole page."""
    config = Config.model_validate({"name": "demo", **settings})
    text = make_report(tmp_path, hostile_table(), METRICS | {"sae": metrics}, config)
    return text[text.index('<section id="sae"') : text.index('<section id="reading"')]


def words(html: str) -> str:
    return " ".join(Page(html).text.split())


def test_the_controls_stand_in_order_whatever_the_manifest_has() -> None:
    rows = SAE["fidelity"]["rows"]
    turned = SAE | {"fidelity": SAE["fidelity"] | {"rows": {name: rows[name] for name in sorted(rows, reverse=True)}}}
    found = about(turned).fidelity
    assert [row.label for row in found.rows] == [
        "Clean",
        "Through the SAE",
        "With its error term",
        "PCA of rank 8",
        "Untrained SAE of 256 latents",
        "8 raw dimensions",
    ]
    assert found.columns == ("FVU", "HR@10", "NDCG@10", "NDCG@10 kept", "Top-10 overlap")
    assert found == about().fidelity


def test_figures_stand_with_their_intervals_under_their_columns(tmp_path: Path) -> None:
    clean, through, exact, *_ = about().fidelity.rows
    assert clean.cells == (Cell("—"), Cell("0.1000"), Cell("0.1000", "[0.0800, 0.1200]"), Cell("—"), Cell("—"))
    assert through.cells == (
        Cell("0.1234", "[0.1200, 0.1270]"),
        Cell("0.0900"),
        Cell("0.0950"),
        Cell("95.0\u00a0%", "[91.1, 100.4]"),
        Cell("71.3\u00a0%"),
    )
    assert exact.cells[0].value == "0.0000"
    html = section(tmp_path)
    assert 'data-label="NDCG@10 kept">95.0\u00a0% <span class="interval">[91.1, 100.4]</span></td>' in html
    told = words(html)
    assert "the rest on 150 test cases of 153 score users; 95 % intervals, from resampling users." in told
    assert "Untrained: 8 active latents of an SAE of the same size" in told
    assert "it is the baseline for every other figure here" in told


def test_every_table_has_a_caption_and_headers_with_scope(tmp_path: Path) -> None:
    html = section(tmp_path)
    tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
    assert len(tables) == 2
    for table in tables:
        assert words(re.findall(r"<caption>(.*?)</caption>", table, re.DOTALL)[0])
        assert all("scope=" in tag for tag in re.findall(r"<th[ >][^>]*>?", table))
        columns = len(re.findall(r'scope="col"', table))
        for row in re.findall(r"<tr[ >].*?</tr>", table.split("<tbody")[1], re.DOTALL):
            assert len(re.findall(r"<t[hd][ >]", row)) == columns


def test_given_activations_have_fvu_alone(tmp_path: Path) -> None:
    rows = {name: {"fvu": 0.1, "fvu_interval": [0.09, 0.11]} for name in ("sae", "pca", "untrained", "raw")}
    metrics = SAE | {"fidelity": {"cases": 4123, "users": 153, "part": "score", "rank": 8, "rows": rows}}
    found = about(metrics, **GIVEN)
    assert found.fidelity.columns == ("FVU",)
    assert found.fidelity.rows[0].label == "Through the SAE"
    assert found.fidelity.rows[1].cells == (Cell("—"),)
    html = section(tmp_path, metrics, **GIVEN)
    assert "HR@10" not in html and "Clean" not in html
    assert "FVU on 4,123 activations of 153 score users; there is no model to rank with" in words(html)


def test_a_site_without_users_resamples_items_too(tmp_path: Path) -> None:
    told = words(section(tmp_path, probe={"site": "item"}))
    assert "FVU on the activations of score items, the rest on 150 test cases of 153 score users" in told
    assert "from resampling items and users" in told


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("topk", "topk, k = 8 k active latents in every case"),
        ("batchtopk", "batchtopk, k = 8 k active latents per case on average"),
        ("relu", "relu, L1 weight 0.1 as many active latents per case as the penalty allows"),
        ("other", "other, k = 8"),
    ],
)
def test_the_kind_is_told_and_what_it_has(tmp_path: Path, kind: str, says: str) -> None:
    metrics = SAE | {"kind": kind} | ({"k": None, "l1": 0.1} if kind == "relu" else {})
    text = make_report(tmp_path, hostile_table(), METRICS | {"sae": metrics})
    assert says in words(text)
    line = re.findall(r"<dt>Sparse autoencoder</dt><dd>(.*?) <span>", text)
    assert line == ["relu, 256 latents, L1 weight 0.1" if kind == "relu" else f"{kind}, 256 latents, k = 8"]


def test_attributes_are_told_one_by_one(tmp_path: Path) -> None:
    found = about()
    assert [fact.value for fact in found.correlation] == ["0.493", "0.241", "0.345"]
    html = section(tmp_path)
    assert html.index("<details>") < html.index("Comedy") < html.index("</details>")
    assert "genres: Comedy40,15218040.3330.4330.294" in words(html)


def test_attributes_stay_text(tmp_path: Path) -> None:
    rows = [{"attribute": text, "value": text, "cases": 60, "latent": 1, "sae": 0.5} for text in HOSTILE]
    page = Page(section(tmp_path, SAE | {"attributes": rows}))
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]
    assert not [key for _, at in page.tags for key in at if key.startswith("on") or key == "style"]
    cells = re.findall(r"<bdi>(.*?)</bdi>", section(tmp_path / "again", SAE | {"attributes": rows}), re.DOTALL)
    assert [Page(f"<p>{cell}</p>").text for cell in cells] == [text for text in HOSTILE for _ in range(2)]


@pytest.mark.parametrize("odd", [None, [], {}, [None, "x"]])
def test_without_attributes_there_is_no_table_of_them(tmp_path: Path, odd: Any) -> None:
    html = section(tmp_path, SAE | {"attributes": odd, "correlation": {"sae": None, "raw": None, "untrained": None}})
    assert "<details" not in html and "Nothing could be measured: no attribute has enough cases" in words(html)
    assert "<dt>SAE</dt><dd>— " in html


@pytest.mark.parametrize("odd", [None, {}, {"rows": None}, {"rows": {"sae": None}}, {"clean": {"hr@10": 0.1}}])
def test_figures_that_are_not_there_are_dashes(tmp_path: Path, odd: Any) -> None:
    html = section(tmp_path, SAE | {"fidelity": odd})
    assert html.count('<td role="cell"') == 30
    assert re.findall(r'<td role="cell" data-label="[^"]*">(.*?)</td>', html) == ["—"] * 30
    assert "intervals, from" not in html
