"""The stage `statements`: what each latent is about, said in the language of language.py and measured exactly.

Candidates are searched on explain users, from counts by item (candidates.py); select users choose the shortest of the
best; score users say how well it holds, over all their cases (tally.py). Three controls stand beside it: the statement
before another latent, the whole search on latents whose activations are dealt to other users, and items kept from the
search. No language model is asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.distributed import tasks
from recsae.recommenders import registry
from recsae.sae import model
from recsae.schemas.statements import STATEMENT_SCORES, STATEMENTS
from recsae.statements import candidates, choice, controls, counting, features, formulas, rows, spaces
from recsae.statements.candidates import LatentCounts, SearchPlan
from recsae.statements.choice import Measured
from recsae.statements.counting import CountingPlan, Counts
from recsae.statements.features import ItemFeatures
from recsae.statements.item_sets import ItemCounts
from recsae.statements.language import Statement
from recsae.statements.reading import ReadingPlan
from recsae.statements.tally import StatementOnLatent, Tally, TallyPlan, tally
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)

LATENTS_AT_ONCE = 8
"""Latents searched for by one task."""


class Search(NamedTuple):
    """The arguments of the tasks that search."""

    counts: Counts
    plan: SearchPlan
    seen_I: np.ndarray


def describe_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `statements.parquet`, `statement_scores.parquet` and the vectors that item sets refer to."""
    started = time.monotonic()
    catalogue = Catalogue.read(inputs["ingest"])
    item_features = features.build(catalogue, _spaces(config, inputs, catalogue))
    features.write_spaces(item_features.spaces, catalogue, out)
    unseen_I = controls.unseen_items(catalogue.ids, config.seed)
    sae = model.load(inputs["sae"].data.child("model"))
    stats = inputs["evidence"].read_table("latent_stats.parquet", ["latent", "quantiles"]).to_pylist()
    alive = np.array([row["latent"] for row in stats], dtype=np.int64)
    plan = ReadingPlan(
        inputs["ingest"],
        inputs["activations"],
        inputs["sae"].data.child("model"),
        sae.num_latents,
        item_features.numbers["popularity"],
        controls.draw_nulls(alive, config.seed),
        config.probe.site != "item",
        config.seed,
    )
    edges = counting.find_edges(plan) if plan.has_history else {}
    counts = counting.count(CountingPlan(plan, edges, catalogue.n_items))
    found = _search(counts, item_features, edges, unseen_I, [*alive, *_null_latents(plan)])
    searched = time.monotonic()
    measured = _measure(plan, item_features, unseen_I, found)
    chosen = {latent: one for latent, of in measured.items() if (one := choice.choose(of))}
    partner = dict(zip(alive.tolist(), controls.partners(alive, sae.W_dec.numpy(), config.seed).tolist(), strict=True))
    to_score = rows.roles(chosen, measured, partner, plan.num_latents)
    edges_of = {row["latent"]: np.array(row["quantiles"], dtype=np.float32) for row in stats}
    pairings = [one.pairing for one in to_score]
    scored = tally(TallyPlan(plan, "score", item_features, pairings, unseen_I, edges_of), "scoring statements")
    score_rows, bar = rows.score_rows(to_score, scored)
    glosses = {latent: choice.gloss(one, measured[latent]) for latent, one in chosen.items()}
    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    statement_rows = rows.statement_rows(alive.tolist(), score_rows, glosses, titles)
    out.write_table("statements.parquet", pa.Table.from_pylist(statement_rows, STATEMENTS), STATEMENTS)
    out.write_table("statement_scores.parquet", pa.Table.from_pylist(score_rows, STATEMENT_SCORES), STATEMENT_SCORES)
    metrics = rows.metrics(statement_rows, score_rows, bar)
    log.info(
        "statements: %d of %d latents have one that holds, median balanced accuracy %.3f; bar %.3f; "
        "%d of %d shuffled and %d of %d null ones pass it",
        metrics["accepted"],
        metrics["latents"],
        metrics["median_confidence"] or np.nan,
        bar or np.nan,
        metrics["shuffled_accepted"],
        metrics["shuffled"],
        metrics["null_accepted"],
        metrics["null"],
    )
    return metrics | {
        "candidates": sum(map(len, found.values())),
        "search_seconds": round(searched - started, 3),
        "seconds": round(time.monotonic() - started, 3),
    }


def _spaces(config: Config, inputs: Mapping[str, Committed], catalogue: Catalogue) -> dict[str, np.ndarray]:
    found = {}
    if config.recommender.kind != "given":
        with torch.inference_mode():
            vectors = spaces.of_recommender(registry.load(inputs["recommender"], config.probe.site))
        if vectors is not None:
            found[spaces.RECOMMENDER] = vectors
    found[spaces.CO_CONSUMPTION] = spaces.co_consumption(inputs["ingest"], catalogue.n_items, config.seed)
    return found


def _null_latents(plan: ReadingPlan) -> list[int]:
    return list(range(plan.num_latents, plan.num_latents + len(plan.nulls)))


def _search(
    counts: Counts,
    item_features: ItemFeatures,
    edges: Mapping[str, np.ndarray],
    unseen_I: np.ndarray,
    latents: Sequence[int],
) -> dict[int, list[Statement]]:
    """The candidates of every latent, null ones among them."""
    by_latent = counts._replace(
        views={view: found._replace(fires_IH=found.fires_IH.tocsc()) for view, found in counts.views.items()}
    )
    plan = SearchPlan(item_features, formulas.searchable(item_features.vocabulary, item_features.numbers), edges)
    blocks = [tuple(latents[start : start + LATENTS_AT_ONCE]) for start in range(0, len(latents), LATENTS_AT_ONCE)]
    shared = Search(by_latent, plan, ~unseen_I)
    found: dict[int, list[Statement]] = {}
    for block in tasks.over(_candidates, shared, blocks, "searching for statements", "blocks of latents"):
        found |= block
    return found


def _candidates(shared: Search, latents: Sequence[int]) -> dict[int, list[Statement]]:
    return {latent: candidates.candidates(_of_latent(shared, latent), shared.plan) for latent in latents}


def _of_latent(shared: Search, latent: int) -> LatentCounts:
    views = {}
    for view, found in shared.counts.views.items():
        fires_I = found.fires_IH[:, [latent]].toarray()[:, 0]
        views[view] = ItemCounts(fires_I * shared.seen_I.astype(float), found.total_I * shared.seen_I.astype(float))
    return LatentCounts(latent, views, shared.counts.fires_FQH[:, :, latent], shared.counts.total_FQ)


def _measure(
    plan: ReadingPlan, item_features: ItemFeatures, unseen_I: np.ndarray, found: Mapping[int, Sequence[Statement]]
) -> dict[int, list[Measured]]:
    """The candidates on select users."""
    pairings = [StatementOnLatent(statement, latent) for latent, of in found.items() for statement in of]
    counted = tally(TallyPlan(plan, "select", item_features, pairings, unseen_I), "choosing on select users")
    values = _pairs(counted)
    return {latent: [Measured(statement, *next(values)) for statement in of] for latent, of in found.items()}


def _pairs(counted: Tally) -> Iterator[tuple[float, float, float]]:
    value_P, error_P = counted.balanced_accuracy()
    return iter(list(zip(value_P.tolist(), error_P.tolist(), counted.f1().tolist(), strict=True)))
