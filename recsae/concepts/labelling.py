"""The stage `labels`: candidate concepts for every living latent, from terms and from the language model.

TF-IDF proposes terms of the catalogue; the language model ranks them by pointwise mutual information with the evidence
(log-likelihood after the evidence less log-likelihood after none) and writes one name freely. Only explain users are
read. Which candidate is right is not known here: scoring.py decides.
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
from recsae.concepts.cases import LatentCases, read_cases
from recsae.concepts.engine import Answer, EnginePool, Request
from recsae.concepts.llm_model import locate_model
from recsae.config import Config
from recsae.data.catalogue import Catalogue
from recsae.schemas import LABELS
from recsae.store.runs import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def tfidf(items: np.ndarray, vocabulary: terms.Vocabulary, background: np.ndarray, min_support: int) -> np.ndarray:
    """Share of the evidence that bears each term times log(1 / its share among recommended cases), `(terms,)`.

    Zero for terms that fewer than `min_support` different items of the evidence bear.
    """
    if not len(items):
        return np.zeros(len(vocabulary.terms))
    share = np.asarray(vocabulary.bears[items].mean(axis=0)).ravel()
    support = np.asarray(vocabulary.bears[np.unique(items)].sum(axis=0)).ravel()
    return np.asarray(np.where(support >= min_support, share * -np.log(background), 0.0))


def term_shares(vocabulary: terms.Vocabulary, popularity: np.ndarray) -> np.ndarray:
    """Share of events whose item bears each term, smoothed by one event, `(terms,)`: the catalogue as it is used."""
    weight = popularity / max(popularity.sum(), 1)
    return np.asarray((vocabulary.bears.T @ weight * popularity.sum() + 1) / (popularity.sum() + 1)).ravel()


def evidence_items(cases: LatentCases, count: int) -> np.ndarray:
    """Items shown to the labeller: of the strongest and of cases across the range, each item once."""
    found = cases.active("explain", len(cases.items("explain")))
    return np.array(list(dict.fromkeys(found.item.tolist()))[:count], dtype=np.int64)


def label_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `labels.parquet`: for each latent its ranked terms and one free name, with finalists marked."""
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    background = term_shares(vocabulary, catalogue.popularity)
    latents = read_cases(inputs["evidence"], config.probe.view)
    shown = {latent: evidence_items(cases, config.labels.cases) for latent, cases in latents.items()}
    candidates: dict[int, list[tuple[int, float]]] = {}
    for latent, cases in latents.items():
        value = tfidf(cases.items("explain"), vocabulary, background, config.labels.min_support)
        best = np.argsort(-value, kind="stable")[: config.labels.candidates]
        candidates[latent] = [(int(term), float(value[term])) for term in best if value[term] > 0]

    texts = {latent: [catalogue.text(int(item)) for item in items] for latent, items in shown.items()}
    ranked = [(latent, term) for latent, found in candidates.items() for term, _ in found]
    empty = prompts.rank([])
    used = sorted({term for _, term in ranked})
    ranking = [Request("loglikelihood", prompts.rank(texts[l]), " " + vocabulary.terms[t]) for l, t in ranked]
    base = [Request("loglikelihood", empty, " " + vocabulary.terms[term]) for term in used]
    naming = [Request("generate", prompts.name(texts[latent])) for latent in latents]
    log.info("labels: %d latents, %d likelihoods and %d names to ask", len(latents), len(ranking + base), len(naming))
    with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool:
        told = ask_once([*base, *ranking], pool, out.progress, "likelihoods")
        named = ask_once(naming, pool, out.progress, "names", prompts.NAME_SCHEMA)

    without = dict(zip(used, told[: len(base)], strict=True))
    given = dict(zip(ranked, told[len(base) :], strict=True))
    rows: list[dict[str, Any]] = []
    for latent, answer in zip(latents, named, strict=True):
        found = [_term_row(vocabulary, term, value, given[latent, term], without[term]) for term, value in candidates[latent]]
        order = sorted((row for row in found if row["pmi"] is not None), key=lambda row: -row["pmi"])
        for row in order[: config.labels.ranked]:
            row["finalist"] = True
        found.append(_free_row(answer, vocabulary))
        for number, row in enumerate(found):
            rows.append({"latent": latent, "candidate": number, **row})
    shared = {
        "view": config.probe.view,
        "prompt_version": prompts.VERSION,
        "model": config.llm.model,
    }
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


def _term_row(
    vocabulary: terms.Vocabulary, term: int, value: float, given: Answer, without: Answer
) -> dict[str, Any]:
    known = given.value is not None and without.value is not None
    text = vocabulary.terms[term]
    return {
        "concept": text,
        "description": None,
        "source": "terms",
        "terms": [text],
        "tfidf": value,
        "pmi": given.value - without.value if given.value is not None and without.value is not None else None,
        "finalist": False,
        "status": "ok" if known else given.status,
    }


def _free_row(answer: Answer, vocabulary: terms.Vocabulary) -> dict[str, Any]:
    try:
        told = json.loads(answer.text or "")
        concept = re.sub(r"[^\w\s&'/+.,-]", "", " ".join(str(told["name"]).split())).strip(" .,-")
        status = answer.status if concept else "empty"
    except (ValueError, KeyError, TypeError):
        told, concept, status = {}, "", answer.status if answer.status != "ok" else "unparsed"
    return {
        "concept": concept,
        "description": told.get("description"),
        "source": "model",
        "terms": vocabulary.named_in(concept),
        "tfidf": None,
        "pmi": None,
        "finalist": status == "ok",
        "status": status,
    }
