"""The interface of all recommenders, and the batch of histories that they take.

A recommender has vectors `h` at one site; the layers after the site turn `h` into `u`, and `u` scores the items. At the
site `user` both are the same vector. Trainable adds what the training loop needs; a model trained elsewhere is only a
Recommender.

Shape suffixes, here and in all recommenders: B cases or users, L positions, D width of the vector at the site, U width
of the vector that scores items, N items of the catalogue, n a range of them, M sampled negatives, R rows of a table, X
any number of vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Histories(NamedTuple):
    """Users and their items, oldest first, padded on the right with zeros that must have no effect."""

    user_B: Tensor
    items_BL: Tensor
    length_B: Tensor


class Recommender(nn.Module, ABC):
    """A model over `n_items` items whose vectors are read and edited at `site`."""

    sequential: ClassVar[bool] = True
    """Whether the vector depends on the history; if not, a user has one vector at all positions."""
    every_position: bool = True
    """Whether one run is right at every position; if not, only the last position's vector and scores are."""

    def __init__(self, n_items: int, width: int, max_length: int, site: str = "user") -> None:
        super().__init__()
        self.n_items, self.width, self.max_length, self.site = n_items, width, max_length, site
        self.out_width = width
        """U: a batch needs memory for B x L x U floats."""

    @abstractmethod
    def probe(self, histories: Histories) -> Tensor:
        """Vectors at the site, `h_BLD`; the one at position l depends only on items up to l."""

    @abstractmethod
    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        """Run the model from the site on, with edited or unedited vectors; returns `u_BLU`, which scores the items."""

    @abstractmethod
    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        """Scores `(X, n)` of the items `start` to `stop`."""


class Trainable(Recommender):
    """A recommender whose scores are dot products with a table of item vectors, trained by training.py.

    `item` (and `user`, if there is one) are the tables that may be too large for dense gradients: the training step
    replaces them with a few of their rows, and indices refer to those rows.
    """

    sites: ClassVar[tuple[str, ...]] = ("user", "item")
    needs_graph: ClassVar[bool] = False
    """Whether a vector depends on the training events of other users; gradients of the tables are dense then."""
    item: nn.Embedding

    @abstractmethod
    def vectors(self, histories: Histories) -> Tensor:
        """The vector that scores the items after each position, `u_BLD`."""

    def probe(self, histories: Histories) -> Tensor:
        return self.vectors(histories)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        return h_BLD

    def item_vectors(self, start: int, stop: int) -> Tensor:
        """Vectors `(n, D)` of the items `start` to `stop`."""
        return self.item.weight[start:stop]

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU @ self.item_vectors(start, stop).T

    def forward(self, histories: Histories, target_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors `(X, D)` at the positions with a target (padding: -1), and an additional loss of the model."""
        u_XD = self.vectors(histories)[target_BL >= 0]
        return u_XD, u_XD.new_zeros(())

    def tables(self) -> dict[str, Tensor]:
        """The tables by parameter name, as used in the loss."""
        return {name: table for name, table in self.named_parameters() if name in ("item.weight", "user.weight")}

    def set_graph(self, user_G: Tensor, item_G: Tensor) -> None:
        """Set the G training events; called if `needs_graph`."""

    def pull_back(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gradients of the parameters, given dense gradients of `tables()`."""
        return gradients

    def refresh(self) -> None:
        """Recompute what depends on the weights; called after training and before scoring."""


def last_position(h_BLD: Tensor, histories: Histories) -> Tensor:
    """The vectors `h_BD` at the end of each history."""
    index = (histories.length_B - 1).view(-1, 1, 1).expand(-1, 1, h_BLD.shape[-1])
    return h_BLD.gather(1, index).squeeze(1)
