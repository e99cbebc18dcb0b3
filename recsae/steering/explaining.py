"""Why an item is recommended: its score as a sum over the latents of the probed vector, its bias and the SAE's error.

    x = c + Σ_h scale z_h W_dec[h] + error        c = mean + scale b_dec

A score that is linear in `x` is the sum of what it gives for these parts, exactly: at the site `user`, where x is the
user's vector and the score its product with the item's, and at `item`, where the two change places. Where layers come
after the site, each part is multiplied by the gradient of the score at x (gradient times activation: Baehrens et al.
2010, Shrikumar et al. 2017, arXiv 1605.01713), over all positions of the history; that is an approximation, and what
it leaves over is `rest`. Behind a LayerNorm, which forgets the length of a vector, that may be much of the score.

What ranks an item is not its score but what it has beyond the others, so the same sum is made of the average item of
the catalogue; the difference of the two splits `score - average score` part by part, just as exactly.

It knows the recommender's contract and the SAE, and neither names of concepts nor files. Shape suffixes: see
recommenders/contract.py; T explained items of a user, S = T + 1 with the average item, K latents that are active for
one of them, H all latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsae.errors import BadInput
from recsae.recommenders.contract import Histories, Recommender, Trainable, last
from recsae.recommenders.top import SCORES_AT_ONCE, ranks, top_k
from recsae.sae.model import Sae
from recsae.steering.present import Present

TOP = 10
ITEMS_AT_ONCE = 65_536
"""Whose latents are held at a time when the average item is made."""


class Parts(NamedTuple):
    """Scores and what they are sums of, float64: `score = bias + error + rest + Σ_K contribution`."""

    score_BT: np.ndarray
    bias_BT: np.ndarray
    """Of the centre c, which is there whatever fires; it differs between items at all sites but `item`."""
    error_BT: np.ndarray
    """Of what the SAE does not reconstruct."""
    rest_BT: np.ndarray
    """0 where the split is exact. Of the average item at the site `item`: latents that are silent for the item."""
    contribution_BTK: np.ndarray

    def without(self, other: Parts) -> Parts:
        return Parts(*(one - another for one, another in zip(self, other, strict=True)))


class Explained(NamedTuple):
    """Items of a batch of users. Where there is no item (-1), scores and all parts are NaN."""

    user_B: np.ndarray
    item_BT: np.ndarray
    """item_idx, int32; -1 where nothing was left to recommend."""
    rank_BT: np.ndarray
    """From 1, among all items that the user has not seen; ties count against the item."""
    latent_BTK: np.ndarray
    """int32, in no order; -1 where fewer than K are active. The same for all items of a user but at the site `item`."""
    activation_BTK: np.ndarray
    """In the SAE's scaled units, as the dictionary has them; summed over the history where all positions are probed."""
    item: Parts
    average: Parts
    """What the same latents give the average item of the catalogue."""
    exact: bool

    @property
    def beyond(self) -> Parts:
        """What the parts add to this item beyond what they add to the average one: it is this that ranks the item."""
        return self.item.without(self.average)


def explain(
    model: Recommender, sae: Sae, present: Present, item_BT: np.ndarray | None = None, device: str = "cpu"
) -> Explained:
    """The given items of each user, or the first ten that he has not seen. For many batches keep an Explainer."""
    return Explainer(model, sae, device)(present, item_BT)


class Explainer:
    """A frozen recommender and an SAE of its site, with what all users share: the average item.

    Calls raise BadInput where the layers after the site let no gradient through. Not to be called in inference mode.
    """

    def __init__(self, model: Recommender, sae: Sae, device: str = "cpu", top: int = TOP) -> None:
        self.model, self.sae, self.device, self.top = model, sae, device, top
        self.exact = isinstance(model, Trainable) and model.site in ("user", "item")
        self.W_HD = sae.W_dec.detach().double() * sae.scale.double()
        self.centre_D = sae.mean_D.double() + sae.scale.double() * sae.b_dec.detach().double()
        if self.exact:
            self.item_D, self.mean_H = self._average_item()

    def __call__(self, present: Present, item_BT: np.ndarray | None = None) -> Explained:
        model, histories = self.model, present.histories
        with torch.no_grad():
            h_BLD = model.probe(histories)
            u_BU = last(model.proceed(h_BLD, histories), histories)
        if item_BT is None:
            item_BT = top_k(model, u_BU, present.seen, min(self.top, model.n_items))
            rank_BT = np.broadcast_to(np.arange(1, item_BT.shape[1] + 1), item_BT.shape)
        else:
            item_BT = item_BT.astype(np.int32)
            rank_BT = np.stack([ranks(model, u_BU, present.seen, item_B) for item_B in item_BT.T], 1)
        at_BT = torch.from_numpy(item_BT.clip(min=0).astype(np.int64)).to(self.device)
        if not self.exact:
            found = self._by_gradient(h_BLD, histories, at_BT)
        elif model.site == "item":
            found = self._of_items(u_BU.double(), at_BT)
        else:
            found = self._of_users(u_BU, at_BT)
        *active, item, average = found
        none_BT = item_BT < 0
        for part_BT in item:
            part_BT[none_BT] = np.nan
        shape = (*item_BT.shape, item.contribution_BTK.shape[2])
        latent_BTK, activation_BTK = (np.broadcast_to(of.cpu().numpy(), shape) for of in active)
        average = Parts(*(np.broadcast_to(of, part.shape) for of, part in zip(average, item, strict=True)))
        return Explained(present.user_B, item_BT, rank_BT, latent_BTK, activation_BTK, item, average, self.exact)

    @torch.no_grad()
    def _average_item(self) -> tuple[Tensor, Tensor]:
        """The mean vector of the catalogue, and at the site `item` its mean activations `(H,)`."""
        model = self.model
        assert isinstance(model, Trainable)
        sum_D = self.centre_D.new_zeros(self.sae.width)
        sum_H = self.centre_D.new_zeros(self.sae.num_latents)
        for start, stop in _ranges(model.n_items, ITEMS_AT_ONCE):
            item_ND = model.item_vectors(start, stop)
            sum_D += item_ND.sum(0, dtype=torch.float64)
            if model.site == "item":
                index_NK, value_NK = self.sae.encode(item_ND)
                sum_H.index_add_(0, index_NK.flatten(), value_NK.flatten().double())
        return sum_D / model.n_items, sum_H / model.n_items

    @torch.no_grad()
    def _of_users(self, u_BU: Tensor, at_BT: Tensor) -> tuple[Tensor, Tensor, Parts, Parts]:
        """The user's vector is split, and every part meets the items' vectors."""
        assert isinstance(self.model, Trainable)
        index_BK, value_BK = self.sae.encode(u_BU)
        x_BD = u_BU.double()
        item_BTD = self.model.item_vectors(0, self.model.n_items)[at_BT].double()
        item_BSD = torch.cat([item_BTD, self.item_D.expand(len(item_BTD), 1, -1)], 1)
        part_BKD = value_BK[:, :, None] * self.W_HD[index_BK]
        error_BD = x_BD - self.centre_D - part_BKD.sum(1)
        score_BS, error_BS = (torch.stack([x_BD, error_BD], 1) @ item_BSD.mT).unbind(1)
        bias_BS, contribution_BSK = item_BSD @ self.centre_D, item_BSD @ part_BKD.mT
        item, average = _apart(score_BS, bias_BS, error_BS, torch.zeros_like(score_BS), contribution_BSK)
        return *_active(index_BK[:, None], value_BK[:, None]), item, average

    @torch.no_grad()
    def _of_items(self, u_BD: Tensor, at_BT: Tensor) -> tuple[Tensor, Tensor, Parts, Parts]:
        """The items' vectors are split, and every part meets the user's vector."""
        assert isinstance(self.model, Trainable)
        one_N, row_BT = at_BT.unique(return_inverse=True)
        item_ND = self.model.item_vectors(0, self.model.n_items)[one_N]
        index_NK, value_NK = self.sae.encode(item_ND)
        error_ND = item_ND.double() - self.centre_D - (value_NK[:, :, None] * self.W_HD[index_NK]).sum(1)
        slope_BH, bias_B1 = u_BD @ self.W_HD.T, (u_BD @ self.centre_D)[:, None]
        index_BTK, value_BTK = index_NK[row_BT].long(), value_NK[row_BT]
        slope_BTK = slope_BH.gather(1, index_BTK.flatten(1)).view(index_BTK.shape)
        score_BT, error_BT = ((of_ND.double()[row_BT] * u_BD[:, None]).sum(2) for of_ND in (item_ND, error_ND))
        bias_BT, contribution_BTK = bias_B1.expand_as(score_BT), value_BTK * slope_BTK
        item = _parts(score_BT, bias_BT, error_BT, torch.zeros_like(score_BT), contribution_BTK)
        mean_BTK = torch.where(value_BTK > 0, self.mean_H[index_BTK] * slope_BTK, 0)
        latents_B1, score_B1 = (slope_BH @ self.mean_H)[:, None], (u_BD @ self.item_D)[:, None]
        silent_BT = latents_B1 - mean_BTK.sum(2)
        average = _parts(score_B1, bias_B1, score_B1 - bias_B1 - latents_B1, silent_BT, mean_BTK)
        return *_active(index_BTK, value_BTK), item, average

    def _by_gradient(
        self, h_BLD: Tensor, histories: Histories, at_BT: Tensor
    ) -> tuple[Tensor, Tensor, Parts, Parts]:
        """Every position's vector is split, and every part meets the gradients of the scores at that position."""
        score_BS, slope_BSLD = self._slopes(h_BLD, histories, at_BT)
        firing, sums = [], []
        for row, length in enumerate(histories.length_B.tolist()):  # one user: positions times latents times width
            x_LD, slope_SLD = h_BLD[row, :length], slope_BSLD[row, :, :length].double()
            index_LK, value_LK = self.sae.encode(x_LD)
            part_LKD = value_LK[:, :, None] * self.W_HD[index_LK]
            error_LD = x_LD.double() - self.centre_D - part_LKD.sum(1)
            fires_LK = value_LK > 0
            latent_K, place_N = index_LK[fires_LK].long().unique(return_inverse=True)
            activation_K = value_LK.new_zeros(len(latent_K)).index_add_(0, place_N, value_LK[fires_LK])
            each_SN = torch.einsum("slkd,lkd->slk", slope_SLD[..., None, :].squeeze(3), part_LKD)[:, fires_LK]
            contribution_SK = each_SN.new_zeros(len(each_SN), len(latent_K)).index_add_(1, place_N, each_SN)
            firing.append((latent_K, activation_K))
            sums.append((slope_SLD.sum(1) @ self.centre_D, (slope_SLD * error_LD).sum((1, 2)), contribution_SK))
        most = max(1, max(len(latent_K) for latent_K, _ in firing))
        bias_BS, error_BS = (torch.stack([of[number] for of in sums]) for number in (0, 1))
        contribution_BSK = torch.stack([_filled(of, most) for *_, of in sums])
        rest_BS = score_BS.double() - bias_BS - error_BS - contribution_BSK.sum(2)
        item, average = _apart(score_BS, bias_BS, error_BS, rest_BS, contribution_BSK)
        index_BK, value_BK = (torch.stack([_filled(of, most) for of in column]) for column in zip(*firing, strict=True))
        return *_active(index_BK[:, None], value_BK[:, None]), item, average
