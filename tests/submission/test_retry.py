"""Pauses between tries of a server that is away: which errors pass, how long they grow, when it is over."""

from __future__ import annotations

import aiohttp
import pytest
import requests

from recsae.errors import BadInput
from recsae.submission.errors import NightStopped
from recsae.submission.retry import LONGEST_WAIT, PATIENCE, is_transient, reach


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Failed to connect to Ray"),
        requests.exceptions.ConnectionError(),
        requests.exceptions.ReadTimeout(),
        aiohttp.ServerDisconnectedError(),
        TimeoutError(),
        RuntimeError("Request failed with status code 503: gateway."),
        RuntimeError("WebSocket connection closed unexpectedly with close code 1006"),
    ],
)
def test_these_pass(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error", [BadInput("x"), ValueError(), RuntimeError("Request failed with status code 404: no job."), KeyError("x")]
)
def test_these_do_not(error: Exception) -> None:
    assert not is_transient(error)
    with pytest.raises(type(error)):
        reach(lambda: (_ for _ in ()).throw(error), lambda _: pytest.fail("waited"), print)


def test_it_answers_once_the_server_is_back() -> None:
    errors: list[Exception] = [ConnectionError(), TimeoutError()]
    pauses: list[float] = []

    def request() -> str:
        if errors:
            raise errors.pop(0)
        return "here"

    messages: list[str] = []
    assert reach(request, pauses.append, messages.append) == "here"
    assert pauses == [1.0, 2.0] and len(messages) == 2


def test_it_gives_up_in_one_sentence_after_its_patience() -> None:
    pauses: list[float] = []

    def request() -> None:
        raise ConnectionError("Bearer 0123456789 refused")

    with pytest.raises(NightStopped, match="out of reach") as stopped:
        reach(request, pauses.append, lambda _: None)
    assert PATIENCE <= sum(pauses) <= PATIENCE + LONGEST_WAIT
    assert max(pauses) == LONGEST_WAIT and pauses == sorted(pauses)
    assert "0123456789" not in str(stopped.value)


def test_it_repeats_what_the_server_says_for_itself() -> None:
    errors = [RuntimeError("Request failed with status code 500: No available agent, try later."), None]
    messages: list[str] = []

    def request() -> None:
        if error := errors.pop(0):
            raise error

    reach(request, lambda _: None, messages.append)
    assert "No available agent, try later)" in messages[0]
