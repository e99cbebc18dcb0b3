"""A sweep's table and curves: what is told apart is labelled, what is not varied is left out, and no null breaks it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recsae.config.sae import SaeConfig, SweepConfig, SweepMember, candidates
from recsae.report.charts.curves import Curves
from recsae.report.sections.sweep import MAX_LINES, Sweep, sweep
from recsae.sae.sweep import RANKING_METRICS, describe
from recsae.text.formatting import Cell
from tests.report.concepts_table import hostile_table
from tests.report.made_page import METRICS, Page, make_report

FIGURES = ("fvu", "l0", "dead_share", *RANKING_METRICS, "correlation")


def measured(candidate: SweepMember) -> dict[str, Any]:
    """Figures that can be told from the SAE they are of."""
    config = candidate.config
    correlation = config.num_latents / 10_000 + config.k / 100 + candidate.seed / 1000
    return dict.fromkeys(FIGURES, 0.5) | {"fvu": 1 / config.num_latents, "correlation": correlation}


def committed(picked: int = 0, **axes: Any) -> list[dict[str, Any]]:
    """The stage's `sweep` for these axes."""
    config = SaeConfig.model_validate({"sweep": axes})
    return [
        {**describe(one), "picked": number == picked, "select": measured(one), "score": measured(one)}
        for number, one in enumerate(candidates(config, 0))
    ]


def told(rows: Any, config: SweepConfig | None = None, ranked: bool = True) -> Sweep:
    found = sweep(config or SweepConfig(), {"sweep": rows, "correlation": {"raw": 0.24}}, ranked)
    assert found is not None
    return found


def lines(chart: Curves) -> dict[str, list[tuple[str, Any]]]:
    return {line.label: [(point.x, point.y) for point in line.points] for line in chart.lines}


@pytest.mark.parametrize("rows", [None, [], {}, "x"])
def test_no_sweep_no_section(tmp_path: Path, rows: Any) -> None:
    assert sweep(SweepConfig(), {"sweep": rows}, True) is None
    text = make_report(tmp_path, hostile_table(), METRICS | {"sae": METRICS["sae"] | {"sweep": rows}})
    assert "<h3>Sweep</h3>" not in text and "<figure" not in text


def test_rows_are_labelled_by_what_tells_them_apart() -> None:
    found = told(committed(num_latents=[512, 1024], k=[4, 8], picked=2))
    assert [(row.label, row.mark) for row in found.rows] == [
        ("topk, 512 latents, k = 4", ""),
        ("topk, 512 latents, k = 8", ""),
        ("topk, 1,024 latents, k = 4", "picked"),
        ("topk, 1,024 latents, k = 8", ""),
    ]
    assert found.picked == "topk, 1,024 latents, k = 4"
    assert found.shared == "seed 0"
    assert told(committed(seed=[0, 7])).rows[1].label == "topk, seed 7"
    assert told(committed(seed=[0, 7])).shared == f"1,024 latents, k = 8, learning rate {SaeConfig().rate:g}"
    assert [row.label for row in told(committed(kind=["topk", "relu"])).rows] == ["topk, k = 8", "relu, L1 weight 0.1"]


def test_a_learning_rate_is_told_where_it_was_varied() -> None:
    assert "learning rate" not in " ".join(row.label for row in told(committed(num_latents=[512, 1024])).rows)
    labels = [row.label for row in told(committed(num_latents=[512, 1024], learning_rate=[0.001, 0.002])).rows]
    assert labels[1] == "topk, 512 latents, learning rate 0.002"


def test_figures_are_those_on_score_users() -> None:
    rows = committed(k=[4, 8])
    rows[0]["score"] |= {"fvu": 0.0593, "l0": 7.96, "dead_share": 0.0068, "ndcg@10_kept": 0.9811, "correlation": 0.4933}
    found = told(rows)
    by_column = dict(zip(found.columns, found.rows[0].cells, strict=True))
    assert by_column["FVU"] == Cell("0.0593") and by_column["L0"] == Cell("8.0")
    assert by_column["Dead share"] == Cell("0.7\u00a0%") and by_column["NDCG@10 kept"] == Cell("98.1\u00a0%")
    assert by_column["HR@10"] == Cell("0.5000") and by_column["Mean best r"] == Cell("0.493")
    assert told(rows, ranked=False).columns == ("FVU", "L0", "Dead share", "Mean best r")


def test_one_chart_an_axis_that_was_varied() -> None:
    found = told(committed(num_latents=[512, 1024], k=[4, 8, 16]))
    assert [chart.title for chart in found.charts] == [
        "Best correlation by width",
        "FVU by width",
        "Best correlation by k",
        "FVU by k",
    ]
    by_width, fvu, by_k, _ = found.charts
    assert lines(by_width)["topk, k = 16"] == [("512", pytest.approx(0.2112)), ("1,024", pytest.approx(0.2624))]
    assert lines(by_k)["topk, 512 latents"] == [(k, pytest.approx(0.0512 + int(k) / 100)) for k in ("4", "8", "16")]
    assert [(level.label, level.value) for level in by_k.levels] == [("raw dimensions", 0.24)]
    assert lines(fvu)["topk, k = 4"][0] == ("512", 1 / 512) and fvu.levels == ()


@pytest.mark.parametrize("axes", [{"kind": ["topk", "relu"]}, {"seed": [0, 1]}, {"learning_rate": [0.1, 0.2]}])
def test_without_an_axis_there_is_a_table_and_no_chart(axes: dict[str, Any]) -> None:
    found = told(committed(**axes))
    assert len(found.rows) == 2 and found.charts == ()


def test_a_kind_is_on_the_axes_that_it_has() -> None:
    found = told(committed(kind=["topk", "relu"], k=[4, 8], l1=[0.01, 0.1]))
    assert [chart.x_label for chart in found.charts] == ["k", "k", "L1 weight", "L1 weight"]
    assert list(lines(found.charts[0])) == ["topk"] and list(lines(found.charts[2])) == ["relu"]
    assert [x for x, _ in lines(found.charts[2])["relu"]] == ["0.01", "0.1"]


def test_a_point_is_a_mean_over_the_seeds_that_have_the_figure() -> None:
    rows = committed(k=[4, 8, 16], seed=[0, 2])
    rows[2]["score"]["correlation"] = None
    for row in rows[4:]:
        row["score"]["correlation"] = None
    found = told(rows)
    assert found.seeds == 2
    points = lines(found.charts[0])["topk"]
    assert points == [("4", pytest.approx(0.1434)), ("8", pytest.approx(0.1844)), ("16", None)]


def test_many_lines_have_no_second_chart() -> None:
    found = told(committed(num_latents=[512, 1024], k=list(range(1, MAX_LINES + 2))))
    assert [chart.title for chart in found.charts] == [
        "Best correlation by width",
        "Best correlation by k",
        "FVU by k",
    ]


def test_nulls_are_dashes_and_leave_their_chart_out(tmp_path: Path) -> None:
    rows = committed(num_latents=[512, 1024])
    for row in rows:
        row["score"] = dict.fromkeys(FIGURES) | {"fvu": 0.1}
        row["select"] = None
    found = told(rows)
    assert [cell.value for cell in found.rows[0].cells] == ["0.1000", *["—"] * 7]
    assert [chart.title for chart in found.charts] == ["FVU by width"]
    text = make_report(tmp_path, hostile_table(), METRICS | {"sae": METRICS["sae"] | {"sweep": rows}})
    assert "None" not in Page(text).text and "nan" not in Page(text).text
    assert told([{}, {"score": 3}]).rows[0].label == "—"


def test_the_rule_is_the_config_s_or_what_stood_in_for_it() -> None:
    rows = committed(k=[4, 8])
    assert told(rows).rule == "the lowest FVU"
    assert told(rows, SweepConfig(pick="ndcg")).rule == "the highest NDCG@10 through the SAE"
    kept = SweepConfig(pick="correlation", keep_ndcg=0.9)
    assert told(rows, kept).rule.startswith("the highest mean best r among those that keep 90.0\u00a0% of NDCG@10")
    for row in rows:
        row["select"] |= {"ndcg@10": None, "ndcg@10_kept": None}
    assert told(rows, SweepConfig(pick="ndcg", keep_ndcg=0.9)).rule == (
        "the lowest FVU, because the metric of the config could not be measured"
    )


def test_the_page_marks_the_picked_one_in_words_and_says_the_curves_as_numbers(tmp_path: Path) -> None:
    rows = committed(num_latents=[512, 1024], k=[4, 8], picked=1)
    text = make_report(tmp_path, hostile_table(), METRICS | {"sae": METRICS["sae"] | {"sweep": rows}})
    assert re.findall(r'scope="row">([^<]*) <span class="badge yes">picked</span>', text) == [
        "topk, 512 latents, k = 8"
    ]
    shown = " ".join(Page(text).text.split())
    assert "picked on select users by the lowest FVU: topk, 512 latents, k = 8." in shown
    assert "<dt>Sparse autoencoder</dt><dd>topk, 256 latents, k = 8 <span>3,000 steps, picked from 4</span>" in text
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    assert len(figures) == 4
    for figure in figures:
        assert "<caption>" in figure and 'role="img"' in figure and "<desc" in figure
    labels = [at["id"] for tag, at in Page(text).tags if "id" in at]
    assert len(labels) == len(set(labels))


def test_a_long_table_is_folded(tmp_path: Path) -> None:
    for number, folded in ((12, False), (13, True)):
        rows = committed(k=list(range(1, number + 1)))
        text = make_report(tmp_path / str(number), hostile_table(), METRICS | {"sae": METRICS["sae"] | {"sweep": rows}})
        assert ("<details open>" not in text) == folded
