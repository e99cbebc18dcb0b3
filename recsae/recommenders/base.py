"""What every recommender can do, and what it is asked with.

A recommender is read at one site, `h`; what comes after the site turns `h` into `u`, and `u` scores the items. At the
site `user` the two are the same vector. Trainable adds what the training loop needs; a model trained elsewhere is a
Recommender alone.

Shape suffixes, here and in all recommenders: B cases or users, L positions, D width of the probed vector, U width of
what scores the items, N items of the catalogue, n a range of them, M sampled negatives, R rows of a table, X any
number of vectors. The contract knows nothing of files, Ray or the SAE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Histories(NamedTuple):
    """Users and what they did, oldest first, padded on the right with zeros that must have no effect."""

    user_B: Tensor
    items_BL: Tensor
    length_B: Tensor


class Recommender(nn.Module, ABC):
    """A model over `n_items` items, read and edited at `site`."""

    sequential: ClassVar[bool] = True
    """Whether the vector follows the history; if not, a user has one vector, whatever the position."""
    every_position: bool = True
    """Whether one run gives every position its own vector and scores; if not, only the last position's are right."""

    def __init__(self, n_items: int, width: int, max_length: int, site: str = "user") -> None:
        super().__init__()
        self.n_items, self.width, self.max_length, self.site = n_items, width, max_length, site
        self.out_width = width
        """U: the memory that a batch needs is B x L x U."""

    @abstractmethod
    def probe(self, histories: Histories) -> Tensor:
        """The vectors at the site, `h_BLD`; the one at position l depends on the items up to l only."""

    @abstractmethod
    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        """Go on from vectors at the site, edited or not, to what scores the items: `u_BLU`."""

    @abstractmethod
    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        """Scores `(X, n)` of the items `start` to `stop`."""


class Trainable(Recommender):
    """A recommender whose scores are dot products with a table of item vectors, trained by training.py.

    `item` (and `user`, where there is one) are the tables that may be too large for dense gradients: the training
    step hands the model a few of their rows, with indices that count those rows.
    """

    sites: ClassVar[tuple[str, ...]] = ("user", "item")
    needs_graph: ClassVar[bool] = False
    """Whether a vector depends on the training events of other users; gradients of the tables are dense then."""
    item: nn.Embedding

    @abstractmethod
    def vectors(self, histories: Histories) -> Tensor:
        """What scores the items after each position, `u_BLD`."""

    def probe(self, histories: Histories) -> Tensor:
        return self.vectors(histories)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        return h_BLD

    def item_vectors(self, start: int, stop: int) -> Tensor:
        """The item side, `(n, D)`."""
        return self.item.weight[start:stop]

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU @ self.item_vectors(start, stop).T

    def forward(self, histories: Histories, target_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors `(X, D)` of the positions whose target is an item (padding: -1), and a loss of the model's own."""
        u_XD = self.vectors(histories)[target_BL >= 0]
        return u_XD, u_XD.new_zeros(())

    def tables(self) -> dict[str, Tensor]:
        """The tables by parameter name, as the loss sees them."""
        return {name: table for name, table in self.named_parameters() if name in ("item.weight", "user.weight")}

    def set_graph(self, user_G: Tensor, item_G: Tensor) -> None:
        """The G training events, where `needs_graph`."""

    def pull_back(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gradients of the parameters from whole gradients of `tables()`."""
        return gradients

    def refresh(self) -> None:
        """Called after the weights have changed and before anything is scored."""


def last_position(h_BLD: Tensor, histories: Histories) -> Tensor:
    """The vector `h_BD` at the end of each history."""
    index = (histories.length_B - 1).view(-1, 1, 1).expand(-1, 1, h_BLD.shape[-1])
    return h_BLD.gather(1, index).squeeze(1)
