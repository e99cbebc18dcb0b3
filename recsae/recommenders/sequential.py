"""SASRec and a GPT-style decoder: causal transformers over the user's items, scored against the item table.

SASRec: Kang & McAuley 2018 (arXiv 1808.09781). The decoder is that of GPT-2 (hidden layer of 4 D, GELU), with a head
tied to the item table, as in Klenitskiy et al. 2025 (arXiv 2507.12202). Shape suffixes: see base.py.
"""

from __future__ import annotations

from torch import Tensor, nn

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders.base import Histories, Trainable
from recsae.recommenders.transformer import Causal, causal


class SASRec(Trainable):
    """`h_l = LayerNorm(Blocks(√D E[i_1..i_l] + P))`, scores `h Eᵀ`."""

    def __init__(self, config: RecommenderConfig, n_users: int, n_items: int) -> None:
        super().__init__(n_items, config.width, config.max_length)
        self.item = nn.Embedding(n_items, config.width)
        self.scale = config.width**0.5
        self.body = self._body(config)
        nn.init.normal_(self.item.weight, std=0.02)

    def _body(self, config: RecommenderConfig) -> Causal:
        return causal(config, config.width, nn.ReLU())

    @property
    def _split(self) -> int:
        """Number of blocks before the site."""
        return int(self.site.removeprefix("block-")) + 1 if self.site.startswith("block-") else len(self.body.blocks)

    def _start(self, histories: Histories) -> Tensor:
        return self.body.start(self.item(histories.items_BL) * self.scale)

    def vectors(self, histories: Histories) -> Tensor:
        out: Tensor = self.body(self.item(histories.items_BL) * self.scale)
        return out

    def probe(self, histories: Histories) -> Tensor:
        if not self.site.startswith("block-"):
            return self.vectors(histories)
        return self.body.run(self._start(histories), 0, self._split)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        if not self.site.startswith("block-"):
            return h_BLD
        out: Tensor = self.body.norm(self.body.run(h_BLD, self._split, len(self.body.blocks)))
        return out


class GPT(SASRec):
    """SASRec with GPT-2's blocks, whose output layers are initialised smaller the deeper the model is."""

    def __init__(self, config: RecommenderConfig, n_users: int, n_items: int) -> None:
        super().__init__(config, n_users, n_items)
        self.scale = 1.0
        for module in self.body.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for name, parameter in self.body.blocks.named_parameters():
            if name.endswith(("attention_out.weight", "hidden_out.weight")):
                nn.init.normal_(parameter, std=0.02 / (2 * config.blocks) ** 0.5)

    def _body(self, config: RecommenderConfig) -> Causal:
        return causal(config, 4 * config.width, nn.GELU())
