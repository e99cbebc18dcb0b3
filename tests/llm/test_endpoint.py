"""An endpoint that is a server on this machine: it answers, fails for a while, refuses, or is not there."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from recsae.config.concepts import EndpointConfig
from recsae.errors import BadInput
from recsae.labels import prompts
from recsae.llm import endpoint
from recsae.llm.endpoint import EndpointPool
from recsae.llm.engine import TEMPERATURE
from recsae.llm.pool import Completion, Request

Reply = tuple[int, Any]
SECRET = "sk-a-key-that-nobody-may-see"


def good(text: str, tokens: int = 7) -> Reply:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": tokens - 2, "completion_tokens": 2, "total_tokens": tokens}
    return 200, {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def refusal(status: int, message: str, code: str | None = None) -> Reply:
    return status, {"error": {"message": message, "type": "error", "code": code}}


class Server:
    """Answers each prompt by `reply(prompt, which time it is asked)`."""

    def __init__(self, reply: Callable[[str, int], Reply]) -> None:
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.times: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.bodies.append(body | {"path": handler.path})
            self.keys.add(handler.headers["Authorization"])
            self.times[prompt] += 1
        status, said = self.reply(prompt, self.times[prompt])
        with self.lock:
            self.at_once -= 1
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("Retry-After-Ms", "5")
        handler.end_headers()
        with contextlib.suppress(ConnectionError):  # the client had enough of waiting
            handler.wfile.write(data)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[str, int], Reply]], Server]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(endpoint.KEY, SECRET)
    servers: list[Server] = []

    def start(reply: Callable[[str, int], Reply]) -> Server:
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def named(prompt: str) -> str:
    return json.dumps({"name": f"Name {prompt}", "description": f"What {prompt} is about."})


def asked(
    server: Server | str, count: int, schema: dict[str, Any] | None = None, concurrency: int = 4
) -> list[Completion]:
    """Answers of prompts `0` to `count`; every index comes once."""
    url = server if isinstance(server, str) else server.url
    found: dict[int, Completion] = {}
    with EndpointPool(EndpointConfig(url=url, model="big"), concurrency) as pool:
        for indices, answers in pool.ask([Request("generate", str(number)) for number in range(count)], schema):
            assert len(indices) == len(answers) and found.keys().isdisjoint(indices)
            found.update(zip(indices, answers, strict=True))
    assert sorted(found) == list(range(count))
    return [found[number] for number in range(count)]


def test_good_answers_come_in_order_under_the_grammar(serve: Callable[..., Server]) -> None:
    server = serve(lambda prompt, _: good(named(prompt), 5 + int(prompt)))
    found = asked(server, 40, prompts.NAME_SCHEMA)
    assert found == [Completion(named(str(number)), None, "ok", 5 + number) for number in range(40)]
    assert server.most_at_once <= 4 and server.keys == {f"Bearer {SECRET}"}
    assert max(server.times.values()) == 1
    for body in server.bodies:
        assert (body["path"], body["model"], body["temperature"]) == ("/v1/chat/completions", "big", 0)
        assert body["response_format"]["type"] == "json_schema"
        assert body["response_format"]["json_schema"]["schema"] == prompts.NAME_SCHEMA


def test_a_drawn_text_is_asked_with_its_seed(serve: Callable[..., Server]) -> None:
    server = serve(lambda prompt, _: good(named(prompt)))
    with EndpointPool(EndpointConfig(url=server.url, model="big"), 1) as pool:
        list(pool.ask([Request("generate", "plain"), Request("generate", "drawn", seed=7)]))
    told = {body["messages"][0]["content"]: (body["temperature"], body.get("seed")) for body in server.bodies}
    assert told == {"plain": (0, None), "drawn": (TEMPERATURE, 7)}


def test_without_a_schema_none_is_sent_and_nothing_is_checked(serve: Callable[..., Server]) -> None:
    server = serve(lambda prompt, _: good(" any words "))
    assert asked(server, 1) == [Completion("any words", None, "ok", 7)]
    assert "response_format" not in server.bodies[0]
    assert list(EndpointPool(EndpointConfig(url=server.url, model="big"), 1).ask([])) == []
    with pytest.raises(ValueError):
        list(EndpointPool(EndpointConfig(url=server.url, model="big"), 1).ask([Request("yes_no", "0")]))


def test_a_server_in_trouble_is_asked_again(serve: Callable[..., Server]) -> None:
    """Once 500, twice 429, then good."""
    failing = {"0": [500], "1": [429, 503]}

    def reply(prompt: str, time: int) -> Reply:
        codes = failing.get(prompt, [])
        return refusal(codes[time - 1], "busy") if time <= len(codes) else good(named(prompt))

    server = serve(reply)
    assert [answer.status for answer in asked(server, 3, prompts.NAME_SCHEMA)] == ["ok"] * 3
    assert server.times == {"0": 2, "1": 3, "2": 1}


def test_a_row_that_still_fails_costs_itself(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "RETRIES", 2)
    odd: dict[str, Reply] = {
        "1": refusal(400, f"this prompt is not\nliked, said to {SECRET}"),
        "2": refusal(400, "This model's maximum context length is 4096 tokens.", "context_length_exceeded"),
        "3": refusal(502, "bad gateway"),
        "4": good('{"name": "War'),
        "5": good(""),
        "6": (200, b'{"choices": [{"mess'),
        "7": (200, {"detail": "no such thing"}),
        "8": (200, b"<html></html>"),
        "9": good(json.dumps({"name": "n" * 90, "description": "long " * 90})),
    }
    server = serve(lambda prompt, _: odd.get(prompt, good(named(prompt))))
    status = [answer.status for answer in asked(server, 11, prompts.NAME_SCHEMA)]
    assert status[0] == status[10] == "ok"
    assert status[1].startswith("refused: ") and "not liked" in status[1] and SECRET not in status[1]
    assert status[2] == "too_long" and status[4] == "unparsed"
    assert status[3].startswith("failed: ") and server.times["3"] == 3 and server.times["1"] == 1
    assert [one.partition(":")[0] for one in status[5:9]] == ["refused"] * 4
    assert status[9] == "ok"  # its form is right; what is too long is cut by who reads it
    assert max(len(one) for one in status) < 200


def test_a_slow_row_is_given_up(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    monkeypatch.setattr(endpoint, "TIMEOUT", 0.3)
    waits = threading.Event()

    def reply(prompt: str, _: int) -> Reply:
        if prompt == "0":
            waits.wait(3)
        return good(named(prompt))

    server = serve(reply)
    assert [answer.status for answer in asked(server, 3)] == ["failed: timeout", "ok", "ok"]
    waits.set()


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "labels.endpoint.url"), (403, endpoint.KEY), (404, "big"), (400, "consecutive rows failed")],
)
def test_an_endpoint_that_refuses_every_row_is_bad_input(
    serve: Callable[..., Server], status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(lambda *_: refusal(status, f"go away, {SECRET}"))
    with caplog.at_level(logging.DEBUG), pytest.raises(BadInput, match=r"labels\.endpoint\.url") as error:
        asked(server, 3)
    assert said in str(error.value) and SECRET not in str(error.value) + caplog.text


def test_an_endpoint_that_falls_silent_ends_the_asking_and_keeps_what_it_said(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that failed at the end are not handed on, so that a later attempt asks them again."""
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    server = serve(lambda prompt, _: good(named(prompt)) if int(prompt) < 16 else refusal(429, "no more credit"))
    pool = EndpointPool(EndpointConfig(url=server.url, model="big"), 1)
    coming = pool.ask([Request("generate", str(number)) for number in range(500)])
    _, kept = next(coming)
    with pytest.raises(BadInput, match="no more credit"):
        next(coming)
    assert len(kept) == 16 and {answer.status for answer in kept} == {"ok"}
    assert len(server.bodies) < 16 + endpoint.MAX_CONSECUTIVE_FAILURES + 3 * endpoint.CHUNK


def test_a_last_row_that_is_refused_is_one_row(serve: Callable[..., Server]) -> None:
    server = serve(lambda prompt, _: good(named(prompt)) if prompt != "16" else refusal(400, "no"))
    assert [answer.status.partition(":")[0] for answer in asked(server, 17)] == ["ok"] * 16 + ["refused"]


def test_an_endpoint_that_is_not_there_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(endpoint, "RETRIES", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(BadInput, match=r"labels\.endpoint\.url.*cannot be reached"):
        asked(url, 40)
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_without_a_key_the_message_names_the_variable(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda *_: refusal(401, "who are you?"))
    monkeypatch.delenv(endpoint.KEY)
    with pytest.raises(BadInput, match=f"{endpoint.KEY} is not set"):
        asked(server, 1)
