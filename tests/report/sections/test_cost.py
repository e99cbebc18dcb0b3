"""Hours and money of the stages: what is not recorded or has no price is a dash, and told where it is in no sum."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recsae.config.report import ReportConfig
from recsae.config.schema import Config
from recsae.pipeline.stages import STAGES
from recsae.report.sections.cost import StageRuns, about_stages
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed
from recsae.text.formatting import DASH
from tests.report import made_page
from tests.report.concepts_table import hostile_table
from tests.report.made_page import Page, make_report

HOUR = 3600.0


def machines(cpus: Any = 8.0, gpus: Any = 0.0) -> dict[str, Any]:
    return {"cpus": cpus, "gpus": gpus}


def runs(prices: dict[str, Any], **stages: tuple[Any, Any]) -> StageRuns:
    """Of stages by seconds and machines."""
    inputs = {
        name: Committed(Folder("/nowhere"), {"fingerprint": name, "seconds": seconds, "machines": of})
        for name, (seconds, of) in stages.items()
    }
    return about_stages(ReportConfig.model_validate(prices), inputs)


def told(found: StageRuns) -> list[tuple[str, str, str]]:
    return [(row.cpu_hours, row.gpu_hours, row.money) for row in (*found.rows, found.total)]


def test_hours_are_what_stood_reserved_for_as_long_as_the_stage_took() -> None:
    found = runs({}, ingest=(HOUR / 2, machines(4.0)), sae=(2 * HOUR, machines(2000.0, 8.0)))
    assert told(found) == [("2.00", "0.00", DASH), ("4,000.00", "16.00", DASH), ("4,002.00", "16.00", DASH)]
    assert [row.name for row in found.rows] == ["ingest", "sae"]
    assert (found.priced, found.unrecorded, found.unpriced) == (False, 0, 0)


def test_money_is_the_sum_of_both_by_their_prices() -> None:
    prices = {"cpu_hour": 0.25, "gpu_hour": 2.0, "currency": "EUR"}
    found = runs(prices, ingest=(HOUR, machines(4.0)), sae=(HOUR, machines(4.0, 2.0)))
    assert [money for *_, money in told(found)] == ["1.00", "5.00", "6.00"]
    assert (found.priced, found.currency, found.unpriced) == (True, "EUR", 0)


@pytest.mark.parametrize(
    ("prices", "money", "unpriced"),
    [
        ({"cpu_hour": 1.0}, ["4.00", DASH, "4.00"], 1),
        ({"gpu_hour": 1.0}, [DASH, DASH, DASH], 2),
        ({"cpu_hour": 0.0, "gpu_hour": 1.0}, ["0.00", "2.00", "2.00"], 0),
    ],
)
def test_what_has_no_price_is_not_free(prices: dict[str, float], money: list[str], unpriced: int) -> None:
    found = runs(prices, ingest=(HOUR, machines(4.0)), sae=(HOUR, machines(4.0, 2.0)))
    assert [one for *_, one in told(found)] == money and found.unpriced == unpriced


@pytest.mark.parametrize(
    "odd", [None, "many", {}, {"cpus": 4.0}, machines("4"), machines(float("nan")), machines(True, None)]
)
def test_a_stage_whose_machines_are_not_recorded_is_a_dash_and_in_no_sum(odd: Any) -> None:
    found = runs({"cpu_hour": 1.0}, ingest=(HOUR, odd), sae=(HOUR, machines(4.0)))
    assert told(found) == [(DASH, DASH, DASH), ("4.00", "0.00", "4.00"), ("4.00", "0.00", "4.00")]
    assert (found.unrecorded, found.unpriced) == (1, 0)
    assert found.total.seconds == "2\u00a0h 0\u00a0min 00\u00a0s"


def test_a_little_is_not_written_as_nothing() -> None:
    found = runs({"cpu_hour": 0.01}, ingest=(1.0, machines(2.0)))
    assert told(found)[0] == ("< 0.01", "0.00", "< 0.01")


def test_the_report_depends_on_prices_and_no_other_stage_does() -> None:
    assert [name for name, stage in STAGES.items() if "report" in stage.config] == ["report"]


def page(root: Path, **report: Any) -> str:
    text = make_report(root, hostile_table(), config=Config.model_validate({"name": "demo", "report": report}))
    return text[text.index('<section id="run"') :]


def test_the_page_says_that_it_is_what_was_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = Page(page(tmp_path / "without")).text
    assert "Hours are reserved, not used" in without and "10 stages have no recorded hours" in without
    assert "CPU-hours" in without and "Cost" not in without
    recorded = made_page.committed

    def with_machines(*given: Any) -> dict[str, Committed]:
        made = recorded(*given)
        return {
            name: Committed(one.folder, {**one.manifest, "machines": machines(36.0, 1.0)}) for name, one in made.items()
        }

    monkeypatch.setattr(made_page, "committed", with_machines)
    text = page(tmp_path / "with", cpu_hour=10.0, gpu_hour=0.0, currency="<b>&")
    assert ">Cost, &lt;b&gt;&amp;</th>" in text and "<b>" not in text
    seconds = sum(10.5 * stage for stage in range(10))
    cells = re.findall(r"<td.*?>(.*?)</td>", text[text.index(">total<") :])
    assert cells[1:4] == [f"{36 * seconds / 3600:.2f}", f"{seconds / 3600:.2f}", f"{360 * seconds / 3600:.2f}"]
    assert "no recorded hours" not in text and "without a price" not in text
    (table,) = re.findall(r'<table class="figures wide stages".*?</table>', text, re.DOTALL)
    columns = len(re.findall(r'scope="col"', table))
    assert {len(re.findall(r"<t[hd][ >]", row)) for row in re.findall(r"<tr .*?</tr>", table, re.DOTALL)} == {columns}
