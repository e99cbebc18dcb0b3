"""Questions are asked once, and answers outlive a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsae.llm.answer_cache import ask_once, key
from recsae.llm.pool import Completion, Request
from recsae.store.progress import Progress
from recsae.store.run_store import RunStore
from tests.scores.fakes import FakePool


@pytest.fixture
def progress(tmp_path: Path) -> Iterator[Progress]:
    lease = RunStore(str(tmp_path), "test").lease("labels", "f", 60)
    assert lease.try_acquire()
    yield Progress(lease.folder, lease)
    lease.release()


def requests_of(count: int) -> list[Request]:
    return [Request("loglikelihood", f"item {number}", " Horror") for number in range(count)]


def echo(request: Request) -> Completion:
    """Every third row fails; values have digits to lose."""
    number = int(request.prompt.split()[1])
    return Completion(None, None, "too_long", 0) if number % 3 == 0 else Completion(None, number / 7, "ok", number)


def test_each_question_is_asked_once_and_answered_everywhere(progress: Progress) -> None:
    wanted = [*requests_of(12), *reversed(requests_of(12))]
    pool = FakePool(echo)
    assert ask_once(wanted, pool, progress, "verdicts") == [echo(request) for request in wanted]
    assert sorted(pool.asked) == sorted(requests_of(12))


def test_texts_drawn_with_different_seeds_are_different_questions(progress: Progress) -> None:
    drawn = [Request("generate", "item 1", seed=seed) for seed in (None, 0, 1, 0)]
    pool = FakePool(lambda request: Completion(str(request.seed), None, "ok", 1))
    assert [answer.text for answer in ask_once(drawn, pool, progress, "names")] == ["None", "0", "1", "0"]
    assert len(pool.asked) == 3


def test_answers_before_a_kill_are_found_again_to_the_byte(progress: Progress) -> None:
    with pytest.raises(ConnectionError):
        ask_once(requests_of(23), FakePool(echo, dies_after=2), progress, "verdicts")
    kept = {name: Path(progress.folder.locate(name)).read_bytes() for name in progress.folder.list("verdicts")}
    assert len(kept) == 2

    def otherwise(request: Request) -> Completion:
        return Completion("again", -1.0, "ok", 1)

    pool = FakePool(otherwise)
    told = ask_once(requests_of(23), pool, progress, "verdicts")
    assert len(pool.asked) == 23 - 8  # a chunk of 3 and one of 5, the last first
    assert told == [*[otherwise(request) for request in requests_of(15)], *map(echo, requests_of(23)[15:])]
    assert {name: Path(progress.folder.locate(name)).read_bytes() for name in kept} == kept
    last = FakePool(otherwise)
    assert ask_once(requests_of(23), last, progress, "verdicts") == told
    assert last.asked == []


def test_a_failed_row_stays_a_row(progress: Progress) -> None:
    for _ in range(2):
        told = ask_once(requests_of(4), FakePool(echo), progress, "verdicts")
        assert [answer.status for answer in told] == ["too_long", "ok", "ok", "too_long"]
        assert told[0].value is None


def test_names_do_not_share_answers_and_the_schema_travels(progress: Progress) -> None:
    pool = FakePool(echo)
    ask_once(requests_of(2), pool, progress, "likelihoods")
    ask_once(requests_of(2), pool, progress, "names", {"type": "object"})
    assert len(pool.asked) == 4 and pool.schemas == [None, {"type": "object"}]


def test_without_the_lease_answers_are_given_and_not_kept(progress: Progress) -> None:
    progress.lease.release()
    assert ask_once(requests_of(2), FakePool(echo), progress, "x")[1].value == 1 / 7
    assert progress.folder.list("x") == []


def test_no_questions_need_no_answers(progress: Progress) -> None:
    assert ask_once([], FakePool(echo), progress, "x") == []


def test_a_key_stands_for_the_whole_question() -> None:
    keys = {
        key(Request("yes_no", "a", "b")),
        key(Request("yes_no", "ab", "")),
        key(Request("yes_no", "", "ab")),
        key(Request("loglikelihood", "a", "b")),
        key(Request("yes_no", "a", "c")),
    }
    assert len(keys) == 5 and {len(one) for one in keys} == {16}


def test_a_phase_counts_latents_of_which_some_are_done(progress: Progress) -> None:
    first, later = FakePool(echo), FakePool(echo)
    ask_once(requests_of(10), first, progress, "verdicts", phase="judging", latents=5)
    ask_once(requests_of(40), later, progress, "verdicts", phase="judging", latents=10)
    phases = [phase for pool in (first, later) for phase in pool.phases if phase]
    assert [(phase.name, phase.total, phase.unit, phase.done) for phase in phases] == [
        ("judging", 5, "latents", 0),
        ("judging", 10, "latents", 2.5),  # 30 of 40 questions are open
    ]
    assert [phase.scale for phase in phases] == [0.5, 0.25]  # latents a question


def test_a_count_of_latents_may_be_unknown(progress: Progress) -> None:
    pool = FakePool(echo)
    ask_once(requests_of(3), pool, progress, "verdicts")
    (phase,) = pool.phases
    assert phase and (phase.name, phase.total, phase.unit) == ("verdicts", 3, "requests")
