"""Any recommender with some latents steered: itself a Recommender, so it can stand wherever one can.

The probed vector is edited at every position of the history, and the model goes on from there; at the site `item` all
items' vectors are edited, once. With no operation it is the clean model to the last bit. It steers whoever it is asked
about: for whom a policy is, its caller knows. It knows the contract and operations, and no policy. Suffixes: see
recommenders/base.py; T first items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recsae.data.chunks import Chunk
from recsae.errors import BadInput
from recsae.recommenders.base import Histories, Recommender, Trainable, last_position
from recsae.recommenders.ranking import TOP_K, CaseBatch, case_batches, edit_histories, edit_in_blocks
from recsae.recommenders.topk import ranks, top_k
from recsae.steering.operations import Steering


class SteeredRecommender(Recommender):
    """`model` with `steering` at its site. Raises BadInput where the SAE reads vectors of another width."""

    def __init__(self, model: Recommender, steering: Steering) -> None:
        super().__init__(model.n_items, model.width, model.max_length, model.site)
        if steering.sae.width != model.width:
            raise BadInput(
                f"the SAE reads vectors of {steering.sae.width} dimensions, and the recommender has {model.width} at "
                f"the site {model.site}; give the SAE that was trained on it"
            )
        self.out_width = model.out_width
        self.sequential, self.every_position = model.sequential, model.every_position  # type: ignore[misc]
        self.model, self.steering = model, steering
        self._item_ND: Tensor | None = None
        if model.site == "item" and steering.operations:
            assert isinstance(model, Trainable)
            self._item_ND = edit_in_blocks(self.steering, model.item_vectors(0, model.n_items))
        self.eval()

    def probe(self, histories: Histories) -> Tensor:
        return self._along(self.model.probe(histories), histories)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        return self.model.proceed(h_BLD, histories)

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        if self._item_ND is None:
            return self.model.scores(u_XU, start, stop)
        return u_XU @ self._item_ND[start:stop].T

    def ending(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        """What scores the items after each history, `(B, U)`, from vectors of the clean model.

        At the site `user` only the vectors at the end are edited: those before them play no part.
        """
        if self.site == "user":
            u_BU = last_position(self.model.proceed(h_BLD, histories), histories)
            return edit_in_blocks(self.steering, u_BU) if self.steering.operations else u_BU
        return last_position(self.model.proceed(self._along(h_BLD, histories), histories), histories)

    def _along(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        """The vectors edited at every position of a history, not at padding."""
        if not self.steering.operations or self.site == "item":
            return h_BLD
        return edit_histories(self.steering, h_BLD, histories)


class Ranking(NamedTuple):
    """Of a batch of cases under one variant: the rank of the target and the first unseen items."""

    variant: int
    rows: np.ndarray
    """Where they stand in the table of cases, `(B,)`."""
    rank_B: np.ndarray
    top_BT: np.ndarray
    """-1 where none is left."""


@torch.inference_mode()
def answers(
    model: Recommender, variants: Sequence[Steering], chunk: Chunk, cases: pa.Table, device: str = "cpu"
) -> Iterator[Ranking]:
    """The cases of one chunk put to several steerings of one model, which reads every history once."""
    on_items = model.site == "item"
    steered = [] if on_items else [SteeredRecommender(model, one) for one in variants]
    held: list[tuple[CaseBatch, Tensor]] = []
    for question in case_batches(chunk, cases, model, device):
        h_BLD = model.probe(question.histories)
        if on_items:
            held.append((question, last_position(model.proceed(h_BLD, question.histories), question.histories)))
        for variant, one in enumerate(steered):
            yield _answer(variant, one, one.ending(h_BLD, question.histories), question)
    # Every variant is a second catalogue: one of them in memory at a time, and users' vectors stay.
    for variant, steering in enumerate(variants) if on_items else ():
        altered = SteeredRecommender(model, steering)
        for question, u_BU in held:
            yield _answer(variant, altered, u_BU, question)


def _answer(variant: int, model: Recommender, u_BU: Tensor, question: CaseBatch) -> Ranking:
    rank_B = ranks(model, u_BU, question.seen, question.target_B)
    return Ranking(variant, question.rows, rank_B, top_k(model, u_BU, question.seen, TOP_K))
