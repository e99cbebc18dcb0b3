"""A night's figures against the thresholds of the config, and the sentence of a night that misses one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recsae.config.nightly import GateConfig
from recsae.pipeline.gate import failing, judge
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

FOLDER = Folder("nowhere")


def stage(**metrics: Any) -> Committed:
    return Committed(FOLDER, {"metrics": metrics})


def night(**changes: Any) -> dict[str, Committed]:
    """A night that passes all of `GATE`, but for the figures that are given."""
    sae = {"fvu": 0.1, "dead_share": 0.02, "fidelity": {"rows": {"sae": {"ndcg@10_kept": 0.98}}}}
    concepts = {"interpretable": 30, "latents": 100, "drift": {"interpretable_gone": 0.1}}
    recommender = {"test": {"ndcg@10": 0.18}}
    return {
        name: stage(**{**figures, **changes.get(name, {})})
        for name, figures in (("sae", sae), ("concepts", concepts), ("recommender", recommender))
    }


GATE = GateConfig(interpretable_share=0.2, fvu=0.3, dead_share=0.1, ranking_loss=0.1, ranking_fall=0.2, drift=0.3)
LAST = stage(test={"ndcg@10": 0.2})


def test_a_good_night_passes_every_check() -> None:
    checks = judge(GATE, night(), LAST)
    assert {check.key for check in checks} == set(GateConfig.model_fields)
    assert all(check.passed for check in checks)
    values = {check.key: check.value for check in checks}
    assert values == pytest.approx(
        {
            "interpretable_share": 0.3,
            "fvu": 0.1,
            "dead_share": 0.02,
            "ranking_loss": 0.02,
            "ranking_fall": 0.1,
            "drift": 0.1,
        }
    )


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("interpretable_share", {"concepts": {"interpretable": 19}}),
        ("interpretable_share", {"concepts": {"interpretable": 0, "latents": 0}}),
        ("fvu", {"sae": {"fvu": 0.31}}),
        ("fvu", {"sae": {"fvu": math.nan}}),
        ("dead_share", {"sae": {"dead_share": 0.11}}),
        ("ranking_loss", {"sae": {"fidelity": {"rows": {"sae": {"ndcg@10_kept": 0.89}}}}}),
        ("ranking_fall", {"recommender": {"test": {"ndcg@10": 0.159}}}),
        ("drift", {"concepts": {"drift": {"interpretable_gone": 0.31}}}),
    ],
)
def test_each_figure_fails_alone(key: str, changes: dict[str, Any]) -> None:
    checks = judge(GATE, night(**changes), LAST)
    assert [check.key for check in checks if not check.passed] == [key]
    sentence = failing(checks, "20261125T010203-000000001Z")
    assert f"nights.gate.{key}" in sentence and "20261125T010203" in sentence and "\n" not in sentence


def test_what_a_run_does_not_have_is_not_asked_of_it() -> None:
    made = night(sae={"fidelity": {"rows": {"sae": {"fvu": 0.1}}}}, concepts={"drift": {}}, recommender={"test": {}})
    checks = {check.key: check for check in judge(GATE, made, None)}
    for key in ("ranking_loss", "ranking_fall", "drift"):
        assert checks[key].value is None and checks[key].passed


def test_a_first_night_that_fails_says_that_nothing_is_served() -> None:
    assert "nothing is served yet" in failing(judge(GATE, night(sae={"fvu": 2.0}), None), None)
