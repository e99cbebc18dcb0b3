"""The rows of the table of fidelity: from sums over all shards and chunks to figures and their intervals.

It knows sums, and not whose activations they are of. Shape suffixes: see accumulators.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsae.sae.accumulators import Active, ChunkSums, ShardSums
from recsae.stats.ranking_metrics import each, interval

Row = dict[str, float | list[float]]


class FidelityRow(NamedTuple):
    """What was kept, by the name of the edit. Without ranking, cases are activations."""

    rows: dict[str, Row]
    """`fvu`; `hr@k` and `ndcg@k`, and as `…_kept` what share of the clean model's they are; `top10_overlap`. Each with
    `…_interval`, `[low, high]`, if asked for. The first row is the `clean` model's, and has its figures only; without
    ranking there is no such row, and the others have `fvu` only."""
    active: dict[str, Active]
    """Of every SAE on the part's activations; by it L0."""
    on_explain: dict[str, Active]
    """Of every SAE on those of explain users; by it what is dead."""
    cases: int
    users: int


def measured(names: Sequence[str], vectors: ShardSums, ranks: ChunkSums | None) -> FidelityRow:
    """What the sums over all shards and chunks say of the edits in their order."""
    rows: dict[str, Row] = {} if ranks is None else {"clean": {}}
    for name, fvu_S in zip(names, fvu(vectors.sum_SX, len(names)).T, strict=True):
        rows[name] = _values("fvu", fvu_S)
    if ranks is None:
        cases, users = int(vectors.sum_SX[0, 0]), len(np.unique(vectors.user_U))
        return FidelityRow(rows, vectors.active, vectors.on_explain, cases, users)
    clean_SK, top10_S = ranks.sum_SRK[:, 0, :-1], ranks.sum_SRK[:, 0, -1]
    clean = _figures(clean_SK)
    for name, value_S in clean.items():
        rows["clean"] |= _values(name, value_S)
    for number, edit in enumerate(names, 1):
        edited = _figures(ranks.sum_SRK[:, number, :-1])
        for name, value_S in edited.items():
            rows[edit] |= _values(name, value_S)
        for name, value_S in edited.items():
            rows[edit] |= _values(f"{name}_kept", _ratio(value_S, clean[name]))
        rows[edit] |= _values("top10_overlap", _ratio(ranks.sum_SRK[:, number, -1], top10_S))
    return FidelityRow(rows, vectors.active, vectors.on_explain, int(clean_SK[0].sum()), ranks.users)


def fvu(sum_SX: np.ndarray, edits: int) -> np.ndarray:
    """`Σ ‖edit(x) − x‖² / Σ ‖x − mean(x)‖²` `(S, E)`, the mean being that of the same weights; NaN of no variance."""
    cases_S, square_S, total_SD = sum_SX[:, 0], sum_SX[:, 1], sum_SX[:, 2 + edits :]
    variance_S = square_S - np.square(total_SD).sum(1) / np.maximum(cases_S, 1)
    # What is left of equal vectors is rounding.
    variance_S = np.where(variance_S > 1e-12 * square_S, variance_S, 0)
    return np.stack([_ratio(error_S, variance_S) for error_S in sum_SX[:, 2 : 2 + edits].T], axis=1)


def _figures(count_SK: np.ndarray) -> dict[str, np.ndarray]:
    """HR and NDCG; NaN in a resample that drew nobody."""
    nobody_S = count_SK.sum(1) == 0
    return {name: np.where(nobody_S, np.nan, value_S) for name, value_S in each(count_SK).items()}


def _ratio(above_S: np.ndarray, below_S: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to keep."""
    return np.asarray(np.divide(above_S, below_S, out=np.full(len(below_S), np.nan), where=below_S > 0))


def _values(name: str, value_S: np.ndarray) -> Row:
    """The plain value, 0 where it is none, and the interval of those of the resamples."""
    row: Row = {name: float(np.nan_to_num(value_S[0]))}
    return row | {f"{name}_interval": interval(value_S[1:])} if len(value_S) > 1 else row
