"""How well each kind of statement tells when latents fire, for a run whose stage `statements` is committed.

    python bench/concept_language.py [CONFIG] [--set KEY=VALUE …]

Medians over latents on all cases of score users, by kind and view: balanced accuracy, F1, and the shares of latents at
.70, .75 and .80. Each row is the best statement of its kind on select users. `term, recommended` is the language of one
word; `chosen` is the dictionary's; `highest F1` the narrow statement beside it; `unseen items` counts the cases whose
item was kept from the search. The ceilings know each item's own rate on explain users, smoothed, cut where the balanced
accuracy (for F1: the F1) is highest there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.data.catalogue import Catalogue
from recsae.errors import BadInput
from recsae.pipeline.runner import Pipeline
from recsae.sae import model
from recsae.statements import counting, reading
from recsae.statements.behaviour import About
from recsae.statements.counting import CountingPlan
from recsae.statements.reading import ReadingPlan
from recsae.store.run_store import Committed

SMOOTHING = 5
LEVELS = (0.7, 0.75, 0.8)
ORDER = ("term", "formula", "item set", "item list", "behaviour")


def table(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table from STATEMENT_SCORES."""
    contestants = scores[scores.role == "contestant"]
    named = {
        f"{kind}, {view}": contestants[(contestants.kind == kind) & (contestants["view"] == view)]
        for kind in ORDER
        for view in ("recommended", "last", "history")
    }
    named |= {
        "chosen": scores[scores.role == "chosen"],
        "highest F1": scores[scores.role == "core"],
        "unseen items": scores[scores.role == "unseen"],
        "control: shuffled": scores[scores.role == "shuffled"],
        "control: search null": scores[scores.role == "null"],
    }
    return pd.DataFrame({name: _figures(rows.confidence, rows.f1) for name, rows in named.items() if len(rows)}).T


def _figures(confidence: pd.Series, f1: pd.Series) -> dict[str, float]:
    value = confidence.dropna()
    at = {f">= {level:.2f}": float((value >= level).mean()) for level in LEVELS}
    return {"latents": len(value), "median": float(value.median()), "F1": float(f1.median()), **at}


def ceilings(config: Config, inputs: Mapping[str, Committed]) -> pd.DataFrame:
    """The same figures for each item's own rate."""
    catalogue = Catalogue.read(inputs["ingest"])
    folder = inputs["sae"].data.child("model")
    sae = model.load(folder)
    about = About(np.zeros(catalogue.n_items), np.zeros((catalogue.n_items, 1), np.float32), {}, None)
    has_history = config.probe.site != "item"
    plan = ReadingPlan(
        inputs["ingest"], inputs["activations"], folder, sae.num_latents, about, np.empty(0, int), has_history, 0
    )
    counts = {}
    for part in ("explain", "score"):
        shards = [
            counting.count_cases(reading.read_part(plan, name, part), CountingPlan(plan, {}, catalogue.n_items))
            for name in reading.names(inputs["activations"])
        ]
        total = shards[0]
        for shard in shards[1:]:
            total = total.plus(shard)
        counts[part] = total
    rows = {}
    for view in ("recommended", "last"):
        explain, score = (counts[part].views[view] for part in ("explain", "score"))
        found = []
        for latent in np.flatnonzero(counts["explain"].fires_H).tolist():
            fires_I, tested_I = (of.fires_IH[:, [latent]].toarray()[:, 0] for of in (explain, score))
            found.append(_ceiling(fires_I, explain.total_I, tested_I, score.total_I))
        values = pd.DataFrame(found, columns=["confidence", "f1"])
        rows[f"ceiling: each {view} item's rate"] = _figures(values.confidence, values.f1)
    return pd.DataFrame(rows).T


def _ceiling(
    fires_I: np.ndarray, total_I: np.ndarray, tested_I: np.ndarray, cases_I: np.ndarray
) -> tuple[float, float]:
    usual = fires_I.sum() / max(total_I.sum(), 1)
    order = np.argsort(-(fires_I + SMOOTHING * usual) / (total_I + SMOOTHING), kind="stable")

    def curves(fires: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hits, held = np.cumsum(fires[order]), np.cumsum(total[order])
        others = max(total.sum() - fires.sum(), 1)
        balanced = (hits / max(fires.sum(), 1) + 1 - (held - hits) / others) / 2
        return balanced, 2 * hits / np.maximum(held + fires.sum(), 1)

    (balanced, f1), (tested, tested_f1) = curves(fires_I, total_I), curves(tested_I, cases_I)
    if not tested_I.sum():
        return np.nan, np.nan
    return float(tested[np.argmax(balanced)]), float(tested_f1[np.argmax(f1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="jobs/configs/demo.toml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    try:
        config = load(arguments.config, arguments.set)
        needed = ("ingest", "activations", "sae", "statements")
        inputs = Pipeline(config).require("bench/concept_language.py", *needed)
    except BadInput as error:
        sys.exit(str(error))
    statements = inputs["statements"]
    scores = statements.read_table("statement_scores.parquet").to_pandas()
    figures = pd.concat([table(scores), ceilings(config, inputs)])
    print(figures.astype({"latents": int}).round(3).to_string())
    metrics = statements.metrics
    share = metrics["accepted"] / metrics["latents"]
    print(f"\n{metrics['accepted']} of {metrics['latents']} latents interpretable ({share:.0%}): {metrics['kinds']}")
    print(f"bar {metrics['bar']:.3f}; {metrics['candidates']} candidates; {metrics['seconds']:.0f} s")


if __name__ == "__main__":
    main()
