"""Recommendations explained per second: each score as a sum over the user's latents, bias and error.

    python bench/explaining.py [--users 1000] [--items 3416] [--width 64] [--latents 1024] [--k 8] [--passes 9]

The recommender (SASRec) and the SAE have random weights and the sizes of ML-1M. Every user has 165 events, of which the
model sees the latest 100. The top ten items of each user are explained, 10,000 in total, in batches of 64 users, in one
process on one core. `answer` is the model's run and its top ten, needed without explanations too; `split` is what
explanations add; `explain` is everything from histories to contributions, and `rows` also makes the rows of the Parquet
file. Each is the fastest of some passes, in turn, since the machine may be busy. Prints milliseconds, recommendations
per second, and the largest difference between the sum of the parts and the model's score.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch

from recsae.config.recommender import RecommenderConfig
from recsae.explain.explainer import TOP, Explainer, Explanations
from recsae.explain.many import ExplanationRequest, Names, rows
from recsae.recommenders import registry
from recsae.recommenders.base import Trainable, last_position
from recsae.recommenders.ranking import pad
from recsae.recommenders.topk import top_k
from recsae.sae.model import Sae
from recsae.steering.user_batches import Present
from recsae.store.filesystem import Folder
from recsae.store.run_store import Committed

EVENTS, USERS_AT_ONCE = 165, 64
TARGET = 10_000
"""Target, in recommendations per second."""


def users(number: int, items: int, max_length: int) -> list[Present]:
    """Histories of items drawn at random, in batches."""
    draw, found = np.random.default_rng(0), []
    for start in range(0, number, USERS_AT_ONCE):
        user = np.arange(start, min(start + USERS_AT_ONCE, number))
        seen = [draw.choice(items, EVENTS, replace=False).astype(np.int32) for _ in user]
        found.append(Present(user, pad([of[-max_length:] for of in seen], "cpu", user), seen))
    return found


@torch.no_grad()
def answer(model: Trainable, present: Present) -> tuple[torch.Tensor, np.ndarray]:
    u_BD = last_position(model.proceed(model.probe(present.histories), present.histories), present.histories)
    return u_BD, top_k(model, u_BD, present.seen, TOP)


def furthest(model: Trainable, present: Present, found: Explanations) -> float:
    """The largest |score − sum of parts| / max(1, |score|); the score is the model's own, in single precision."""
    u_BD, item_BT = answer(model, present)
    score_BT = np.take_along_axis(model.scores(u_BD, 0, model.n_items).numpy(), item_BT.astype(int), 1)
    parts = found.item
    sum_BT = parts.bias_BT + parts.error_BT + parts.rest_BT + parts.contribution_BTK.sum(2)
    return float((np.abs(score_BT - sum_BT) / np.maximum(1, np.abs(score_BT))).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--items", type=int, default=3416)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--latents", type=int, default=1024)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--passes", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = RecommenderConfig(width=arguments.width, hidden=4 * arguments.width)
    model = registry.build(config, arguments.users, arguments.items, 0).eval().requires_grad_(False)
    sae = Sae(arguments.width, arguments.latents, "topk", arguments.k).eval().requires_grad_(False)
    batches, explainer = users(arguments.users, arguments.items, model.max_length), Explainer(model, sae)
    nowhere = Committed(Folder("nowhere"), {})
    names = np.array([f"concept {latent}" for latent in range(arguments.latents)], dtype=object)
    asked = ExplanationRequest(nowhere, nowhere, Folder("nowhere"), "user", Names(names), 5, 0)
    ids = pa.chunked_array([[str(item) for item in range(arguments.items)]])
    user_ids = np.array([str(user) for user in range(arguments.users)], dtype=object)
    answers = {int(of.user_B[0]): answer(model, of) for of in batches}

    def split(present: Present) -> object:
        u_BD, item_BT = answers[int(present.user_B[0])]
        return explainer._of_users(u_BD, torch.from_numpy(item_BT.astype(np.int64)))

    stretches: dict[str, Callable[[Present], object]] = {
        "answer": lambda present: answer(model, present),
        "split": split,
        "explain": explainer,
        "rows": lambda present: rows(explainer(present), asked, user_ids[present.user_B], ids),
    }
    seconds = dict.fromkeys(stretches, float("inf"))
    for number in range(arguments.passes + 1):
        for name, work in stretches.items():
            start = time.perf_counter()
            for present in batches:
                work(present)
            if number:  # the first pass warms up
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    count = arguments.users * TOP
    print(f"{count:,} recommendations: {', '.join(f'{name} {1000 * of:.0f} ms' for name, of in seconds.items())}")
    rate = {name: f"{count / seconds[name]:,.0f}" for name in ("split", "explain")}
    print(
        f"explained per second: {rate['explain']} from histories, {rate['split']} given the answer (target: {TARGET:,})"
    )
    print(f"the parts differ from the score by at most {max(furthest(model, of, explainer(of)) for of in batches):.1e}")


if __name__ == "__main__":
    main()
