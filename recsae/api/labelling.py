"""The name of one latent on demand: by the run's tables, or by its evidence and language model."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pyarrow.compute as pc

from recsae.api.models import stage
from recsae.concepts.finalists import Finalist
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.distributed.cluster import start_ray
from recsae.evidence.cases import read_cases
from recsae.labels.asking import asker
from recsae.labels.judges import AttributeJudge, LlmJudge
from recsae.labels.select_users import SelectJudge
from recsae.labels.stage import label_some, provenance
from recsae.llm.answer_cache import ask_once
from recsae.llm.model import locate_model
from recsae.llm.pool import EnginePool
from recsae.llm.sharing import shared_engines
from recsae.lookup.dictionary import concept
from recsae.schemas.concepts import LABELS
from recsae.scores.evaluation import EvalSet
from recsae.scores.stage import Judges, select_best
from recsae.store.run_store import RunStore
from recsae.store.tables import among

if TYPE_CHECKING:
    from recsae.api.run import Run


class LatentLabel(NamedTuple):
    """What a latent may be called."""

    name: str | None
    """The chosen candidate; None where none could be judged on select users."""
    candidates: pd.DataFrame
    """One row a candidate, in the columns of LABELS and `auc`: the judge's on select users, of finalists."""
    made_now: bool
    """False where the run had labelled the latent already."""


def label(run: Run, latent: int) -> LatentLabel:
    """Raises BadInput where the dictionary has no such latent; see Run.label."""
    row = concept(run.served, str(latent))
    own = among("latent", [latent])
    found = run.served.rows("labels", "labels.parquet", None, own)
    if found:
        select = own & (pc.field("part") == "select") & (pc.field("judge") == "llm")
        scores = run.served.rows("scores", "scores.parquet", ("candidate", "auc"), select)
        return LatentLabel(row["name"], _frame(found, scores), made_now=False)
    return _label_now(run, latent)


def _label_now(run: Run, latent: int) -> LatentLabel:
    """As the stages `labels` and `scores` do it, with one engine, for one latent."""
    config = run.config.model_copy(update={"resources": run.config.resources.model_copy(update={"llm_actors": 1})})
    catalogue = Catalogue.read(stage(run, "ingest"))
    vocabulary = terms.build(catalogue)
    alive = read_cases(stage(run, "evidence"), config.probe.view)
    start_ray(config)
    with tempfile.TemporaryDirectory() as folder, shared_engines():
        store = RunStore(folder, "label")
        out = store.attempt("labels", "now", store.lease("labels", "now", 20))  # not held, so that nothing is kept
        judge = LlmJudge("pmi", catalogue)
        with (
            EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool,
            asker(config, pool, out.progress) as asking,
        ):
            labels = label_some(config, [latent], alive, vocabulary, asking, SelectJudge(judge, asking))
        rows = [{**provenance(config), **row} for row in labels.rows]
        finalists = [
            Finalist(latent, row["candidate"], row["concept"], row["terms"], row["source"])
            for row in rows
            if row["finalist"]
        ]
        cases = EvalSet.from_cases(alive[latent], "select", config.scores.select_cases)
        judge = LlmJudge(config.scores.judge, catalogue)
        pairs = judge.missing((one.concept, item) for one in finalists for item in cases.items().tolist())
        with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool:
            answers = ask_once([judge.request(pair) for pair in pairs], pool, out.progress, "verdicts", latents=1)
        judge.answers.update(zip(pairs, answers, strict=True))
    judges = Judges(judge, AttributeJudge(vocabulary), config.scores.bootstrap, config.seed)
    selection = select_best(finalists, {latent: cases}, judges)
    name = selection.finalists[0].concept if selection.finalists else None
    return LatentLabel(name, _frame(rows, [row for row in selection.rows if row["judge"] == "llm"]), made_now=True)


def _frame(rows: list[dict[str, Any]], scores: list[dict[str, Any]]) -> pd.DataFrame:
    auc = {row["candidate"]: row["auc"] for row in scores}
    ordered = sorted(rows, key=lambda row: row["candidate"])
    table = pd.DataFrame(ordered, columns=[field.name for field in LABELS])
    return table.assign(auc=table["candidate"].map(auc))
