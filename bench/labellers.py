"""Language models side by side on one run: do their names hold, is their judgement worth anything, what does it cost?

    python bench/labellers.py MODEL… [--config jobs/configs/demo.toml] [--set A.B=C] [--latents 24]

MODEL is `smollm2-135m`, a folder, a hub id, or an endpoint as `URL#NAME`, which writes while the config's own model
judges. Each runs the stages `labels` and `scores` on the same latents of a run whose earlier stages are committed, and
commits them beside those of the run. Printed for each:

    first       of the first names, how many hold on select users
    chosen      latents whose name on select users is a free one, of those with a name
    AUC, J      the judge against the attributes, with Youden's J
    masked      the same on texts without the attribute that is asked about
    captions    captions kept on select users, of statements asked about
    s           CPU-seconds a latent, the start of the engines left out
    start       CPU-seconds of one engine's start

The demo, on two busy cores without a GPU:

| model | first | chosen | AUC | J | masked AUC | J | captions | s | start |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| smollm2-135m, 16 latents | 2 of 8 | 0 of 16 | 0.970 | 0.834 | 0.703 | 0.422 | 0 of 0 | 7.8 | 17 |

qwen2.5-coder-1.5b was too slow there for a whole run. In parts: 11 CPU-seconds a name, 33 for three captions, 0.4 to
0.8 a verdict, 23 to 30 a start. Of ten names 4 beat guessing by one standard error (smollm2-135m judges). On 120 pairs
of 12 terms with items, half of which have the term, AUC 0.978 and J 0.883. Of 18 captions 14 repeated the prompt of
that day. A model of code writes names of genres and little else.

Users with access to a hub may try instruct models of that size for general text, as Qwen/Qwen3-0.6B or
ibm-granite/granite-4.0-1b, both Apache-2.0. They were not run here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.distributed.cluster import start_ray
from recsae.llm.model import locate_model
from recsae.llm.pool import EnginePool, Request
from recsae.llm.sharing import shared_engines
from recsae.pipeline.runner import Pipeline
from recsae.store.run_store import Committed

HEADER = ("model", "first", "chosen", "AUC", "J", "masked AUC", "J", "captions", "s", "start")


def configured(model: str, arguments: argparse.Namespace) -> Config:
    url, _, name = model.partition("#")
    own = [f"labels.endpoint.url={url}", f"labels.endpoint.model={name}"] if name else [f"llm.model={model}"]
    overrides = [f"labels.latents={arguments.latents}", "resources.llm_actors=1", *arguments.set, *own]
    return load(str(arguments.config), overrides)


def measure(model: str, arguments: argparse.Namespace) -> list[str]:
    """The cells of one row."""
    config = configured(model, arguments)
    pipeline = Pipeline(config)
    start_ray(config)
    with shared_engines():
        before = cpu_seconds()
        with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool:
            list(pool.ask([Request("yes_no", "Is this a question?")]))
        started = cpu_seconds()
        labels, scores = pipeline.run("labels"), pipeline.run("scores")
        worked = cpu_seconds() - started
    names, captions, found = labels.metrics["free_names"], labels.metrics["captions"], scores.metrics
    return [
        Path(model).name,
        f"{names['held']} of {names['first']}",
        f"{free_names_chosen(labels, scores)} of {found['scored']}",
        *(number(found[name]) for name in ("judge_auc", "judge_youden", "judge_masked_auc", "judge_masked_youden")),
        f"{captions['kept']} of {captions['asked']}",
        f"{worked / labels.metrics['latents']:.1f}",
        f"{started - before:.0f}",
    ]


def free_names_chosen(labels: Committed, scores: Committed) -> int:
    """Latents that are called by a name which the language model wrote."""
    source = {(row["latent"], row["candidate"]): row["source"] for row in rows(labels, "labels.parquet")}
    chosen = {
        (row["latent"], row["candidate"])
        for row in rows(scores, "scores.parquet")
        if (row["part"], row["judge"], row["control"]) == ("score", "llm", "none")
    }
    return sum(source[one] == "model" for one in chosen)


def rows(committed: Committed, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = committed.read_table(table).to_pylist()
    return found


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def cpu_seconds() -> float:
    """Of this process and all below it that still live."""
    found = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            found += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return found


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--config", type=Path, default=Path("jobs/configs/demo.toml"))
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--latents", type=int, default=24)
    arguments = parser.parse_args()
    print(line(HEADER))
    print(line(["---"] * len(HEADER)))
    for model in arguments.models:
        print(line(measure(model, arguments)), flush=True)


if __name__ == "__main__":
    main()
