"""The stage `statements`: what each latent is about, said in the language of language.py and measured exactly.

Candidates are searched on explain users, from counts by item (candidates.py); select users choose the shortest of the
best; score users say how well it holds, over all their cases (tally.py). Three controls stand beside it: the statement
before another latent, the whole search on latents whose activations are dealt to other users, and items kept from the
search. Beside the input side stands what each latent promotes (effects.py), and behaviours are tried on synthetic
histories (causal.py). No language model is asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender, Trainable
from recsae.sae import model as sae_files
from recsae.sae.model import Sae
from recsae.schemas.statements import EFFECTS, STATEMENT_SCORES, STATEMENTS
from recsae.statements import behaviour, causal, choice, clock, controls, counting, features, formulas, rows, spaces
from recsae.statements.behaviour import About
from recsae.statements.candidates import SearchPlan
from recsae.statements.counting import Bins, CountingPlan
from recsae.statements.effects import EffectPlan, effect_rows
from recsae.statements.features import ItemFeatures
from recsae.statements.language import Statement
from recsae.statements.reading import ReadingPlan
from recsae.statements.rows import Row
from recsae.statements.search import LATENTS_AT_ONCE, measure, search
from recsae.statements.tally import TallyPlan, tally
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


def describe_latents(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `statements.parquet`, `statement_scores.parquet`, `effects.parquet` and the vectors of item sets."""
    started = time.monotonic()
    catalogue = Catalogue.read(inputs["ingest"])
    recommender = _recommender(config, inputs)
    item_features = features.build(catalogue, _spaces(recommender, inputs["ingest"], catalogue.n_items, config.seed))
    log.info("vocabulary: %s", item_features.vocabulary.summary)
    features.write_spaces(item_features.spaces, catalogue, out)
    unseen_I = controls.unseen_items(catalogue.ids, config.seed)
    sae = sae_files.load(inputs["sae"].data.child("model"))
    stats = inputs["evidence"].read_table("latent_stats.parquet", ["latent", "quantiles"]).to_pylist()
    alive = [row["latent"] for row in stats]
    plan = _reading_plan(config, inputs, sae, _about(inputs["ingest"], catalogue, item_features), alive)

    bins = _varying(counting.find_bins(plan)) if plan.has_history else {}
    counts = counting.count(CountingPlan(plan, bins, catalogue.n_items))
    vocabulary, numbers = item_features.vocabulary, item_features.numbers
    to_search = SearchPlan(item_features, formulas.searchable(vocabulary, numbers), bins)
    nulls = range(plan.num_latents, plan.num_latents + len(plan.nulls))
    found = search(counts, to_search, unseen_I, [*alive, *nulls])
    searched = time.monotonic()

    measured = measure(plan, item_features, unseen_I, found)
    chosen = {latent: one for latent, of in measured.items() if (one := choice.choose(of))}
    partner = controls.partners(np.array(alive, dtype=np.int64), sae.W_dec.numpy(), config.seed)
    to_score = rows.roles(chosen, measured, dict(zip(alive, partner.tolist(), strict=True)), plan.num_latents)
    levels = {row["latent"]: np.array(row["quantiles"], dtype=np.float32) for row in stats}
    scored = tally(
        TallyPlan(plan, "score", item_features, [one.pairing for one in to_score], unseen_I, levels),
        "scoring statements",
    )
    score_rows, bar = rows.score_rows(to_score, scored)

    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    glosses = {latent: choice.gloss(one, measured[latent]) for latent, one in chosen.items()}
    statements = {latent: one.statement for latent, one in chosen.items() if latent < plan.num_latents}
    tried = causal.check(statements, recommender, sae, plan.about, config.seed) if recommender else {}
    statement_rows = rows.statement_rows(alive, score_rows, glosses, tried, titles)
    effects = _effects(config, recommender, sae, alive, to_search, unseen_I, statements, titles)
    out.write_table("statements.parquet", pa.Table.from_pylist(statement_rows, STATEMENTS), STATEMENTS)
    out.write_table("statement_scores.parquet", pa.Table.from_pylist(score_rows, STATEMENT_SCORES), STATEMENT_SCORES)
    out.write_table("effects.parquet", pa.Table.from_pylist(effects, EFFECTS), EFFECTS)
    metrics = rows.metrics(statement_rows, score_rows, effects, bar)
    _log(metrics)
    return metrics | {
        "candidates": sum(map(len, found.values())),
        "search_seconds": round(searched - started, 3),
        "seconds": round(time.monotonic() - started, 3),
    }


def _recommender(config: Config, inputs: Mapping[str, Committed]) -> Recommender | None:
    """The recommender; None where vectors were given instead."""
    if config.recommender.kind == "given":
        return None
    return registry.load(inputs["recommender"], config.probe.site)


@torch.inference_mode()
def _spaces(recommender: Recommender | None, ingested: Committed, n_items: int, seed: int) -> dict[str, np.ndarray]:
    """The spaces of item sets: the recommender's item vectors where it has any, and co-consumption."""
    found = {}
    vectors = spaces.of_recommender(recommender) if recommender else None
    if vectors is not None:
        found[spaces.RECOMMENDER] = vectors
    found[spaces.CO_CONSUMPTION] = spaces.co_consumption(ingested, n_items, seed)
    return found


def _about(ingested: Committed, catalogue: Catalogue, found: ItemFeatures) -> About:
    """What behaviours read; diversity in the first of the spaces."""
    vectors = next(iter(found.spaces.values()))
    return About(found.numbers["popularity"], vectors, behaviour.attributes_of(catalogue), clock.of_ingest(ingested))


def _varying(bins: Mapping[str, Bins]) -> dict[str, Bins]:
    """The behaviours that differ between cases; the others are left out, and the log says which."""
    kept = {name: parted for name, parted in bins.items() if len(parted.lows)}
    if left_out := [name for name in bins if name not in kept]:
        log.info(
            "statements: %d behaviours are searched; %d are left out, since all cases have one value or none: %s",
            len(kept),
            len(left_out),
            ", ".join(left_out),
        )
    return kept


def _reading_plan(
    config: Config, inputs: Mapping[str, Committed], sae: Sae, about: About, alive: list[int]
) -> ReadingPlan:
    return ReadingPlan(
        inputs["ingest"],
        inputs["activations"],
        inputs["sae"].data.child("model"),
        sae.num_latents,
        about,
        controls.draw_nulls(np.array(alive, dtype=np.int64), config.seed),
        config.probe.site != "item",
        config.seed,
    )


@torch.inference_mode()
def _effects(
    config: Config,
    recommender: Recommender | None,
    sae: Sae,
    alive: list[int],
    to_search: SearchPlan,
    unseen_I: np.ndarray,
    statements: Mapping[int, Statement],
    titles: Mapping[str, str],
) -> list[Row]:
    """Rows of EFFECTS; none where scores are not linear in the vectors."""
    if not isinstance(recommender, Trainable) or config.probe.site != "user":
        return []
    vectors = recommender.item_vectors(0, recommender.n_items).detach().cpu().numpy().astype(np.float32)
    centred = vectors - vectors.mean(axis=0)
    plan = EffectPlan(centred, sae.W_dec.numpy(), to_search, unseen_I, statements, titles)
    return effect_rows(plan, alive, LATENTS_AT_ONCE)


def _log(metrics: Mapping[str, Any]) -> None:
    log.info(
        "statements: %d of %d latents have one that holds, median balanced accuracy %.3f; bar %.3f; "
        "%d of %d shuffled and %d of %d null ones pass it",
        metrics["accepted"],
        metrics["latents"],
        metrics["median_confidence"] or np.nan,
        metrics["bar"] or np.nan,
        metrics["shuffled_accepted"],
        metrics["shuffled"],
        metrics["null_accepted"],
        metrics["null"],
    )
    if metrics["effects"]:
        log.info(
            "statements: %d of %d latents promote what their statement speaks of, %d do not",
            metrics["effects_agree"],
            metrics["effects"],
            metrics["effects_disagree"],
        )
