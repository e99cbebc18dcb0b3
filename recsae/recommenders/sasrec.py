"""SASRec: a causal transformer over the user's items, scored against the item embeddings.

Kang & McAuley 2018 (arXiv 1808.09781), trained with softmax cross-entropy over shared uniform negatives, or over the
whole catalogue (Klenitskiy & Vasilev 2023, arXiv 2309.07602). Positions count from the start of the window, so the
vector at a position is the same whether the events after it are there or not. Shape suffixes: see contract.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsae.config import RecommenderConfig
from recsae.recommenders.contract import Histories, Recommender


class SASRec(Recommender):
    """`h_l = LayerNorm(Transformer(E[i_1..i_l] + P))`, scores `h Eᵀ`; the probed vector is `h`."""

    def __init__(self, config: RecommenderConfig, n_items: int) -> None:
        super().__init__(n_items, config.width, config.max_length)
        self.item = nn.Embedding(n_items + 1, config.width, padding_idx=n_items)
        self.position = nn.Embedding(config.max_length, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width,
                config.heads,
                dim_feedforward=config.width,
                dropout=config.dropout,
                activation="relu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.width)
        for embedding in (self.item, self.position):
            nn.init.normal_(embedding.weight, std=0.02)
        with torch.no_grad():
            self.item.weight[n_items].zero_()

    def probe(self, histories: Histories) -> Tensor:
        length = histories.items_BL.shape[1]
        place_L = torch.arange(length, device=histories.items_BL.device)
        h_BLD = self.item(histories.items_BL) * self.width**0.5 + self.position(place_L)
        h_BLD = self.dropout(h_BLD)
        mask_LL = nn.Transformer.generate_square_subsequent_mask(length, device=h_BLD.device)
        for block in self.blocks:
            h_BLD = block(h_BLD, src_mask=mask_LL, is_causal=True)
        out_BLD: Tensor = self.norm(h_BLD)
        return out_BLD

    def scores(self, h_XD: Tensor) -> Tensor:
        return h_XD @ self.item.weight[: self.n_items].T

    def loss(self, histories: Histories, target_BL: Tensor, negative_M: Tensor | None) -> Tensor:
        known_BL = target_BL != self.n_items
        h_XD, target_X = self.probe(histories)[known_BL], target_BL[known_BL]
        if negative_M is None:
            return F.cross_entropy(self.scores(h_XD), target_X, reduction="sum")
        positive_X1 = (h_XD * self.item(target_X)).sum(1, keepdim=True)
        negative_XM = h_XD @ self.item(negative_M).T
        negative_XM = negative_XM.masked_fill(negative_M == target_X[:, None], float("-inf"))
        logits = torch.cat([positive_X1, negative_XM], dim=1)
        return F.cross_entropy(logits, torch.zeros_like(target_X), reduction="sum")
