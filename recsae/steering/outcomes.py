"""What becomes of cases when the probed vector is moved along a direction: the rank of the target, the first items.

    x' = x + c · direction        c = (keep − 1) z + plus

z is the clean activation of a latent, or there is none. Where scores are linear in the vector, as at the sites `user`
and `item` of the shipped models, a move shifts every score by c times the direction's own score, and nothing is
multiplied twice (ranking_kernel.py); elsewhere the layers after the site run again. At a site within the model every
position of the history is moved. Shape
suffixes: see ranking.py; M directions, E interventions, S latents that are read, n items of a range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recsae.data.chunks import Chunk
from recsae.recommenders.base import Histories, Recommender, Trainable, last_position
from recsae.recommenders.ranking import TOP_K, CaseBatch, case_batches
from recsae.recommenders.topk import ranks, top_k
from recsae.sae.model import Sae
from recsae.steering import ranking_kernel
from recsae.steering.operations import Operation, Steering, dense

ITEMS_AT_ONCE = 16_384
"""Items of a range: their scores stay in the cache."""
STATE_AT_ONCE = 2_000_000
"""First items held at a time, of which there are T for every intervention and case."""


class Interventions(NamedTuple):
    """E moves of the probed vector."""

    direction_MD: np.ndarray
    """float32, in the units of raw activations."""
    row_E: np.ndarray
    """Which direction."""
    latent_E: np.ndarray
    """Whose clean activation is read; -1: none."""
    keep_E: np.ndarray
    plus_E: np.ndarray


def interventions_of(
    operations: Sequence[Operation], direction_MD: np.ndarray, row_E: Sequence[int] | np.ndarray
) -> Interventions:
    """Each operation as a move along the direction of its row; `project` is none."""
    return Interventions(
        np.ascontiguousarray(direction_MD, dtype=np.float32),
        np.asarray(row_E, dtype=np.int64),
        np.array([-1 if one.keep == 1 else one.latent for one in operations], dtype=np.int64),
        np.array([one.keep for one in operations], dtype=np.float32),
        np.array([one.plus for one in operations], dtype=np.float32),
    )


class Outcome(NamedTuple):
    """Of a batch of cases: as the model is, and after each intervention."""

    rows: np.ndarray
    """Their rows in the table of cases, `(B,)`."""
    clean_rank_B: np.ndarray
    clean_top_BT: np.ndarray
    """First unseen items, -1 where none is left."""
    rank_EB: np.ndarray
    top_EBT: np.ndarray


@torch.inference_mode()
def outcomes(
    model: Recommender,
    sae: Sae,
    interventions: Interventions,
    chunk: Chunk,
    cases: pa.Table,
    device: str = "cpu",
    before: Steering | None = None,
) -> Iterator[Outcome]:
    """The cases of one chunk, in batches. `before`: what is done to the vectors first; clean is then with it."""
    linear: _OnUsers | _OnItems | None = None
    if isinstance(model, Trainable) and model.site == "item":
        linear = _OnItems(model, sae, interventions, before, device)
    elif isinstance(model, Trainable) and model.site == "user" and device == "cpu":
        linear = _OnUsers(model, sae, interventions, before)
    for question in case_batches(chunk, cases, model, device):
        h_BLD = model.probe(question.histories)
        if linear is None:
            yield _again(model, sae, interventions, h_BLD, question, before)
        else:
            yield from _shifted(linear, last_position(h_BLD, question.histories), model.n_items, question)


class _OnUsers:
    """Where users' vectors are moved: c depends on the user, and a direction has one score an item."""

    def __init__(self, model: Trainable, sae: Sae, interventions: Interventions, before: Steering | None) -> None:
        self.model, self.sae, self.interventions, self.before = model, sae, interventions, before
        self.row_E = interventions.row_E
        self.direction_MD = torch.tensor(_one_at_least(interventions.direction_MD))
        self._kept: tuple[int, int, np.ndarray] | None = None

    def base(self, u_BU: Tensor, start: int, stop: int) -> Tensor:
        return self.model.scores(u_BU if self.before is None else self.before(u_BU), start, stop)

    def c(self, u_BU: Tensor) -> Tensor:
        return amounts(self.sae, self.interventions, u_BU).T

    def along(self, start: int, stop: int) -> np.ndarray:
        """`(M, n)`, the same for all batches; of a catalogue of one range computed once."""
        if self._kept is None or self._kept[:2] != (start, stop):
            self._kept = start, stop, self.model.scores(self.direction_MD, start, stop).contiguous().numpy()
        return self._kept[2]


class _OnItems:
    """Where items' vectors are moved: c is the user's product with the direction, and amounts depend on the item."""

    def __init__(
        self, model: Trainable, sae: Sae, interventions: Interventions, before: Steering | None, device: str
    ) -> None:
        item_ND = model.item_vectors(0, model.n_items)
        self.row_E = np.arange(len(interventions.row_E))
        self._item_ND = item_ND if before is None else before(item_ND)
        self._amount_EN = _one_at_least(amounts(sae, interventions, item_ND).T.contiguous().cpu().numpy())
        self._direction_ED = torch.tensor(interventions.direction_MD[interventions.row_E]).to(device)

    def base(self, u_BU: Tensor, start: int, stop: int) -> Tensor:
        return u_BU @ self._item_ND[start:stop].T

    def c(self, u_BU: Tensor) -> Tensor:
        return self._direction_ED @ u_BU.T

    def along(self, start: int, stop: int) -> np.ndarray:
        return self._amount_EN[:, start:stop]


def _one_at_least(row_MX: np.ndarray) -> np.ndarray:
    """A row of zeros where there is none: the clean model is moved along the first, by nothing."""
    return row_MX if len(row_MX) else np.zeros((1, row_MX.shape[1]), dtype=row_MX.dtype)


def amounts(sae: Sae, interventions: Interventions, x_BD: Tensor) -> Tensor:
    """`c` of every vector and intervention, `(B, E)`; the SAE is asked only where activations are read."""
    keep_E, plus_E = (
        torch.from_numpy(of.astype(np.float32)).to(x_BD.device) for of in (interventions.keep_E, interventions.plus_E)
    )
    latent_S, place_E = np.unique(interventions.latent_E[interventions.latent_E >= 0], return_inverse=True)
    c_BE = plus_E.expand(len(x_BD), -1).clone()
    if len(latent_S):
        z_BS = dense(sae.encode(x_BD), torch.from_numpy(latent_S).to(x_BD.device), sae.num_latents)
        reads_E = torch.from_numpy(np.flatnonzero(interventions.latent_E >= 0)).to(x_BD.device)
        c_BE[:, reads_E] += (keep_E[reads_E] - 1) * z_BS[:, torch.from_numpy(place_E).to(x_BD.device)]
    return c_BE


def _shifted(linear: _OnUsers | _OnItems, u_BU: Tensor, n_items: int, question: CaseBatch) -> Iterator[Outcome]:
    """A batch, some cases at a time."""
    row_E = np.concatenate([[0], linear.row_E])
    at_once = max(1, STATE_AT_ONCE // (len(row_E) * TOP_K))
    for first in range(0, len(u_BU), at_once):
        some = slice(first, first + at_once)
        u_bU, seen, target_b = u_BU[some], question.seen[some], question.target_B[some]
        none_1B = u_bU.new_zeros(1, len(u_bU))
        c_EB = torch.cat([none_1B, linear.c(u_bU)]).contiguous().cpu().numpy()
        target_EB = np.empty_like(c_EB)
        for start, stop in _ranges(n_items, target_b):  # ranges without a target are not computed for it
            rows = np.flatnonzero((target_b >= start) & (target_b < stop))
            base_b = linear.base(u_bU, start, stop).cpu().numpy()[rows, target_b[rows] - start]
            along_Eb = linear.along(start, stop)[row_E][:, target_b[rows] - start]
            target_EB[:, rows] = base_b + c_EB[:, rows] * along_Eb
        best_EBT = np.full((*c_EB.shape, TOP_K), -np.inf, dtype=np.float32)
        item_EBT, less_EB = np.full(best_EBT.shape, -1, dtype=np.int32), np.zeros(c_EB.shape, dtype=np.int32)
        for start, stop in _ranges(n_items):
            base_Bn = linear.base(u_bU, start, stop).cpu().contiguous().numpy()
            for row, items in enumerate(seen):
                base_Bn[row, items[(items >= start) & (items < stop)] - start] = -np.inf
            place_B = np.where((target_b >= start) & (target_b < stop), target_b - start, -1)
            along_Mn = np.ascontiguousarray(linear.along(start, stop))
            ranking_kernel.rank_moved(
                base_Bn, along_Mn, row_E, c_EB, target_EB, place_B, start, best_EBT, item_EBT, less_EB
            )
        rank_EB = n_items - less_EB
        yield Outcome(question.rows[some], rank_EB[0], item_EBT[0], rank_EB[1:], item_EBT[1:])


def _ranges(n_items: int, within: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Ranges of the catalogue; of those only which hold one of the items `within`."""
    starts = range(0, n_items, ITEMS_AT_ONCE) if within is None else np.unique(within // ITEMS_AT_ONCE) * ITEMS_AT_ONCE
    return [(int(start), min(int(start) + ITEMS_AT_ONCE, n_items)) for start in starts]


def _again(
    model: Recommender,
    sae: Sae,
    interventions: Interventions,
    h_BLD: Tensor,
    question: CaseBatch,
    before: Steering | None,
) -> Outcome:
    """A batch through the layers after the site, intervention by intervention."""
    flat_XD = h_BLD.flatten(0, 1)
    start_BLD = h_BLD if before is None else before(flat_XD).view_as(h_BLD)
    c_XE = amounts(sae, interventions, flat_XD)
    direction_MD = torch.tensor(interventions.direction_MD).to(h_BLD.device)
    clean_rank_B, clean_top_BT = _ranked(model, start_BLD, question)
    rank_EB = np.empty((len(interventions.row_E), len(clean_rank_B)), dtype=np.int32)
    top_EBT = np.empty((*rank_EB.shape, TOP_K), dtype=np.int32)
    for number, row in enumerate(interventions.row_E):
        c_BL1 = c_XE[:, number].view(*h_BLD.shape[:2], 1)
        some = (c_BL1.flatten(1) != 0).any(1).nonzero()[:, 0]
        rank_EB[number], top_EBT[number] = clean_rank_B, clean_top_BT
        if len(some):
            moved_BLD = (start_BLD + c_BL1 * direction_MD[row])[some]
            picked = some.cpu().numpy()
            rank_EB[number, picked], top_EBT[number, picked] = _ranked(model, moved_BLD, _of(question, picked))
    return Outcome(question.rows, clean_rank_B, clean_top_BT, rank_EB, top_EBT)


def _ranked(model: Recommender, h_BLD: Tensor, question: CaseBatch) -> tuple[np.ndarray, np.ndarray]:
    u_BU = last_position(model.proceed(h_BLD, question.histories), question.histories)
    return ranks(model, u_BU, question.seen, question.target_B), top_k(model, u_BU, question.seen, TOP_K)


def _of(question: CaseBatch, picked: np.ndarray) -> CaseBatch:
    """Some cases of a batch; a history keeps its padding."""
    at = torch.from_numpy(picked).to(question.histories.items_BL.device)
    return CaseBatch(
        question.rows[picked],
        Histories(*(of[at] for of in question.histories)),
        [question.seen[place] for place in picked],
        question.target_B[picked],
    )
