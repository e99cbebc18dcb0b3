"""What every recommender can do, and what it is asked with.

Shape suffixes, here and in all recommenders: B cases or users, L positions, D width of the probed vector, N items of
the catalogue, M sampled negatives, X any number of vectors. The contract knows nothing of files, Ray or the SAE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Histories(NamedTuple):
    """Users and what they did, oldest first, padded on the right with the index `n_items`."""

    user_B: Tensor
    items_BL: Tensor
    length_B: Tensor


class Recommender(nn.Module, ABC):
    """A model over `n_items` items whose scores are a function of one probed vector a case."""

    def __init__(self, n_items: int, width: int, max_length: int) -> None:
        super().__init__()
        self.n_items, self.width, self.max_length = n_items, width, max_length

    @abstractmethod
    def loss(self, histories: Histories, target_BL: Tensor, negative_M: Tensor | None) -> Tensor:
        """Summed training loss over the positions whose target is an item (padding: `n_items`)."""

    @abstractmethod
    def probe(self, histories: Histories) -> Tensor:
        """The probed vectors `h_BLD`; the one at position l depends on the items up to l only."""

    @abstractmethod
    def scores(self, h_XD: Tensor) -> Tensor:
        """Go on from probed vectors, edited or not, to the scores `(X, N)` of the catalogue."""


def last(h_BLD: Tensor, histories: Histories) -> Tensor:
    """The probed vector `h_BD` at the end of each history."""
    index = (histories.length_B - 1).view(-1, 1, 1).expand(-1, 1, h_BLD.shape[-1])
    return h_BLD.gather(1, index).squeeze(1)
