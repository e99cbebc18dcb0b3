"""A row of `steering` as shares and as changes of NDCG against the clean model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsae.report.steering_steps import SteeringStep, read_steps
from recsae.schemas.steering import STEERING
from recsae.store.filesystem import Folder
from tests.report.made_page import METRICS, NO_TABLES, Tables, committed
from tests.report.made_tables import steering, step_row, table


def steps(root: Path, rows: list[dict[str, Any]]) -> dict[int, list[SteeringStep]]:
    made: Tables = {("steering", "steering.parquet"): table(rows, STEERING)}
    return read_steps(committed(Folder(str(root)), METRICS, made))


def test_strengths_ascend_taken_out_is_last_and_select_users_are_left_out(tmp_path: Path) -> None:
    found = read_steps(committed(Folder(str(tmp_path)), METRICS, {("steering", "steering.parquet"): steering()}))
    assert set(found) == {1, 2, 3}
    assert [step.strength for step in found[1]] == [-0.25, 0.25, 0.5, None]
    assert "never shown" not in {step.side for some in found.values() for step in some}


def test_changes_become_shares_and_ndcg_a_part_of_the_clean_models(tmp_path: Path) -> None:
    rows = [step_row(5, 0.5, 0.3, share=0.45, ndcg=0.15, ndcg_change=-0.05, ndcg_lower=-0.1, ndcg_upper=0.02)]
    (step,) = steps(tmp_path, rows)[5]
    assert (step.clean, step.share) == (pytest.approx(0.15), 0.45)
    assert (step.lower, step.upper) == (pytest.approx(0.15 + 0.29), pytest.approx(0.15 + 0.315))
    assert (step.ndcg, step.ndcg_lower, step.ndcg_upper) == tuple(pytest.approx(x) for x in (-0.25, -0.5, 0.1))
    assert (step.probe, step.probe_ndcg) == (pytest.approx(0.5), pytest.approx(-0.1))
    assert (step.null_lower, step.null_mean, step.null_upper) == tuple(pytest.approx(x) for x in (0.13, 0.151, 0.17))
    assert step.above_chance == pytest.approx(0.29 - 0.02)
    assert not step.scaled


def test_a_model_that_hits_nothing_has_no_change_of_ndcg(tmp_path: Path) -> None:
    (step,) = steps(tmp_path, [step_row(5, 0.5, ndcg=0.0, ndcg_change=0.0)])[5]
    assert step.ndcg is step.ndcg_lower is step.probe_ndcg is step.null_ndcg is None and step.share == pytest.approx(
        0.3
    )


def test_scaled_without_a_probe(tmp_path: Path) -> None:
    rows = [step_row(5, 0.5, operation="scale", probe_share_change=None, probe_ndcg_change=None)]
    (step,) = steps(tmp_path, rows)[5]
    assert step.scaled and step.probe is step.probe_ndcg is None


def test_nothing_turned_is_no_step(tmp_path: Path) -> None:
    assert read_steps(committed(Folder(str(tmp_path / "none")), METRICS, NO_TABLES)) == {}
    assert steps(tmp_path / "empty", []) == {}
    assert read_steps({}) == {}
