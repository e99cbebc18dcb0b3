"""One vLLM engine: requests in, answers out, one status per row. The pool runs it as Ray actors."""

from __future__ import annotations

import logging
import math
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch

from recsae.config.concepts import LlmConfig
from recsae.config.schema import ResourcesConfig
from recsae.llm import loglikelihood
from recsae.llm.loglikelihood import Ids, TokenStep
from recsae.llm.model import EMBEDDED, locate_model

MAX_ANSWER_TOKENS = 96
CPU_SEQUENCES = 64
"""Requests that an engine on the CPU works on at once."""
CPU_BLOCK_SIZE = 32
"""Tokens of a cache block: the least that vLLM's CPU kernel takes. Its default of 128 shares almost no prefix."""
YES = ("Yes", " Yes", "yes", " yes", "YES", " YES")
NO = ("No", " No", "no", " no", "NO", " NO")


class Request(NamedTuple):
    """One question to the language model."""

    kind: Literal["generate", "loglikelihood", "yes_no"]
    prompt: str
    """`generate`, `yes_no`: the user's message, put through the chat template; `loglikelihood`: raw text."""
    continuation: str = ""
    """`loglikelihood`: the text whose log-likelihood after the prompt is asked, with its leading space or newline."""


class Completion(NamedTuple):
    """What came of one request."""

    text: str | None
    """`generate`: what the model wrote."""
    value: float | None
    """Nats: the summed log-likelihood of the continuation, or the log-odds of yes against no."""
    status: str
    """`ok`, or what went wrong with this row alone: `too_long`, `unparsed`, `no_answer`, `refused: …`."""
    tokens: int
    """Of the prompt and of what was written or weighed, as if the question had been asked alone."""


class Spent(NamedTuple):
    """What answers cost the engines."""

    prompt: int = 0
    """Tokens of the prompts that engines were given; one prompt may serve many likelihoods."""
    cached: int = 0
    """Those of them that came from the prefix cache."""
    written: int = 0
    """Tokens."""
    seconds: float = 0.0
    """Of work, summed over engines."""

    def plus(self, other: Spent) -> Spent:
        return Spent(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.written + other.written,
            self.seconds + other.seconds,
        )


class Query(NamedTuple):
    """A request as vLLM takes it."""

    ids: Ids
    params: Any


class Engine:
    """One vLLM engine, alone in its process: it sets that process's threads and seeds its generator."""

    def __init__(self, llm: LlmConfig, resources: ResourcesConfig, model_path: str) -> None:
        logging.getLogger("vllm").setLevel(logging.ERROR)  # It speaks before it reads its own settings.
        from vllm import LLM

        if llm.model == EMBEDDED:
            model_path = locate_model(llm)  # The driver's cache may lie on another machine.
        self._llm = LLM(model_path, **self._settings(llm, resources))
        self._tokenizer = self._llm.get_tokenizer()
        self._limit = llm.max_model_len
        self._yes, self._no = self._spellings(YES), self._spellings(NO)

    def _settings(self, llm: LlmConfig, resources: ResourcesConfig) -> dict[str, Any]:
        from recsae.llm.forced_decoding import PathWriter

        settings: dict[str, Any] = {
            "dtype": _precision(llm, resources),
            "max_model_len": llm.max_model_len,
            "enable_prefix_caching": True,
            "distributed_executor_backend": "uni",
            "logits_processors": [PathWriter],
            # Small models pad JSON with white space until their tokens run out.
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
            "use_tqdm_on_load": False,
        }
        if resources.device == "cpu":
            settings |= {
                "kv_cache_memory_bytes": int(resources.llm_memory_gb * 2**30),
                "max_num_seqs": CPU_SEQUENCES,
                "block_size": CPU_BLOCK_SIZE,
                "enforce_eager": True,
            }
        return settings

    def _spellings(self, words: Sequence[str]) -> list[int]:
        """Tokens that are one of these words; the first token of the first word where none is."""
        encoded = [self._tokenizer.encode(word, add_special_tokens=False) for word in words]
        return list(dict.fromkeys(ids[0] for ids in encoded if len(ids) == 1)) or encoded[0][:1]

    def answer(self, requests: list[Request], schema: dict[str, Any] | None) -> tuple[list[Completion], Spent]:
        """One answer a request, in order. Ends the process where the engine is beyond repair; Ray starts another."""
        try:
            return self._answer(requests, schema)
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def _answer(self, requests: list[Request], schema: dict[str, Any] | None) -> tuple[list[Completion], Spent]:
        from recsae.llm.forced_decoding import walk_params

        began = time.perf_counter()
        answers: dict[int, Completion] = {}
        texts = self._texts(requests, answers)
        queries = self._queries(requests, schema, answers)
        walks = loglikelihood.walks(texts.values())
        outputs = self._run([*queries.values(), *(Query(walk.ids, walk_params(walk)) for walk in walks)])
        for index, output in zip(queries, outputs, strict=False):
            answers[index] = self._told(requests[index].kind, queries[index], output, schema)
        steps: dict[TokenStep, float | str] = {}
        for walk, output in zip(walks, outputs[len(queries) :], strict=True):
            refused = isinstance(output, str)
            steps |= dict.fromkeys(walk.steps(), output) if refused else walk.read(output.outputs[0].logprobs)
        for index, (prompt, continuation) in texts.items():
            answers[index] = _summed(prompt, continuation, steps)
        done = [answers[index] for index in range(len(requests))]
        return done, _spent(outputs, time.perf_counter() - began)

    def _texts(self, requests: list[Request], answers: dict[int, Completion]) -> dict[int, tuple[Ids, Ids]]:
        """Prompts and continuations whose likelihood is asked; rows that cannot be go to `answers`."""
        encoded: dict[tuple[str, bool], Ids] = {}

        def encode(text: str, *, begins: bool) -> Ids:
            if (text, begins) not in encoded:
                encoded[text, begins] = tuple(self._tokenizer.encode(text, add_special_tokens=begins))
            return encoded[text, begins]

        texts: dict[int, tuple[Ids, Ids]] = {}
        for index, request in enumerate(requests):
            if request.kind != "loglikelihood":
                continue
            # The two are encoded apart: together a token might straddle the boundary.
            prompt = encode(request.prompt, begins=True) or (
                self._tokenizer.eos_token_id,
            )  # The first needs a context.
            continuation = encode(request.continuation, begins=False)
            tokens = len(prompt) + len(continuation)
            if not continuation:
                answers[index] = Completion(None, None, "no_answer", tokens)
            elif tokens > self._limit:
                answers[index] = Completion(None, None, "too_long", tokens)
            else:
                texts[index] = prompt, continuation
        return texts

    def _queries(
        self, requests: list[Request], schema: dict[str, Any] | None, answers: dict[int, Completion]
    ) -> dict[int, Query]:
        """What is asked as a chat; rows that are too long go to `answers`."""
        writing, judging = self._writing(schema), self._judging()
        queries: dict[int, Query] = {}
        for index, request in enumerate(requests):
            if request.kind == "loglikelihood":
                continue
            chat = [{"role": "user", "content": request.prompt}]
            ids = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
            params = writing if request.kind == "generate" else judging
            if len(ids) + params.max_tokens > self._limit:
                answers[index] = Completion(None, None, "too_long", len(ids))
            else:
                queries[index] = Query(tuple(ids), params)
        return queries

    def _writing(self, schema: dict[str, Any] | None) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        form = StructuredOutputsParams(json=schema) if schema else None
        return SamplingParams(max_tokens=MAX_ANSWER_TOKENS, temperature=0, structured_outputs=form)

    def _judging(self) -> Any:
        from vllm import SamplingParams

        words = [*self._yes, *self._no]
        return SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=words, detokenize=False)

    def _told(self, kind: str, query: Query, output: Any, schema: dict[str, Any] | None) -> Completion:
        if isinstance(output, str):
            return Completion(None, None, output, len(query.ids))
        written = output.outputs[0]
        tokens = len(query.ids) + len(written.token_ids)
        if kind == "generate":
            text = written.text.strip()
            return Completion(text, None, loglikelihood.text_status(text, schema), tokens)
        logprobs = {token: entry.logprob for token, entry in written.logprobs[0].items()}
        return Completion(None, loglikelihood.log_odds(logprobs, self._yes, self._no), "ok", tokens)

    def _run(self, queries: Sequence[Query]) -> list[Any]:
        """vLLM's outputs, in order; a sentence in the place of one that it refused."""
        if not queries:
            return []
        prompts = [{"prompt_token_ids": list(query.ids)} for query in queries]
        try:
            return list(self._llm.generate(prompts, [query.params for query in queries], use_tqdm=False))
        except ValueError as error:  # A request that is refused takes its whole batch along.
            if len(queries) == 1:
                return [f"refused: {error}"]
            return [output for query in queries for output in self._run([query])]


def _precision(llm: LlmConfig, resources: ResourcesConfig) -> str:
    """A CPU without instructions for bfloat16 takes three to six times as long with it as with float32."""
    if llm.dtype != "auto":
        return llm.dtype
    computes = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if resources.device == "cuda" or computes or platform.machine() == "aarch64" else "float32"


def _summed(prompt: Ids, continuation: Ids, steps: Mapping[TokenStep, float | str]) -> Completion:
    tokens = len(prompt) + len(continuation)
    told = [steps[step] for step in loglikelihood.steps(prompt, continuation)]
    values = [value for value in told if not isinstance(value, str)]
    if len(values) < len(told):
        refused = next(value for value in told if isinstance(value, str))
        return Completion(None, None, refused, tokens)
    return Completion(None, math.fsum(values), "ok", tokens)


def _spent(outputs: Sequence[Any], seconds: float) -> Spent:
    ran = [output for output in outputs if not isinstance(output, str)]
    return Spent(
        sum(len(output.prompt_token_ids) for output in ran),
        sum(output.num_cached_tokens or 0 for output in ran),
        sum(len(output.outputs[0].token_ids) for output in ran),
        seconds,
    )
