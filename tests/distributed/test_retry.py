"""What was lost is tried again, ever later; what would fail again is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfDiskError, RayTaskError, WorkerCrashedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from recsae.distributed.retry import FIRST_WAIT, LONGEST_WAIT, retrying
from recsae.errors import BadInput


class Work:
    """Fails with each of the errors in turn, then is done."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.tries = 0
        self.waits: list[float] = []

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def run(self, retries: int = 3) -> str:
        return retrying(self, "labels", retries, self.waits.append)


def wrapped(error: BaseException, around: Callable[[], BaseException]) -> BaseException:
    try:
        raise around() from error
    except BaseException as outer:
        return outer


@pytest.mark.parametrize(
    "error",
    [
        ActorDiedError(),
        NodeDiedError("node 3 is gone"),
        WorkerCrashedError(),
        WorkerGroupError("rank 1", {1: WorkerCrashedError()}),
        ControllerError(ActorDiedError()),
        wrapped(NodeDiedError("gone"), lambda: RuntimeError("a pool is lost")),
    ],
)
def test_a_loss_is_tried_again(error: BaseException) -> None:
    work = Work(error)
    assert work.run() == "done" and work.tries == 2 and work.waits == [FIRST_WAIT]


def test_waits_double_up_to_a_bound_and_tries_are_counted() -> None:
    work = Work(*(NodeDiedError("gone") for _ in range(20)))
    with pytest.raises(NodeDiedError):
        work.run(retries=9)
    assert work.tries == 10
    assert work.waits == [min(FIRST_WAIT * 2**tried, LONGEST_WAIT) for tried in range(9)]
    assert work.waits[-1] == LONGEST_WAIT


@pytest.mark.parametrize(
    "error",
    [
        BadInput("mend it"),
        ValueError("wrong"),
        KeyboardInterrupt(),
        WorkerGroupError("rank 0", {0: ValueError("wrong")}),
    ],
)
def test_what_would_fail_again_is_not_tried_again(error: BaseException) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        work.run()
    assert work.tries == 1 and work.waits == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "/data/runs/x"),
        RayTaskError(
            "write", "Traceback\nOSError: [Errno 28] No space left on device", OSError(28, "No space left on device")
        ),
        wrapped(OSError(28, "No space left on device"), lambda: RuntimeError("writing failed")),
        OutOfDiskError(),
    ],
)
def test_a_full_disk_is_one_sentence_at_once(error: BaseException) -> None:
    work = Work(error)
    with pytest.raises(BadInput, match=r"^labels: a disk is full .*free some space") as caught:
        work.run()
    assert work.tries == 1 and "\n" not in str(caught.value)
