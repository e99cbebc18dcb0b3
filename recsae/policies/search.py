"""The search for adjustments: moves, greedily, until a gap is closed as far as is asked.

Every round puts all moves that come into question to the users' cases in one pass, beside what has been decided so far,
and takes the one that closes most of the gap for the NDCG that it costs (outcomes.py; where layers come after the site
they run again for every move, and it is worth setting `ranking.users`). A gap is what an aim says: a bias, or what a
concept's share still lacks. Loss is relative, of NDCG@10. It knows moves and sums, and neither why these latents were
chosen nor what becomes of the result.
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
from recsae.policies.balance import Aim, Ground, ndcg
from recsae.policies.measuring import World
from recsae.sae.model import Sae
from recsae.steering.operations import Operation, Steering
from recsae.steering.outcomes import Interventions, interventions_of, outcomes

log = logging.getLogger(__name__)

STRENGTHS = (0.05, 0.1, 0.2, 0.4)
"""Of `add`, in lengths of a typical activation."""
DAMPED = (0.5, 0.0)
"""Factors of `scale`; 0 is to ablate."""
RAISED = (1.5, 2.0, 4.0)
MOVES = 256
"""Of a round, at most: of so many latents as that makes, the first."""
ROUNDS = 40
LEAST = 0.002
"""Share of the gap that a move must close to be worth its place."""
CHEAP = 0.005
"""A loss below which moves are told apart by what they close alone: on some thousand cases smaller ones are chance, and
who chose by them would find others on other users."""
SPLITS = ("validation", "test")
"""Whose targets are ranked: a search needs more cases than a figure, and no weight was fitted to either."""
FURTHER = 0.25
"""The search goes below the gap that is asked for by so much of it, since on other users a gap is about as much larger
or smaller by chance: the standard error of the head share of 1,500 users' choices is a fifth of the gap on ML-1M."""
DEARER = 0.1
"""And it allows so much less loss."""

Evaluate = Callable[[Sequence[Operation], Sequence[Operation]], np.ndarray]
"""`(decided, moves) -> (1 + moves, G, X)`: sums as decided, and with each move on top of it."""


class LatentMoves(NamedTuple):
    """What may be done to one latent: factors of `scale`, ever farther from 1, and steps of `add`; one of the two."""

    latent: int
    factors: tuple[float, ...]
    steps: tuple[float, ...]


class SearchResult(NamedTuple):
    """What a search ended with; figures are of the users on whom it searched."""

    operations: list[Operation]
    met: bool
    before: float
    after: float
    """The gap."""
    loss: float


def on_cases(world: World, part: str | None, ground: Ground) -> Evaluate:
    """Moves put to the held-out cases of one part, by a task for every chunk of users."""

    def evaluate(decided: Sequence[Operation], moves: Sequence[Operation]) -> np.ndarray:
        held = world, part, ground, tuple(decided), tuple(moves)
        numbers = range(n_chunks(world.ingested))
        return functools.reduce(np.add, tasks.over(of_chunk, held, numbers, "trying moves", "chunks", world.device))

    return evaluate


def of_chunk(
    held: tuple[World, str | None, Ground, tuple[Operation, ...], tuple[Operation, ...]], number: int
) -> np.ndarray:
    """What one chunk adds, `(1 + moves, G, X)`."""
    world, part, ground, decided, moves = held
    cases, chunk = world.cases(number, part, SPLITS), read_chunk(world.ingested, number)
    told, sae = balance.facts(ground, chunk, cases), world.load_sae()
    total_VGX = np.zeros((1 + len(moves), *ground.shape))
    before = Steering(sae, decided) if decided else None
    for found in outcomes(world.model(), sae, interventions(sae, moves), chunk, cases, world.device, before):
        ranks = np.concatenate([found.clean_rank_B[None], found.rank_EB])
        tops = np.concatenate([found.clean_top_BT[None], found.top_EBT])
        total_VGX += balance.sums(ground, told, found.rows, list(ranks), list(tops))
    return total_VGX


def interventions(sae: Sae, moves: Sequence[Operation]) -> Interventions:
    """Moves as changes along decoder directions."""
    latent_M, row_E = np.unique(np.array([one.latent for one in moves], dtype=np.int64), return_inverse=True)
    return interventions_of(moves, (sae.scale * sae.W_dec[latent_M]).cpu().numpy(), row_E)


def close(
    evaluate: Evaluate, aim: Aim, candidates: Sequence[LatentMoves], target: float, max_loss: float | None
) -> SearchResult:
    """Shrink the first figure of the aim to `target` times what it is, at a relative loss of at most `max_loss`.

    Of `candidates` the first count, as many as MOVES allows. Where the target is not met, what was found on the way to
    it.
    """
    candidates = candidates[: MOVES // max((len(one.factors) + len(one.steps) for one in candidates), default=1)]
    decided: list[Operation] = []
    clean = loss = gap = start = goal = 0.0
    allowed = np.inf if max_loss is None else (1 - DEARER) * max_loss
    for number in range(ROUNDS):
        moves = _moves(candidates, decided)
        sum_VGX = evaluate(decided, moves)
        gap_V, ndcg_V = next(iter(aim.figures(sum_VGX).values())), ndcg(sum_VGX)
        if number == 0:
            clean, start = float(ndcg_V[0]), float(gap_V[0])
            gap, goal = start, (1 - FURTHER) * target * start
        if gap <= goal or not moves:
            break
        loss_V = 1 - ndcg_V / clean if clean else np.zeros(len(ndcg_V))
        closed_V = gap - np.maximum(gap_V, goal)  # what lies beyond the goal is worth nothing
        worth_V = closed_V / np.maximum(loss_V - loss, CHEAP)
        worth_V[(loss_V > allowed) | (closed_V < min(LEAST * start, gap - goal))] = -np.inf
        worth_V[0] = -np.inf
        best = int(worth_V.argmax())
        if worth_V[best] == -np.inf:
            break
        decided = joined(decided, moves[best - 1])
        gap, loss = float(gap_V[best]), float(loss_V[best])
        log.info("round %d: %.1f %% of the way, NDCG@10 %+.2f %%", number + 1, 100 * (1 - gap / start), -100 * loss)
    return SearchResult([_plainly(one) for one in decided], start > 0 and gap <= target * start, start, gap, loss)


def joined(decided: Sequence[Operation], move: Operation) -> list[Operation]:
    """What is decided and one move more. Two on one latent are one: α + β, or, since an intervention reads the clean
    activation, f + g − 1."""
    found = {one.latent: one for one in decided}
    before = found.get(move.latent)
    if before is not None:
        move = move._replace(value=before.value + move.value - (move.kind == "scale"))
    found[move.latent] = move
    return [one for one in found.values() if one.kind != "add" or abs(one.value) > 1e-9]


def _moves(candidates: Sequence[LatentMoves], decided: Sequence[Operation]) -> list[Operation]:
    """What may be done next."""
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


def _plainly(one: Operation) -> Operation:
    """A factor of 0 by its name."""
    return Operation(one.latent, "ablate") if one.kind == "scale" and abs(one.value) < 1e-9 else one
