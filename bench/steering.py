"""Steering latents: (user, latent, strength) triples per second, batched by recsae and one at a time.

    python bench/steering.py [--users 1510] [--items 3416] [--width 64] [--rounds 3]

SASRec has random weights, and histories are generated with the shape of ML-1M; speed does not depend on training. Both
contestants find, for every user, latent and strength, the rank of the target and the concept's positions in the top 10.
`together` is recsae/steering/outcomes.py and the tally of the stage. `one by one` runs the model over all users for
each latent and strength, adds to the latent, scores the catalogue and sorts, as Klenitskiy et al. 2025 (arXiv
2507.12202) do; their log shows 84 users per second for one latent and strength on their GPU. Both run on one thread.
Contestants alternate, each in its own process. Prints rates, their ratio, and the ratio of the faster to 84.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import numpy as np
import pyarrow as pa
import torch
from contestants import alternate, run_contestant
from ranking import histories
from scipy import sparse

from recsae.config.recommender import RecommenderConfig
from recsae.data.chunks import Chunk
from recsae.recommenders import registry
from recsae.recommenders.base import Trainable, last_position
from recsae.recommenders.ranking import case_batches
from recsae.sae.model import Sae
from recsae.steering import ranking_kernel
from recsae.steering.operations import Operation, Steering
from recsae.steering.outcomes import Interventions, outcomes

PUBLISHED = 84
LATENTS, STRENGTHS, CONCEPTS = 1024, (0.5, 1.0, 2.0, 4.0, 6.0, 8.0), 18
STEERED = {"together": 128, "one by one": 1}
"""Number of latents that each contestant steers, at all strengths."""


def world(users: int, items: int, width: int) -> tuple[Trainable, Sae, Chunk, pa.Table, sparse.csr_array]:
    """A model, an SAE, users whose last event is the target, and items that have two concepts each."""
    torch.manual_seed(0)
    model = registry.build(RecommenderConfig(kind="sasrec", width=width, max_length=100), users, items, 0).eval()
    torch.nn.init.normal_(model.get_parameter("item.weight"), std=0.3)
    seen, target_X = histories(users, items)
    offsets = np.concatenate([[0], np.cumsum([len(one) + 1 for one in seen])])
    events = np.concatenate([np.append(one, target) for one, target in zip(seen, target_X, strict=True)])
    chunk = Chunk(np.arange(users, dtype=np.int32), offsets, events.astype(np.int32), np.zeros(len(events), np.int8))
    lengths = [len(one) for one in seen]
    cases = pa.table({"user_idx": chunk.users, "position": np.array(lengths, np.int32), "target_idx": target_X})
    draw = np.random.default_rng(1)
    has_term = (np.ones(2 * items), (np.repeat(np.arange(items), 2), draw.integers(0, CONCEPTS, 2 * items)))
    return model, Sae(width, LATENTS, "topk", 8).eval(), chunk, cases, sparse.csr_array(has_term, (items, CONCEPTS))


def together(
    model: Trainable, sae: Sae, chunk: Chunk, cases: pa.Table, has_term: sparse.csr_array, steered: int
) -> None:
    edits = len(STRENGTHS) * steered
    latent_E, plus_E = np.repeat(np.arange(steered), len(STRENGTHS)), np.tile(STRENGTHS, steered)
    interventions = Interventions(
        (sae.scale * sae.W_dec).detach().numpy(), latent_E, np.full(edits, -1), np.ones(edits), plus_E
    )
    hits_EC, popularity_E = np.zeros((edits, CONCEPTS), np.int64), np.zeros(edits, np.int64)
    covered_EI, popularity_I = np.zeros((edits, -(-model.n_items // 8)), np.uint8), np.ones(model.n_items, np.int64)
    for outcome in outcomes(model, sae, interventions, chunk, cases):
        own_EB = np.zeros(outcome.rank_EB.shape, np.int64)
        concepts = latent_E % CONCEPTS, has_term.indptr, has_term.indices
        ranking_kernel.tally(outcome.top_EBT, *concepts, popularity_I, hits_EC, own_EB, popularity_E, covered_EI)


@torch.inference_mode()
def one_by_one(
    model: Trainable, sae: Sae, chunk: Chunk, cases: pa.Table, has_term: sparse.csr_array, steered: int
) -> None:
    has_IC = torch.from_numpy(has_term.toarray())
    for latent in range(steered):
        for strength in STRENGTHS:
            edit = Steering(sae, [Operation(latent, "add", strength)])
            for question in case_batches(chunk, cases, model, "cpu"):
                x_BD = edit(last_position(model.probe(question.histories), question.histories))
                score_BN = model.scores(x_BD, 0, model.n_items)
                for row, items in enumerate(question.seen):
                    score_BN[row, torch.from_numpy(items).long()] = -torch.inf
                first_BT = score_BN.topk(10).indices
                (first_BT == torch.from_numpy(question.target_B).long()[:, None]).float().argmax(1)
                has_IC[first_BT].sum((0, 1))


CONTESTANTS = {"together": together, "one by one": one_by_one}


def rate(name: str, users: int, items: int, width: int) -> float:
    """(user, latent, strength) triples per second, including the model's own run."""
    torch.set_num_threads(1)
    made, steered = world(users, items, width), STEERED[name]
    CONTESTANTS[name](*made, steered=1)
    start = time.perf_counter()
    CONTESTANTS[name](*made, steered=steered)
    return users * steered * len(STRENGTHS) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=1510)
    parser.add_argument("--items", type=int, default=3416)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.users, arguments.items, arguments.width
    if arguments.contestant:
        print(json.dumps(rate(arguments.contestant, *sizes)))
        return
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}

    def contest(name: str) -> float:
        return float(run_contestant(__file__, *sys.argv[1:], "--contestant", name))

    for number, found in enumerate(alternate(arguments.rounds, CONTESTANTS, contest), 1):
        for name, value in found.items():
            rates[name].append(value)
        print(f"round {number}: {', '.join(f'{name} {value:,.0f}' for name, value in found.items())} per second")
    mine, theirs = (statistics.median(rates[name]) for name in CONTESTANTS)
    print(f"steering latents: {mine / theirs:.1f} times one by one, on one core")
    print(f"steering latents: {mine / PUBLISHED:,.0f} times the published {PUBLISHED} users per second, on one core")


if __name__ == "__main__":
    main()
