"""The stage `labels`: candidate concepts for every living latent, from terms and from the language model.

TF-IDF proposes terms of the catalogue; the language model ranks them by pointwise mutual information with the evidence
and writes one name freely. The information is the log-likelihood of the term after the evidence less the mean one
after lists of ordinary items: against an empty list, whatever is mentioned at all would win. Only explain users are
read. Which candidate is right is not known here: the best terms of both rankings and the free name are finalists, and
scoring.py decides.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from recsae.concepts import prompts, terms
from recsae.concepts.asking import ask_once
from recsae.concepts.candidates import ORDINARY_LISTS, Candidate, ordinary_items, propose, shown_items, term_shares
from recsae.concepts.cases import read_cases
from recsae.concepts.engine import Answer, EnginePool, Request
from recsae.concepts.llm_model import locate_model
from recsae.config import Config
from recsae.data.catalogue import Catalogue
from recsae.data.text import clean
from recsae.schemas import LABELS
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def label_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `labels.parquet`: for each latent its ranked terms and one free name, with finalists marked."""
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    background = term_shares(vocabulary, catalogue.popularity)
    latents = read_cases(inputs["evidence"], config.probe.view)
    settings = config.labels
    proposed = {
        latent: propose(cases.items("explain"), vocabulary, background, settings.candidates, settings.min_support)
        for latent, cases in latents.items()
    }

    def texts(items: np.ndarray) -> list[str]:
        return [catalogue.text(int(item)) for item in items]

    def likelihood(shown: list[str], term: int) -> Request:
        return Request("loglikelihood", prompts.rank(shown), prompts.continuation(vocabulary.terms[term]))

    shown = {latent: texts(shown_items(cases, settings.cases)) for latent, cases in latents.items()}
    pairs = [(latent, candidate.term) for latent, found in proposed.items() for candidate in found]
    used = sorted({term for _, term in pairs})
    ordinary = [texts(items) for items in ordinary_items(latents, settings.cases, config.seed)]
    base = [likelihood(items, term) for items in ordinary for term in used]
    ranking = [likelihood(shown[latent], term) for latent, term in pairs]
    naming = [Request("generate", prompts.name(shown[latent])) for latent in latents]
    log.info("labels: %d latents, %d likelihoods and %d names to ask", len(latents), len(base + ranking), len(naming))
    with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool:
        told = ask_once([*base, *ranking], pool, out.progress, "likelihoods")
        named = ask_once(naming, pool, out.progress, "names", prompts.NAME_SCHEMA)

    by_list = np.array([_value(answer) for answer in told[: len(base)]]).reshape(ORDINARY_LISTS, len(used))
    without = {term: _mean(column) for term, column in zip(used, by_list.T, strict=True)}
    given = dict(zip(pairs, told[len(base) :], strict=True))
    rows: list[dict[str, Any]] = []
    for latent, answer in zip(latents, named, strict=True):
        ranked = [
            _term_row(candidate, given[latent, candidate.term], without[candidate.term], vocabulary)
            for candidate in proposed[latent]
        ]
        for ranking_of in ("pmi", "tfidf"):
            order = sorted((row for row in ranked if row["pmi"] is not None), key=lambda row: -row[ranking_of])
            for row in order[: settings.ranked]:
                row["finalist"] = True
        found = [*ranked, _free_row(answer, vocabulary)]
        rows += [{"latent": latent, "candidate": number, **row} for number, row in enumerate(found)]
    shared = {"view": config.probe.view, "prompt_version": prompts.VERSION, "model": config.llm.model}
    out.write_table("labels.parquet", pa.Table.from_pylist([{**row, **shared} for row in rows], LABELS), LABELS)
    bad = sum(row["status"] != "ok" for row in rows)
    answers = [*told, *named]
    log.info("labels: %d candidates for %d latents, %d rows failed", len(rows), len(latents), bad)
    return {
        "latents": len(latents),
        "candidates": len(rows),
        "failed": bad,
        "requests": len(answers),
        "tokens": sum(answer.tokens for answer in answers),
        **shared,
    }


def _mean(values: np.ndarray) -> float:
    """Of the lists that were answered; NaN where none was."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _value(answer: Answer) -> float:
    return np.nan if answer.value is None else answer.value


def _term_row(candidate: Candidate, given: Answer, without: float, vocabulary: terms.Vocabulary) -> dict[str, Any]:
    pmi = _value(given) - without
    text = vocabulary.terms[candidate.term]
    return {
        "concept": text,
        "description": f"{text}: {candidate.share:.0%} of its evidence, {candidate.background:.1%} of all events.",
        "source": "terms",
        "terms": [text],
        "tfidf": candidate.tfidf,
        "pmi": None if np.isnan(pmi) else float(pmi),
        "finalist": False,
        "status": "no_answer" if given.status == "ok" and np.isnan(pmi) else given.status,
    }


def _free_row(answer: Answer, vocabulary: terms.Vocabulary) -> dict[str, Any]:
    try:
        told = json.loads(answer.text or "")
        named = clean(told["name"], prompts.NAME_LIMIT)
        said = clean(told["description"], prompts.DESCRIPTION_LIMIT)
        concept = re.sub(r"[^\w\s&'/+.,-]", "", named).strip(" .,-")
        status = answer.status if concept else "empty"
    except (ValueError, KeyError, TypeError, AttributeError):
        concept, said, status = "", "", answer.status if answer.status != "ok" else "unparsed"
    return {
        "concept": concept,
        "description": said or None,
        "source": "model",
        "terms": vocabulary.named_in(concept),
        "tfidf": None,
        "pmi": None,
        "finalist": status == "ok",
        "status": status,
    }
