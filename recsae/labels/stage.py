"""The stage `labels`: candidate concepts for alive latents, from catalogue terms and from a language model.

Terms are proposed by TF-IDF and by lift. The language model ranks them by pointwise mutual information (PMI) with the
evidence, and it, or an endpoint, writes one free name. The PMI is the log-likelihood of the term after the evidence
minus its mean log-likelihood after lists of baseline items; against an empty list, any term that the evidence mentions
would win. Only explain users are read. Latents that have hardly changed since last night reuse their labels (reuse.py).
The top terms of each ranking, the pairs and the free name become finalists; the stage `scores` chooses among them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.evidence.cases import LatentCases, read_cases
from recsae.labels import prompts
from recsae.labels.candidates import BASELINE_LISTS, Usage, baseline_items, pairs, prompt_items, propose
from recsae.labels.reuse import reuse_labels
from recsae.labels.rows import Row, free_row, mark_finalists, pair_row, term_row
from recsae.labels.truncation import ListQuestion, QuestionResults, ask_with_truncation
from recsae.llm.answer_cache import Pool, ask_once
from recsae.llm.endpoint import EndpointPool
from recsae.llm.model import locate_model
from recsae.llm.pool import Completion, EnginePool, Request
from recsae.observability import progress
from recsae.schemas.concepts import LABELS
from recsae.schemas.nightly import LABELLED
from recsae.stats.sampling import draw
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def label_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `labels.parquet` (terms, pairs and one free name of each sampled latent, finalists marked) and
    `labelled.parquet` (the items each latent was labelled on, tonight or on an earlier night)."""
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    alive = read_cases(inputs["evidence"], config.probe.view)
    sampled = draw(alive, config.labels.sample_size, config.seed)
    reused = reuse_labels(config, inputs, sampled, catalogue, vocabulary)
    to_label = [latent for latent in sampled if latent not in reused.latents]
    if PREVIOUS + "labels" in inputs:
        log.info("labels: %d latents reuse last night's labels, %d to label", len(reused.latents), len(to_label))
    started = time.monotonic()
    fresh = label_some(config, to_label, alive, catalogue, vocabulary, out) if to_label else NewLabels([], [])
    seconds = time.monotonic() - started
    shared = provenance(config)
    rows = sorted(
        [*reused.rows, *({**shared, **row} for row in fresh.rows)], key=lambda row: (row["latent"], row["candidate"])
    )
    out.write_table("labels.parquet", pa.Table.from_pylist(rows, LABELS), LABELS)
    out.write_table("labelled.parquet", pa.Table.from_pylist(reused.labelled, LABELLED), LABELLED)
    failed = sum(row["status"] != "ok" for row in rows)
    log.info("labels: %d candidates for %d latents, %d rows failed", len(rows), len(sampled), failed)
    return {
        "latents": len(sampled),
        "carried": len(reused.latents),
        "candidates": len(rows),
        "failed": failed,
        "requests": sum(result.requests for result in fresh.results),
        "tokens": sum(answer.tokens for result in fresh.results for answer in result.answers),
        "truncated": sum(result.truncated for result in fresh.results),
        "seconds": round(seconds, 3),
        **shared,
    }


def provenance(config: Config) -> dict[str, str]:
    """The columns of LABELS that say what made a row."""
    return {"view": config.probe.view, "prompt_version": prompts.VERSION, "model": config.llm.model}


class NewLabels(NamedTuple):
    """New rows of LABELS, and the answers of the language model behind them."""

    rows: list[Row]
    results: list[QuestionResults]


def label_some(
    config: Config,
    to_label: Sequence[int],
    alive: Mapping[int, LatentCases],
    catalogue: Catalogue,
    vocabulary: Vocabulary,
    out: Attempt,
) -> NewLabels:
    """The candidates of the latents `to_label`; starts the engines and stops them."""
    usage = Usage(vocabulary, catalogue.popularity)
    settings = config.labels
    progress.phase("proposing candidates")
    evidence = {latent: alive[latent].items("explain") for latent in to_label}
    proposed = {
        latent: propose(items, usage, settings.candidates, settings.min_support) for latent, items in evidence.items()
    }

    def texts(items: np.ndarray) -> tuple[str, ...]:
        return tuple(catalogue.text(int(item)) for item in items)

    evidence_texts = {latent: texts(prompt_items(alive[latent], settings.cases)) for latent in to_label}
    candidate_terms = [(latent, candidate.terms[0]) for latent, found in proposed.items() for candidate in found]
    used = sorted({term for _, term in candidate_terms})
    # From all alive latents, so that a sample is labelled as a full run would label it.
    baselines = [texts(items) for items in baseline_items(alive, settings.cases, config.seed)]
    baseline_questions = [ListQuestion(items, vocabulary.terms[term]) for items in baselines for term in used]
    ranking_questions = [
        ListQuestion(evidence_texts[latent], vocabulary.terms[term]) for latent, term in candidate_terms
    ]
    log.info(
        "labels: %d of %d latents, %d likelihoods to compute",
        len(to_label),
        len(alive),
        len(baseline_questions + ranking_questions),
    )
    with (
        EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool,
        _naming_pool(config, pool) as namer,
    ):
        names = _ask([ListQuestion(items) for items in evidence_texts.values()], namer, out, "names", len(to_label))
        likelihoods = _ask([*baseline_questions, *ranking_questions], pool, out, "likelihoods", len(to_label))

    by_list = np.array([_value(answer) for answer in likelihoods.answers[: len(baseline_questions)]]).reshape(
        BASELINE_LISTS, len(used)
    )
    baseline = {term: _mean(column) for term, column in zip(used, by_list.T, strict=True)}
    given_evidence = dict(zip(candidate_terms, likelihoods.answers[len(baseline_questions) :], strict=True))
    author = settings.endpoint.model if settings.endpoint else config.llm.model
    rows: list[Row] = []
    for (latent, items), answer in zip(evidence.items(), names.answers, strict=True):
        singles = [
            (one, term_row(one, given_evidence[latent, one.terms[0]], baseline[one.terms[0]], vocabulary))
            for one in proposed[latent]
        ]
        pair_rows = [
            pair_row(pair, vocabulary)
            for pair in pairs(items, proposed[latent], usage, settings.pairs, settings.min_support)
        ]
        free = free_row(answer, items, usage) | {"model": author}
        mark_finalists(singles, pair_rows, free, settings.finalists_per_ranking)
        found = [*(row for _, row in singles), *pair_rows, free]
        rows += [{"latent": latent, "candidate": number, **row} for number, row in enumerate(found)]
    return NewLabels(rows, [names, likelihoods])


def _naming_pool(config: Config, pool: EnginePool) -> AbstractContextManager[Pool]:
    """The pool that writes the free names: the endpoint if there is one, otherwise `pool`."""
    endpoint = config.labels.endpoint
    return EndpointPool(endpoint, config.resources.endpoint_requests) if endpoint else nullcontext(pool)


def _ask(questions: list[ListQuestion], pool: Pool, out: Attempt, name: str, latents: int) -> QuestionResults:
    """The answers to `questions`; names must follow their JSON schema."""
    schema = prompts.NAME_SCHEMA if name == "names" else None
    phase = "free names" if name == "names" else "likelihoods of terms"

    def ask(requests: Sequence[Request]) -> list[Completion]:
        served = math.ceil(latents * len(requests) / max(len(questions), 1))
        words = phase if len(requests) == len(questions) else f"{phase}, of shortened lists"
        return ask_once(requests, pool, out.progress, name, schema, phase=words, latents=served)

    return ask_with_truncation(questions, ask)


def _mean(values: np.ndarray) -> float:
    """The mean over the lists that were answered; NaN if none was."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _value(answer: Completion) -> float:
    return np.nan if answer.value is None else answer.value
