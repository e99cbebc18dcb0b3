"""The stage `labels`: candidate concepts for a sample of alive latents, from catalogue terms and a language model.

Terms are proposed by TF-IDF and by lift. The language model ranks them by pointwise mutual information (PMI) with the
evidence, and it, or an endpoint, writes free names. The PMI is the log-likelihood of the term after the evidence
minus its mean log-likelihood after lists of baseline items; against an empty list, any term that the evidence mentions
would win. Only explain users are read, and select users to see whether free names hold (free_names.py); never score
users. Latents that have hardly changed since last night reuse their labels (reuse.py). The top terms of each ranking,
the pairs and the free names become finalists; the stage `scores` chooses among them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.data.terms import Vocabulary
from recsae.evidence.cases import LatentCases, read_cases
from recsae.labels import captions, prompts
from recsae.labels.asking import Asker, asker
from recsae.labels.candidates import Candidate, Usage, baseline_items, pairs, propose
from recsae.labels.free_names import FreeNames, NameWriter, Subject
from recsae.labels.judges import LlmJudge
from recsae.labels.reuse import reuse_labels, same_setup
from recsae.labels.rows import Row, mark_finalists, pair_row, term_row
from recsae.labels.select_users import SelectJudge
from recsae.labels.truncation import LikelihoodQuestion
from recsae.llm.model import locate_model
from recsae.llm.pool import Completion, EnginePool
from recsae.observability import progress
from recsae.schemas.concepts import CAPTIONS, LABELS, VERDICTS
from recsae.schemas.nightly import LABELLED
from recsae.stats.sampling import draw
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def label_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `labels.parquet` (terms, pairs and free names of each sampled latent, finalists marked),
    `captions.parquet` (of their statements), `labelled.parquet` (the items each latent was labelled on, tonight or on
    an earlier night) and `verdicts.parquet` (what the judge said of free names on select users)."""
    catalogue = Catalogue.read(inputs["ingest"])
    vocabulary = terms.build(catalogue)
    alive = read_cases(inputs["evidence"], config.probe.view)
    sampled = _sample(config, inputs["matching"], alive)
    reused = reuse_labels(config, inputs, sampled, catalogue, vocabulary)
    to_label = [latent for latent in sampled if latent not in reused.latents]
    if PREVIOUS + "labels" in inputs:
        log.info("labels: %d latents reuse last night's labels, %d to label", len(reused.latents), len(to_label))
    started = time.monotonic()
    judge = LlmJudge("pmi", catalogue)
    with (
        EnginePool(config.llm, config.resources, locate_model(config.llm)) as engines,
        asker(config, engines, out.progress) as asking,
    ):
        wrote = _wrote_last_night(config, inputs)
        fresh = label_some(config, to_label, alive, vocabulary, asking, SelectJudge(judge, asking), wrote)
        writes = fresh.names.writes if to_label else bool(wrote)
        captioned = _caption(config, inputs, sampled, catalogue, asking) if writes else []
    seconds = time.monotonic() - started
    shared = provenance(config)
    rows = sorted(
        [*reused.rows, *({**shared, **row} for row in fresh.rows)], key=lambda row: (row["latent"], row["candidate"])
    )
    out.write_table("labels.parquet", pa.Table.from_pylist(rows, LABELS), LABELS)
    out.write_table("labelled.parquet", pa.Table.from_pylist(reused.labelled, LABELLED), LABELLED)
    out.write_table("captions.parquet", pa.Table.from_pylist(captioned, CAPTIONS), CAPTIONS)
    out.write_table("verdicts.parquet", judge.table(config.probe.view, config.llm.model), VERDICTS)
    if not writes:
        log.info("labels: no captions, since names by %s do not hold", asking.author)
    failed = sum(row["status"] != "ok" for row in rows)
    log.info("labels: %d candidates for %d latents, %d rows failed", len(rows), len(sampled), failed)
    return {
        "latents": len(sampled),
        "carried": len(reused.latents),
        "candidates": len(rows),
        "failed": failed,
        "free_names": {**fresh.names.metrics, "writes": writes},
        "captions": {"asked": len(captioned), "kept": sum(row["kept"] for row in captioned)},
        "requests": sum(result.requests for result in asking.results),
        "tokens": sum(answer.tokens for result in asking.results for answer in result.answers),
        "truncated": sum(result.truncated for result in asking.results),
        "seconds": round(seconds, 3),
        **shared,
    }


def _sample(config: Config, matching: Committed, alive: Iterable[int]) -> list[int]:
    """The latents that the language model is asked about: the same ones every night, whatever their numbers become.

    A stable id ends with the latent's number in its first night.
    """
    ids = matching.read_table("matches.parquet", ["stable_id"])["stable_id"].to_pylist()
    first = {latent: int(one.rpartition("-")[2]) for latent, one in enumerate(ids)}
    return draw(alive, config.labels.sample_size, config.seed, first)


def _wrote_last_night(config: Config, inputs: Mapping[str, Committed]) -> bool | None:
    """Whether the same model's names held when it last wrote any; None where that is not known."""
    last = inputs.get(PREVIOUS + "labels")
    if last is None or not same_setup(last, config):
        return None
    writes = last.metrics.get("free_names", {}).get("writes")
    return None if writes is None else bool(writes)


def _caption(
    config: Config, inputs: Mapping[str, Committed], sampled: Sequence[int], catalogue: Catalogue, asking: Asker
) -> list[Row]:
    """Rows of CAPTIONS for the sampled latents' statements."""
    rows = inputs["statements"].read_table("statements.parquet", ["latent", "statement"]).to_pylist()
    cases = {view: read_cases(inputs["evidence"], view) for view in ("recommended", "last")}
    to_caption = captions.stated(rows, sampled, cases, catalogue, config.labels.cases)
    # Not the judge of names: captions are judged on the items of their statement's view.
    return captions.caption(to_caption, catalogue, asking, SelectJudge(LlmJudge("pmi", catalogue), asking), config.seed)


def provenance(config: Config) -> dict[str, str]:
    """The columns of LABELS that say what made a row."""
    return {"view": config.probe.view, "prompt_version": prompts.VERSION, "model": config.llm.model}


class NewLabels(NamedTuple):
    """New rows of LABELS, and what the free names among them say of the model."""

    rows: list[Row]
    names: FreeNames


def label_some(
    config: Config,
    to_label: Sequence[int],
    alive: Mapping[int, LatentCases],
    vocabulary: Vocabulary,
    asking: Asker,
    judge: SelectJudge,
    wrote: bool | None = None,
) -> NewLabels:
    """The candidates of the latents `to_label`, names first: the model is asked no more than these deserve.

    `wrote`: see NameWriter.write.
    """
    catalogue = judge.llm.catalogue
    usage = Usage(vocabulary, catalogue.popularity)
    settings = config.labels
    progress.phase("proposing candidates")
    subjects = [Subject.of(latent, alive[latent], settings.cases) for latent in to_label]
    proposed = {one.latent: propose(one.evidence, usage, settings.candidates, settings.min_support) for one in subjects}
    names = NameWriter(catalogue, usage, judge, asking, config.seed).write(subjects, wrote)
    # From all alive latents, so that a sample is labelled as a full run would label it.
    baselines = baseline_items(alive, settings.cases, config.seed)
    likelihoods = _rank_terms(subjects, proposed, baselines, vocabulary, asking, catalogue)
    rows: list[Row] = []
    for one in subjects:
        singles = [
            (term, term_row(term, *likelihoods[one.latent, term.terms[0]], vocabulary)) for term in proposed[one.latent]
        ]
        pair_rows = [
            pair_row(pair, vocabulary)
            for pair in pairs(one.evidence, proposed[one.latent], usage, settings.pairs, settings.min_support)
        ]
        free = names.rows.get(one.latent, [])
        mark_finalists(singles, pair_rows, free, settings.finalists_per_ranking)
        found = [*(row for _, row in singles), *pair_rows, *free]
        rows += [{"latent": one.latent, "candidate": number, **row} for number, row in enumerate(found)]
    return NewLabels(rows, names)


def _rank_terms(
    subjects: Sequence[Subject],
    proposed: Mapping[int, Sequence[Candidate]],
    baselines: Sequence[np.ndarray],
    vocabulary: Vocabulary,
    asking: Asker,
    catalogue: Catalogue,
) -> dict[tuple[int, int], tuple[Completion, float]]:
    """By latent and term, the log-likelihood of the term after the evidence, and its mean after the baseline lists."""
    asked = [(one.latent, term.terms[0]) for one in subjects for term in proposed[one.latent]]
    used = sorted({term for _, term in asked})
    shown = {one.latent: catalogue.texts(one.shown) for one in subjects}
    lists = [catalogue.texts(items) for items in baselines]
    questions = [LikelihoodQuestion(items, vocabulary.terms[term]) for items in lists for term in used]
    questions += [LikelihoodQuestion(shown[latent], vocabulary.terms[term]) for latent, term in asked]
    log.info("labels: %d latents, %d likelihoods to compute", len(subjects), len(questions))
    answers = asking.likelihoods(questions, "likelihoods of terms", len(subjects))
    given_baseline, given_evidence = answers[: len(answers) - len(asked)], answers[len(answers) - len(asked) :]
    by_list = np.array([_value(answer) for answer in given_baseline]).reshape(len(baselines), len(used))
    baseline = {term: _mean(column) for term, column in zip(used, by_list.T, strict=True)}
    return {one: (answer, baseline[one[1]]) for one, answer in zip(asked, given_evidence, strict=True)}


def _mean(values: np.ndarray) -> float:
    """The mean over the lists that were answered; NaN if none was."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _value(answer: Completion) -> float:
    return np.nan if answer.value is None else answer.value
