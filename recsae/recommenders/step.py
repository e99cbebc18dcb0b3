"""One optimiser step over a global batch, whose lanes are divided among the workers.

With sampled negatives, only table rows touched by the batch take part: they are gathered once and replace the table in
the model, gradients cover only them, and Adam's moments of other rows stay as they are (lazy Adam). With the whole
catalogue as negatives, or a graph, gradients are dense. Shape suffixes: see base.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from recsae.config.recommender import RecommenderConfig
from recsae.distributed.deterministic_reduce import add_lanes, flatten, lane_rows, seed_lane, unflatten
from recsae.recommenders.base import Histories, Trainable
from recsae.recommenders.losses import gbce_beta, summed_loss
from recsae.recommenders.windows import Batch, pair_keys

MAX_REDRAWS = 10


class NegativeSampler:
    """Samples negative items by seed and step, so all workers draw the same ones."""

    def __init__(self, config: RecommenderConfig, popularity: np.ndarray, seed: int) -> None:
        self.count, self.items, self.seed = config.negatives, len(popularity), seed
        self.own = config.loss in ("bpr", "bce")
        self.corrected = config.loss == "cross-entropy"
        self.cumulative: np.ndarray | None = None
        if config.sampling == "popularity":
            self.share = (popularity + 1) / (popularity.sum() + len(popularity))
            self.cumulative = np.cumsum(self.share)

    def draw(self, step: int, batch: Batch) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Items sampled with replacement, and `−log(M q)` of each if the loss is corrected by it.

        `(M,)` ascending if shared, `(B, L, K)` if each target has its own; None: every item.
        """
        if not self.count:
            return None, None
        draw = np.random.default_rng((self.seed, 1, step))
        if self.own:
            item_BLK = self._items(draw, (*batch.target_BL.shape, self.count))
            return self._redraw_taken(draw, item_BLK, batch), None
        item_M = np.sort(self._items(draw, (self.count,)))
        if not self.corrected:
            return item_M, None
        share_M = self.share[item_M] if self.cumulative is not None else np.full(self.count, 1 / self.items)
        return item_M, -np.log(self.count * share_M).astype(np.float32)

    def _items(self, draw: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
        if self.cumulative is None:
            return draw.integers(0, self.items, size)
        return np.asarray(np.searchsorted(self.cumulative, draw.random(size)).clip(max=self.items - 1))

    def _redraw_taken(self, draw: np.random.Generator, item_BLK: np.ndarray, batch: Batch) -> np.ndarray:
        """Redraws items that the user has interacted with, up to MAX_REDRAWS times; some may remain."""
        if batch.taken is None:
            return item_BLK
        for _ in range(MAX_REDRAWS):
            key_BLK = pair_keys(np.broadcast_to(batch.user_B[:, None, None], item_BLK.shape), item_BLK)
            place = np.searchsorted(batch.taken, key_BLK).clip(max=len(batch.taken) - 1)
            taken_BLK = batch.taken[place] == key_BLK
            if not taken_BLK.any():
                break
            item_BLK[taken_BLK] = self._items(draw, (int(taken_BLK.sum()),))
        return item_BLK


class _TableRows(NamedTuple):
    """The table rows of one step: leaf tensors to differentiate, and the rows that they hold."""

    leaves: dict[str, Tensor]
    touched: dict[str, np.ndarray] | None
    """Row numbers by table, ascending; None: all rows."""


class Stepper:
    """The model and its optimisers, identical on every worker."""

    def __init__(
        self,
        model: Trainable,
        config: RecommenderConfig,
        popularity: np.ndarray,
        seed: int,
        rank: int,
        world: int,
        device: str,
    ) -> None:
        self.model, self.config, self.seed, self.device = model, config, seed, device
        self.rank, self.world = rank, world
        parameters = dict(model.named_parameters())
        self.tables = {name: parameters.pop(name) for name in model.tables()}
        self.dense = parameters
        self.whole = config.negatives == 0 or model.needs_graph
        self.negatives = NegativeSampler(config, popularity, seed)
        self.beta = gbce_beta(config.negatives or model.n_items, model.n_items, config.calibration)
        tables, rest = list(self.tables.values()), list(self.dense.values())
        groups = [*rest, *tables] if self.whole else rest
        self.optimisers: list[torch.optim.Optimizer] = []
        if groups:
            self.optimisers.append(torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay))
        if not self.whole:
            self.optimisers.append(torch.optim.SparseAdam(tables, lr=config.learning_rate))

    def set_rate(self, rate: float) -> None:
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = rate

    def step(self, batch: Batch, number: int) -> float:
        """Update the weights on every worker; returns the mean loss over the targets of the batch."""
        targets = int((batch.target_BL >= 0).sum())
        negatives, correction_M = self.negatives.draw(number, batch)
        rows = self._rows(batch, negatives)
        leaves = [*self.dense.values(), *rows.leaves.values()]
        shift_M = None if correction_M is None else torch.from_numpy(correction_M).to(self.device)

        def lane_gradient(lane: int) -> Tensor:
            here = lane_rows(lane, len(batch.user_B))
            own = batch.rows(here)
            if not own.target_BL.size:
                return torch.zeros(sum(leaf.numel() for leaf in leaves) + 1, device=self.device)
            seed_lane(self.seed, number, lane)
            known_BL = own.target_BL >= 0
            histories = Histories(
                self._place(rows, "user.weight", own.user_B),
                self._place(rows, "item.weight", own.items_BL, known_BL),
                torch.from_numpy(known_BL.sum(1)).to(self.device),
            )
            target_BL = self._place(rows, "item.weight", own.target_BL, known_BL)
            target_BL[~torch.from_numpy(known_BL).to(self.device)] = -1
            against = negatives
            if against is not None and self.negatives.own:
                against = against[here, : known_BL.shape[1]][known_BL]
            h_XD, extra = functional_call(self.model, rows.leaves, (histories, target_BL))
            loss = summed_loss(
                self.config.loss,
                h_XD,
                rows.leaves["item.weight"],
                target_BL[target_BL >= 0],
                None if against is None else self._place(rows, "item.weight", against),
                shift_M,
                self.beta,
            )
            loss = (loss + extra) / targets
            gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
            return torch.cat([flatten(list(gradients)), loss.detach().view(1)])

        total = add_lanes(lane_gradient, self.rank, self.world)
        self._apply(unflatten(total[:-1], leaves), rows)
        return float(total[-1])

    def _rows(self, batch: Batch, negatives: np.ndarray | None) -> _TableRows:
        tables = self.model.tables()
        if negatives is None or self.whole:
            return _TableRows({name: table.detach().requires_grad_() for name, table in tables.items()}, None)
        known_BL = batch.target_BL >= 0
        touched = {}
        items = [batch.target_BL[known_BL], negatives.ravel()]
        if self.model.sequential:
            items.append(batch.items_BL[known_BL])
        touched["item.weight"] = np.unique(np.concatenate(items))
        if "user.weight" in tables:
            touched["user.weight"] = np.unique(batch.user_B)
        leaves = {
            name: tables[name].detach()[torch.from_numpy(rows).to(self.device)].requires_grad_()
            for name, rows in touched.items()
        }
        return _TableRows(leaves, touched)

    def _place(self, rows: _TableRows, name: str, index: np.ndarray, known: np.ndarray | None = None) -> Tensor:
        """Converts indices of a table to indices of its leaf; 0 where `known` is false."""
        if rows.touched is not None and name in rows.touched:
            index = np.searchsorted(rows.touched[name], index)
        placed = np.where(known, index, 0) if known is not None else index
        return torch.from_numpy(placed.astype(np.int64)).to(self.device)

    def _apply(self, gradients: list[Tensor], rows: _TableRows) -> None:
        for parameter, gradient in zip(self.dense.values(), gradients, strict=False):
            parameter.grad = gradient
        of_tables = dict(zip(rows.leaves, gradients[len(self.dense) :], strict=True))
        if rows.touched is None:
            of_tables = self.model.pull_back(of_tables)
        for name, gradient in of_tables.items():
            table = self.tables[name]
            if rows.touched is None:
                table.grad = gradient
                continue
            index = torch.from_numpy(rows.touched[name]).to(self.device)
            if self.config.weight_decay:
                rate = self.optimisers[-1].param_groups[0]["lr"]
                with torch.no_grad():
                    table[index] *= 1 - rate * self.config.weight_decay
            table.grad = torch.sparse_coo_tensor(
                index[None], gradient, table.shape, check_invariants=False, is_coalesced=True
            )
        for optimiser in self.optimisers:
            optimiser.step()
        for table in self.tables.values():
            table.grad = None
