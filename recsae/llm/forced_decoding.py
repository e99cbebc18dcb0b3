"""Forced decoding in vLLM: requests that write a given path, whatever the model would prefer.

Imported where vLLM is: in an engine's process.
"""

from __future__ import annotations

import math
from typing import Any

from vllm import SamplingParams
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from recsae.llm.loglikelihood import Ids, Walk

PATH = "path"


def walk_params(walk: Walk) -> SamplingParams:
    """One token more than the path: the last step reports and what it writes is dropped."""
    return SamplingParams(
        max_tokens=len(walk.path) + 1,
        temperature=0,
        ignore_eos=True,
        logprob_token_ids=walk.tokens,
        detokenize=False,
        extra_args={PATH: walk.path},
        skip_clone=True,
    )


class PathWriter(LogitsProcessor):  # type: ignore[misc]
    """Makes a path's next token the likeliest. vLLM takes the log-probabilities that it reports beforehand."""

    def __init__(self, *_: Any) -> None:
        self._paths: dict[int, tuple[Ids, list[int]]] = {}
        """By row of the batch: what is to be written, and the list in which vLLM keeps what is written already."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._paths, batch_update, _entry)

    def apply(self, logits: Any) -> Any:
        """`logits`, `(rows, vocabulary)`, changed in place."""
        due = [(row, path[len(written)]) for row, (path, written) in self._paths.items() if len(written) < len(path)]
        if due:
            rows, tokens = zip(*due, strict=True)
            logits[list(rows), list(tokens)] = math.inf
        return logits


def _entry(params: Any, _: Any, written: list[int]) -> tuple[Ids, list[int]] | None:
    path = (params.extra_args or {}).get(PATH)
    return (path, written) if path else None
