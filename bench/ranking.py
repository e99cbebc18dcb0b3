"""Full ranking compared with its matrix product alone: `ranks` of recsae/recommenders/topk.py.

    python bench/ranking.py [--users 6040] [--items 3416] [--width 64] [--rounds 5]

Inputs are user vectors and generated histories shaped like ML-1M: at least 19 items each, 165 on average, by
popularity. `ranks` scores the catalogue, masks seen items and counts; `product` only multiplies, in the same blocks,
and drops each result. Both run on one core. Contestants alternate, each in its own process, and the fastest pass
counts, since the machine may be busy. Prints CPU milliseconds and their ratio (median over rounds).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from contestants import alternate, run_contestant

from recsae.config.recommender import RecommenderConfig
from recsae.recommenders import registry, topk
from recsae.recommenders.base import Trainable

PASSES = 40


def histories(users: int, items: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The items that each user has seen, and one unseen target; sorted by target, as in recommenders/ranking.py."""
    draw = np.random.default_rng(0)
    popularity = -np.log(np.arange(1, items + 1) + items / 20)
    lengths = np.clip(draw.lognormal(np.log(93), 1.1, users), 19, min(2300, items // 2)).astype(int)
    found = [np.argsort(-(popularity + draw.gumbel(size=items)))[: length + 1] for length in lengths]
    found.sort(key=lambda picked: int(picked[-1]))
    seen = [draw.permutation(picked[:-1]).astype(np.int32) for picked in found]
    return seen, np.array([picked[-1] for picked in found], dtype=np.int32)


def ranks(model: Trainable, u_XU: torch.Tensor, seen: list[np.ndarray], target_X: np.ndarray) -> None:
    topk.ranks(model, u_XU, seen, target_X)


def product(model: Trainable, u_XU: torch.Tensor, seen: list[np.ndarray], target_X: np.ndarray) -> None:
    for start in range(0, len(u_XU), topk.ROWS_PER_BLOCK):
        model.scores(u_XU[start : start + topk.ROWS_PER_BLOCK], 0, model.n_items)


CONTESTANTS: dict[str, Callable[[Trainable, torch.Tensor, list[np.ndarray], np.ndarray], None]] = {
    "ranks": ranks,
    "product": product,
}


@torch.inference_mode()
def seconds(name: str, users: int, items: int, width: int) -> float:
    """CPU seconds of the fastest pass."""
    torch.set_num_threads(1)
    model = registry.build(RecommenderConfig(kind="bprmf", width=width), users, items, 0).eval()
    seen, target_X = histories(users, items)
    passes = []
    for _ in range(PASSES):
        start = time.process_time()
        CONTESTANTS[name](model, model.get_parameter("user.weight"), seen, target_X)
        passes.append(time.process_time() - start)
    return min(passes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3416)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.users, arguments.items, arguments.width
    if arguments.contestant:
        print(json.dumps(seconds(arguments.contestant, *sizes)))
        return

    def milliseconds(name: str) -> float:
        return 1000 * float(run_contestant(__file__, *sys.argv[1:], "--contestant", name))

    ratios = []
    for number, found in enumerate(alternate(arguments.rounds, CONTESTANTS, milliseconds), 1):
        ratios.append(found["ranks"] / found["product"])
        print(
            f"round {number}: ranks {found['ranks']:.1f} ms, product {found['product']:.1f} ms, ratio {ratios[-1]:.2f}"
        )
    print(f"full ranking: {statistics.median(ratios):.2f} times the matrix product alone")


if __name__ == "__main__":
    main()
