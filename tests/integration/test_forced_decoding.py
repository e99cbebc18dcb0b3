"""Requests that write the path they are given, as vLLM's batches change under them."""

from __future__ import annotations

from typing import Any

import torch

from recsae.llm.loglikelihood import Walk


def test_paths_are_written_by_the_rows_that_bear_them() -> None:
    from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

    from recsae.llm.forced_decoding import PathWriter, walk_params

    writer = PathWriter(None, None, False)
    written: list[list[int]] = [[], [], []]
    walks = [Walk((1,), (4, 5), [4, 5]), Walk((2,), (), [6]), Walk((3,), (7,), [7])]

    def step(update: Any) -> list[int]:
        """What each row would write; a model of its own mind likes token 0."""
        writer.update_state(update)
        logits_RV = torch.zeros(3, 10)
        logits_RV[:, 0] = 1.0
        return writer.apply(logits_RV).argmax(dim=-1).tolist()

    added = [(row, walk_params(walk), list(walk.ids), written[row]) for row, walk in enumerate(walks)]
    assert step(BatchUpdate(3, (), added, ())) == [4, 0, 7]
    for row, token in enumerate((4, 0, 7)):
        written[row].append(token)
    # The second row is done and the third, with its path behind it, takes its place; the first is still under way.
    assert step(BatchUpdate(2, [1], (), [(2, 1, MoveDirectionality.UNIDIRECTIONAL)])) == [5, 0, 0]
    written[0].append(5)
    assert step(None) == [0, 0, 0]
    assert writer.is_argmax_invariant() is False


def test_a_walk_reads_once_more_than_it_writes() -> None:
    from recsae.llm.forced_decoding import walk_params

    params = walk_params(Walk((1, 2), (3, 4), [3, 4, 9]))
    assert params.max_tokens == 3 and params.ignore_eos and params.temperature == 0
    assert params.logprob_token_ids == [3, 4, 9]
