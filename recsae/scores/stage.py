"""The stage `scores`: finalists judged on select users, the best one judged again on score users, beside its control.

The language-model judge decides; judges by attributes stand beside it and decide nothing: one on the same cases, one on
all cases of score users (held_out.py), and RecSAE's protocol on a sample of latents (recsae_protocol.py). The centre of
a concept, its threshold, is the midpoint of its median values over active and silent select cases. The control puts the
same concept and centre before the evidence of another latent (controls.py). Targets are never read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from recsae.concepts.finalists import Finalist, choose, read_proposals
from recsae.config.schema import Config
from recsae.data import terms
from recsae.data.catalogue import Catalogue
from recsae.evidence.cases import LatentCases, read_cases
from recsae.labels import prompts
from recsae.labels.reuse import same_setup
from recsae.llm.answer_cache import ask_once
from recsae.llm.model import locate_model
from recsae.llm.pool import Completion, EnginePool
from recsae.schemas.concepts import LEVELS, SCORES, VERDICTS
from recsae.scores import calibration, evaluation, held_out, recsae_protocol
from recsae.scores.calibration import calibrate
from recsae.scores.controls import draw_controls
from recsae.scores.evaluation import EvalSet, Prediction
from recsae.scores.judges import AttributeJudge, LlmJudge, Pair
from recsae.stats import classification
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)

PROMPTS_PER_SECOND = 50
"""Judgements of the embedded model by one engine on one CPU core, as measured; for the estimate printed beforehand."""

Row = dict[str, Any]


class Judges(NamedTuple):
    """Both judges of a concept before a latent's cases, and how closely an interval is drawn."""

    verdicts: LlmJudge
    bearing: AttributeJudge
    resamplings: int
    seed: int

    def rulings(self, finalist: Finalist, trial: EvalSet, centre: float) -> list[Prediction]:
        """The language model's and, where the concept names terms, the attributes'."""
        found = [evaluation.by_model(self.verdicts, finalist.concept, trial, centre)]
        return [*found, evaluation.by_attributes(self.bearing, finalist.terms, trial)] if finalist.terms else found

    def interval(self, ruling: Prediction) -> tuple[float, float] | None:
        return classification.interval(ruling.judged, ruling.active, ruling.user, self.resamplings, self.seed)


class Selection(NamedTuple):
    """What select users decided: of each latent one finalist and its centre, and the rows that say why."""

    finalists: list[Finalist]
    centre: dict[int, float]
    rows: list[Row]


def score_concepts(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Write `scores.parquet`, `verdicts.parquet` and `levels.parquet`."""
    catalogue = Catalogue.read(inputs["ingest"])
    latents = read_cases(inputs["evidence"], config.probe.view)
    proposals = read_proposals(inputs["labels"])
    verdicts = LlmJudge(config.scores.judge, catalogue)
    known = _known(config, inputs, catalogue)
    judges = Judges(verdicts, AttributeJudge(terms.build(catalogue)), config.scores.bootstrap, config.seed)
    select = _trials(latents, proposals.words, "select", config.scores.select_cases)
    score = _trials(latents, proposals.words, "score", config.scores.score_cases)
    _announce(proposals.finalists, select, config)
    with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool:

        def ask(before: Iterable[tuple[Finalist, EvalSet]]) -> None:
            asked = list(before)
            pairs = {(one.concept, item) for one, trial in asked for item in trial.items().tolist()}
            verdicts.answers.update({pair: known[pair] for pair in pairs & known.keys()})
            missing = verdicts.missing(pairs)
            questions = [verdicts.request(pair) for pair in missing]
            served = len({one.latent for one, _ in asked})
            told = ask_once(questions, pool, out.progress, "verdicts", latents=served)
            verdicts.answers.update(zip(missing, told, strict=True))

        ask((finalist, select[finalist.latent]) for finalist in proposals.finalists)
        chosen = _choose(proposals.finalists, select, judges)
        control = draw_controls(chosen.finalists, proposals.words, config.seed)
        ask((finalist, score[latent]) for finalist, _, latent in _before(chosen.finalists, control))
        quizzes = recsae_protocol.draw_quizzes(chosen.finalists, latents, config.scores.recsae, config.seed)
        questions = recsae_protocol.requests(quizzes, catalogue)
        levels = ask_once(questions, pool, out.progress, "levels", recsae_protocol.LEVEL_SCHEMA, latents=len(quizzes))
    rows, own = _score(chosen, control, score, judges)
    quizzed = recsae_protocol.results(quizzes, levels)
    rows += [recsae_protocol.row(result) for result in quizzed]
    # Engines hold the cores until their pool is closed, and the pass over the shards needs them.
    everywhere, by_level = _over_all_cases(config, inputs, chosen.finalists, control, judges.bearing, catalogue)
    rows = [*chosen.rows, *rows, *everywhere]
    out.write_table("scores.parquet", pa.Table.from_pylist(rows, SCORES), SCORES)
    out.write_table("levels.parquet", pa.Table.from_pylist(by_level, LEVELS), LEVELS)
    out.write_table("verdicts.parquet", verdicts.table(config.probe.view, config.llm.model), VERDICTS)
    answers = [*verdicts.answers.values(), *dict(zip(questions, levels, strict=True)).values()]
    failed = sum(answer.status != "ok" for answer in answers)
    reused = len(verdicts.answers.keys() & known.keys())
    log.info("scores: %d latents scored, %d judgements, %d failed", len(chosen.finalists), len(answers), failed)
    return {
        "judge": config.scores.judge,
        "judge_auc": verdicts.own_auc(judges.bearing, [(one.concept, one.terms) for one in proposals.finalists]),
        "finalists": len(proposals.finalists),
        "scored": len(chosen.finalists),
        "controls": len(control),
        "prompts": len(answers) - reused,
        "reused": reused,
        "failed": failed,
        "tokens": sum(answer.tokens for answer in answers),
        "calibration": calibrate(own, config.seed)._asdict(),
        "recsae": recsae_protocol.metrics(quizzed),
    }


def _known(config: Config, inputs: Mapping[str, Committed], catalogue: Catalogue) -> dict[Pair, Completion]:
    """Last night's verdicts that would be the same tonight: asked alike, of items whose text is as it was."""
    if PREVIOUS + "scores" not in inputs or not same_setup(inputs[PREVIOUS + "scores"], config):
        return {}
    before = Catalogue.read(inputs[PREVIOUS + "ingest"])
    place = {one: item for item, one in enumerate(catalogue.ids)}
    same = {
        item: place[one]
        for item, one in enumerate(before.ids)
        if one in place and before.text(item) == catalogue.text(place[one])
    }
    rows = inputs[PREVIOUS + "scores"].read_table("verdicts.parquet").to_pylist()
    return {
        (row["concept"], same[row["item_idx"]]): Completion(None, row["value"], row["status"], 0)
        for row in rows
        if row["item_idx"] in same and row["judge"] == config.scores.judge and row["prompt_version"] == prompts.VERSION
    }


def _trials(latents: Mapping[int, LatentCases], of: Iterable[int], part: str, count: int) -> dict[int, EvalSet]:
    return {latent: EvalSet.of(latents[latent], part, count) for latent in of}


def _announce(finalists: Sequence[Finalist], select: Mapping[int, EvalSet], config: Config) -> None:
    """The prompts and minutes to expect; pairs that are scored and were selected by, or are shared, make it less."""
    latents = len({finalist.latent for finalist in finalists})
    near = config.evidence.near_miss + config.evidence.near_direction
    selecting = len({(one.concept, item) for one in finalists for item in select[one.latent].items().tolist()})
    scoring = latents * 2 * (2 * config.scores.score_cases + near)
    levels = min(latents, config.scores.recsae) * 2 * recsae_protocol.CASES
    minutes = (selecting + scoring + levels) / (PROMPTS_PER_SECOND * config.resources.llm_actors) / 60
    log.info(
        "scores: %d finalists of %d latents: %d prompts to select, at most %d to score, "
        "at most %.0f minutes with the embedded model on a CPU",
        len(finalists),
        latents,
        selecting,
        scoring + levels,
        np.ceil(minutes),
    )


def _choose(finalists: Sequence[Finalist], select: Mapping[int, EvalSet], judges: Judges) -> Selection:
    """One finalist of each latent by the language model's AUC on select users."""
    rows: list[Row] = []
    centres: dict[tuple[int, int], float] = {}
    judged: list[tuple[Finalist, float | None, float]] = []
    for finalist in finalists:
        trial = select[finalist.latent]
        centre = evaluation.centre_of(judges.verdicts, finalist.concept, trial)
        if centre is None:
            continue
        rulings = judges.rulings(finalist, trial, centre)
        own = [evaluation.row(finalist, "select", "none", one, None) for one in rulings]
        centres[finalist.latent, finalist.candidate] = centre
        judged.append((finalist, *evaluation.sureness(rulings[0])))
        rows += own
    chosen = choose(judged)
    return Selection(chosen, {one.latent: centres[one.latent, one.candidate] for one in chosen}, rows)


def _before(chosen: Sequence[Finalist], control: Mapping[int, int]) -> list[tuple[Finalist, str, int]]:
    """Each concept before its own latent (`none`) and before its control (`shuffled`), where it has one."""
    return [
        (finalist, kind, latent)
        for finalist in chosen
        for kind, latent in (("none", finalist.latent), ("shuffled", control.get(finalist.latent)))
        if latent is not None
    ]


def _score(
    chosen: Selection, control: Mapping[int, int], score: Mapping[int, EvalSet], judges: Judges
) -> tuple[list[Row], list[Prediction]]:
    """The rows of the chosen on score users, their own and the control's, and the language model's own rulings."""
    rows: list[Row] = []
    own: list[Prediction] = []
    for finalist, kind, latent in _before(chosen.finalists, control):
        rulings = judges.rulings(finalist, score[latent], chosen.centre[finalist.latent])
        rows += [evaluation.row(finalist, "score", kind, one, judges.interval(one)) for one in rulings]
        own += rulings[:1] if kind == "none" else []
    expected = calibration.expected([classification.count(ruling.judged, ruling.active) for ruling in own])
    of_model = [row for row in rows if row["judge"] == "llm" and row["control"] == "none"]
    for row, value in zip(of_model, expected.tolist(), strict=True):
        row["expected"] = None if np.isnan(value) else value
    return rows, own


def _over_all_cases(
    config: Config,
    inputs: Mapping[str, Committed],
    chosen: Sequence[Finalist],
    control: Mapping[int, int],
    bearing: AttributeJudge,
    catalogue: Catalogue,
) -> tuple[list[Row], list[Row]]:
    """The rows of SCORES by attributes over all cases of score users, and those of LEVELS."""
    both = [one for one in _before(chosen, control) if one[0].terms]
    stats = inputs["evidence"].read_table("latent_stats.parquet", ["latent", "quantiles"]).to_pylist()
    plan = held_out.HeldOutPlan(
        inputs["activations"],
        inputs["sae"].data.child("model"),
        config.probe.view,
        {row["latent"]: np.array(row["quantiles"], dtype=np.float32) for row in stats},
        [held_out.Pairing(latent, bearing.items(finalist.terms)) for finalist, _, latent in both],
        catalogue.n_items,
    )
    tally = held_out.count(plan)
    rows, by_level = [], []
    for number, (finalist, kind, _) in enumerate(both):
        counts = tally.counts(number)
        # Of a yes or no, AUC and balanced accuracy are the same.
        row = {
            **evaluation.names(finalist, "score", "held_out", kind),
            **evaluation.figures(counts),
            "auc": counts.confidence,
        }
        rows.append(row)
        if kind == "none":
            pairing = plan.pairings[number]
            by_level += held_out.level_rows(finalist.concept, number, pairing, tally, catalogue.popularity)
    return rows, by_level
