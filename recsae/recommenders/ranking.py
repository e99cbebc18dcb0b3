"""Ranks the targets of cases in batches, with the model as it is and after edits at its site.

Items that the user has seen before the case are masked; later ones are not. Shape suffixes: see base.py; C cases,
T top items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from recsae.data.chunks import Chunk
from recsae.recommenders.base import Histories, Recommender, Trainable, last_position
from recsae.recommenders.topk import Scorer, ranks, sampled_ranks, top_k

CASES_PER_BATCH = 256
FLOATS_PER_BATCH = 16_000_000
"""Limit of B x L x U of a batch: for some models U is the size of the catalogue."""
EDITS_PER_BLOCK = 4096
"""Vectors edited in one block; the latents of each take some thousand floats."""
TOP_K = 10

Edit = Callable[[Tensor], Tensor]


class CaseBatch(NamedTuple):
    """A batch of cases: their rows in the table, and the inputs of the model and the ranking."""

    rows: np.ndarray
    histories: Histories
    seen: list[np.ndarray]
    """Items of all earlier events of each case."""
    target_B: np.ndarray


def case_batches(chunk: Chunk, cases: pa.Table, model: Recommender, device: str) -> Iterator[CaseBatch]:
    """Yields the cases of one chunk in batches, sorted by target. `cases` must have targets.

    The order keeps the targets of a batch in few blocks of scores when the catalogue is large.
    """
    users, positions = cases["user_idx"].to_numpy(), cases["position"].to_numpy()
    targets = cases["target_idx"].to_numpy()
    starts = chunk.offsets[np.searchsorted(chunk.users, users)]
    order = np.argsort(targets, kind="stable")
    at_once = min(CASES_PER_BATCH, max(1, FLOATS_PER_BATCH // (model.max_length * model.out_width)))
    for first in range(0, len(order), at_once):
        rows = order[first : first + at_once]
        seen = [chunk.items[starts[row] : starts[row] + positions[row]] for row in rows]
        recent = [items[-model.max_length :] for items in seen]
        yield CaseBatch(rows, pad(recent, device, users[rows]), seen, targets[rows])


def pad(sequences: list[np.ndarray], device: str, users: np.ndarray) -> Histories:
    """Histories of different lengths as one padded batch."""
    lengths = np.array([len(items) for items in sequences])
    items_BL = np.zeros((len(sequences), int(lengths.max())), dtype=np.int64)
    items_BL[np.arange(items_BL.shape[1]) < lengths[:, None]] = np.concatenate(sequences)
    return Histories(
        torch.from_numpy(users.astype(np.int64)).to(device),
        torch.from_numpy(items_BL).to(device),
        torch.from_numpy(lengths).to(device),
    )


def filter_split(cases: pa.Table, split: str, part: str | None = None) -> pa.Table:
    """Cases whose target is an event of `split` (and whose user is in `part`)."""
    mask = pc.equal(cases["split"], split)
    if part is not None:
        mask = pc.and_(mask, pc.equal(cases["part"], part))
    return cases.filter(mask)


class TargetRanks(NamedTuple):
    """The rank of each target in the order of the cases, among all unseen items and, if requested, sampled ones."""

    full_C: np.ndarray
    sampled_C: np.ndarray


@torch.inference_mode()
def rank_chunk(
    model: Recommender, chunk: Chunk, cases: pa.Table, device: str = "cpu", negatives: int = 0, seed: int = 0
) -> TargetRanks:
    """Ranks of the targets of one chunk; with `negatives`, also among so many items sampled per case."""
    full_C = np.empty(cases.num_rows, dtype=np.int64)
    sampled_C = np.empty(cases.num_rows if negatives else 0, dtype=np.int64)
    for batch in case_batches(chunk, cases, model, device):
        histories = batch.histories
        u_BU = last_position(model.proceed(model.probe(histories), histories), histories)
        full_C[batch.rows] = ranks(model, u_BU, batch.seen, batch.target_B)
        if negatives:
            case_B = cases["case_id"].to_numpy()[batch.rows]
            item_BM = np.stack(
                [
                    sample_unseen(np.append(seen, target), model.n_items, negatives, (seed, 3, case))
                    for case, seen, target in zip(case_B, batch.seen, batch.target_B, strict=True)
                ]
            )
            sampled_C[batch.rows] = sampled_ranks(model, u_BU, batch.target_B, item_BM)
    return TargetRanks(full_C, sampled_C)


def sample_unseen(taken: np.ndarray, n_items: int, number: int, seed: tuple[int, ...]) -> np.ndarray:
    """A uniform sample with replacement of the items not in `taken`; -1 if there are none."""
    taken = np.unique(taken)
    if len(taken) == n_items:
        return np.full(number, -1)
    free = np.random.default_rng(seed).integers(0, n_items - len(taken), number)
    return free + np.searchsorted(taken - np.arange(len(taken)), free, side="right")


class EditComparison(NamedTuple):
    """Ranks with and without each edit, and the overlap of the top 10, in the order of the cases."""

    user_C: np.ndarray
    clean_C: np.ndarray
    top10_C: np.ndarray
    """Size of the unedited model's top 10, which is smaller if fewer items are unseen."""
    edited: dict[str, np.ndarray]
    """Ranks `(C,)` by the name of the edit."""
    shared: dict[str, np.ndarray]
    """Number `(C,)` of top-10 items shared with the unedited model, by the name of the edit."""


class _EditedItems(NamedTuple):
    n_items: int
    item_ND: Tensor

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU @ self.item_ND[start:stop].T


@torch.inference_mode()
def compare_chunk(
    model: Recommender, edits: Mapping[str, Edit], chunk: Chunk, cases: pa.Table, device: str = "cpu"
) -> EditComparison:
    """Ranks of the cases with the vectors at the site unedited and after every edit; each case is probed once.

    An edit applies to the vector at the end of the history at the site `user`, to all item vectors at `item`, and to
    all positions of the history elsewhere.
    """

    def per_case() -> np.ndarray:
        return np.zeros(cases.num_rows, dtype=np.int64)

    found = EditComparison(
        cases["user_idx"].to_numpy(),
        per_case(),
        per_case(),
        {name: per_case() for name in edits},
        {name: per_case() for name in edits},
    )
    pending: list[tuple[CaseBatch, Tensor, np.ndarray]] = []
    for batch in case_batches(chunk, cases, model, device):
        rows, histories = batch.rows, batch.histories
        h_BLD = model.probe(histories)
        clean_BU = last_position(model.proceed(h_BLD, histories), histories)
        found.clean_C[rows], top_BT = _ranked(model, clean_BU, batch)
        found.top10_C[rows] = (top_BT >= 0).sum(1)
        if model.site == "item":
            pending.append((batch, clean_BU, top_BT))
            continue
        for name, edit in edits.items():
            if model.site == "user":
                edited_BU = edit_in_blocks(edit, clean_BU)
            else:
                edited_BU = last_position(model.proceed(edit_histories(edit, h_BLD, histories), histories), histories)
            found.edited[name][rows], edited_BT = _ranked(model, edited_BU, batch)
            found.shared[name][rows] = _shared(top_BT, edited_BT)
    # An edit of the item vectors is a copy of the catalogue: one at a time in memory, with the users' vectors kept.
    for name, edit in edits.items() if pending else ():
        assert isinstance(model, Trainable)
        edited_items = _EditedItems(model.n_items, edit_in_blocks(edit, model.item_vectors(0, model.n_items)))
        for batch, clean_BU, top_BT in pending:
            found.edited[name][batch.rows], edited_BT = _ranked(edited_items, clean_BU, batch)
            found.shared[name][batch.rows] = _shared(top_BT, edited_BT)
    return found


def _ranked(model: Scorer, u_BU: Tensor, batch: CaseBatch) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each target, and the top items."""
    return ranks(model, u_BU, batch.seen, batch.target_B), top_k(model, u_BU, batch.seen, TOP_K)


def _shared(clean_BT: np.ndarray, edited_BT: np.ndarray) -> np.ndarray:
    """How many top items of each case both lists share; -1 is padding."""
    shared_BT = (clean_BT[:, :, None] == edited_BT[:, None, :]).any(2) & (clean_BT >= 0)
    return np.asarray(shared_BT.sum(1))


def edit_histories(edit: Edit, h_BLD: Tensor, histories: Histories) -> Tensor:
    """The vectors, edited at every position of a history except padding."""
    known_BL = torch.arange(h_BLD.shape[1], device=h_BLD.device) < histories.length_B[:, None]
    after_BLD = h_BLD.clone()
    after_BLD[known_BL] = edit_in_blocks(edit, h_BLD[known_BL])
    return after_BLD


def edit_in_blocks(edit: Edit, h_XD: Tensor) -> Tensor:
    """The edited vectors, computed in blocks of bounded size."""
    return torch.cat([edit(part) for part in torch.split(h_XD, EDITS_PER_BLOCK)])
