"""What a concept page tells of statements: recall by level, the best of each kind, effects, and search nulls."""

from __future__ import annotations

import json
from pathlib import Path

from recsae.report.rows.statements import StatementRows, null_confidence
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed
from tests.report.concepts_table import HOSTILE
from tests.report.made_page import METRICS, NO_TABLES, Tables, committed
from tests.report.made_tables import tables


def inputs(root: Path, made: Tables) -> dict[str, Committed]:
    return committed(Folder(str(root)), METRICS, made)


def test_recall_by_level_of_latents_that_have_cases_at_each(tmp_path: Path) -> None:
    found = StatementRows(inputs(tmp_path, tables())).rows([1, 2])
    assert found["recall"] == {1: [3, 0.125, [0.1, 0.75, *([0.8] * 7), 1]]}


def test_the_best_of_each_kind_and_view_in_words_the_best_first(tmp_path: Path) -> None:
    found = StatementRows(inputs(tmp_path, tables())).rows([1, 2])
    assert found["rivals"] == {
        1: [
            ["item set", "last", f"after items around {HOSTILE[0]} and {HOSTILE[2]}", 0.8, 0.5, 0.9, 0.4, True],
            ["term", "last", f"after {HOSTILE[1]}", 0.6, 0.5, 0.9, 0.2, False],
        ]
    }
    assert json.dumps(found, allow_nan=False)


def test_how_a_behaviour_does_in_made_up_histories(tmp_path: Path) -> None:
    found = StatementRows(inputs(tmp_path, tables())).rows([1, 2])
    assert found["tried"] == {2: ["contradicts", -0.1]}


def test_a_run_without_statements_has_no_such_parts(tmp_path: Path) -> None:
    found = inputs(tmp_path, NO_TABLES)
    assert StatementRows(found).rows([1]) == {} and null_confidence(found) == []


def test_null_latents_are_those_of_the_search_null(tmp_path: Path) -> None:
    assert null_confidence(inputs(tmp_path, tables())) == [0.52, 0.48]
