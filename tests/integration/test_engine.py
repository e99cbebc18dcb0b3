"""Real vLLM engines behind the pool: likelihoods are right, one bad row costs one row, a killed engine costs none."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psutil
import pytest

from recsae.concepts.engine import Answer, EnginePool, Request
from recsae.config import LlmConfig, ResourcesConfig

HEADER = "Films, and what each of them is about, in a few words that anybody understands.\n\n"
ITEMS = (
    "Film: Alien (1979). Genres: Horror, Sci-Fi. Tags: space, monster, crew, suspense, ship, android, egg",
    "Film: Heat (1995). Genres: Crime, Thriller",
    "Film: Airplane! (1980). Genres: Comedy. Tags: parody, pilot, absurd",
)
CONCEPTS = ("horror in space", "horror in the house", "horror", "crime", "silly comedy", "a documentary about fishing")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}},
    "required": ["name"],
    "additionalProperties": False,
}


def likelihoods() -> list[Request]:
    return [
        Request("loglikelihood", f"{HEADER}{item}\nThis film is about", f" {concept}")
        for item in ITEMS
        for concept in CONCEPTS
    ]


def collect(pool: EnginePool, requests: list[Request], schema: dict[str, Any] | None = None) -> list[Answer]:
    answers: dict[int, Answer] = {}
    for indices, chunk in pool.ask(requests, schema):
        answers.update(zip(indices, chunk, strict=True))
    return [answers[index] for index in range(len(requests))]


@pytest.fixture(scope="module")
def pool(ray_session: None, model_folder: str) -> Iterator[EnginePool]:
    with EnginePool(
        LlmConfig(max_model_len=512), ResourcesConfig(llm_actors=1, llm_memory_gb=0.5), model_folder
    ) as pool:
        yield pool


@pytest.fixture(scope="module")
def likelihood(model_folder: str) -> Callable[[Request], float]:
    """The same by transformers, one text at a time and in bfloat16 too."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.bfloat16).eval()

    @functools.cache
    def ask(request: Request) -> float:
        prompt = tokenizer.encode(request.prompt)
        ids = prompt + tokenizer.encode(request.continuation, add_special_tokens=False)
        with torch.inference_mode():
            logits_LV = model(torch.tensor([ids])).logits[0].float()
        logprobs_LV = torch.log_softmax(logits_LV, dim=-1)
        return sum(float(logprobs_LV[at - 1, ids[at]]) for at in range(len(prompt), len(ids)))

    return ask


def near(values: Iterable[float]) -> Any:
    """Equal within what bfloat16 and another order of summation move."""
    return pytest.approx(list(values), abs=0.35, rel=0.02)


def test_likelihoods_equal_those_of_transformers(pool: EnginePool, likelihood: Callable[[Request], float]) -> None:
    """The prompts share beginnings, which come from the cache; asked again, all of them do."""
    for _ in range(2):
        answers = collect(pool, likelihoods())
        assert {answer.status for answer in answers} == {"ok"}
        assert [answer.value for answer in answers] == near(map(likelihood, likelihoods()))


def test_likelihoods_without_shared_prefixes(pool: EnginePool, likelihood: Callable[[Request], float]) -> None:
    requests = [
        request._replace(prompt=f"{index} {request.prompt}") for index, request in enumerate(likelihoods()[::3])
    ]
    answers = collect(pool, requests)
    assert [answer.value for answer in answers] == near(map(likelihood, requests))


def test_continuation_in_the_cache_is_asked_again(pool: EnginePool, likelihood: Callable[[Request], float]) -> None:
    """At every length of prompt, so that a cache block ends before, in and after the continuation."""
    requests = [
        Request("loglikelihood", HEADER + "very " * count + "good films are about", " space ships and their crews")
        for count in range(34)
    ]
    for _ in range(2):
        answers = collect(pool, requests)
        assert [answer.value for answer in answers] == near(map(likelihood, requests))


def test_one_row_too_long_costs_one_row(pool: EnginePool) -> None:
    good = Request("loglikelihood", "The sky is", " blue")
    answers = collect(
        pool, [good, Request("loglikelihood", "word " * 600, " blue"), Request("yes_no", "x " * 600), good]
    )
    assert [answer.status for answer in answers] == ["ok", "too_long", "too_long", "ok"]
    assert answers[1].value is None
    assert answers[0].value == pytest.approx(answers[3].value, abs=0.1)


def test_empty_texts(pool: EnginePool) -> None:
    answers = collect(pool, [Request("loglikelihood", "", "Films"), Request("loglikelihood", "Films", "")])
    assert [answer.status for answer in answers] == ["ok", "no_answer"]
    assert answers[0].value is not None


def test_answers_are_json_of_the_schema(pool: EnginePool) -> None:
    prompts = [f"{item}\nName the theme in at most four words, as JSON." for item in ITEMS]
    answers = collect(pool, [Request("generate", prompt) for prompt in prompts], SCHEMA)
    for answer in answers:
        assert answer.status == "ok"
        assert set(json.loads(answer.text or "")) == {"name"}


def test_yes_and_no_are_told_apart(pool: EnginePool) -> None:
    prompts = [f'Answer with the word "{word}" and nothing else: what is the word?' for word in ("Yes", "No")]
    yes, no = collect(pool, [Request("yes_no", prompt) for prompt in prompts])
    assert yes.status == no.status == "ok"
    assert yes.value is not None
    assert no.value is not None
    assert yes.value > no.value


def test_killed_engine_costs_no_answer(
    ray_session: None, model_folder: str, likelihood: Callable[[Request], float]
) -> None:
    requests = likelihoods() * 12
    answers: dict[int, Answer] = {}
    with EnginePool(
        LlmConfig(max_model_len=512), ResourcesConfig(llm_actors=1, llm_memory_gb=0.5), model_folder
    ) as pool:
        before = engine_pids()
        for indices, chunk in pool.ask(requests):
            if not answers:
                (pid,) = engine_pids() - before
                psutil.Process(pid).kill()
            answers.update(zip(indices, chunk, strict=True))
    assert sorted(answers) == list(range(len(requests)))
    assert [answers[index].value for index in range(len(requests))] == near(map(likelihood, requests))


def engine_pids() -> set[int]:
    """Processes of this session's engines."""
    return {
        process.pid
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE and " ".join(process.cmdline()).startswith("ray::Engine")
    }
