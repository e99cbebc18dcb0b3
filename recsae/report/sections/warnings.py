"""The report's warnings: figures of a run to check before reading any concept, each with a remedy.

A warning appears only if its figure was committed and lies past a bound; missing figures never warn. Warnings never
block a night; the requirements for serving are in recsae/pipeline/gate.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from recsae.config.schema import Config
from recsae.store.lineage import WARM
from recsae.store.run_store import Committed
from recsae.text.formatting import count, decimal, interval, look_up, number, share

UNTITLED = 0.1
"""Warn if the share of items without a title is higher."""
RECALL = 0.9
"""Warn if the recall of the index that finds the item ranked first is lower."""
FVU = 0.3
DEAD = 0.5
NDCG_LOSS = 0.2
"""Warn if ranking through the SAE loses a larger share of NDCG@10."""
AUC = 0.6
"""Warn if the AUC of the judge against the attributes is lower."""
FAILED = 0.01
"""Warn if the share of unusable answers of the language model is higher."""
CALIBRATION_ERROR = 0.1
"""Warn if the mean calibration error is higher."""
CUTOFF = 10
_RANDOM_NDCG = sum(1 / math.log2(1 + rank) for rank in range(1, CUTOFF + 1))
"""NDCG@10 of a random order, times the number of items: the target is equally likely at every rank."""


class Caution(NamedTuple):
    message: str
    remedy: str


class _Metrics:
    """The metrics that the stages committed; None for missing ones."""

    def __init__(self, inputs: Mapping[str, Committed]) -> None:
        self._metrics = {name: found.metrics for name, found in inputs.items()}

    def number(self, stage: str, *keys: str) -> float | None:
        return number(self.value(stage, *keys))

    def value(self, stage: str, *keys: str) -> Any:
        return look_up(self._metrics.get(stage, {}), *keys)


def about_warnings(config: Config, inputs: Mapping[str, Committed]) -> tuple[Caution, ...]:
    """All warnings, in the order of the stages."""
    found = _Metrics(inputs)
    return (
        *_data(config, found),
        *_recommender(config, found),
        *_sae(found),
        *_language_model(found),
        *_dictionary(found),
        *_steering(found),
    )


def _data(config: Config, found: _Metrics) -> Iterator[Caution]:
    data = config.data
    events = found.number("ingest", "events")
    if events and data.format == "table" and not data.columns.timestamp and not data.list_separator:
        yield Caution(
            f"The {count(events)} events have no timestamps, so the order of the rows is taken as the order in time.",
            "Make sure that the files are in chronological order, or name the column in data.columns.timestamp.",
        )
    items, untitled = found.number("ingest", "items"), found.number("ingest", "items_without_title")
    if items and untitled is not None and untitled / items > UNTITLED:
        yield Caution(
            f"{count(untitled)} of {count(items)} items have no title; the language model reads their ids instead.",
            "Name a file with titles in data.items, and their column in data.columns.title.",
        )
    recall = found.number("activations", "search_recall")
    if recall is not None and recall < RECALL:
        yield Caution(
            f"The index found the item that the model ranks first in only {share(recall)} of the checked cases.",
            'In the other cases, concepts refer to another item: set probe.search = "exact", and probe.search_fraction '
            "if that is too slow.",
        )


def _recommender(config: Config, found: _Metrics) -> Iterator[Caution]:
    ndcg, items = found.number("recommender", "test", "ndcg@10"), found.number("ingest", "items")
    if ndcg is not None and items and items > CUTOFF:
        ends = found.value("recommender", "test_intervals", "ndcg@10")
        lower = number(ends[0]) if isinstance(ends, (list, tuple)) and len(ends) == 2 else None
        random_ndcg = _RANDOM_NDCG / items
        if (ndcg if lower is None else lower) <= random_ndcg:
            shown = f"{decimal(ndcg, 4)} {interval(ends, 4)}".rstrip()
            yield Caution(
                f"The recommender’s test NDCG@10 is {shown}, not clearly above that of a random order of the items, "
                f"{decimal(random_ndcg, 4)}.",
                "Train a better recommender before explaining its latents, or test it on more events.",
            )
    best, epochs = found.number("recommender", "best_epoch"), found.number("recommender", "epochs")
    full_training = found.value("recommender", "start") != WARM and not config.recommender.decay
    if epochs and best == epochs and full_training:
        yield Caution(
            f"The recommender was still improving when training ended: the last of {count(epochs)} epochs was best.",
            "Raise recommender.epochs.",
        )


def _sae(found: _Metrics) -> Iterator[Caution]:
    fvu, kept = found.number("sae", "fvu"), found.number("sae", "fidelity", "rows", "sae", "ndcg@10_kept")
    if fvu is not None and fvu > FVU:
        yield Caution(
            f"FVU is {decimal(fvu)}: the latents leave this share of the activations’ variance unexplained.",
            "Raise sae.k, sae.num_latents or sae.steps.",
        )
    untrained = found.number("sae", "fidelity", "rows", "untrained", "fvu")
    if fvu is not None and untrained is not None and fvu >= untrained:
        yield Caution(
            f"The SAE reconstructs no better than an untrained one: FVU {decimal(fvu)} against {decimal(untrained)}.",
            "Its training failed: try another sae.learning_rate, or raise sae.steps.",
        )
    if kept is not None and 1 - kept > NDCG_LOSS:
        yield Caution(
            f"Ranking through the SAE loses {share(1 - kept)} of NDCG@10: the latents miss part of what the "
            "model needs for its recommendations.",
            "Raise sae.k or sae.num_latents, or pick an SAE from a sweep with sae.sweep.keep_ndcg.",
        )
    dead = found.number("sae", "dead_share")
    if dead is not None and dead > DEAD:
        yield Caution(
            f"{share(dead)} of the latents are dead: they never fire in explain cases.",
            "Lower sae.num_latents, or raise sae.auxk or sae.steps.",
        )
    trained, control = found.number("sae", "correlation", "sae"), found.number("sae", "correlation", "untrained")
    if trained is not None and control is not None and trained <= control:
        yield Caution(
            f"Latents respond to attributes no better than those of an untrained SAE: mean best r {decimal(trained)} "
            f"against {decimal(control)}.",
            "Treat names with caution, and compare several SAEs with sae.sweep.",
        )


def _language_model(found: _Metrics) -> Iterator[Caution]:
    failed, candidates = found.number("labels", "failed"), found.number("labels", "candidates")
    if failed is not None and candidates and failed / candidates > FAILED:
        yield Caution(
            f"{count(failed)} of {count(candidates)} candidate concepts failed, {share(failed, candidates)}.",
            "See the column status of labels.parquet for the reasons.",
        )
    failed, asked = found.number("scores", "failed"), found.number("scores", "prompts")
    asked = None if asked is None else asked + (found.number("scores", "reused") or 0)
    if failed is not None and asked and failed / asked > FAILED:
        yield Caution(
            f"{count(failed)} of {count(asked)} judgements failed, {share(failed, asked)}.",
            "See the column status of verdicts.parquet for the reasons.",
        )
    auc = found.number("scores", "judge_auc")
    if auc is not None and auc < AUC:
        yield Caution(
            f"The language model’s own AUC is {decimal(auc)}, where guessing gives 0.5: its verdicts say little.",
            "Use a larger model in llm.model; until then, rely on the statements, which ask no language model.",
        )
    error = found.number("scores", "calibration", "error")
    if error is not None and error > CALIBRATION_ERROR:
        yield Caution(
            f"The confidence expected of the language model is off by {decimal(error)} on average.",
            "Raise scores.score_cases, and do not rely on any single verdict of it.",
        )


def _dictionary(found: _Metrics) -> Iterator[Caution]:
    interpretable, controls = (found.number("concepts", key) for key in ("interpretable", "shuffled_interpretable"))
    if found.number("concepts", "scored") == 0:
        yield Caution(
            "No statement could be scored: 0 are in the dictionary with a confidence.",
            "See the column status of concepts.parquet for the reasons.",
        )
    elif interpretable is not None and controls is not None and interpretable <= controls:
        yield Caution(
            f"{count(interpretable)} latents are interpretable, and {count(controls)} of their shuffled controls pass "
            "the same bar: the statements are no better than chance.",
            "Do not use this dictionary; check FVU and the number of score users first.",
        )


def _steering(found: _Metrics) -> Iterator[Caution]:
    steered, moving = found.number("steering", "latents"), found.number("steering", "above_null")
    if steered and moving == 0:
        yield Caution(
            f"{count(steered)} latents were steered, and none raises the share of its concept beyond chance.",
            "Treat the names as descriptions, not causes, or use larger steering.strengths and steering.reference.",
        )
