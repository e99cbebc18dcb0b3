"""Causal self-attention blocks shared by SASRec, the GPT-style decoder and TiMiRec.

Shape suffixes: see base.py; H attention heads, d = D / H.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsae.config.recommender import RecommenderConfig


class CausalBlock(nn.Module):
    """`x + Attention(LayerNorm(x))`, then `x + W₂ f(W₁ LayerNorm(x))`; position l attends to positions up to l."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, activation: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.hidden_norm = nn.LayerNorm(width)
        self.hidden_in = nn.Linear(width, hidden)
        self.hidden_out = nn.Linear(hidden, width)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        B, L, D = x_BLD.shape
        parts = self.attention_in(self.attention_norm(x_BLD)).view(B, L, 3, self.heads, D // self.heads)
        query_BHLd, key_BHLd, value_BHLd = parts.permute(2, 0, 3, 1, 4)
        mixed_BHLd = F.scaled_dot_product_attention(query_BHLd, key_BHLd, value_BHLd, is_causal=True)
        x_BLD = x_BLD + self.dropout(self.attention_out(mixed_BHLd.transpose(1, 2).reshape(B, L, D)))
        hidden = self.activation(self.hidden_in(self.hidden_norm(x_BLD)))
        out: Tensor = x_BLD + self.dropout(self.hidden_out(hidden))
        return out


class Causal(nn.Module):
    """A causal transformer: position embeddings, blocks and a final norm over the item vectors of a history.

    Positions count from the start of the window, so later events do not change the vector at a position.
    """

    def __init__(
        self, width: int, blocks: int, heads: int, max_length: int, hidden: int, dropout: float, activation: nn.Module
    ) -> None:
        super().__init__()
        self.position = nn.Embedding(max_length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(width, heads, hidden, dropout, activation) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.position.weight, std=0.02)

    def start(self, x_BLD: Tensor) -> Tensor:
        """The input of the first block."""
        place_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        out: Tensor = self.dropout(x_BLD + self.position(place_L))
        return out

    def run(self, x_BLD: Tensor, first: int, stop: int) -> Tensor:
        """The output of the blocks from `first` up to but not including `stop`."""
        for block in self.blocks[first:stop]:
            x_BLD = block(x_BLD)
        return x_BLD

    def forward(self, x_BLD: Tensor) -> Tensor:
        out: Tensor = self.norm(self.run(self.start(x_BLD), 0, len(self.blocks)))
        return out


def causal(config: RecommenderConfig, hidden: int, activation: nn.Module) -> Causal:
    """A transformer of the sizes in the config; `hidden` is the default of its hidden width."""
    sizes = config.width, config.blocks, config.heads, config.max_length
    return Causal(*sizes, config.hidden or hidden, config.dropout, activation)
