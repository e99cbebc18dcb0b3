"""The fidelity table: metrics and their bootstrap intervals from sums over all shards and chunks.

Shape suffixes: see accumulators.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsae.sae.accumulators import ActiveCounts, ChunkSums, ShardSums
from recsae.stats.bootstrap import interval
from recsae.stats.ranking_metrics import each

Row = dict[str, float | list[float]]


class FidelityTable(NamedTuple):
    """Fidelity of every edit, by its name."""

    rows: dict[str, Row]
    """`fvu`; `hr@k` and `ndcg@k`, and as `…_kept` their share of the clean model's; `top10_overlap`. Each has an
    `…_interval` `[low, high]` if there are resamples. The first row, `clean`, has the clean model's ranking metrics
    only. Without ranking there is no such row, and the others have `fvu` only."""
    active: dict[str, ActiveCounts]
    """Active latents of every SAE on the part's activations, for L0."""
    on_explain: dict[str, ActiveCounts]
    """Active latents of every SAE on explain users' activations, for dead latents."""
    cases: int
    """Ranked cases; without ranking, activations."""
    users: int


def fidelity_table(names: Sequence[str], vectors: ShardSums, ranks: ChunkSums | None) -> FidelityTable:
    """The fidelity table of the edits `names`, in their order, from the sums over all shards and chunks."""
    rows: dict[str, Row] = {} if ranks is None else {"clean": {}}
    for name, fvu_S in zip(names, fvu(vectors.sum_SX, len(names)).T, strict=True):
        rows[name] = _with_interval("fvu", fvu_S)
    if ranks is None:
        cases, users = int(vectors.sum_SX[0, 0]), len(np.unique(vectors.user_U))
        return FidelityTable(rows, vectors.active, vectors.on_explain, cases, users)
    clean_SK, top10_S = ranks.sum_SRK[:, 0, :-1], ranks.sum_SRK[:, 0, -1]
    clean = _ranking_metrics(clean_SK)
    for name, value_S in clean.items():
        rows["clean"] |= _with_interval(name, value_S)
    for number, edit in enumerate(names, 1):
        edited = _ranking_metrics(ranks.sum_SRK[:, number, :-1])
        for name, value_S in edited.items():
            rows[edit] |= _with_interval(name, value_S)
        for name, value_S in edited.items():
            rows[edit] |= _with_interval(f"{name}_kept", _ratio(value_S, clean[name]))
        rows[edit] |= _with_interval("top10_overlap", _ratio(ranks.sum_SRK[:, number, -1], top10_S))
    return FidelityTable(rows, vectors.active, vectors.on_explain, int(clean_SK[0].sum()), ranks.users)


def fvu(sum_SX: np.ndarray, edits: int) -> np.ndarray:
    """`Σ ‖edit(x) − x‖² / Σ ‖x − mean(x)‖²` `(S, E)`, with the mean under the same weights; NaN without variance."""
    cases_S, square_S, total_SD = sum_SX[:, 0], sum_SX[:, 1], sum_SX[:, 2 + edits :]
    variance_S = square_S - np.square(total_SD).sum(1) / np.maximum(cases_S, 1)
    # For equal vectors the variance is rounding error.
    variance_S = np.where(variance_S > 1e-12 * square_S, variance_S, 0)
    return np.stack([_ratio(error_S, variance_S) for error_S in sum_SX[:, 2 : 2 + edits].T], axis=1)


def _ranking_metrics(count_SK: np.ndarray) -> dict[str, np.ndarray]:
    """HR and NDCG; NaN in a resample without users."""
    nobody_S = count_SK.sum(1) == 0
    return {name: np.where(nobody_S, np.nan, value_S) for name, value_S in each(count_SK).items()}


def _ratio(above_S: np.ndarray, below_S: np.ndarray) -> np.ndarray:
    """The quotient; NaN where the denominator is not positive."""
    return np.asarray(np.divide(above_S, below_S, out=np.full(len(below_S), np.nan), where=below_S > 0))


def _with_interval(name: str, value_S: np.ndarray) -> Row:
    """The unweighted value, with NaN as 0, and the interval of the resamples' values if there are any."""
    row: Row = {name: float(np.nan_to_num(value_S[0]))}
    return row | {f"{name}_interval": interval(value_S[1:])} if len(value_S) > 1 else row
