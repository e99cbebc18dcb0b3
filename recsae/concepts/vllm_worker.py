"""One vLLM engine: requests in, answers out, one status a row.

The pool turns it into Ray actors. It knows prompts, tokens and numbers, and nothing of Ray, latents or concepts.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from recsae.concepts.llm_model import EMBEDDED, locate_model
from recsae.concepts.readings import Query, known, log_odds, probes, text_status
from recsae.config import LlmConfig, ResourcesConfig

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


class Answer(NamedTuple):
    """What came of one request."""

    text: str | None
    """`generate`: what the model wrote."""
    value: float | None
    """Nats: the summed log-likelihood of the continuation, or the log-odds of yes against no."""
    status: str
    """`ok`, or what went wrong with this row alone: `too_long`, `unparsed`, `no_answer`, `refused: …`."""
    tokens: int
    """Prompt tokens and output tokens."""


class Engine:
    """One vLLM engine, alone in its process: it sets that process's threads and seeds its generator."""

    def __init__(self, llm: LlmConfig, resources: ResourcesConfig, model_path: str) -> None:
        logging.getLogger("vllm").setLevel(logging.ERROR)  # It speaks before it reads its own settings.
        from vllm import LLM

        if llm.model == EMBEDDED:
            model_path = locate_model(llm)  # The driver's cache may lie on another machine.
        settings: dict[str, Any] = {}
        if resources.device == "cpu":
            settings = {
                "kv_cache_memory_bytes": int(resources.llm_memory_gb * 2**30),
                "max_num_seqs": CPU_SEQUENCES,
                "block_size": CPU_BLOCK_SIZE,
                "enforce_eager": True,
            }
        self._llm = LLM(
            model_path,
            dtype=llm.dtype,
            max_model_len=llm.max_model_len,
            enable_prefix_caching=True,
            distributed_executor_backend="uni",
            # Small models pad JSON with white space until their tokens run out.
            structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
            use_tqdm_on_load=False,
            **settings,
        )
        self._tokenizer = self._llm.get_tokenizer()
        self._limit = llm.max_model_len
        self._yes, self._no = self._spellings(YES), self._spellings(NO)

    def _spellings(self, words: Sequence[str]) -> list[int]:
        """Tokens that are one of these words; the first token of the first word where none is."""
        encoded = [self._tokenizer.encode(word, add_special_tokens=False) for word in words]
        return list(dict.fromkeys(ids[0] for ids in encoded if len(ids) == 1)) or encoded[0][:1]

    def answer(self, requests: list[Request], schema: dict[str, Any] | None) -> list[Answer]:
        """One answer a request, in order. Ends the process where the engine is beyond repair; Ray starts another."""
        try:
            return self._answer(requests, schema)
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def _answer(self, requests: list[Request], schema: dict[str, Any] | None) -> list[Answer]:
        answers: dict[int, Answer] = {}
        queries: dict[int, Query] = {}
        for index, query in enumerate(self._queries(requests, schema)):
            if query.start == len(query.ids) and requests[index].kind == "loglikelihood":
                answers[index] = Answer(None, None, "no_answer", len(query.ids))
            elif len(query.ids) + query.params.max_tokens > self._limit:
                answers[index] = Answer(None, None, "too_long", len(query.ids))
            else:
                queries[index] = query
        values: dict[int, list[float | None]] = {}
        for index, output in zip(queries, self._run(list(queries.values())), strict=True):
            query, request = queries[index], requests[index]
            if isinstance(output, str):
                answers[index] = Answer(None, None, output, len(query.ids))
                continue
            written = output.outputs[0]
            tokens = len(query.ids) + len(written.token_ids)
            if request.kind == "generate":
                text = written.text.strip()
                answers[index] = Answer(text, None, text_status(text, schema), tokens)
            elif request.kind == "yes_no":
                logprobs = {token: entry.logprob for token, entry in written.logprobs[0].items()}
                answers[index] = Answer(None, log_odds(logprobs, self._yes, self._no), "ok", tokens)
            else:
                values[index] = known(query, output.num_cached_tokens or 0, output.prompt_logprobs or [])
                answers[index] = Answer(None, None, "ok", tokens)
        self._fill(values, queries)
        for index, found in values.items():
            complete = [value for value in found if value is not None]
            if len(complete) == len(found):
                answers[index] = answers[index]._replace(value=math.fsum(complete))
            else:
                answers[index] = answers[index]._replace(status="no_answer")
        return [answers[index] for index in range(len(requests))]

    def _queries(self, requests: list[Request], schema: dict[str, Any] | None) -> Iterator[Query]:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        form = StructuredOutputsParams(json=schema) if schema else None
        writing = SamplingParams(max_tokens=MAX_ANSWER_TOKENS, temperature=0, structured_outputs=form)
        judging = SamplingParams(
            max_tokens=1, temperature=0, logprob_token_ids=[*self._yes, *self._no], detokenize=False
        )
        # By default a request for the prompt's log-probabilities does not read the prefix cache.
        reading = SamplingParams(
            max_tokens=1, temperature=0, prompt_logprobs=0, skip_reading_prefix_cache=False, detokenize=False
        )
        encoded: dict[str, list[int]] = {}
        for request in requests:
            if request.kind != "loglikelihood":
                chat = [{"role": "user", "content": request.prompt}]
                ids = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
                yield Query(list(ids), len(ids), writing if request.kind == "generate" else judging)
                continue
            if request.prompt not in encoded:
                ids = self._tokenizer.encode(request.prompt)
                encoded[request.prompt] = ids or [self._tokenizer.eos_token_id]  # The first token needs a context.
            prompt = encoded[request.prompt]
            # The two are encoded apart: together a token might straddle the boundary.
            continuation = self._tokenizer.encode(request.continuation, add_special_tokens=False)
            yield Query(prompt + continuation, len(prompt), reading)

    def _fill(self, values: dict[int, list[float | None]], queries: Mapping[int, Query]) -> None:
        """Ask one token at a time where the prefix cache swallowed the first tokens of a continuation."""
        from vllm import SamplingParams

        gaps = {
            index: [queries[index].start + offset for offset, value in enumerate(found) if value is None]
            for index, found in values.items()
            if None in found
        }
        asked = probes(gaps, queries)
        outputs = self._run(
            [
                Query(
                    list(prefix),
                    len(prefix),
                    SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=tokens, detokenize=False),
                )
                for prefix, tokens in asked
            ]
        )
        found: dict[tuple[tuple[int, ...], int], float] = {}
        for (prefix, tokens), output in zip(asked, outputs, strict=True):
            if not isinstance(output, str):
                found |= {(prefix, token): float(output.outputs[0].logprobs[0][token].logprob) for token in tokens}
        for index, positions in gaps.items():
            query = queries[index]
            for position in positions:
                key = (tuple(query.ids[:position]), query.ids[position])
                values[index][position - query.start] = found.get(key)

    def _run(self, queries: Sequence[Query]) -> list[Any]:
        """vLLM's outputs, in order; a sentence in the place of one that it refused."""
        if not queries:
            return []
        prompts = [{"prompt_token_ids": query.ids} for query in queries]
        try:
            return list(self._llm.generate(prompts, [query.params for query in queries], use_tqdm=False))
        except ValueError as error:  # A request that is refused takes its whole batch along.
            if len(queries) == 1:
                return [f"refused: {error}"]
            return [output for query in queries for output in self._run([query])]
