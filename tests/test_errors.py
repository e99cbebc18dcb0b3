"""An error's chain is walked to its end, and its first line stands for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.exceptions import WorkerCrashedError
from ray.train.v2.api.exceptions import WorkerGroupError

from recsae.errors import error_chain, first_line
from recsae.store.object_store_errors import is_unreachable, store_failure

AWAY = OSError("When reading x: AWS Error SLOW_DOWN during HeadObject operation: Reduce your request rate")


def raised_from(error: Exception, cause: BaseException) -> Exception:
    try:
        raise error from cause
    except Exception as found:
        return found


def test_causes_contexts_and_what_ray_wraps_are_followed_the_nearest_first() -> None:
    lost = WorkerCrashedError()
    group = WorkerGroupError("rank 1", {0: lost, 1: AWAY})
    outer = raised_from(RuntimeError("training failed"), group)
    kinds = [type(one) for one in error_chain(outer)]
    assert kinds[0] is RuntimeError
    assert {WorkerCrashedError, OSError} <= set(kinds)
    assert list(error_chain(raised_from(ValueError("b"), KeyError("a"))))[1].args == ("a",)


def test_an_error_that_is_its_own_cause_ends() -> None:
    error = RuntimeError("round")
    error.__cause__ = raised_from(RuntimeError("about"), error)
    assert len(list(error_chain(error))) == 2


@pytest.mark.parametrize("cause", ["a text", 3, SimpleNamespace()])
def test_a_cause_that_is_no_error_is_passed_over(cause: object) -> None:
    error = RuntimeError("x")
    error.cause = cause  # type: ignore[attr-defined]
    error.worker_failures = cause  # type: ignore[attr-defined]
    assert list(error_chain(error)) == [error]


def test_a_store_that_is_away_is_seen_behind_a_failed_train_worker() -> None:
    error = WorkerGroupError("rank 0", {0: AWAY})
    assert is_unreachable(error)
    assert "does not answer" in str(store_failure(error))


def test_the_first_line_names_the_kind_and_is_cut() -> None:
    assert first_line(ValueError("\n  one \n two")) == "ValueError: one"
    assert first_line(ValueError("")) == "ValueError"
    assert len(first_line(ValueError("x" * 999))) == len("ValueError: ") + 300
