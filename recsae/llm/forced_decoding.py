"""Forced decoding in vLLM: requests that generate a given token path regardless of the model's preference.

Imports vLLM, so only engine processes import this module.
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
    """Parameters that force the walk's path, plus one token: the last step only reports, and its token is discarded."""
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
    """Forces each path's next token. vLLM computes the reported log-probabilities before logits processors run."""

    def __init__(self, *_: Any) -> None:
        self._paths: dict[int, tuple[Ids, list[int]]] = {}
        """By batch row: the path to generate, and vLLM's own list of the tokens generated so far."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._paths, batch_update, _entry)

    def apply(self, logits: Any) -> Any:
        """`logits`, `(rows, vocabulary)`, changed in place."""
        pending = [
            (row, path[len(generated)]) for row, (path, generated) in self._paths.items() if len(generated) < len(path)
        ]
        if pending:
            rows, tokens = zip(*pending, strict=True)
            logits[list(rows), list(tokens)] = math.inf
        return logits


def _entry(params: Any, _: Any, generated: list[int]) -> tuple[Ids, list[int]] | None:
    path = (params.extra_args or {}).get(PATH)
    return (path, generated) if path else None
