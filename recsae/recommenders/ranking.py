"""Full ranking over the catalogue: HR and NDCG, seen items removed, ties counted against the model.

What the user did before the case is seen; nothing later is masked. Results are integer counts of ranks, so they add
up exactly over users, chunks and workers. It knows cases and scores, and no training. Suffixes: see contract.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from recsae.data.chunks import Chunk
from recsae.recommenders.contract import Histories, Recommender, last

CUTOFFS = (5, 10, 20, 50)
DEEPEST = max(CUTOFFS)
BATCH = 256


class Question(NamedTuple):
    """A batch of cases put to the recommender: `seen` holds (row, item) pairs of all earlier events."""

    histories: Histories
    seen_row: Tensor
    seen_item: Tensor
    target_B: Tensor


def questions(chunk: Chunk, cases: pa.Table, model: Recommender, device: str) -> Iterator[Question]:
    """The cases of one chunk, in batches. `cases` must have targets."""
    starts = dict(zip(chunk.users.tolist(), chunk.offsets[:-1].tolist(), strict=True))
    users, positions = cases["user_idx"].to_numpy(), cases["position"].to_numpy()
    targets = cases["target_idx"].to_numpy()
    for first in range(0, len(users), BATCH):
        here = range(first, min(first + BATCH, len(users)))
        seen = [chunk.items[starts[users[i]] : starts[users[i]] + positions[i]] for i in here]
        recent = [items[-model.max_length :] for items in seen]
        histories = pad(recent, model.n_items, device, users[here.start : here.stop])
        yield Question(
            histories,
            torch.from_numpy(np.repeat(np.arange(len(seen)), [len(items) for items in seen])).to(device),
            torch.from_numpy(np.concatenate(seen).astype(np.int64)).to(device),
            torch.from_numpy(targets[here.start : here.stop].astype(np.int64)).to(device),
        )


def pad(sequences: list[np.ndarray], n_items: int, device: str, users: np.ndarray) -> Histories:
    """Histories of different lengths as one padded batch."""
    lengths = np.array([len(items) for items in sequences])
    items_BL = np.full((len(sequences), int(lengths.max())), n_items, dtype=np.int64)
    items_BL[np.arange(items_BL.shape[1]) < lengths[:, None]] = np.concatenate(sequences)
    return Histories(
        torch.from_numpy(users.astype(np.int64)).to(device),
        torch.from_numpy(items_BL).to(device),
        torch.from_numpy(lengths).to(device),
    )


def masked_scores(model: Recommender, h_BD: Tensor, question: Question) -> Tensor:
    """Scores of the catalogue with the seen items at minus infinity; the target itself is never masked."""
    scores_BN = model.scores(h_BD)
    rows = torch.arange(len(h_BD), device=h_BD.device)
    target = scores_BN[rows, question.target_B]
    scores_BN[question.seen_row, question.seen_item] = float("-inf")
    scores_BN[rows, question.target_B] = target
    return scores_BN


def count_ranks(scores_BN: Tensor, target_B: Tensor) -> np.ndarray:
    """How many targets rank 1, 2, … DEEPEST, and beyond (last entry). A tie counts against the model, as does NaN."""
    target = scores_BN.gather(1, target_B[:, None])
    rank_B = (~(scores_BN < target)).sum(1).clamp(1, DEEPEST + 1)
    return np.bincount(rank_B.cpu().numpy(), minlength=DEEPEST + 2)[1:].astype(np.int64)


def figures(counts: np.ndarray) -> dict[str, float]:
    """`hr@k` (share of targets within the first k) and `ndcg@k` (mean of 1/log2(1 + rank) within k)."""
    total = max(int(counts.sum()), 1)
    gain = 1 / np.log2(np.arange(1, DEEPEST + 1) + 1)
    found: dict[str, float] = {}
    for k in CUTOFFS:
        found[f"hr@{k}"] = float(counts[:k].sum() / total)
        found[f"ndcg@{k}"] = float((counts[:k] * gain[:k]).sum() / total)
    return found


def of_split(cases: pa.Table, split: str, part: str | None = None) -> pa.Table:
    """Cases whose target is an event of `split` (and whose user is in `part`)."""
    wanted = pc.equal(cases["split"], split)
    if part is not None:
        wanted = pc.and_(wanted, pc.equal(cases["part"], part))
    return cases.filter(wanted)


@torch.inference_mode()
def rank_chunk(model: Recommender, chunk: Chunk, cases: pa.Table, device: str = "cpu") -> np.ndarray:
    """Counts of ranks over the cases of one chunk."""
    counts = np.zeros(DEEPEST + 1, dtype=np.int64)
    for question in questions(chunk, cases, model, device):
        h_BD = last(model.probe(question.histories), question.histories)
        counts += count_ranks(masked_scores(model, h_BD, question), question.target_B)
    return counts


class Compared(NamedTuple):
    """Ranks from the clean vector and from the edited one, and the items that both rank in the first ten."""

    clean: np.ndarray
    edited: np.ndarray
    shared_top10: int


@torch.inference_mode()
def compare_chunk(
    model: Recommender, edit: Callable[[Tensor], Tensor], chunk: Chunk, cases: pa.Table, device: str = "cpu"
) -> Compared:
    """The same cases with the probed vector as it is and after `edit`."""
    counts, shared = np.zeros((2, DEEPEST + 1), dtype=np.int64), 0
    for question in questions(chunk, cases, model, device):
        h_BD = last(model.probe(question.histories), question.histories)
        tops = []
        for row, vector in enumerate((h_BD, edit(h_BD))):
            scores_BN = masked_scores(model, vector, question)
            counts[row] += count_ranks(scores_BN, question.target_B)
            tops.append(scores_BN.topk(min(10, model.n_items), dim=1).indices)
        shared += int((tops[0][:, :, None] == tops[1][:, None, :]).sum())
    return Compared(counts[0], counts[1], shared)
