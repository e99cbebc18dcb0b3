"""What the report warns of: figures of a run that a careful reader would look at before any concept, and what to do.

A warning is said only where its figure was committed and lies past a bound; what was not measured never warns. It knows
the names of the stages' metrics and of the config's keys, and nothing of HTML. What a night must reach to be served is
the gate's, in recsae/pipeline/gate.py; nothing here holds anything back.
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
"""Items without a title, of all: more than so many."""
RECALL = 0.9
"""Of the index that finds the item ranked first: less."""
FVU = 0.3
DEAD = 0.5
LOST = 0.2
"""Share of NDCG@10 that ranking through the SAE loses: more."""
AUC = 0.6
"""Of the judge where attributes tell the truth: less."""
FAILED = 0.01
"""Answers of the language model that could not be used, of all: more than so many."""
OFF = 0.1
"""Mean distance between what is expected of a concept and what comes true: more."""
CUTOFF = 10
_BY_LUCK = sum(1 / math.log2(1 + rank) for rank in range(1, CUTOFF + 1))
"""NDCG@10 of a random order, times the number of items: the target is as likely at one rank as at any other."""


class Caution(NamedTuple):
    said: str
    todo: str


class _Figures:
    """Numbers that the stages committed, None where there is none."""

    def __init__(self, inputs: Mapping[str, Committed]) -> None:
        self._metrics = {name: found.metrics for name, found in inputs.items()}

    def at(self, stage: str, *keys: str) -> float | None:
        return number(self.given(stage, *keys))

    def given(self, stage: str, *keys: str) -> Any:
        return look_up(self._metrics.get(stage, {}), *keys)


def about_warnings(config: Config, inputs: Mapping[str, Committed]) -> tuple[Caution, ...]:
    """In the order in which a run makes what they are about; none where nothing stands out."""
    found = _Figures(inputs)
    return (
        *_data(config, found),
        *_recommender(config, found),
        *_sae(found),
        *_language_model(found),
        *_dictionary(found),
        *_steering(found),
    )


def _data(config: Config, found: _Figures) -> Iterator[Caution]:
    data = config.data
    events = found.at("ingest", "events")
    if events and data.format == "table" and not data.columns.timestamp and not data.list_separator:
        yield Caution(
            f"The {count(events)} events have no timestamps: the order of the rows stood for the order in time.",
            "Make sure that the files are in that order, or name the column in data.columns.timestamp.",
        )
    items, untitled = found.at("ingest", "items"), found.at("ingest", "items_without_title")
    if items and untitled is not None and untitled / items > UNTITLED:
        yield Caution(
            f"{count(untitled)} of {count(items)} items have no title, and the language model reads their ids.",
            "Name a file with titles in data.items, and their column in data.columns.title.",
        )
    recall = found.at("activations", "search_recall")
    if recall is not None and recall < RECALL:
        yield Caution(
            f"The index found the item that the model ranks first in {share(recall)} of the cases that were checked.",
            'Concepts of the others speak of another item: set probe.search = "exact", and probe.search_fraction if '
            "that is too slow.",
        )


def _recommender(config: Config, found: _Figures) -> Iterator[Caution]:
    ndcg, items = found.at("recommender", "test", "ndcg@10"), found.at("ingest", "items")
    if ndcg is not None and items and items > CUTOFF:
        ends = found.given("recommender", "test_intervals", "ndcg@10")
        lower = number(ends[0]) if isinstance(ends, (list, tuple)) and len(ends) == 2 else None
        by_luck = _BY_LUCK / items
        if (ndcg if lower is None else lower) <= by_luck:
            told = f"{decimal(ndcg, 4)} {interval(ends, 4)}".rstrip()
            yield Caution(
                f"The recommender’s test NDCG@10 is {told}, which a random order of the items, at "
                f"{decimal(by_luck, 4)}, may reach.",
                "Train a better one before its latents are explained, or give it more events to be tested on.",
            )
    best, epochs = found.at("recommender", "best_epoch"), found.at("recommender", "epochs")
    whole = found.given("recommender", "start") != WARM and not config.recommender.decay
    if epochs and best == epochs and whole:
        yield Caution(
            f"The recommender was still getting better when training ended: of {count(epochs)} epochs the last was "
            "the best.",
            "Raise recommender.epochs.",
        )


def _sae(found: _Figures) -> Iterator[Caution]:
    fvu, kept = found.at("sae", "fvu"), found.at("sae", "fidelity", "rows", "sae", "ndcg@10_kept")
    if fvu is not None and fvu > FVU:
        yield Caution(
            f"FVU is {decimal(fvu)}: so large a share of the activations’ variance no latent explains.",
            "Raise sae.k, sae.num_latents or sae.steps.",
        )
    untrained = found.at("sae", "fidelity", "rows", "untrained", "fvu")
    if fvu is not None and untrained is not None and fvu >= untrained:
        yield Caution(
            f"The SAE keeps no more than an untrained one: FVU {decimal(fvu)} against {decimal(untrained)}.",
            "Its training failed: try another sae.learning_rate, or raise sae.steps.",
        )
    if kept is not None and 1 - kept > LOST:
        yield Caution(
            f"Ranking through the SAE loses {share(1 - kept)} of NDCG@10: what the model needs for its "
            "recommendations is not all in the latents.",
            "Raise sae.k or sae.num_latents, or pick of a sweep with sae.sweep.keep_ndcg.",
        )
    dead = found.at("sae", "dead_share")
    if dead is not None and dead > DEAD:
        yield Caution(
            f"{share(dead)} of the latents are dead: they fire in no explain case.",
            "Lower sae.num_latents, or raise sae.auxk or sae.steps.",
        )
    own, control = found.at("sae", "correlation", "sae"), found.at("sae", "correlation", "untrained")
    if own is not None and control is not None and own <= control:
        yield Caution(
            f"Latents answer to attributes no better than those of an untrained SAE: mean best r {decimal(own)} "
            f"against {decimal(control)}.",
            "Read names with care, and compare several SAEs in sae.sweep.",
        )


def _language_model(found: _Figures) -> Iterator[Caution]:
    alive, labelled = found.at("evidence", "alive"), found.at("labels", "latents")
    if alive and labelled is not None and labelled < alive:
        yield Caution(
            f"Of {count(alive)} living latents {count(labelled)} were labelled, drawn by the seed.",
            "What is said of the dictionary is said of that sample; leave out labels.latents to label all.",
        )
    failed, candidates = found.at("labels", "failed"), found.at("labels", "candidates")
    if failed is not None and candidates and failed / candidates > FAILED:
        yield Caution(
            f"{count(failed)} of {count(candidates)} candidate concepts failed, {share(failed, candidates)}.",
            "The column status of labels.parquet says why.",
        )
    failed, asked = found.at("scores", "failed"), found.at("scores", "prompts")
    asked = None if asked is None else asked + (found.at("scores", "reused") or 0)
    if failed is not None and asked and failed / asked > FAILED:
        yield Caution(
            f"{count(failed)} of {count(asked)} judgements failed, {share(failed, asked)}.",
            "The column status of verdicts.parquet says why.",
        )
    auc = found.at("scores", "judge_auc")
    if auc is not None and auc < AUC:
        yield Caution(
            f"The judge’s own AUC is {decimal(auc)}, and guessing gives 0.5: a low confidence says little about a "
            "latent.",
            "Take a larger model in llm.model, and read the scores by attributes meanwhile.",
        )
    off = found.at("scores", "calibration", "error")
    if off is not None and off > OFF:
        yield Caution(
            f"What is expected of a concept is off by {decimal(off)} on average.",
            "Raise scores.score_cases, and take no single confidence at its word.",
        )


def _dictionary(found: _Figures) -> Iterator[Caution]:
    interpretable, controls = (found.at("concepts", key) for key in ("interpretable", "shuffled_interpretable"))
    if found.at("concepts", "scored") == 0:
        yield Caution(
            "Of no latent could a concept be scored: 0 are in the dictionary with a confidence.",
            "The column status of concepts.parquet says why.",
        )
    elif interpretable is not None and controls is not None and interpretable <= controls:
        yield Caution(
            f"{count(interpretable)} latents are interpretable, and of their shuffled controls {count(controls)} pass "
            "the same bar: names do no better than chance.",
            "Do not use this dictionary; look at the judge’s AUC and at FVU first.",
        )


def _steering(found: _Figures) -> Iterator[Caution]:
    turned, moving = found.at("steering", "latents"), found.at("steering", "above_null")
    if turned and moving == 0:
        yield Caution(
            f"{count(turned)} latents were turned up, and none raises the share of its concept beyond chance.",
            "Read the names as captions and not as causes, or turn farther with steering.strengths and "
            "steering.reference.",
        )
