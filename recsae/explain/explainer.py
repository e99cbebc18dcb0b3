"""Decomposes the score of a recommended item into latent contributions, a bias and the SAE's reconstruction error.

The probed vector is such a sum (splitting.py). Where the score is linear in it, the score is one too, exactly: at the
site `user` the score is the dot product of the probed user vector with the item vector, at `item` that of the probed
item vector with the user vector. At sites followed by more layers, each part is multiplied by the gradient of the
score, averaged along the path from the SAE's centre to the vector (slopes.py), over all positions of the history. That
is an approximation; its residual is `rest`.

What ranks an item is not its score but how far it exceeds the scores of other items. The score of the catalogue's
average item is therefore decomposed too, and the difference of the two decomposes `score - average score`. Most of that
difference everyone gets for the item; own.py parts it from what is this user's.

Shape suffixes: see recommenders/base.py; T explained items of a user, S = T + 1 with the average item, K latents that
are active for one of them, H all latents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recsae.explain.own import Baseline, OwnParts
from recsae.explain.population import Population
from recsae.explain.slopes import slopes
from recsae.explain.splitting import Decomposer
from recsae.recommenders.base import Histories, Recommender, Trainable, last_position
from recsae.recommenders.topk import ranks, top_k
from recsae.sae.model import Sae
from recsae.steering.user_batches import Present

TOP = 10
"""Number of items explained by default."""
ITEMS_AT_ONCE = 65_536
"""Items encoded at once for the average item."""
SLOPES_AT_ONCE = 16_000_000
"""Elements of the slopes, S x B x L x D, and of the output vectors, B x L x U; bounds memory."""


class ScoreParts(NamedTuple):
    """Scores and their parts, float64: `score = bias + error + rest + Σ_K contribution`."""

    score_BT: np.ndarray
    bias_BT: np.ndarray
    """Contribution of the centre, whichever latents fire; at the site `item` the same for all items of a user."""
    error_BT: np.ndarray
    """Contribution of the SAE's reconstruction error."""
    rest_BT: np.ndarray
    """0 where the decomposition is exact. For the average item at `item`: latents that do not fire for this item."""
    contribution_BTK: np.ndarray

    def minus(self, other: ScoreParts) -> ScoreParts:
        return ScoreParts(*(one - another for one, another in zip(self, other, strict=True)))


class Explanations(NamedTuple):
    """Explanations of T items for each user of a batch. The parts of a missing item are NaN."""

    user_B: np.ndarray
    item_BT: np.ndarray
    """item_idx, int32; -1: missing, because fewer than T items are unseen."""
    rank_BT: np.ndarray
    """From 1, among the items the user has not seen; a tie counts against the item."""
    latent_BTK: np.ndarray
    """int64, unordered; -1 pads where fewer than K are active. The same for all items of a user, except at `item`."""
    activation_BTK: np.ndarray
    """In the SAE's scaled units, as in the dictionary; summed over the history where every position is probed."""
    item: ScoreParts
    average: ScoreParts
    """The same parts for the average item of the catalogue."""
    own: OwnParts
    exact: bool

    @property
    def beyond(self) -> ScoreParts:
        """Each part of this item minus that of the average item."""
        return self.item.minus(self.average)


class _Split(NamedTuple):
    """Each tensor may have one column for all T."""

    index_BTK: Tensor
    value_BTK: Tensor
    item: tuple[Tensor, ...]
    """As in ScoreParts."""
    average: tuple[Tensor, ...]
    own: tuple[Tensor, ...]
    """As in OwnParts."""


def explain(
    model: Recommender, sae: Sae, present: Present, item_BT: np.ndarray | None = None, device: str = "cpu"
) -> Explanations:
    """Explanations of the given items of each user, or of their ten best unseen ones.

    For many batches, reuse an Explainer.
    """
    return Explainer(model, sae, device)(present, item_BT)


class Explainer:
    """Explains scores of a frozen recommender by an SAE of its site; the average item is computed once.

    `population` is everyone (None: a user for whom nothing fires), `named_H` which latents have an interpretable
    concept (None: none). Do not call it in inference mode. A call raises BadInput where no gradient passes through the
    layers after the site.
    """

    def __init__(
        self,
        model: Recommender,
        sae: Sae,
        device: str = "cpu",
        population: Population | None = None,
        named_H: np.ndarray | None = None,
    ) -> None:
        self.model, self.sae, self.device = model, sae, device
        self.decompose = Decomposer(sae)
        self.exact = isinstance(model, Trainable) and model.site in ("user", "item")
        if self.exact:
            self.mean_D, self.mean_H = self._average_item()
        vector_D, activation_H = self.decompose.c_D, self.decompose.c_D.new_zeros(sae.num_latents)
        if population is not None:
            vector_D, activation_H = (torch.from_numpy(of).to(device) for of in population[1:])
        elif model.site == "item":
            vector_D = vector_D.new_zeros(model.out_width)
        self.everyone_D = vector_D
        if self.exact and model.site == "item":
            vector_D, activation_H = self.mean_D, self.mean_H
        named = np.zeros(sae.num_latents, dtype=bool) if named_H is None else named_H
        self.baseline = Baseline(self.decompose, vector_D, activation_H, torch.from_numpy(named).to(device))

    @torch.no_grad()
    def __call__(self, present: Present, item_BT: np.ndarray | None = None, k: int = TOP) -> Explanations:
        """Explanations of items `(B, T)` by item_idx, seen or not; None: of the `k` best unseen ones."""
        model, histories = self.model, present.histories
        h_BLD = model.probe(histories)
        u_BU = last_position(model.proceed(h_BLD, histories), histories)
        if item_BT is None:
            item_BT = top_k(model, u_BU, present.seen, min(k, model.n_items))
            rank_BT = np.broadcast_to(np.arange(1, item_BT.shape[1] + 1), item_BT.shape)
        else:
            rank_BT = np.stack([ranks(model, u_BU, present.seen, item_B) for item_B in item_BT.T], 1)
        index_BT = torch.from_numpy(item_BT.clip(min=0).astype(np.int64)).to(self.device)
        if not self.exact:
            split = self._by_slopes(h_BLD, histories, index_BT)
        elif model.site == "item":
            split = self._of_items(u_BU.double(), index_BT)
        else:
            split = self._of_users(u_BU, index_BT)
        shape = (*item_BT.shape, split.value_BTK.shape[2])
        latent_BTK, value_BTK = (of.expand(shape).cpu().numpy() for of in (split.index_BTK, split.value_BTK))
        latent_BTK = np.where(value_BTK > 0, latent_BTK, -1)
        item, average, own = (
            [of.expand(shape[: of.ndim]).cpu().numpy() for of in parts]
            for parts in (split.item, split.average, split.own)
        )
        if (item_BT < 0).any():
            item, own = (
                [np.where((item_BT >= 0).reshape(*shape[:2], *[1] * (of.ndim - 2)), of, np.nan) for of in parts]
                for parts in (item, own)
            )
        return Explanations(
            present.user_B,
            item_BT.astype(np.int32),
            rank_BT,
            latent_BTK,
            value_BTK,
            ScoreParts(*item),
            ScoreParts(*average),
            OwnParts(*own),
            self.exact,
        )

    def _of_users(self, u_BU: Tensor, index_BT: Tensor) -> _Split:
        """Decompose the user vector; each part's contribution is its dot product with the item vector."""
        decomposed = self.decompose(u_BU)
        item_BSD = torch.cat([self._items()[index_BT].double(), self.mean_D.expand(len(index_BT), 1, -1)], 1)
        score_BS, error_BS = (item_BSD @ torch.stack([u_BU.double(), decomposed.error_ND], 2)).unbind(2)
        contribution_BSK = item_BSD @ self.decompose.directions(decomposed.index_NK, decomposed.value_NK).mT
        parts = score_BS, item_BSD @ self.decompose.c_D, error_BS, torch.zeros_like(score_BS), contribution_BSK
        item, average = _split_off_average(parts)
        index_B1K, value_B1K = decomposed.index_NK[:, None], decomposed.value_NK[:, None]
        slope_BTD = item_BSD[:, :-1] - self.mean_D
        _, _, error_BT, rest_BT, fired_BTK = (of - mean for of, mean in zip(item, average, strict=True))
        mean_B1K = self.baseline.activation_H[index_B1K] / torch.where(value_B1K > 0, value_B1K.double(), 1)
        everyone_BT = slope_BTD @ self.everyone_D
        own = self.baseline.own(everyone_BT, slope_BTD, index_B1K, fired_BTK, fired_BTK * mean_B1K, error_BT, rest_BT)
        return _Split(index_B1K, value_B1K, item, average, own)

    def _of_items(self, u_BD: Tensor, index_BT: Tensor) -> _Split:
        """Decompose the item vectors; each part's contribution is its dot product with the user vector."""
        distinct_N, row_BT = torch.unique(index_BT, return_inverse=True)
        item_ND = self._items()[distinct_N]
        decomposed = self.decompose(item_ND)
        index_BTK, value_BTK = decomposed.index_NK[row_BT], decomposed.value_NK[row_BT]
        slope_BH, bias_B1 = u_BD @ self.decompose.d_HD.T, (u_BD @ self.decompose.c_D)[:, None]
        slope_BTK = slope_BH.gather(1, index_BTK.flatten(1)).view(index_BTK.shape)
        score_BT, error_BT = (
            (of_ND[row_BT] @ u_BD[:, :, None])[..., 0] for of_ND in (item_ND.double(), decomposed.error_ND)
        )
        item = score_BT, bias_B1, error_BT, torch.zeros_like(score_BT), value_BTK * slope_BTK
        mean_BTK = (value_BTK > 0) * self.mean_H[index_BTK] * slope_BTK
        score_B1, latents_B1 = (u_BD @ self.mean_D)[:, None], (slope_BH @ self.mean_H)[:, None]
        average = score_B1, bias_B1, score_B1 - bias_B1 - latents_B1, latents_B1 - mean_BTK.sum(2), mean_BTK
        beyond_BD = u_BD - self.everyone_D
        own_slope_BTK = (beyond_BD @ self.decompose.d_HD.T).gather(1, index_BTK.flatten(1)).view(index_BTK.shape)
        own = self.baseline.own(
            (item_ND.double() - self.mean_D)[row_BT] @ self.everyone_D,
            beyond_BD[:, None],
            index_BTK,
            value_BTK * own_slope_BTK,
            (value_BTK > 0) * self.mean_H[index_BTK] * own_slope_BTK,
            (decomposed.error_ND[row_BT] @ beyond_BD[:, :, None])[..., 0],
            torch.zeros_like(score_BT),
        )
        return _Split(index_BTK, value_BTK, item, average, own)

    def _by_slopes(self, h_BLD: Tensor, histories: Histories, index_BT: Tensor) -> _Split:
        """Decompose the vector of every position; each part's contribution is its dot product with the slope there."""
        n_columns = index_BT.shape[1] + 1
        chunk_size = max(
            1, SLOPES_AT_ONCE // (h_BLD.shape[1] * max(n_columns * self.model.width, self.model.out_width))
        )
        scores: list[tuple[Tensor, Tensor, Tensor]] = []
        users: list[tuple[Tensor, ...]] = []
        for rows in torch.split(torch.arange(len(index_BT), device=self.device), chunk_size):
            subset = Histories(*(of[rows] for of in histories))
            integrated = slopes(self.model, h_BLD[rows], self.decompose.c_D.to(h_BLD.dtype), subset, index_BT[rows])
            slope_BSD = integrated.slope_SBLD.double().sum(2).transpose(0, 1)
            scores.append((integrated.score_BS.double(), integrated.bias_BS.double(), slope_BSD))
            # One user at a time: the directions of all active latents at all positions of a batch do not fit in memory.
            for place, (row, length) in enumerate(zip(rows.tolist(), subset.length_B.tolist(), strict=True)):
                pooled = self.decompose.pool(h_BLD[row, :length], integrated.slope_SBLD[:, place, :length])
                slope_KS = self.decompose.d_HD[pooled.latent_K] @ slope_BSD[place].T
                mean_KS = self.baseline.activation_H[pooled.latent_K][:, None] * slope_KS
                users.append((pooled.latent_K, pooled.value_K, pooled.error_S, pooled.contribution_SK.T, mean_KS))
        score_BS, bias_BS, slope_BSD = (torch.cat(column) for column in zip(*scores, strict=True))
        index_BK, value_BK, error_BS, contribution_BKS, mean_BKS = (
            pad_sequence(list(column), batch_first=True) for column in zip(*users, strict=True)
        )
        rest_BS = score_BS - bias_BS - error_BS - contribution_BKS.sum(1)
        item, average = _split_off_average((score_BS, bias_BS, error_BS, rest_BS, contribution_BKS.mT))
        _, bias_BT, error_BT, rest_BT, fired_BTK = (of - mean for of, mean in zip(item, average, strict=True))
        slope_BTD = slope_BSD[:, :-1] - slope_BSD[:, -1:]
        mean_BTK = mean_BKS.mT[:, :-1] - mean_BKS.mT[:, -1:]
        everyone_BT = bias_BT + slope_BTD @ (self.everyone_D - self.decompose.c_D)
        own = self.baseline.own(everyone_BT, slope_BTD, index_BK[:, None], fired_BTK, mean_BTK, error_BT, rest_BT)
        return _Split(index_BK[:, None], value_BK[:, None], item, average, own)

    def _items(self) -> Tensor:
        assert isinstance(self.model, Trainable)
        return self.model.item_vectors(0, self.model.n_items)

    @torch.no_grad()
    def _average_item(self) -> tuple[Tensor, Tensor]:
        """Mean item vector `(D,)` and, at the site `item`, mean activations `(H,)` (zeros elsewhere)."""
        sum_H = self.decompose.c_D.new_zeros(self.sae.num_latents)
        for item_ND in torch.split(self._items(), ITEMS_AT_ONCE) if self.model.site == "item" else ():
            index_NK, value_NK = self.sae.encode(item_ND)
            sum_H.index_add_(0, index_NK.long().flatten(), value_NK.double().flatten())
        return self._items().mean(0, dtype=torch.float64), sum_H / self.model.n_items


def _split_off_average(parts: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The parts of the items, and those of the average item, which is the last column."""
    return tuple(of[:, :-1] for of in parts), tuple(of[:, -1:] for of in parts)
