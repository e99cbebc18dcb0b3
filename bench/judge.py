"""Judgements a second: recsae's engine pool beside one `transformers` forward pass per prompt, as the peers do it.

    python bench/judge.py [--prompts 400] [--rounds 3]

The same model, prompts and one core for both; start-up is left out; contestants alternate, each in its own process.
Prints the rates, their ratio (median over rounds) and the largest difference of a likelihood.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from recsae.concepts import prompts
from recsae.concepts.engine import EnginePool, Request
from recsae.concepts.llm_model import locate_model
from recsae.config import LlmConfig, ResourcesConfig

GENRES = ("Horror", "Western", "Musical", "Animation", "Romance", "War", "Documentary", "Comedy")


def requests(count: int) -> list[Request]:
    """Items with a neutral title and two genres, eight concepts each, those of one item next to each other."""
    made = []
    for number in range(count):
        item, concept = divmod(number, len(GENRES))
        genres = f"{GENRES[item % len(GENRES)]}, {GENRES[(item + 3) % len(GENRES)]}"
        text = prompts.judge_pmi(f"Film {item:04d} (genres: {genres}; decade: {1930 + item % 9 * 10}s)")
        made.append(Request("loglikelihood", text, prompts.continuation(GENRES[concept])))
    return made


def pool(asked: list[Request]) -> tuple[float, list[float]]:
    import ray

    ray.init(address="local", num_cpus=3, include_dashboard=False, logging_level="ERROR")
    llm, resources = LlmConfig(), ResourcesConfig(llm_actors=1)
    values = [0.0] * len(asked)
    with EnginePool(llm, resources, locate_model(llm)) as engines:
        list(engines.ask(requests(16)[8:], None))  # start-up
        start = time.perf_counter()
        for indices, answers in engines.ask(asked, None):
            for index, answer in zip(indices, answers, strict=True):
                values[index] = answer.value or 0.0
        seconds = time.perf_counter() - start
    ray.shutdown()
    return seconds, values


def transformers(asked: list[Request]) -> tuple[float, list[float]]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    folder = locate_model(LlmConfig())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    values = []
    with torch.inference_mode():
        model(torch.tensor([[1, 2, 3]]))
        start = time.perf_counter()
        for request in asked:
            before = tokenizer.encode(request.prompt)
            after = tokenizer.encode(request.continuation, add_special_tokens=False)
            logits = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].float()
            chosen = logits.log_softmax(-1).gather(1, torch.tensor(after)[:, None])
            values.append(float(chosen.sum()))
        seconds = time.perf_counter() - start
    return seconds, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contestant", choices=("pool", "transformers"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        contestant = {"pool": pool, "transformers": transformers}[arguments.contestant]
        seconds, values = contestant(requests(arguments.prompts))
        print(json.dumps({"seconds": seconds, "values": values}))
        return
    ratios = []
    for number in range(arguments.rounds):
        found = {}
        for name in ("pool", "transformers"):
            command = [sys.executable, __file__, "--contestant", name, "--prompts", str(arguments.prompts)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            found[name] = json.loads(ran.stdout.strip().splitlines()[-1])
        rates = {name: arguments.prompts / result["seconds"] for name, result in found.items()}
        ratios.append(rates["pool"] / rates["transformers"])
        apart = max(abs(a - b) for a, b in zip(*(result["values"] for result in found.values()), strict=True))
        print(
            f"round {number + 1}: pool {rates['pool']:.1f}/s, transformers {rates['transformers']:.1f}/s, "
            f"ratio {ratios[-1]:.1f}, likelihoods at most {apart:.2f} nats apart"
        )
    print(f"judgements: {statistics.median(ratios):.1f} times one forward pass per prompt")


if __name__ == "__main__":
    main()
