"""Greedy search for the operations of a policy.

Each round evaluates every candidate move on top of the operations decided so far, in one pass over the users' cases,
and takes the move that closes most of the gap per NDCG lost (outcomes.py; at sites followed by more layers these run
again for every move, so set `ranking.users`). The gap is the first figure of an objective: a bias, or the shortfall
from target shares. Loss is the relative loss of NDCG@10.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from recsae.data.chunks import n_chunks, read_chunk
from recsae.distributed import tasks
from recsae.policies import balance
from recsae.policies.balance import CountSpec, SearchObjective, ndcg
from recsae.policies.measuring import EvalData
from recsae.sae.model import Sae
from recsae.steering.operations import Operation, Steering
from recsae.steering.outcomes import Interventions, interventions_of, outcomes

log = logging.getLogger(__name__)

STRENGTHS = (0.05, 0.1, 0.2, 0.4)
"""Steps of `add`, in units of the typical activation norm."""
DAMPING_FACTORS = (0.5, 0.0)
"""Factors of `scale`; 0 ablates."""
AMPLIFYING_FACTORS = (1.5, 2.0, 4.0)
MAX_MOVES = 256
"""Most moves of a round; latents beyond that are dropped from the end."""
MAX_ROUNDS = 40
MIN_CLOSED = 0.002
"""Least fraction of the initial gap that a move must close."""
NEGLIGIBLE_LOSS = 0.005
"""Losses below this count as equal: on a few thousand cases smaller differences are noise, and choosing by them would
not generalise to other users."""
SPLITS = ("validation", "test")
"""Splits whose targets are ranked: a search needs more cases than a report, and no weight was fitted to either."""
TARGET_MARGIN = 0.25
"""The search aims below the target gap by this fraction of it, about the sampling error of a gap on other users: the
standard error of the head share of 1,500 users' choices is a fifth of the gap on ML-1M."""
LOSS_MARGIN = 0.1
"""The search allows this fraction less loss than the limit."""

Evaluate = Callable[[Sequence[Operation], Sequence[Operation]], np.ndarray]
"""`(decided, moves) -> (1 + moves, G, X)`: sums of the decided operations, and with each move added."""


class LatentMoves(NamedTuple):
    """Candidate moves on one latent: factors of `scale`, ever farther from 1, or steps of `add`; never both kinds."""

    latent: int
    factors: tuple[float, ...]
    steps: tuple[float, ...]


class SearchResult(NamedTuple):
    """Result of a search; figures are on the users searched on."""

    operations: list[Operation]
    met: bool
    before: float
    after: float
    """The gap after the operations; `before`: without them."""
    loss: float


def case_evaluator(data: EvalData, part: str | None, spec: CountSpec) -> Evaluate:
    """An Evaluate on the held-out cases of one part, by a task for each chunk of users."""

    def evaluate(decided: Sequence[Operation], moves: Sequence[Operation]) -> np.ndarray:
        task = data, part, spec, tuple(decided), tuple(moves)
        numbers = range(n_chunks(data.ingested))
        return functools.reduce(
            np.add, tasks.over(evaluate_chunk, task, numbers, "trying moves", "chunks", data.device)
        )

    return evaluate


def evaluate_chunk(
    task: tuple[EvalData, str | None, CountSpec, tuple[Operation, ...], tuple[Operation, ...]], number: int
) -> np.ndarray:
    """Sums over the cases of one chunk, `(1 + moves, G, X)`."""
    data, part, spec, decided, moves = task
    cases, chunk = data.cases(number, part, SPLITS), read_chunk(data.ingested, number)
    facts, sae = balance.case_facts(spec, chunk, cases), data.load_sae()
    total_VGX = np.zeros((1 + len(moves), *spec.shape))
    before = Steering(sae, decided) if decided else None
    for found in outcomes(data.model(), sae, interventions(sae, moves), chunk, cases, data.device, before):
        ranks = np.concatenate([found.clean_rank_B[None], found.rank_EB])
        tops = np.concatenate([found.clean_top_BT[None], found.top_EBT])
        total_VGX += balance.sums(spec, facts, found.rows, list(ranks), list(tops))
    return total_VGX


def interventions(sae: Sae, moves: Sequence[Operation]) -> Interventions:
    """Moves as interventions along decoder directions."""
    latent_M, row_E = np.unique(np.array([one.latent for one in moves], dtype=np.int64), return_inverse=True)
    return interventions_of(moves, (sae.scale * sae.W_dec[latent_M]).cpu().numpy(), row_E)


def close_gap(
    evaluate: Evaluate,
    objective: SearchObjective,
    candidates: Sequence[LatentMoves],
    target: float,
    max_loss: float | None,
) -> SearchResult:
    """Operations that shrink the first figure to `target` times its size, at a relative loss of at most `max_loss`.

    Only as many of the first `candidates` as MAX_MOVES allows are tried. If the target is out of reach, the best found.
    """
    candidates = candidates[: MAX_MOVES // max((len(one.factors) + len(one.steps) for one in candidates), default=1)]
    decided: list[Operation] = []
    clean = loss = gap = start = goal = 0.0
    allowed = np.inf if max_loss is None else (1 - LOSS_MARGIN) * max_loss
    for number in range(MAX_ROUNDS):
        moves = _moves(candidates, decided)
        sum_VGX = evaluate(decided, moves)
        gap_V, ndcg_V = next(iter(objective.figures(sum_VGX).values())), ndcg(sum_VGX)
        if number == 0:
            clean, start = float(ndcg_V[0]), float(gap_V[0])
            gap, goal = start, (1 - TARGET_MARGIN) * target * start
        if gap <= goal or not moves:
            break
        loss_V = 1 - ndcg_V / clean if clean else np.zeros(len(ndcg_V))
        closed_V = gap - np.maximum(gap_V, goal)  # overshooting the goal is worth nothing
        worth_V = closed_V / np.maximum(loss_V - loss, NEGLIGIBLE_LOSS)
        worth_V[(loss_V > allowed) | (closed_V < min(MIN_CLOSED * start, gap - goal))] = -np.inf
        worth_V[0] = -np.inf
        best = int(worth_V.argmax())
        if worth_V[best] == -np.inf:
            break
        decided = merged(decided, moves[best - 1])
        gap, loss = float(gap_V[best]), float(loss_V[best])
        log.info("round %d: %.1f %% of the way, NDCG@10 %+.2f %%", number + 1, 100 * (1 - gap / start), -100 * loss)
    return SearchResult([_normalised(one) for one in decided], start > 0 and gap <= target * start, start, gap, loss)


def merged(decided: Sequence[Operation], move: Operation) -> list[Operation]:
    """The decided operations with one more move.

    Two on one latent merge: α + β, or f + g − 1, since an intervention reads the clean activation.
    """
    found = {one.latent: one for one in decided}
    before = found.get(move.latent)
    if before is not None:
        move = move._replace(value=before.value + move.value - (move.kind == "scale"))
    found[move.latent] = move
    return [one for one in found.values() if one.kind != "add" or abs(one.value) > 1e-9]


def _moves(candidates: Sequence[LatentMoves], decided: Sequence[Operation]) -> list[Operation]:
    """Moves available after the decided operations."""
    held = {one.latent: one for one in decided}
    found = []
    for latent, factors, steps in candidates:
        kind = held[latent].kind if latent in held else None
        now = held[latent].value if kind == "scale" else 1.0
        if kind != "add":
            found += [
                Operation(latent, "scale", 1 + factor - now) for factor in factors if abs(factor - 1) > abs(now - 1)
            ]
        if kind != "scale":
            found += [Operation(latent, "add", step) for step in steps]
    return found


def _normalised(one: Operation) -> Operation:
    """A factor of 0 as `ablate`."""
    return Operation(one.latent, "ablate") if one.kind == "scale" and abs(one.value) < 1e-9 else one
