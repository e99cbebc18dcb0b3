"""TiMiRec: several interests per user, weighted by a predictor of the interest that the next item belongs to.

Wang et al. 2022 (CIKM, "Target Interest Distillation for Multi-Interest Recommendation"). Interests are attention
heads over the items so far (ComiRec-SA), the predictor is a causal transformer, the teacher is the similarity of the
interests to the target. Extractor and predictor train together; the paper trains the extractor first. Shape suffixes:
see base.py; K interests.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders.base import Histories, Trainable
from recsae.recommenders.transformer import causal


class TiMiRec(Trainable):
    """`h_l = Σ_k softmax(W f_l)_k V_lk`, scores `h Eᵀ`.

    `V_lk` is interest k after l items, `f_l` the predictor's state. An additional loss distils the teacher into the
    predictor: `λ KL(softmax(V_lk · e_target / τ) ‖ softmax(W f_l))`.
    """

    def __init__(self, config: RecommenderConfig, n_users: int, n_items: int) -> None:
        super().__init__(n_items, config.width, config.max_length)
        width = config.width
        self.temperature, self.weight = config.temperature, config.distillation
        self.item = nn.Embedding(n_items, width)
        self.predictor = causal(config, width, nn.ReLU())
        self.intent = nn.Linear(width, config.interests)
        self.attention_in = nn.Linear(width, width)
        self.attention_out = nn.Linear(width, config.interests)
        nn.init.normal_(self.item.weight, std=0.02)

    def _parts(self, histories: Histories) -> tuple[Tensor, Tensor]:
        """Interests `V_BLKD` after each position, and the predictor's logits `(B, L, K)`."""
        item_BLD = self.item(histories.items_BL) * self.width**0.5
        length = item_BLD.shape[1]
        place_LD = self.predictor.position(torch.arange(length, device=item_BLD.device))
        score_BLK = self.attention_out(torch.tanh(self.attention_in(item_BLD + place_LD)))
        # Position l attends to the items up to l: one softmax per position over the scores of these items.
        later_LL = torch.ones(length, length, dtype=torch.bool, device=item_BLD.device).triu(1)
        score_BKLL = score_BLK.transpose(1, 2)[:, :, None, :].masked_fill(later_LL, float("-inf"))
        interest_BKLD = score_BKLL.softmax(-1) @ item_BLD[:, None]
        return interest_BKLD.transpose(1, 2), self.intent(self.predictor(item_BLD))

    def vectors(self, histories: Histories) -> Tensor:
        interest_BLKD, intent_BLK = self._parts(histories)
        return (intent_BLK.softmax(-1)[..., None] * interest_BLKD).sum(2)

    def forward(self, histories: Histories, target_BL: Tensor) -> tuple[Tensor, Tensor]:
        known_BL = target_BL >= 0
        interest_BLKD, intent_BLK = self._parts(histories)
        interest_XKD, intent_XK = interest_BLKD[known_BL], intent_BLK[known_BL]
        u_XD = (intent_XK.softmax(-1)[..., None] * interest_XKD).sum(1)
        with torch.no_grad():
            similarity_XK = (interest_XKD * self.item(target_BL[known_BL])[:, None]).sum(-1)
            teacher_XK = (similarity_XK / self.temperature).softmax(-1)
        return u_XD, self.weight * F.kl_div(intent_XK.log_softmax(-1), teacher_XK, reduction="sum")
