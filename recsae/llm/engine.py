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
TEMPERATURE = 0.8
"""Of drawn texts."""
CPU_SEQUENCES = 64
"""Requests that an engine on the CPU batches together."""
CPU_BLOCK_SIZE = 32
"""Tokens per cache block: the minimum of vLLM's CPU kernel. With its default of 128 almost no prefix is shared."""
YES = ("Yes", " Yes", "yes", " yes", "YES", " YES")
NO = ("No", " No", "no", " no", "NO", " NO")


class Request(NamedTuple):
    """One question to the language model."""

    kind: Literal["generate", "loglikelihood", "yes_no"]
    prompt: str
    """`generate`, `yes_no`: the user's message, put through the chat template; `loglikelihood`: raw text."""
    continuation: str = ""
    """`loglikelihood`: the text to score after the prompt, with its leading space or newline."""
    seed: int | None = None
    """`generate`: the seed of a text drawn at TEMPERATURE; None: the likeliest text."""


class Completion(NamedTuple):
    """The result of one request."""

    text: str | None
    """`generate`: the generated text."""
    value: float | None
    """Nats: the summed log-likelihood of the continuation, or the log-odds of yes against no."""
    status: str
    """`ok`, or what went wrong with this row: `too_long`, `unparsed`, `no_answer`, `refused: …`."""
    tokens: int
    """Prompt tokens plus generated or scored tokens, as if this request had run by itself."""


class EngineUsage(NamedTuple):
    """Tokens and time that the engines have used."""

    prompt_tokens: int = 0
    """Prompt tokens submitted to engines; one prompt may serve many likelihoods."""
    cached_tokens: int = 0
    """Prompt tokens served from the prefix cache."""
    generated_tokens: int = 0
    engine_seconds: float = 0.0
    """Busy seconds, summed over engines."""

    def plus(self, other: EngineUsage) -> EngineUsage:
        return EngineUsage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.generated_tokens + other.generated_tokens,
            self.engine_seconds + other.engine_seconds,
        )


class Query(NamedTuple):
    """A request as vLLM takes it."""

    ids: Ids
    params: Any


class Engine:
    """One vLLM engine, alone in its process: it sets that process's threads and seeds its generator."""

    def __init__(self, llm: LlmConfig, resources: ResourcesConfig, model_path: str) -> None:
        logging.getLogger("vllm").setLevel(logging.ERROR)  # vLLM logs before it reads VLLM_LOGGING_LEVEL.
        from vllm import LLM

        if llm.model == EMBEDDED:
            model_path = locate_model(llm)  # The driver's cache may be on another machine.
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
            # Small models pad JSON with whitespace until they run out of tokens.
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
        """Token ids that spell one of these words; the first token of the first word if no word is a single token."""
        encoded = [self._tokenizer.encode(word, add_special_tokens=False) for word in words]
        return list(dict.fromkeys(ids[0] for ids in encoded if len(ids) == 1)) or encoded[0][:1]

    def answer(self, requests: list[Request], schema: dict[str, Any] | None) -> tuple[list[Completion], EngineUsage]:
        """One completion per request, in order. If the engine fails, the process exits and Ray restarts the actor."""
        try:
            return self._answer(requests, schema)
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def _answer(self, requests: list[Request], schema: dict[str, Any] | None) -> tuple[list[Completion], EngineUsage]:
        from recsae.llm.forced_decoding import walk_params

        start = time.perf_counter()
        answers: dict[int, Completion] = {}
        texts = self._texts(requests, answers)
        queries = self._queries(requests, schema, answers)
        walks = loglikelihood.walks(texts.values())
        outputs = self._run([*queries.values(), *(Query(walk.ids, walk_params(walk)) for walk in walks)])
        for index, output in zip(queries, outputs, strict=False):
            answers[index] = self._completion(requests[index].kind, queries[index], output, schema)
        steps: dict[TokenStep, float | str] = {}
        for walk, output in zip(walks, outputs[len(queries) :], strict=True):
            refused = isinstance(output, str)
            steps |= dict.fromkeys(walk.steps(), output) if refused else walk.read(output.outputs[0].logprobs)
        for index, (prompt, continuation) in texts.items():
            answers[index] = _sum_steps(prompt, continuation, steps)
        done = [answers[index] for index in range(len(requests))]
        return done, _usage(outputs, time.perf_counter() - start)

    def _texts(self, requests: list[Request], answers: dict[int, Completion]) -> dict[int, tuple[Ids, Ids]]:
        """Token ids of prompts and continuations to score; rows that cannot be scored get their status in `answers`."""
        encoded: dict[tuple[str, bool], Ids] = {}

        def encode(text: str, *, add_bos: bool) -> Ids:
            if (text, add_bos) not in encoded:
                encoded[text, add_bos] = tuple(self._tokenizer.encode(text, add_special_tokens=add_bos))
            return encoded[text, add_bos]

        texts: dict[int, tuple[Ids, Ids]] = {}
        for index, request in enumerate(requests):
            if request.kind != "loglikelihood":
                continue
            # Encoded separately, so that no token straddles the boundary.
            # An empty prompt becomes EOS: the first token needs a context.
            prompt = encode(request.prompt, add_bos=True) or (self._tokenizer.eos_token_id,)
            continuation = encode(request.continuation, add_bos=False)
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
        """Chat requests by index; rows that are too long get their status in `answers`."""
        yes_no = self._yes_no_params()
        queries: dict[int, Query] = {}
        for index, request in enumerate(requests):
            if request.kind == "loglikelihood":
                continue
            chat = [{"role": "user", "content": request.prompt}]
            ids = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
            params = self._generate_params(schema, request.seed) if request.kind == "generate" else yes_no
            if len(ids) + params.max_tokens > self._limit:
                answers[index] = Completion(None, None, "too_long", len(ids))
            else:
                queries[index] = Query(tuple(ids), params)
        return queries

    def _generate_params(self, schema: dict[str, Any] | None, seed: int | None) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        grammar = StructuredOutputsParams(json=schema) if schema else None
        temperature = 0 if seed is None else TEMPERATURE
        return SamplingParams(
            max_tokens=MAX_ANSWER_TOKENS, temperature=temperature, seed=seed, structured_outputs=grammar
        )

    def _yes_no_params(self) -> Any:
        from vllm import SamplingParams

        words = [*self._yes, *self._no]
        return SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=words, detokenize=False)

    def _completion(self, kind: str, query: Query, output: Any, schema: dict[str, Any] | None) -> Completion:
        if isinstance(output, str):
            return Completion(None, None, output, len(query.ids))
        generated = output.outputs[0]
        tokens = len(query.ids) + len(generated.token_ids)
        if kind == "generate":
            text = generated.text.strip()
            return Completion(text, None, loglikelihood.text_status(text, schema), tokens)
        logprobs = {token: entry.logprob for token, entry in generated.logprobs[0].items()}
        return Completion(None, loglikelihood.log_odds(logprobs, self._yes, self._no), "ok", tokens)

    def _run(self, queries: Sequence[Query]) -> list[Any]:
        """vLLM's outputs, in order; for a refused request its status."""
        if not queries:
            return []
        prompts = [{"prompt_token_ids": list(query.ids)} for query in queries]
        try:
            return list(self._llm.generate(prompts, [query.params for query in queries], use_tqdm=False))
        except ValueError as error:  # One refused request fails its whole batch.
            if len(queries) == 1:
                return [f"refused: {error}"]
            return [output for query in queries for output in self._run([query])]


def _precision(llm: LlmConfig, resources: ResourcesConfig) -> str:
    """The dtype for vLLM. CPUs without bfloat16 instructions run it three to six times slower than float32."""
    if llm.dtype != "auto":
        return llm.dtype
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if resources.device == "cuda" or native or platform.machine() == "aarch64" else "float32"


def _sum_steps(prompt: Ids, continuation: Ids, steps: Mapping[TokenStep, float | str]) -> Completion:
    tokens = len(prompt) + len(continuation)
    results = [steps[step] for step in loglikelihood.steps(prompt, continuation)]
    logprobs = [result for result in results if not isinstance(result, str)]
    if len(logprobs) < len(results):
        refused = next(result for result in results if isinstance(result, str))
        return Completion(None, None, refused, tokens)
    return Completion(None, math.fsum(logprobs), "ok", tokens)


def _usage(outputs: Sequence[Any], seconds: float) -> EngineUsage:
    completed = [output for output in outputs if not isinstance(output, str)]
    return EngineUsage(
        sum(len(output.prompt_token_ids) for output in completed),
        sum(output.num_cached_tokens or 0 for output in completed),
        sum(len(output.outputs[0].token_ids) for output in completed),
        seconds,
    )
