"""The stage `statistics`: latents against attributes over all cases of score users, and the coherence of latents.

The SAE, raw dimensions, principal components and an untrained SAE are compared on the same attributes and cases. Sums
are in accumulate.py, exact AUC in auc.py, the null of the best latent in permutation_null.py and cosines in
coherence.py. Shape suffixes: see sae/attributes.py; N rows of (latent, attribute).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.observability import progress
from recsae.sae import attributes, controls, correlation, fidelity
from recsae.sae.attributes import Attributes, AttributeSums, BestCorrelations, FiringCounts, TopAttributes
from recsae.sae.controls import Trained
from recsae.sae.correlation import Codes
from recsae.schemas.base import conform
from recsae.schemas.concepts import ATTRIBUTE_BEST, ATTRIBUTE_STATS, CODES, COHERENCE
from recsae.statistics import accumulate, auc, coherence, permutation_null
from recsae.statistics.accumulate import FirstPass, SecondPass, StatisticsPlan
from recsae.statistics.coherence import Coherence
from recsae.statistics.permutation_null import PermutationNull
from recsae.store.run_store import Attempt, Committed, Metrics

log = logging.getLogger(__name__)


class BestLatents(NamedTuple):
    """The best latent of every attribute under one code, and its permutation null."""

    correlated: BestCorrelations
    null: PermutationNull


def measure_statistics(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `attribute_stats.parquet`, `attribute_best.parquet` and `coherence.parquet`.

    A latent that is constant over score cases, such as a dead one, has no rows in the first table.
    """
    start, activations = time.monotonic(), inputs["activations"]
    catalogue, views = Catalogue.read(inputs["ingest"]), views_of(config)
    first = accumulate.first_pass(activations, views, catalogue.n_items, config.statistics.null_cases, config.seed)
    codes = codes_of(inputs["sae"], activations, first, config.seed)
    plan = plan_of(catalogue, activations, codes, first, dict(zip(views, first.cases_VI, strict=True)), config.seed)
    second = accumulate.second_pass(plan)
    _write_stats(plan, second, config.statistics.attributes, out)
    best = {
        view: {name: _best(plan, second, name, view, config.statistics.permutations) for name in CODES}
        for view, selected in plan.selected.items()
        if selected.pairs
    }
    tables = [best_table(name, view, found) for view, by_code in best.items() for name, found in by_code.items()]
    out.write_table("attribute_best.parquet", pa.concat_tables([ATTRIBUTE_BEST.empty_table(), *tables]), ATTRIBUTE_BEST)
    progress.phase("coherence")
    coherences = {name: _coherence(name, plan, second) for name in CODES if name in second.strongest}
    alike = [coherence_table(name, found) for name, found in coherences.items()]
    out.write_table("coherence.parquet", pa.concat_tables(alike), COHERENCE)
    seconds = time.monotonic() - start
    cases = int(activations.metrics["cases"])
    for view, selected in plan.selected.items():
        log.info("statistics: %s: %d attributes, %d cases of score users", view, len(selected.pairs), selected.cases)
    log.info("statistics: %.1f s", seconds)
    return {
        "views": {
            view: {"cases": selected.cases, "attributes": len(selected.pairs)}
            for view, selected in plan.selected.items()
        },
        "best": {view: best_by_name(by_code) for view, by_code in best.items()},
        "coherence": {name: means(found) for name, found in coherences.items()},
        "cases_per_second": cases / seconds,
    }


def views_of(config: Config) -> list[str]:
    """The views whose items have attributes. A model without positions has no input; on the item side there is only
    the input."""
    if config.statistics.views == "view":
        return [config.probe.view]
    if config.probe.site == "item":
        return ["input"]
    return ["recommended", "input"] if config.recommender.sequential else ["recommended"]


def codes_of(sae: Committed, activations: Committed, first: FirstPass, seed: int) -> Codes:
    """The SAE and its controls; the untrained SAE is the same as in the fidelity table."""
    folder, stream = sae.data.child("model"), first.stream
    return {
        "sae": Trained(folder),
        "raw": None,
        "pca": controls.principal_components(stream.mean_D, stream.scatter_DD, len(stream.mean_D)),
        "untrained": fidelity.fit_untrained(activations, folder, int(sae.metrics["fidelity"]["rank"]), seed, "cpu"),
    }


def plan_of(
    catalogue: Catalogue,
    activations: Committed,
    codes: Codes,
    first: FirstPass,
    cases: Mapping[str, np.ndarray],
    seed: int,
) -> StatisticsPlan:
    """Arguments of the second pass: codes, and in each view the attributes with enough support."""
    # Counts need as much memory as sums.
    sums = sum(
        correlation.num_latents(code, activations) * (1 + correlation.is_sparse(code)) for code in codes.values()
    )
    selected = {
        view: attributes.select_attributes(catalogue.attributes, cases_I, sums * len(cases))
        for view, cases_I in cases.items()
    }
    limits = [hashes.max(initial=0) for hashes in first.drawn]
    return StatisticsPlan(activations, codes, selected, first.stream.mean_D, limits, seed)


def _write_stats(plan: StatisticsPlan, second: SecondPass, count: int, out: Attempt) -> None:
    """Write the most correlated attributes of all latents, one code and view at a time."""
    with out.open_parquet("attribute_stats.parquet", ATTRIBUTE_STATS) as writer:
        for name in CODES:
            selected = {view: of for view, of in plan.selected.items() if of.pairs}
            rows = {
                view: attributes.top_attributes(second.sums[name, view], of, count) for view, of in selected.items()
            }
            found: Mapping[str, np.ndarray | None] = dict.fromkeys(selected)
            if selected and correlation.is_sparse(plan.codes[name]):
                fires = {view: second.fires[name, view] for view in selected}
                found = _auc(plan, name, selected, rows, fires)
            for view, of in selected.items():
                sums, fires_of = second.sums[name, view], second.fires.get((name, view))
                writer.write_table(stats_table(name, view, of, sums, fires_of, rows[view], found[view]))


def _auc(
    plan: StatisticsPlan,
    name: str,
    selected: Mapping[str, Attributes],
    rows: Mapping[str, TopAttributes],
    fires: Mapping[str, FiringCounts],
) -> dict[str, np.ndarray]:
    fired_H = np.max([one.count_H for one in fires.values()], axis=0)
    has_by_view = {view: of.has_IA for view, of in selected.items()}
    listed = {view: (of.latent_N, of.row_N) for view, of in rows.items()}
    sums = auc.measure(plan.activations, plan.codes[name], has_by_view, listed, fired_H)
    found = {}
    for view, (latent_N, row_N) in listed.items():
        both_N, fires_N = fires[view].both_AH[row_N, latent_N], fires[view].count_H[latent_N]
        found[view] = auc.auc(sums[view], both_N, fires_N, selected[view].support_A[row_N], selected[view].cases)
    return found


def stats_table(
    name: str,
    view: str,
    selected: Attributes,
    sums: AttributeSums,
    fires: FiringCounts | None,
    rows: TopAttributes,
    auc_N: np.ndarray | None,
) -> pa.Table:
    """ATTRIBUTE_STATS rows of one code and view."""
    latent_N, row_N = rows.latent_N, rows.row_N
    support_N = selected.support_A[row_N]
    columns: dict[str, Any] = {
        **_pairs(name, view, selected.pairs, row_N),
        "latent": latent_N,
        "rank": rows.rank_N,
        "cases": support_N,
        "correlation": rows.correlation_N,
        "mean_activation": sums.cross_AH[row_N, latent_N] / support_N,
        **dict.fromkeys(("fires", "both", "p_fires", "p_attribute", "auc"), pa.nulls(len(row_N))),
    }
    if fires is not None:
        both_N, fires_N = fires.both_AH[row_N, latent_N], fires.count_H[latent_N]
        columns |= {"fires": fires_N, "both": both_N, "p_fires": both_N / support_N, "p_attribute": both_N / fires_N}
    if auc_N is not None:
        columns["auc"] = auc_N
    return conform(pa.table(columns), ATTRIBUTE_STATS)


def _best(plan: StatisticsPlan, second: SecondPass, name: str, view: str, permutations: int) -> BestLatents:
    selected, code = plan.selected[view], plan.codes[name]
    correlated = attributes.best_latents(second.sums[name, view], selected, both_signs=not correlation.is_sparse(code))
    return BestLatents(
        correlated, permutation_null.permute(second.drawn[view], code, selected.has_IA, permutations, plan.seed)
    )


def best_table(name: str, view: str, found: BestLatents) -> pa.Table:
    """ATTRIBUTE_BEST rows of one code and view."""
    correlated, null = found
    columns = {
        **_pairs(name, view, correlated.attributes, np.arange(len(correlated.attributes))),
        "cases": correlated.support_A,
        "latent": correlated.latent_A,
        "correlation": correlated.best_A,
        "null_mean": null.mean_A,
        "null_upper": null.upper_A,
        "p_value": null.p_A,
    }
    return conform(pa.table(columns), ATTRIBUTE_BEST)


def _pairs(name: str, view: str, pairs: list[tuple[str, str]], row_N: np.ndarray) -> dict[str, pa.Array]:
    rows = pa.array(row_N)
    return {
        "code": pa.repeat(name, len(rows)),
        "view": pa.repeat(view, len(rows)),
        "attribute": pa.array([attribute for attribute, _ in pairs], pa.string()).take(rows),
        "value": pa.array([value for _, value in pairs], pa.string()).take(rows),
    }


def best_by_name(by_code: Mapping[str, BestLatents]) -> dict[str, dict[str, dict[str, float | int]]]:
    """Means over the values of each attribute name, by code; `null_upper` is the 95th percentile of that mean."""
    names = [name for name, _ in by_code["sae"].correlated.attributes]
    return {
        name: {code: _mean(found, np.array(names) == name) for code, found in by_code.items()}
        for name in dict.fromkeys(names)
    }


def _mean(found: BestLatents, of: np.ndarray) -> dict[str, float | int]:
    mean, null_mean = float(found.correlated.best_A[of].mean()), float(found.null.mean_A[of].mean())
    return {
        "attributes": int(of.sum()),
        "mean": mean,
        "null_mean": null_mean,
        "null_upper": found.null.upper_of_mean(of),
        "corrected": mean - null_mean,
    }


def _coherence(name: str, plan: StatisticsPlan, second: SecondPass) -> Coherence:
    strongest, latents = second.strongest[name], correlation.num_latents(plan.codes[name], plan.activations)
    if not correlation.is_sparse(plan.codes[name]):
        strongest = coherence.farther_ends(strongest, latents)
    return coherence.measure(strongest, latents, plan.mean_D)


def coherence_table(name: str, found: Coherence) -> pa.Table:
    """COHERENCE rows of one code."""
    names = ("within", "between", "within_centred", "between_centred")
    values = {key: pa.array(value_H, mask=np.isnan(value_H)) for key, value_H in zip(names, found, strict=True)}
    latents = len(found.within_H)
    return conform(pa.table({"code": pa.repeat(name, latents), "latent": np.arange(latents), **values}), COHERENCE)


def means(found: Coherence) -> dict[str, float | None]:
    """Means over the latents with a value; None if there are none."""
    names = ("within", "between", "within_centred", "between_centred")
    return {
        name: None if np.isnan(value_H).all() else float(np.nanmean(value_H))
        for name, value_H in zip(names, found, strict=True)
    }
