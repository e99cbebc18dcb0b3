"""The stage `labels`: candidate concepts for living latents, from terms and from a language model.

Terms of the catalogue are proposed by TF-IDF and by lift; the language model ranks them by pointwise mutual information
with the evidence and writes one name freely, or an endpoint writes it. The information is the log-likelihood of the
term after the evidence less the mean one after lists of ordinary items: against an empty list, whatever is mentioned at
all would win. Only explain users are read. A latent that is much as it was last night keeps its labels (reuse.py).
Which candidate is right is not known here: the best terms of each ranking, the pairs and the free name are finalists,
and stage.py decides.
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
from recsae.labels.candidates import ORDINARY_LISTS, Usage, ordinary_items, pairs, propose, shown_items
from recsae.labels.reuse import carry
from recsae.labels.rows import Row, free_row, mark_finalists, pair_row, term_row
from recsae.labels.truncation import ListQuestion, QuestionResults, ask_fitting
from recsae.llm.answer_cache import Pool, ask_once
from recsae.llm.endpoint import EndpointPool
from recsae.llm.model import locate_model
from recsae.llm.pool import Completion, EnginePool, Request
from recsae.schemas.concepts import LABELS
from recsae.schemas.nightly import LABELLED
from recsae.stats.sampling import draw
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def label_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `labels.parquet`: for each latent drawn its terms, pairs and one free name, with finalists marked; and
    `labelled.parquet`: by which items it was labelled, tonight or on an earlier night."""
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    living = read_cases(inputs["evidence"], config.probe.view)
    drawn = draw(living, config.labels.latents, config.seed)
    carried = carry(config, inputs, drawn, catalogue, vocabulary)
    asked = [latent for latent in drawn if latent not in carried.latents]
    if PREVIOUS + "labels" in inputs:
        log.info("labels: %d latents keep last night's, %d are labelled anew", len(carried.latents), len(asked))
    begun = time.monotonic()
    fresh = _label(config, asked, living, catalogue, vocabulary, out) if asked else Labels([], [])
    seconds = time.monotonic() - begun
    shared = {"view": config.probe.view, "prompt_version": prompts.VERSION, "model": config.llm.model}
    rows = sorted(
        [*carried.rows, *({**shared, **row} for row in fresh.rows)], key=lambda row: (row["latent"], row["candidate"])
    )
    out.write_table("labels.parquet", pa.Table.from_pylist(rows, LABELS), LABELS)
    out.write_table("labelled.parquet", pa.Table.from_pylist(carried.labelled, LABELLED), LABELLED)
    failed = sum(row["status"] != "ok" for row in rows)
    log.info("labels: %d candidates for %d latents, %d rows failed", len(rows), len(drawn), failed)
    return {
        "latents": len(drawn),
        "carried": len(carried.latents),
        "candidates": len(rows),
        "failed": failed,
        "requests": sum(told.requests for told in fresh.told),
        "tokens": sum(answer.tokens for told in fresh.told for answer in told.answers),
        "truncated": sum(told.truncated for told in fresh.told),
        "seconds": round(seconds, 3),
        **shared,
    }


class Labels(NamedTuple):
    """What the language model was asked for, and what came of it."""

    rows: list[Row]
    told: list[QuestionResults]


def _label(
    config: Config,
    asked: Sequence[int],
    living: Mapping[int, LatentCases],
    catalogue: Catalogue,
    vocabulary: Vocabulary,
    out: Attempt,
) -> Labels:
    """Candidates of the latents `asked`, by engines that are started for it."""
    usage = Usage(vocabulary, catalogue.popularity)
    settings = config.labels
    evidence = {latent: living[latent].items("explain") for latent in asked}
    proposed = {
        latent: propose(items, usage, settings.candidates, settings.min_support) for latent, items in evidence.items()
    }

    def texts(items: np.ndarray) -> tuple[str, ...]:
        return tuple(catalogue.text(int(item)) for item in items)

    shown = {latent: texts(shown_items(living[latent], settings.cases)) for latent in asked}
    pairs_asked = [(latent, candidate.terms[0]) for latent, found in proposed.items() for candidate in found]
    used = sorted({term for _, term in pairs_asked})
    # Of all living latents, so that a sample is compared with what the whole would be.
    ordinary = [texts(items) for items in ordinary_items(living, settings.cases, config.seed)]
    base = [ListQuestion(items, vocabulary.terms[term]) for items in ordinary for term in used]
    ranking = [ListQuestion(shown[latent], vocabulary.terms[term]) for latent, term in pairs_asked]
    log.info("labels: %d of %d latents, %d likelihoods to ask", len(asked), len(living), len(base + ranking))
    with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool, _namer(config, pool) as namer:
        named = _ask([ListQuestion(items) for items in shown.values()], namer, out, "names", len(asked))
        told = _ask([*base, *ranking], pool, out, "likelihoods", len(asked))

    by_list = np.array([_value(answer) for answer in told.answers[: len(base)]]).reshape(ORDINARY_LISTS, len(used))
    without = {term: _mean(column) for term, column in zip(used, by_list.T, strict=True)}
    given = dict(zip(pairs_asked, told.answers[len(base) :], strict=True))
    author = settings.endpoint.model if settings.endpoint else config.llm.model
    rows: list[Row] = []
    for (latent, items), answer in zip(evidence.items(), named.answers, strict=True):
        singles = [
            (one, term_row(one, given[latent, one.terms[0]], without[one.terms[0]], vocabulary))
            for one in proposed[latent]
        ]
        joined = [
            pair_row(pair, vocabulary)
            for pair in pairs(items, proposed[latent], usage, settings.pairs, settings.min_support)
        ]
        free = free_row(answer, items, usage) | {"model": author}
        mark_finalists(singles, joined, free, settings.ranked)
        found = [*(row for _, row in singles), *joined, free]
        rows += [{"latent": latent, "candidate": number, **row} for number, row in enumerate(found)]
    return Labels(rows, [named, told])


def _namer(config: Config, pool: EnginePool) -> AbstractContextManager[Pool]:
    """Who writes the free names."""
    endpoint = config.labels.endpoint
    return EndpointPool(endpoint, config.resources.endpoint_requests) if endpoint else nullcontext(pool)


def _ask(questions: list[ListQuestion], pool: Pool, out: Attempt, name: str, latents: int) -> QuestionResults:
    """Names are bound to their JSON schema."""
    schema = prompts.NAME_SCHEMA if name == "names" else None

    def ask(requests: Sequence[Request]) -> list[Completion]:
        served = math.ceil(latents * len(requests) / max(len(questions), 1))
        return ask_once(requests, pool, out.progress, name, schema, latents=served)

    return ask_fitting(questions, ask)


def _mean(values: np.ndarray) -> float:
    """Of the lists that were answered; NaN where none was."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _value(answer: Completion) -> float:
    return np.nan if answer.value is None else answer.value
