"""The stage `scores`: judges finalists on select users, then the best of each latent, and its control, on score users.

The language-model judge decides. Three others are only reported: attributes on the same cases, attributes on all cases
of score users (held_out.py), and RecSAE's protocol on a sample of latents (recsae_protocol.py). A concept's centre, its
threshold, is the midpoint between its median values on active and non-activating select cases. The control judges the
same concept, with the same centre, on the evidence of another latent (controls.py). Targets are never read.
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
from recsae.labels.judges import AttributeJudge, LlmJudge, Pair
from recsae.labels.reuse import same_setup
from recsae.llm.answer_cache import ask_once
from recsae.llm.model import locate_model
from recsae.llm.pool import Completion, EnginePool
from recsae.schemas.concepts import LEVELS, SCORES, VERDICTS
from recsae.scores import calibration, evaluation, held_out, recsae_protocol
from recsae.scores.calibration import calibrate
from recsae.scores.controls import draw_controls
from recsae.scores.evaluation import EvalSet, Prediction
from recsae.scores.masked_judge import MaskedJudge, draw_pairs
from recsae.stats import classification
from recsae.store.run_store import PREVIOUS, Attempt, Committed, Metrics

log = logging.getLogger(__name__)

PROMPTS_PER_SECOND = 50
"""Measured throughput of the embedded model, one engine on one CPU core; used for the estimate in the log."""

Row = dict[str, Any]


class Judges(NamedTuple):
    """The language-model and the attribute judge, and the settings of the bootstrap interval."""

    llm: LlmJudge
    attributes: AttributeJudge
    resamplings: int
    seed: int

    def predict(self, finalist: Finalist, eval_set: EvalSet, centre: float) -> list[Prediction]:
        """The language model's prediction and, if the concept has terms, that of the attributes."""
        found = [evaluation.predict_by_llm(self.llm, finalist.concept, eval_set, centre)]
        if finalist.terms:
            found.append(evaluation.predict_by_attributes(self.attributes, finalist.terms, eval_set))
        return found

    def interval(self, prediction: Prediction) -> tuple[float, float] | None:
        return classification.interval(
            prediction.predicted, prediction.active, prediction.user, self.resamplings, self.seed
        )


class Selection(NamedTuple):
    """The choice made on select users: one finalist per latent with its centre, and the rows of SCORES behind it."""

    finalists: list[Finalist]
    centre: dict[int, float]
    rows: list[Row]


def score_concepts(config: Config, inputs: Mapping[str, Committed], out: Attempt) -> Metrics:
    """Writes `scores.parquet`, `verdicts.parquet` and `levels.parquet`."""
    catalogue = Catalogue.read(inputs["ingest"])
    latents = read_cases(inputs["evidence"], config.probe.view)
    proposals = read_proposals(inputs["labels"])
    concept_terms = {one.concept: one.terms for one in proposals.finalists}
    llm = LlmJudge(config.scores.judge, catalogue)
    reusable = _reusable_verdicts(config, inputs, catalogue) | _verdicts_of_labels(config, inputs["labels"])
    judges = Judges(llm, AttributeJudge(terms.build(catalogue)), config.scores.bootstrap, config.seed)
    select = _eval_sets(latents, proposals.words, "select", config.scores.select_cases)
    score = _eval_sets(latents, proposals.words, "score", config.scores.score_cases)
    _log_estimate(proposals.finalists, select, config)
    with EnginePool(config.llm, config.resources, locate_model(config.llm)) as pool:

        def ask(phase: str, to_judge: Iterable[tuple[Finalist, EvalSet]]) -> None:
            asked = list(to_judge)
            pairs = {(one.concept, item) for one, eval_set in asked for item in eval_set.items().tolist()}
            llm.answers.update({pair: reusable[pair] for pair in pairs & reusable.keys()})
            missing = llm.missing(pairs)
            questions = [llm.request(pair) for pair in missing]
            served = len({one.latent for one, _ in asked})
            answers = ask_once(questions, pool, out.progress, "verdicts", phase=phase, latents=served)
            llm.answers.update(zip(missing, answers, strict=True))

        ask("choosing among candidates", ((one, select[one.latent]) for one in proposals.finalists))
        chosen = select_best(proposals.finalists, select, judges)
        control = draw_controls(chosen.finalists, proposals.words, config.seed)
        to_score = _with_controls(chosen.finalists, control)
        ask("judging the chosen concepts", ((finalist, score[latent]) for finalist, _, latent in to_score))
        quizzes = recsae_protocol.draw_quizzes(chosen.finalists, latents, config.scores.recsae, config.seed)
        questions = recsae_protocol.requests(quizzes, catalogue)
        schema, phase = recsae_protocol.LEVEL_SCHEMA, "RecSAE's protocol"
        levels = ask_once(questions, pool, out.progress, "levels", schema, phase=phase, latents=len(quizzes))
        masked = MaskedJudge(config.scores.judge, catalogue, concept_terms)
        pairs = [] if llm.answers.keys() <= reusable.keys() else draw_pairs(llm, concept_terms, config.seed)
        to_ask = [masked.request(pair) for pair in masked.missing(pairs)]
        answered = ask_once(to_ask, pool, out.progress, "masked", phase="judging texts without the answer")
        masked.answers.update(zip(masked.missing(pairs), answered, strict=True))
    rows, predictions = _score(chosen, control, score, judges)
    results = recsae_protocol.results(quizzes, levels)
    rows += [recsae_protocol.score_row(result) for result in results]
    # Only now: engines hold the CPU cores until their pool is closed, and the pass over the shards needs them.
    held_out_rows, level_rows = _score_held_out(config, inputs, chosen.finalists, control, judges.attributes, catalogue)
    rows = [*chosen.rows, *rows, *held_out_rows]
    out.write_table("scores.parquet", pa.Table.from_pylist(rows, SCORES), SCORES)
    out.write_table("levels.parquet", pa.Table.from_pylist(level_rows, LEVELS), LEVELS)
    out.write_table("verdicts.parquet", llm.table(config.probe.view, config.llm.model), VERDICTS)
    answers = [*llm.answers.values(), *masked.answers.values(), *dict(zip(questions, levels, strict=True)).values()]
    failed = sum(answer.status != "ok" for answer in answers)
    reused = len(llm.answers.keys() & reusable.keys())
    log.info("scores: %d latents scored, %d judgements, %d failed", len(chosen.finalists), len(answers), failed)
    return {
        "judge": config.scores.judge,
        **_worth(llm, judges.attributes, concept_terms, "judge"),
        **(_worth(masked, judges.attributes, concept_terms, "judge_masked") if pairs else _masked_last_night(inputs)),
        "finalists": len(proposals.finalists),
        "scored": len(chosen.finalists),
        "controls": len(control),
        "prompts": len(answers) - reused,
        "reused": reused,
        "failed": failed,
        "tokens": sum(answer.tokens for answer in answers),
        "calibration": calibrate(predictions, config.seed)._asdict(),
        "recsae": recsae_protocol.metrics(results),
    }


def _reusable_verdicts(config: Config, inputs: Mapping[str, Committed], catalogue: Catalogue) -> dict[Pair, Completion]:
    """Last night's verdicts that still hold tonight: same setup, and items whose text is unchanged."""
    if PREVIOUS + "scores" not in inputs or not same_setup(inputs[PREVIOUS + "scores"], config):
        return {}
    last_catalogue = Catalogue.read(inputs[PREVIOUS + "ingest"])
    index = {item_id: item for item, item_id in enumerate(catalogue.ids)}
    unchanged = {
        item: index[item_id]
        for item, item_id in enumerate(last_catalogue.ids)
        if item_id in index and last_catalogue.text(item) == catalogue.text(index[item_id])
    }
    rows = inputs[PREVIOUS + "scores"].read_table("verdicts.parquet").to_pylist()
    return {
        (row["concept"], unchanged[row["item_idx"]]): Completion(None, row["value"], row["status"], 0)
        for row in rows
        if row["item_idx"] in unchanged
        and row["judge"] == config.scores.judge
        and row["prompt_version"] == prompts.VERSION
    }


def _worth(llm: LlmJudge, attributes: AttributeJudge, terms: Mapping[str, Sequence[str]], name: str) -> Metrics:
    """The judge's AUC and Youden's J against the attributes."""
    value, has_terms = llm.centred(attributes, terms)
    return {
        f"{name}_auc": classification.auc(value, has_terms),
        f"{name}_youden": classification.youden(value, has_terms),
    }


def _masked_last_night(inputs: Mapping[str, Committed]) -> Metrics:
    """The judge's worth on texts without the answer as it was, where all verdicts are last night's."""
    last = inputs[PREVIOUS + "scores"].metrics if PREVIOUS + "scores" in inputs else {}
    return {name: last.get(name) for name in ("judge_masked_auc", "judge_masked_youden")}


def _verdicts_of_labels(config: Config, labels: Committed) -> dict[Pair, Completion]:
    """What the stage `labels` asked the same judge about free names on select users."""
    return {
        (row["concept"], row["item_idx"]): Completion(None, row["value"], row["status"], 0)
        for row in labels.read_table("verdicts.parquet").to_pylist()
        if row["judge"] == config.scores.judge
    }


def _eval_sets(latents: Mapping[int, LatentCases], of: Iterable[int], part: str, count: int) -> dict[int, EvalSet]:
    return {latent: EvalSet.from_cases(latents[latent], part, count) for latent in of}


def _log_estimate(finalists: Sequence[Finalist], select: Mapping[int, EvalSet], config: Config) -> None:
    """Logs an upper bound on prompts and minutes; pairs that occur more than once are asked only once."""
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


def select_best(finalists: Sequence[Finalist], select: Mapping[int, EvalSet], judges: Judges) -> Selection:
    """Chooses one finalist per latent by the language model's AUC on select users."""
    rows: list[Row] = []
    centres: dict[tuple[int, int], float] = {}
    judged: list[tuple[Finalist, float | None, float]] = []
    for finalist in finalists:
        eval_set = select[finalist.latent]
        centre = evaluation.centre_of(judges.llm, finalist.concept, eval_set)
        if centre is None:
            continue
        predictions = judges.predict(finalist, eval_set, centre)
        rows += [evaluation.score_row(finalist, "select", "none", one, None) for one in predictions]
        centres[finalist.latent, finalist.candidate] = centre
        judged.append((finalist, *evaluation.auc_with_error(predictions[0])))
    chosen = choose(judged)
    return Selection(chosen, {one.latent: centres[one.latent, one.candidate] for one in chosen}, rows)


def _with_controls(chosen: Sequence[Finalist], control: Mapping[int, int]) -> list[tuple[Finalist, str, int]]:
    """Each concept with its own latent (`none`) and, if it has one, with its control latent (`shuffled`)."""
    return [
        (finalist, kind, latent)
        for finalist in chosen
        for kind, latent in (("none", finalist.latent), ("shuffled", control.get(finalist.latent)))
        if latent is not None
    ]


def _score(
    chosen: Selection, control: Mapping[int, int], score: Mapping[int, EvalSet], judges: Judges
) -> tuple[list[Row], list[Prediction]]:
    """Rows of SCORES on score users, own and control, and the language model's predictions on the own latents."""
    rows: list[Row] = []
    own_predictions: list[Prediction] = []
    for finalist, kind, latent in _with_controls(chosen.finalists, control):
        predictions = judges.predict(finalist, score[latent], chosen.centre[finalist.latent])
        rows += [evaluation.score_row(finalist, "score", kind, one, judges.interval(one)) for one in predictions]
        own_predictions += predictions[:1] if kind == "none" else []
    expected = calibration.expected_confidence(
        [classification.count(one.predicted, one.active) for one in own_predictions]
    )
    own_rows = [row for row in rows if row["judge"] == "llm" and row["control"] == "none"]
    for row, value in zip(own_rows, expected.tolist(), strict=True):
        row["expected"] = None if np.isnan(value) else value
    return rows, own_predictions


def _score_held_out(
    config: Config,
    inputs: Mapping[str, Committed],
    chosen: Sequence[Finalist],
    control: Mapping[int, int],
    attributes: AttributeJudge,
    catalogue: Catalogue,
) -> tuple[list[Row], list[Row]]:
    """Rows of SCORES by attributes on all cases of score users, and rows of LEVELS."""
    pairings = [one for one in _with_controls(chosen, control) if one[0].terms]
    stats = inputs["evidence"].read_table("latent_stats.parquet", ["latent", "quantiles"]).to_pylist()
    plan = held_out.HeldOutPlan(
        inputs["activations"],
        inputs["sae"].data.child("model"),
        config.probe.view,
        {row["latent"]: np.array(row["quantiles"], dtype=np.float32) for row in stats},
        [held_out.Pairing(latent, attributes.items(finalist.terms)) for finalist, _, latent in pairings],
        catalogue.n_items,
    )
    tally = held_out.count(plan)
    rows, level_rows = [], []
    for number, (finalist, kind, _) in enumerate(pairings):
        counts = tally.counts(number)
        # For a binary prediction, AUC equals balanced accuracy.
        row = {
            **evaluation.key_columns(finalist, "score", "held_out", kind),
            **counts.columns(),
            "auc": counts.confidence,
        }
        rows.append(row)
        if kind == "none":
            pairing = plan.pairings[number]
            level_rows += held_out.level_rows(finalist.concept, number, pairing, tally, catalogue.popularity)
    return rows, level_rows
