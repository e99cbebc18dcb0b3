"""Why an item is recommended: its score as a sum over the latents of the probed vector, a bias and the SAE's error.

The vector is such a sum (splitting.py), so a score that is linear in it is too, exactly: at the site `user`, where the
score is the product of the probed vector with the item's, and at `item`, where the two change places. Where layers
come after the site, each part is multiplied by the gradient of the score, averaged on the way from the SAE's centre to
the vector (slopes.py), over all positions of the history. That is an approximation; what it leaves over is `rest`.

An item is ranked by what it has beyond others, and not by the height of its score. So the same sum is made of the
average item of the catalogue, and the difference of the two splits `score - average score` in the same way.

It knows the recommender's contract and the SAE, and neither names of concepts nor files. Shape suffixes: see
recommenders/base.py; T explained items of a user, S = T + 1 with the average item, K latents that are active for
one of them, H all latents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recsae.explain.slopes import slopes
from recsae.explain.splitting import Pooled, Splitter
from recsae.recommenders.base import Histories, Recommender, Trainable, last_position
from recsae.recommenders.topk import ranks, top_k
from recsae.sae.model import Sae
from recsae.steering.user_batches import Present

TOP = 10
"""Items that are explained where none are given."""
ITEMS_AT_ONCE = 65_536
"""Whose latents are held at a time when the average item is made."""
SLOPES_AT_ONCE = 16_000_000
"""S x B x L x D of slopes, and B x L x U behind them: a bound on memory."""


class ScoreParts(NamedTuple):
    """Scores and what they are sums of, float64: `score = bias + error + rest + Σ_K contribution`."""

    score_BT: np.ndarray
    bias_BT: np.ndarray
    """Of the centre, which is there whatever fires; at the site `item` it is the same for all items of a user."""
    error_BT: np.ndarray
    """Of what the SAE does not reconstruct."""
    rest_BT: np.ndarray
    """0 where the split is exact; of the average item at `item`, latents of the catalogue that this item has not."""
    contribution_BTK: np.ndarray

    def without(self, other: ScoreParts) -> ScoreParts:
        return ScoreParts(*(one - another for one, another in zip(self, other, strict=True)))


class Explained(NamedTuple):
    """Items of a batch of users. Where there is no item, all parts of it are NaN."""

    user_B: np.ndarray
    item_BT: np.ndarray
    """item_idx, int32; -1: none, where a user has seen too many to be recommended T."""
    rank_BT: np.ndarray
    """From 1, among the items that the user has not seen; a tie counts against the item."""
    latent_BTK: np.ndarray
    """int64, in no order; -1 where fewer than K are active. The same for all items of a user, but not at `item`."""
    activation_BTK: np.ndarray
    """In the SAE's scaled units, as the dictionary has them; summed over the history where all of it is probed."""
    item: ScoreParts
    average: ScoreParts
    """What the same parts give the average item of the catalogue."""
    exact: bool

    @property
    def beyond(self) -> ScoreParts:
        """What each part gives this item more than the average one: what it is ranked by."""
        return self.item.without(self.average)


class _Found(NamedTuple):
    """Any of these may have one column for all T."""

    index_BTK: Tensor
    value_BTK: Tensor
    item: tuple[Tensor, ...]
    """As in Parts."""
    average: tuple[Tensor, ...]


def explain(
    model: Recommender, sae: Sae, present: Present, item_BT: np.ndarray | None = None, device: str = "cpu"
) -> Explained:
    """Given items of each user, or the first ten that he has not seen. For many batches keep an Explainer."""
    return Explainer(model, sae, device)(present, item_BT)


class Explainer:
    """A frozen recommender, an SAE of its site, and what all users share: the average item.

    Not to be called in inference mode. A call raises BadInput where the layers after the site let no gradient through.
    """

    def __init__(self, model: Recommender, sae: Sae, device: str = "cpu") -> None:
        self.model, self.sae, self.device = model, sae, device
        self.split = Splitter(sae)
        self.exact = isinstance(model, Trainable) and model.site in ("user", "item")
        if self.exact:
            self.mean_D, self.mean_H = self._average_item()

    @torch.no_grad()
    def __call__(self, present: Present, item_BT: np.ndarray | None = None, k: int = TOP) -> Explained:
        """Items `(B, T)` by item_idx, seen or not; None: the first `k` unseen ones."""
        model, histories = self.model, present.histories
        h_BLD = model.probe(histories)
        u_BU = last_position(model.proceed(h_BLD, histories), histories)
        if item_BT is None:
            item_BT = top_k(model, u_BU, present.seen, min(k, model.n_items))
            rank_BT = np.broadcast_to(np.arange(1, item_BT.shape[1] + 1), item_BT.shape)
        else:
            rank_BT = np.stack([ranks(model, u_BU, present.seen, item_B) for item_B in item_BT.T], 1)
        at_BT = torch.from_numpy(item_BT.clip(min=0).astype(np.int64)).to(self.device)
        if not self.exact:
            found = self._by_slopes(h_BLD, histories, at_BT)
        elif model.site == "item":
            found = self._of_items(u_BU.double(), at_BT)
        else:
            found = self._of_users(u_BU, at_BT)
        shape = (*item_BT.shape, found.value_BTK.shape[2])
        latent_BTK, value_BTK = (of.expand(shape).cpu().numpy() for of in (found.index_BTK, found.value_BTK))
        latent_BTK = np.where(value_BTK > 0, latent_BTK, -1)
        item, average = (
            ScoreParts(*(of.expand(shape[: of.ndim]).cpu().numpy() for of in parts))
            for parts in (found.item, found.average)
        )
        if (item_BT < 0).any():
            item = ScoreParts(
                *(np.where((item_BT >= 0).reshape(*shape[:2], *[1] * (of.ndim - 2)), of, np.nan) for of in item)
            )
        return Explained(
            present.user_B, item_BT.astype(np.int32), rank_BT, latent_BTK, value_BTK, item, average, self.exact
        )

    def _of_users(self, u_BU: Tensor, at_BT: Tensor) -> _Found:
        """The user's vector is split, and each piece meets the items' vectors."""
        pieces = self.split(u_BU)
        item_BSD = torch.cat([self._items()[at_BT].double(), self.mean_D.expand(len(at_BT), 1, -1)], 1)
        score_BS, error_BS = (item_BSD @ torch.stack([u_BU.double(), pieces.error_ND], 2)).unbind(2)
        contribution_BSK = item_BSD @ self.split.directions(pieces.index_NK, pieces.value_NK).mT
        parts = score_BS, item_BSD @ self.split.c_D, error_BS, torch.zeros_like(score_BS), contribution_BSK
        return _Found(pieces.index_NK[:, None], pieces.value_NK[:, None], *_apart(parts))

    def _of_items(self, u_BD: Tensor, at_BT: Tensor) -> _Found:
        """The items' vectors are split, and each piece meets the user's vector."""
        one_N, row_BT = torch.unique(at_BT, return_inverse=True)
        item_ND = self._items()[one_N]
        pieces = self.split(item_ND)
        index_BTK, value_BTK = pieces.index_NK[row_BT], pieces.value_NK[row_BT]
        slope_BH, bias_B1 = u_BD @ self.split.d_HD.T, (u_BD @ self.split.c_D)[:, None]
        slope_BTK = slope_BH.gather(1, index_BTK.flatten(1)).view(index_BTK.shape)
        score_BT, error_BT = (
            (of_ND[row_BT] @ u_BD[:, :, None])[..., 0] for of_ND in (item_ND.double(), pieces.error_ND)
        )
        item = score_BT, bias_B1, error_BT, torch.zeros_like(score_BT), value_BTK * slope_BTK
        mean_BTK = (value_BTK > 0) * self.mean_H[index_BTK] * slope_BTK
        score_B1, latents_B1 = (u_BD @ self.mean_D)[:, None], (slope_BH @ self.mean_H)[:, None]
        average = score_B1, bias_B1, score_B1 - bias_B1 - latents_B1, latents_B1 - mean_BTK.sum(2), mean_BTK
        return _Found(index_BTK, value_BTK, item, average)

    def _by_slopes(self, h_BLD: Tensor, histories: Histories, at_BT: Tensor) -> _Found:
        """The vector of every position is split, and each piece meets the slope there."""
        columns = at_BT.shape[1] + 1
        at_once = max(1, SLOPES_AT_ONCE // (h_BLD.shape[1] * max(columns * self.model.width, self.model.out_width)))
        scores: list[tuple[Tensor, Tensor]] = []
        users: list[Pooled] = []
        for rows in torch.split(torch.arange(len(at_BT), device=self.device), at_once):
            some = Histories(*(of[rows] for of in histories))
            found = slopes(self.model, h_BLD[rows], self.split.c_D.to(h_BLD.dtype), some, at_BT[rows])
            scores.append((found.score_BS.double(), found.bias_BS.double()))
            # A user at a time: the directions of all latents of all positions of a batch would be too many.
            users += [
                self.split.pool(h_BLD[row, :length], found.slope_SBLD[:, place, :length])
                for place, (row, length) in enumerate(zip(rows.tolist(), some.length_B.tolist(), strict=True))
            ]
        score_BS, bias_BS = (torch.cat(column) for column in zip(*scores, strict=True))
        error_BS = torch.stack([user.error_S for user in users])
        index_BK, value_BK, contribution_BKS = (
            pad_sequence(column, batch_first=True)
            for column in (
                [user.latent_K for user in users],
                [user.value_K for user in users],
                [user.contribution_SK.T for user in users],
            )
        )
        rest_BS = score_BS - bias_BS - error_BS - contribution_BKS.sum(1)
        parts = score_BS, bias_BS, error_BS, rest_BS, contribution_BKS.mT
        return _Found(index_BK[:, None], value_BK[:, None], *_apart(parts))

    def _items(self) -> Tensor:
        assert isinstance(self.model, Trainable)
        return self.model.item_vectors(0, self.model.n_items)

    @torch.no_grad()
    def _average_item(self) -> tuple[Tensor, Tensor]:
        """The mean vector of the catalogue `(D,)`, and where items are split the mean activations `(H,)`."""
        sum_H = self.split.c_D.new_zeros(self.sae.num_latents)
        for item_ND in torch.split(self._items(), ITEMS_AT_ONCE) if self.model.site == "item" else ():
            index_NK, value_NK = self.sae.encode(item_ND)
            sum_H.index_add_(0, index_NK.long().flatten(), value_NK.double().flatten())
        return self._items().mean(0, dtype=torch.float64), sum_H / self.model.n_items


def _apart(parts: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Of the items, and of the average one, which comes last."""
    return tuple(of[:, :-1] for of in parts), tuple(of[:, -1:] for of in parts)
