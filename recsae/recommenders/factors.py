"""BPRMF and LightGCN: one vector per user, scored against the item table.

BPRMF: Rendle et al. 2009 (arXiv 1205.2618), without biases. LightGCN: He et al. 2020 (arXiv 2002.02126). Users without
training events keep their initial vector. Shape suffixes: see base.py; G training events.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import torch
from torch import Tensor, nn

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders.base import Histories, Trainable


class BPRMF(Trainable):
    """`h = U[user]`, scores `h Eᵀ`."""

    sequential: ClassVar[bool] = False
    user: nn.Embedding

    def __init__(self, config: RecommenderConfig, n_users: int, n_items: int) -> None:
        super().__init__(n_items, config.width, config.max_length)
        self.n_users = n_users
        self.user = nn.Embedding(n_users, config.width)
        self.item = nn.Embedding(n_items, config.width)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=0.01)

    def vectors(self, histories: Histories) -> Tensor:
        h_BD: Tensor = self.user(histories.user_B)
        return h_BD[:, None, :].expand(-1, histories.items_BL.shape[1], -1)


class LightGCN(BPRMF):
    """Vectors averaged over `layers` propagations through the graph of training events.

    `E⁽ˡ⁺¹⁾ = D^-½ A D^-½ E⁽ˡ⁾`, `h = mean of E⁽⁰⁾ … E⁽ᴷ⁾`, on users and items alike. The mean is a symmetric linear map
    `P`, so the gradient of the tables is `P` times the gradient of the propagated vectors.
    """

    needs_graph: ClassVar[bool] = True

    def __init__(self, config: RecommenderConfig, n_users: int, n_items: int) -> None:
        super().__init__(config, n_users, n_items)
        self.layers = config.layers
        self.register_buffer("user_out", torch.zeros(n_users, config.width))
        self.register_buffer("item_out", torch.zeros(n_items, config.width))
        self._by_user: Tensor | None = None
        self._by_item: Tensor | None = None

    def set_graph(self, user_G: Tensor, item_G: Tensor) -> None:
        """Build the normalised graph of the training events; repeated pairs count once."""
        pair = torch.unique(user_G.long() * self.n_items + item_G.long())
        user, item = pair // self.n_items, pair % self.n_items
        of_user = torch.bincount(user, minlength=self.n_users).double()
        of_item = torch.bincount(item, minlength=self.n_items).double()
        weight = (of_user[user] * of_item[item]).rsqrt().float()
        shape = (self.n_users, self.n_items)
        graph = torch.sparse_coo_tensor(torch.stack([user, item]), weight, shape, check_invariants=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            self._by_user, self._by_item = graph.to_sparse_csr(), graph.t().coalesce().to_sparse_csr()

    @torch.no_grad()
    def _propagate(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        assert self._by_user is not None and self._by_item is not None
        sums = user.clone(), item.clone()
        for _ in range(self.layers):
            user, item = self._by_user @ item, self._by_item @ user
            sums[0].add_(user), sums[1].add_(item)
        return sums[0] / (self.layers + 1), sums[1] / (self.layers + 1)

    def tables(self) -> dict[str, Tensor]:
        user, item = self._propagate(self.user.weight, self.item.weight)
        return {"user.weight": user, "item.weight": item}

    def pull_back(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        user, item = self._propagate(gradients["user.weight"], gradients["item.weight"])
        return {"user.weight": user, "item.weight": item}

    def refresh(self) -> None:
        self.user_out, self.item_out = self._propagate(self.user.weight, self.item.weight)

    def probe(self, histories: Histories) -> Tensor:
        return self.user_out[histories.user_B][:, None, :].expand(-1, histories.items_BL.shape[1], -1)

    def item_vectors(self, start: int, stop: int) -> Tensor:
        return self.item_out[start:stop]
