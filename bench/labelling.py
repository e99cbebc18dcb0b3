"""Names and judgements per second: the engine pool compared with `transformers`, one call per question, and with vLLM.

    python bench/labelling.py [--rounds 3] [--names 64] [--latents 12] [--items 8]

The embedded model answers three tasks on films of the built-in data: free names of exactly 32 tokens, so that no
contestant gains by short answers; the questions of the stage `labels` for one latent after another, a name and the
likelihoods of ten terms over the same evidence; and judgements, 80 concepts per item. Contestants: the pool with one
engine and with two, bare vLLM on the same names, an engine without prefix caching on the same judgements, and
`transformers` on an eighth of the questions, one call each. Each engine has one thread, and start-up is left out.
Contestants alternate, each in its own process. CPU seconds are printed beside wall-clock seconds, because a busy
machine changes them less. Prints medians, and the differences between likelihoods.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq
from contestants import run_contestant

import recsae.data
from recsae.config.concepts import LlmConfig
from recsae.config.schema import ResourcesConfig
from recsae.labels import prompts
from recsae.llm.model import locate_model
from recsae.llm.pool import Engine, EnginePool, Request, environment

ANSWER = 32
"""Tokens of a name and its sentence, about as many as the small model writes under the grammar."""
SHOWN = 10
TERMS = 10
CONCEPTS = 80
ALONE = 8
"""`transformers` answers one question in this many."""


class FixedEngine(Engine):
    """Writes exactly ANSWER tokens."""

    def _generate_params(self, schema: dict[str, Any] | None, seed: int | None) -> Any:
        from vllm import SamplingParams

        return SamplingParams(max_tokens=ANSWER, ignore_eos=True, temperature=0)


class FixedPool(EnginePool):
    engine = FixedEngine


class UncachedEngine(FixedEngine):
    def _settings(self, llm: LlmConfig, resources: ResourcesConfig) -> dict[str, Any]:
        return super()._settings(llm, resources) | {"enable_prefix_caching": False}


class Ran(NamedTuple):
    """One task of one contestant."""

    questions: int
    wall: float
    cpu: float
    values: list[float]


class Films:
    """Draws evidence from the built-in data: films of one genre, as in the catalogue."""

    def __init__(self, seed: int) -> None:
        rows = pq.read_table(Path(recsae.data.__file__).parent / "builtin" / "items.parquet").to_pylist()
        self.rows = [row for row in rows if row["genres"] and row["decade"]]
        self.draw = random.Random(seed)
        self.terms = sorted({term for row in self.rows for term in (*row["genres"], row["decade"])})
        self.words = sorted({tag for row in self.rows for tag in row["tags"] if len(tag) < 24})

    @staticmethod
    def text(row: dict[str, Any]) -> str:
        tags = f"; tags: {', '.join(row['tags'][:3])}" if row["tags"] else ""
        return f"{row['title']} (genres: {', '.join(row['genres'])}; decade: {row['decade']}{tags})"

    def evidence(self) -> list[str]:
        genre = self.draw.choice(self.draw.choice(self.rows)["genres"])
        alike = [row for row in self.rows if genre in row["genres"]]
        return [self.text(row) for row in self.draw.sample(alike, SHOWN)]

    def names(self, count: int) -> list[Request]:
        return [Request("generate", prompts.name(self.evidence(), self.evidence())) for _ in range(count)]

    def latents(self, count: int) -> list[Request]:
        asked = []
        for _ in range(count):
            items = self.evidence()
            asked.append(Request("generate", prompts.name(items, self.evidence())))
            for term in self.draw.sample(self.terms, TERMS):
                asked.append(Request("loglikelihood", prompts.rank(items), prompts.continuation(term)))
        return asked

    def judgements(self, items: int) -> list[Request]:
        """Judgements of terms, pairs of terms and tags, as finalists are."""
        asked = []
        for row in self.draw.sample(self.rows, items):
            pairs = [", ".join(self.draw.sample(self.terms, 2)) for _ in range(CONCEPTS)]
            concepts = dict.fromkeys([*self.terms, *self.draw.sample(self.words, CONCEPTS // 3), *pairs])
            for concept in sorted(list(concepts)[:CONCEPTS]):
                asked.append(Request("loglikelihood", prompts.judge_pmi(self.text(row)), prompts.continuation(concept)))
        return asked


def tasks(arguments: argparse.Namespace, round_number: int) -> dict[str, list[Request]]:
    films = Films(round_number)
    return {
        "names": films.names(arguments.names),
        "latents": films.latents(arguments.latents),
        "judgements": films.judgements(arguments.items),
    }


def timed(count: int, run: Callable[[], list[float]], cpu: Callable[[], float]) -> Ran:
    wall, used = time.perf_counter(), cpu()
    values = run()
    return Ran(count, time.perf_counter() - wall, cpu() - used, values)


def pool(engines: int) -> Callable[[dict[str, list[Request]]], dict[str, Ran]]:
    def run(asked: dict[str, list[Request]]) -> dict[str, Ran]:
        import ray

        ray.init(address="local", num_cpus=engines + 1, include_dashboard=False, logging_level="ERROR")
        llm, resources = LlmConfig(), ResourcesConfig(llm_actors=engines)
        warm = [Request("loglikelihood", f"{number}", " one") for number in range(engines)]
        with FixedPool(llm, resources, locate_model(llm)) as engine_pool:

            def ask(requests: list[Request]) -> list[float]:
                values = dict.fromkeys(range(len(requests)), 0.0)
                for indices, answers in engine_pool.ask(requests):
                    values |= {at: answer.value or 0.0 for at, answer in zip(indices, answers, strict=True)}
                return list(values.values())

            ask(warm)
            found = {}
            for name, some in asked.items():
                apart = sorted(some, key=lambda request: request.kind)  # names separately, as in the stage
                found[name] = timed(len(some), lambda apart=apart: ask(apart), _cpu_of_all)
        ray.shutdown()
        return found

    return run


def _cpu_of_all() -> float:
    """CPU seconds of this process and its children, engines included."""
    here = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (here, *here.children(recursive=True)) if _lives(process))


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def bare(asked: dict[str, list[Request]]) -> dict[str, Ran]:
    """vLLM's own `chat` on the list of names, with the pool's settings."""
    os.environ |= environment(ResourcesConfig(), offline=True)
    llm = LlmConfig()
    engine = FixedEngine(llm, ResourcesConfig(), locate_model(llm))
    conversations = [[{"role": "user", "content": request.prompt}] for request in asked["names"]]

    def run() -> list[float]:
        engine._llm.chat(conversations, engine._generate_params(None, None), use_tqdm=False)
        return []

    engine.answer([Request("generate", "Hello")], None)
    return {"names": timed(len(conversations), run, time.process_time)}


def uncached(asked: dict[str, list[Request]]) -> dict[str, Ran]:
    """An engine without prefix caching."""
    os.environ |= environment(ResourcesConfig(), offline=True)
    llm = LlmConfig()
    engine = UncachedEngine(llm, ResourcesConfig(), locate_model(llm))

    def run() -> list[float]:
        answers, _ = engine.answer(asked["judgements"], None)
        return [answer.value or 0.0 for answer in answers]

    engine.answer([Request("generate", "Hello")], None)
    return {"judgements": timed(len(asked["judgements"]), run, time.process_time)}


def transformers(asked: dict[str, list[Request]]) -> dict[str, Ran]:
    """One `generate` call per name, one forward pass per likelihood."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    folder = locate_model(LlmConfig())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def one(request: Request) -> float:
        if request.kind == "generate":
            chat = [{"role": "user", "content": request.prompt}]
            ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
            model.generate(**ids, min_new_tokens=ANSWER, max_new_tokens=ANSWER, do_sample=False)
            return 0.0
        before = tokenizer.encode(request.prompt)
        after = tokenizer.encode(request.continuation, add_special_tokens=False)
        logits = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].float()
        return float(logits.log_softmax(-1).gather(1, torch.tensor(after)[:, None]).sum())

    with torch.inference_mode():
        one(asked["names"][0])
        found = {}
        for name, some in asked.items():
            step = TERMS + 1 if name == "latents" else 1  # whole latents
            few = [some[at] for first in range(0, len(some), ALONE * step) for at in range(first, first + step)]
            found[name] = timed(len(few), lambda few=few: [one(request) for request in few], time.process_time)
        return found


CONTESTANTS = {"pool": pool(1), "two": pool(2), "bare": bare, "uncached": uncached, "transformers": transformers}
"""Contestants in the order in which they run."""


def report(rounds: list[dict[str, dict[str, Ran]]]) -> None:
    def rate(contestant: str, task: str, seconds: str = "wall") -> list[float]:
        return [one[contestant][task].questions / getattr(one[contestant][task], seconds) for one in rounds]

    def against(task: str, first: str, second: str) -> str:
        """Ratios of rates within a round, by the clock and by CPU."""
        ratios = [
            statistics.median(a / b for a, b in zip(rate(first, task, by), rate(second, task, by), strict=True))
            for by in ("wall", "cpu")
        ]
        return f"{ratios[0]:.2f} times ({ratios[1]:.2f} by CPU)"

    for task, unit in (("names", 1), ("latents", TERMS + 1), ("judgements", 1)):
        for contestant in CONTESTANTS:
            if task in rounds[0][contestant]:
                wall, cpu = (statistics.median(rate(contestant, task, by)) / unit for by in ("wall", "cpu"))
                print(f"{task:<11} {contestant:<13} {wall:7.2f} a second, {cpu:7.2f} a CPU-second")
    for task in ("names", "latents", "judgements"):
        print(f"{task}: the pool against one transformers call a question: {against(task, 'pool', 'transformers')}")
        print(f"{task}: two engines against one: {against(task, 'two', 'pool')}")
    print(f"names: the pool against bare vLLM: {against('names', 'pool', 'bare')}")
    print(f"judgements: with prefix caching against without: {against('judgements', 'pool', 'uncached')}")
    apart = [
        abs(a - b)
        for one in rounds
        for a, b in zip(
            one["pool"]["judgements"].values[::ALONE], one["transformers"]["judgements"].values, strict=True
        )
    ]
    print(f"judgements: pool and transformers {statistics.fmean(apart):.3f} nats apart, at most {max(apart):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", type=int, default=64)
    parser.add_argument("--latents", type=int, default=12)
    parser.add_argument("--items", type=int, default=8)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--round", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        print(json.dumps(CONTESTANTS[arguments.contestant](tasks(arguments, arguments.round))))
        return
    rounds: list[dict[str, dict[str, Ran]]] = []
    for number in range(arguments.rounds):
        found = {}
        for name in CONTESTANTS:
            results = run_contestant(__file__, *sys.argv[1:], "--contestant", name, "--round", number)
            found[name] = {task: Ran(*one) for task, one in results.items()}
        rounds.append(found)
    report(rounds)


if __name__ == "__main__":
    main()
