"""The report is one file; no catalogue text can break out of it, and no missing metric breaks it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from recsae.config.schema import Config
from recsae.report.charts.histogram import BINS, histogram
from recsae.report.rows.dictionary import COLUMNS
from recsae.text.html import json_block
from tests.report.concepts_table import HOSTILE, concepts_table, hostile_table, made_up_table
from tests.report.made_page import METRICS, Page, make_report
from tests.report.made_tables import ALL, tables


def test_hostile_texts_stay_data(tmp_path: Path) -> None:
    concepts = hostile_table()
    page = Page(make_report(tmp_path, concepts))
    assert [at.get("type") for tag, at in page.tags if tag == "script"] == ["application/json", "module"]
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not [key for _, at in page.tags for key in at if key.startswith("on") or key == "style"]
    assert "alert" not in page.text
    rows = [dict(zip(page.json["columns"], row, strict=True)) for row in page.json["rows"]]
    titles = page.json["titles"]
    assert [row["name"] for row in rows] == [None, *HOSTILE]
    assert [row["meanings"] for row in rows] == [[], *([text, text] for text in HOSTILE)]
    for part in ("titles", "ids"):
        assert [[titles[part][number] for number in row["top_items"]] for row in rows] == [[], *([t] for t in HOSTILE)]


def test_all_rows_come_back_from_the_json(tmp_path: Path) -> None:
    concepts = made_up_table(300, 0.61)
    data = Page(make_report(tmp_path, concepts)).json
    assert data["columns"] == list(COLUMNS)
    for name, column in zip(COLUMNS, zip(*data["rows"], strict=True), strict=True):
        if name == "top_items":
            shown = [[data["titles"]["titles"][number] for number in numbers] for numbers in column]
            assert shown == concepts.column(name).to_pylist()
            continue
        for value, expected in zip(column, concepts.column(name).to_pylist(), strict=True):
            assert value == (pytest.approx(expected, rel=1e-3) if isinstance(expected, float) else expected)


def test_policy_admits_exactly_the_inlined_script_and_style(tmp_path: Path) -> None:
    page = Page(make_report(tmp_path, hostile_table()))
    style, _, script = (text for _, text in page.raw)
    assert script.strip() and style.strip()
    for directive, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in page.policy
    assert page.policy.startswith("default-src 'none';")
    assert "unsafe" not in page.policy


def test_asks_nothing_of_any_server(tmp_path: Path) -> None:
    page = Page(make_report(tmp_path, made_up_table(20, 0.61)))
    addresses = [at[key] for _, at in page.tags for key in ("href", "src", "action") if key in at]
    assert [address for address in addresses if not str(address).startswith(("#", "data:"))] == []
    script = page.raw[-1][1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", script)


def test_an_absent_figure_is_a_dash(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table(), metrics={})
    assert re.search(r"HR@10</th><td>—</td><td>—</td><td>—</td><td>—</td>", text)
    assert "<dt>FVU</dt><dd>—" in text
    assert "<dt>Alive latents</dt><dd><strong>—</strong><span>of — in the SAE" in text
    assert "<dt>Sparse autoencoder</dt><dd>—, — latents, k = — <span>— steps</span>" in text
    assert "None" not in Page(text).text and "nan" not in Page(text).text


def test_says_what_the_stages_measured(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table())
    assert (
        '<tr><th scope="row">HR@10</th><td>0.1000</td><td>0.1000</td><td>0.0900</td><td>90.0\u00a0%</td></tr>' in text
    )
    shown = Page(text).text
    for figure in (
        "90,274",
        "0.123",
        "71.3\u00a0%",
        "0.731",
        "smollm2-135m",
        "labels-fingerprint",
        "31.5\u00a0s",
        "the bar: 0.610",
        "topk, 256 latents, k = 8 3,000 steps",
    ):
        assert figure in shown
    assert "<strong>4 of 9</strong><span>4 formula; 5 unexplained</span>" in text
    assert "<strong>3</strong><span>2 of 243 before another latent, 1 of 64 search nulls</span>" in text
    assert "<strong>30 of 50</strong><span>latents promote what their statement says; 5 promote something else" in text
    assert "<strong>1 of 14</strong><span>names accepted, of 16 latents asked about;" in text


def recommender_text(tmp_path: Path, settings: dict[str, Any], metrics: Mapping[str, dict[str, Any]] = METRICS) -> str:
    config = Config.model_validate({"name": "demo", **settings})
    text = make_report(tmp_path, hostile_table(), metrics, config)
    found = re.search(r"<dt>Recommender</dt><dd>(.*?)</dd>.*?<dt>Activations</dt><dd>(.*?)</dd>", text, re.DOTALL)
    assert found
    return re.sub(r"<.*?>", "", f"{found[1]} | {found[2]}")


def test_a_recommender_is_told_by_what_it_has(tmp_path: Path) -> None:
    message = recommender_text(tmp_path, {"recommender": {"kind": "lightgcn"}, "probe": {"site": "item"}})
    assert message == (
        "lightgcn width 64, 2 layers; best epoch 17 of 22 | 41,234 of width 64 one per item, on the item side"
    )
    message = recommender_text(tmp_path, {"recommender": {"kind": "sasrec"}, "probe": {"site": "block-0"}})
    assert "sasrec width 64, 2 blocks, 2 heads; best epoch 17 of 22 |" in message and message.endswith(
        "read at block-0"
    )
    foreign = {"factory": "shop:build", "weights": "w.safetensors", "vocabulary": "items.csv"}
    settings = {"recommender": {"kind": "foreign", "foreign": foreign}, "probe": {"site": "encoder.1"}}
    message = recommender_text(tmp_path, settings)
    assert message == "foreign trained externally | 41,234 of width 64 read at encoder.1"


def test_the_recall_of_an_index_is_told(tmp_path: Path) -> None:
    found = METRICS | {"activations": {"cases": 10, "width": 4, "search_recall": 0.987}}
    message = recommender_text(tmp_path, {"probe": {"search": "approximate"}}, found)
    assert "the index finds the item ranked first in 98.7\u00a0% of cases" in message


def test_given_activations_have_no_figures_of_a_recommender(tmp_path: Path) -> None:
    probe = {"activations": ["a.parquet"], "cases": "c.parquet"}
    given = {"recommender": {"kind": "given"}, "probe": probe}
    fidelity = {"cases": 4123, "users": 153, "rank": 8, "rows": {"sae": {"fvu": 0.1234}, "untrained": {"fvu": 0.5}}}
    metrics = METRICS | {"recommender": {"kind": "given"}, "sae": METRICS["sae"] | {"fidelity": fidelity}}
    message = recommender_text(tmp_path, given, metrics)
    assert message == "given external; its activations were given | 41,234 of width 64 read from files"
    text = make_report(tmp_path, hostile_table(), metrics, Config.model_validate({"name": "demo", **given}))
    assert "HR@10" not in text and "Not measured: the activations were given" in text
    assert "<dt>Top-10 overlap</dt><dd>not measured" in text and "<dt>FVU</dt><dd>0.123" in text


def test_intervals_of_the_item_side_resample_items(tmp_path: Path) -> None:
    config = Config.model_validate({"name": "demo", "probe": {"site": "item"}})
    shown = Page(make_report(tmp_path, hostile_table(), config=config)).text
    assert "all cases of score items" in shown and "dealt to other items" in shown
    assert "the item itself" in shown and "on score items" in shown


def test_a_whole_run_in_one_page(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table(), ALL, tables=tables())
    page = Page(text)
    assert [at.get("type") for tag, at in page.tags if tag == "script"] == ["application/json", "module"]
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not [key for _, at in page.tags for key in at if key.startswith("on") or key == "style"]
    identified = [at["id"] for _, at in page.tags if "id" in at]
    assert len(identified) == len(set(identified))
    links = {str(at["href"]) for tag, at in page.tags if tag == "a"}
    assert {link[1:] for link in links if not link.startswith("#latent-")} <= set(identified)
    assert {"#belief", "#calibration", "#attributes", "#turning", "#items"} <= links
    assert "Levels, on the page of a concept" in page.text
    # An item is the same number in the dictionary, in a latent's lists and in its own view.
    data = page.json
    names = data["titles"]["titles"]
    assert {names[row[0]] for row in data["items"]["latents"]} == set(HOSTILE[:-1])


def test_items_say_how_many_of_them_can_be_looked_up(tmp_path: Path) -> None:
    text = make_report(tmp_path, hostile_table(), ALL, tables=tables())
    assert "For 7 of 8 items: the strongest latents of an item" in text


def test_config_values_are_escaped(tmp_path: Path) -> None:
    config = Config.model_validate({"name": "demo", "data": {"path": "x/<script>alert(1)</script>"}})
    text = make_report(tmp_path, hostile_table(), config=config)
    assert "<script>alert" not in text


def test_an_empty_dictionary_has_a_page(tmp_path: Path) -> None:
    text = make_report(tmp_path, concepts_table([]))
    assert Page(text).json["rows"] == [] and 'id="confidence"' in text and "<svg" not in text


def test_histogram_counts_each_value_once() -> None:
    found = histogram([0.0, 0.5, 0.53125, 1.0, None, float("nan")], [0.5, 0.5], [0.46], 0.61)
    assert [
        (bin.lower, bin.concepts, bin.controls, bin.nulls)
        for bin in found.bins
        if bin.concepts or bin.controls or bin.nulls
    ] == [
        (0.0, 1, 0, 0),
        (0.45, 0, 0, 1),
        (0.5, 2, 2, 0),
        (1 - 1 / BINS, 1, 0, 0),
    ]
    assert (found.concepts, found.controls, found.nulls) == (4, 2, 1)
    assert (found.median, found.median_control, found.median_null) == (0.515625, 0.5, 0.46)
    empty = histogram([], [], [], None)
    assert empty.median is None and empty.bar is None


def test_json_block_cannot_end_its_element() -> None:
    text = json_block("</script> & \u2028 <!--")
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == "</script> & \u2028 <!--"
    with pytest.raises(ValueError):
        json_block(float("inf"))
