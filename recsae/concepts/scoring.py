"""The stage `scores`: finalists judged on select users, the best one judged again on score users, beside its control.

The language-model judge decides; the attribute judge stands beside it and decides nothing. The centre of a concept, its
threshold, is the midpoint of its mean values over active and silent select cases. The control puts the same concept and
centre before the evidence of another latent, by a seeded derangement. Targets are never read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from recsae.concepts import measures, prompts, terms
from recsae.concepts.asking import ask_once
from recsae.concepts.cases import Judged, LatentCases, read_cases
from recsae.concepts.engine import EnginePool
from recsae.concepts.judging import Pair, Verdicts, bears
from recsae.concepts.llm_model import locate_model
from recsae.config import Config
from recsae.data.catalogue import Catalogue
from recsae.schemas import LABELS, NEAR_MISS, SCORES, VERDICTS
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

PROMPTS_PER_SECOND = 50
"""Judgements of the embedded model by one engine on one CPU core, as measured; for the estimate printed beforehand."""


class Finalist(NamedTuple):
    """A candidate that is judged."""

    latent: int
    candidate: int
    concept: str
    terms: list[str]


class Task(NamedTuple):
    """A concept before the evidence of a latent: active cases, then silent ones, then near misses."""

    active: Judged
    silent: Judged
    near: Judged

    @staticmethod
    def of(cases: LatentCases, part: str, count: int) -> Task:
        nobody = Judged(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        near = cases.of_role(part, NEAR_MISS) if part == "score" else nobody
        return Task(cases.active(part, count), cases.silent(part, count), near)

    def items(self) -> np.ndarray:
        return np.concatenate([self.active.item, self.silent.item, self.near.item])


def score_concepts(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `scores.parquet` and `verdicts.parquet`."""
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    latents = read_cases(inputs["evidence"], config.probe.view)
    finalists = _finalists(inputs["labels"])
    select = {latent: Task.of(cases, "select", config.scores.select_cases) for latent, cases in latents.items()}
    score = {latent: Task.of(cases, "score", config.scores.score_cases) for latent, cases in latents.items()}
    verdicts = Verdicts(config.scores.judge, catalogue)
    selecting = {(f.concept, int(item)) for f in finalists for item in select[f.latent].items()}
    _announce(len(selecting), finalists, config)
    rows: list[dict[str, Any]] = []
    centres: dict[tuple[int, int], float] = {}
    best: dict[int, tuple[float, Finalist]] = {}
    with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool:

        def ask(pairs: Iterable[Pair]) -> None:
            missing = verdicts.missing(pairs)
            told = ask_once([verdicts.request(pair) for pair in missing], pool, out.progress, "verdicts")
            verdicts.answers.update(zip(missing, told, strict=True))

        ask(selecting)
        for finalist in finalists:
            task = select[finalist.latent]
            centre = _centre(verdicts, finalist.concept, task)
            if centre is None:
                continue
            centres[finalist.latent, finalist.candidate] = centre
            row = _judged(verdicts, vocabulary, finalist, task, centre, config)
            rows += [{**_names(finalist, "select", "none"), **one} for one in row]
            better = row[0]["auc"]
            if better is not None and (finalist.latent not in best or better > best[finalist.latent][0]):
                best[finalist.latent] = (better, finalist)
        chosen = [finalist for _, finalist in best.values()]
        other = derangement(len(chosen), config.seed)
        shuffled = {finalist.latent: chosen[other[place]].latent for place, finalist in enumerate(chosen)}
        ask(
            (f.concept, int(item))
            for f in chosen
            for task in (score[f.latent], score[shuffled[f.latent]])
            for item in task.items()
        )
    for finalist in chosen:
        centre = centres[finalist.latent, finalist.candidate]
        for control, latent in (("none", finalist.latent), ("shuffled", shuffled[finalist.latent])):
            if control == "shuffled" and latent == finalist.latent:
                continue  # the only one: its own evidence is no control
            judged = _judged(verdicts, vocabulary, finalist, score[latent], centre, config)
            rows += [{**_names(finalist, "score", control), **one} for one in judged]
    out.write_table("scores.parquet", pa.Table.from_pylist(rows, SCORES), SCORES)
    out.write_table("verdicts.parquet", _verdict_table(verdicts, config), VERDICTS)
    own = verdicts.own_auc(vocabulary, [(finalist.concept, finalist.terms) for finalist in finalists])
    failed = sum(answer.status != "ok" for answer in verdicts.answers.values())
    log.info("scores: %d latents scored, %d judgements, %d failed", len(chosen), len(verdicts.answers), failed)
    return {
        "judge": config.scores.judge,
        "judge_auc": own,
        "finalists": len(finalists),
        "scored": len(chosen),
        "prompts": len(verdicts.answers),
        "failed": failed,
        "tokens": sum(answer.tokens for answer in verdicts.answers.values()),
    }


def _finalists(labels: Committed) -> list[Finalist]:
    table = labels.read_table("labels.parquet").cast(LABELS)
    return [
        Finalist(row["latent"], row["candidate"], row["concept"], row["terms"])
        for row in table.to_pylist()
        if row["finalist"]
    ]


def _announce(selecting: int, finalists: list[Finalist], config: Config) -> None:
    """The number of prompts and minutes to expect; pairs that latents share make it less."""
    latents = len({finalist.latent for finalist in finalists})
    scoring = latents * 2 * (2 * config.scores.score_cases + config.evidence.near_miss)
    minutes = (selecting + scoring) / (PROMPTS_PER_SECOND * config.resources.llm_actors) / 60
    log.info(
        "scores: %d finalists of %d latents: %d prompts to select, at most %d to score, "
        "at most %.0f minutes with the embedded model on a CPU",
        len(finalists),
        latents,
        selecting,
        scoring,
        np.ceil(minutes),
    )


def _centre(verdicts: Verdicts, concept: str, task: Task) -> float | None:
    active, silent = verdicts.values(concept, task.active.item), verdicts.values(concept, task.silent.item)
    active, silent = active[~np.isnan(active)], silent[~np.isnan(silent)]
    return float((active.mean() + silent.mean()) / 2) if len(active) and len(silent) else None


def derangement(count: int, seed: int) -> np.ndarray:
    """A seeded permutation without a fixed point (a single one stays where it is): a random cycle."""
    order = np.random.default_rng(seed).permutation(count)
    found = np.empty(count, dtype=np.int64)
    found[order] = np.roll(order, 1)
    return found


def _judged(
    verdicts: Verdicts, vocabulary: terms.Vocabulary, finalist: Finalist, task: Task, centre: float, config: Config
) -> list[dict[str, Any]]:
    """The language model's row and, where the concept names terms, the attributes' row."""
    items = np.concatenate([task.active.item, task.silent.item])
    users = np.concatenate([task.active.user, task.silent.user])
    active = np.arange(len(items)) < len(task.active.item)
    value = verdicts.values(finalist.concept, items)
    told = ~np.isnan(value)
    near = verdicts.values(finalist.concept, task.near.item)
    near = near[~np.isnan(near)]
    rows = [
        {
            "judge": "llm",
            "centre": centre,
            **_figures(value[told] > centre, value[told], active[told], users[told], near > centre, config),
        }
    ]
    if finalist.terms:
        borne = bears(vocabulary, finalist.terms, items)
        near_borne = bears(vocabulary, finalist.terms, task.near.item)
        rows.append(
            {
                "judge": "attributes",
                "centre": None,
                **_figures(borne, borne.astype(np.float64), active, users, near_borne, config),
            }
        )
    return rows


def _figures(
    judged: np.ndarray, value: np.ndarray, active: np.ndarray, users: np.ndarray, near: np.ndarray, config: Config
) -> dict[str, Any]:
    counts = measures.count(judged, active)
    bounds = measures.interval(judged, active, users, config.scores.bootstrap, config.seed)
    return {
        **counts._asdict(),
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "auc": measures.auc(value, active),
        "confidence": counts.confidence,
        "lower": bounds[0] if bounds else None,
        "upper": bounds[1] if bounds else None,
        "near_miss_rate": float(near.mean()) if len(near) else None,
    }


def _names(finalist: Finalist, part: str, control: str) -> dict[str, Any]:
    return {
        "latent": finalist.latent,
        "candidate": finalist.candidate,
        "concept": finalist.concept,
        "part": part,
        "control": control,
    }


def _verdict_table(verdicts: Verdicts, config: Config) -> pa.Table:
    pairs = sorted(verdicts.answers)
    answers = [verdicts.answers[pair] for pair in pairs]
    return pa.table(
        {
            "concept": [concept for concept, _ in pairs],
            "item_idx": [item for _, item in pairs],
            "judge": [config.scores.judge] * len(pairs),
            "view": [config.probe.view] * len(pairs),
            "prompt_version": [prompts.VERSION] * len(pairs),
            "model": [config.llm.model] * len(pairs),
            "value": pa.array([answer.value for answer in answers], pa.float64()),
            "status": [answer.status for answer in answers],
        }
    )
