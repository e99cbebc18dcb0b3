"""Cases put to a recommender, in batches: the ranks of their targets, as the model is and after an edit at its site.

What the user did before the case is seen; nothing later is masked. It knows cases and the contract, and no training.
Suffixes: see base.py; C cases, T first items of a list.
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
"""B x L x U of a batch: of some models the vectors are the scores of the whole catalogue."""
EDITS_PER_BLOCK = 4096
"""Vectors edited at once; the latents of each are some thousand numbers."""
TOP_K = 10

Edit = Callable[[Tensor], Tensor]


class CaseBatch(NamedTuple):
    """A batch of cases: their rows in the table, and what the model and the ranking need of them."""

    rows: np.ndarray
    histories: Histories
    seen: list[np.ndarray]
    """All earlier events of each."""
    target_B: np.ndarray


def case_batches(chunk: Chunk, cases: pa.Table, model: Recommender, device: str) -> Iterator[CaseBatch]:
    """The cases of one chunk, in batches. `cases` must have targets.

    They come by target: on a large catalogue the targets of a batch then lie in few blocks of scores.
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
    wanted = pc.equal(cases["split"], split)
    if part is not None:
        wanted = pc.and_(wanted, pc.equal(cases["part"], part))
    return cases.filter(wanted)


class TargetRanks(NamedTuple):
    """The rank of each target, in the order of the cases: among all unseen items, and among sampled ones if asked."""

    full_C: np.ndarray
    sampled_C: np.ndarray


@torch.inference_mode()
def rank_chunk(
    model: Recommender, chunk: Chunk, cases: pa.Table, device: str = "cpu", negatives: int = 0, seed: int = 0
) -> TargetRanks:
    """Ranks of the targets of one chunk; `negatives`: how many items each is ranked among as well, drawn by case."""
    full_C = np.empty(cases.num_rows, dtype=np.int64)
    sampled_C = np.empty(cases.num_rows if negatives else 0, dtype=np.int64)
    for question in case_batches(chunk, cases, model, device):
        histories = question.histories
        u_BU = last_position(model.proceed(model.probe(histories), histories), histories)
        full_C[question.rows] = ranks(model, u_BU, question.seen, question.target_B)
        if negatives:
            case_B = cases["case_id"].to_numpy()[question.rows]
            item_BM = np.stack(
                [
                    sample_unseen(np.append(seen, target), model.n_items, negatives, (seed, 3, case))
                    for case, seen, target in zip(case_B, question.seen, question.target_B, strict=True)
                ]
            )
            sampled_C[question.rows] = sampled_ranks(model, u_BU, question.target_B, item_BM)
    return TargetRanks(full_C, sampled_C)


def sample_unseen(taken: np.ndarray, n_items: int, number: int, seed: tuple[int, ...]) -> np.ndarray:
    """Items that are not taken, with replacement; -1 where all are."""
    taken = np.unique(taken)
    if len(taken) == n_items:
        return np.full(number, -1)
    free = np.random.default_rng(seed).integers(0, n_items - len(taken), number)
    return free + np.searchsorted(taken - np.arange(len(taken)), free, side="right")


class EditComparison(NamedTuple):
    """Ranks from the clean model and after each edit, and the first ten items that stay, in the order of the cases."""

    user_C: np.ndarray
    clean_C: np.ndarray
    top10_C: np.ndarray
    """First ten items of the clean model; fewer where fewer were unseen."""
    edited: dict[str, np.ndarray]
    """By the edit's name, `(C,)` ranks."""
    shared: dict[str, np.ndarray]
    """By the edit's name, `(C,)`: those of the first ten that are among the first ten of the edited model."""


class _EditedItems(NamedTuple):
    n_items: int
    item_ND: Tensor

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU @ self.item_ND[start:stop].T


@torch.inference_mode()
def compare_chunk(
    model: Recommender, edits: Mapping[str, Edit], chunk: Chunk, cases: pa.Table, device: str = "cpu"
) -> EditComparison:
    """The same cases with the vectors at the site as they are and after every edit; each case is probed once.

    At the site `user` the vector at the end of the history is edited, at `item` every item's vector, elsewhere the
    vectors of all positions of the history.
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
    held: list[tuple[CaseBatch, Tensor, np.ndarray]] = []
    for question in case_batches(chunk, cases, model, device):
        rows, histories = question.rows, question.histories
        h_BLD = model.probe(histories)
        clean_BU = last_position(model.proceed(h_BLD, histories), histories)
        found.clean_C[rows], top_BT = _ranked(model, clean_BU, question)
        found.top10_C[rows] = (top_BT >= 0).sum(1)
        if model.site == "item":
            held.append((question, clean_BU, top_BT))
            continue
        for name, edit in edits.items():
            if model.site == "user":
                edited_BU = edit_in_blocks(edit, clean_BU)
            else:
                edited_BU = last_position(model.proceed(edit_histories(edit, h_BLD, histories), histories), histories)
            found.edited[name][rows], edited_BT = _ranked(model, edited_BU, question)
            found.shared[name][rows] = _shared(top_BT, edited_BT)
    # An edit on the item side is a second catalogue: one of them in memory at a time, and users' vectors stay.
    for name, edit in edits.items() if held else ():
        assert isinstance(model, Trainable)
        altered = _EditedItems(model.n_items, edit_in_blocks(edit, model.item_vectors(0, model.n_items)))
        for question, clean_BU, top_BT in held:
            found.edited[name][question.rows], edited_BT = _ranked(altered, clean_BU, question)
            found.shared[name][question.rows] = _shared(top_BT, edited_BT)
    return found


def _ranked(model: Scorer, u_BU: Tensor, question: CaseBatch) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each target, and the first items."""
    return ranks(model, u_BU, question.seen, question.target_B), top_k(model, u_BU, question.seen, TOP_K)


def _shared(clean_BT: np.ndarray, edited_BT: np.ndarray) -> np.ndarray:
    """How many first items of each case stay; -1 is none."""
    stays_BT = (clean_BT[:, :, None] == edited_BT[:, None, :]).any(2) & (clean_BT >= 0)
    return np.asarray(stays_BT.sum(1))


def edit_histories(edit: Edit, h_BLD: Tensor, histories: Histories) -> Tensor:
    """The vectors edited at every position of a history, not at padding."""
    known_BL = torch.arange(h_BLD.shape[1], device=h_BLD.device) < histories.length_B[:, None]
    after_BLD = h_BLD.clone()
    after_BLD[known_BL] = edit_in_blocks(edit, h_BLD[known_BL])
    return after_BLD


def edit_in_blocks(edit: Edit, h_XD: Tensor) -> Tensor:
    """The vectors edited, a bounded number at a time."""
    return torch.cat([edit(part) for part in torch.split(h_XD, EDITS_PER_BLOCK)])
