"""The schema of the survey's results; conventions as in base.py."""

from __future__ import annotations

import pyarrow as pa

from recsae.schemas.base import required, table_schema

SURVEY = table_schema(
    "survey",
    2,
    required("latent", pa.int32()),  # whose concept it is, as in the dictionary
    required("stable_id", pa.string()),
    required("name", pa.string()),  # the statement in words
    pa.field("statement_view", pa.string()),  # what its cases show: recommended, last, history, item
    required("decoy", pa.bool_()),  # put to the cases of another latent
    required("cases_of", pa.int32()),  # that latent; of a real one its own
    required("interpretable", pa.bool_()),  # as in the dictionary
    required("raters", pa.int32()),  # who answered any of its questions
    required("cases", pa.int32()),
    required("yes_active", pa.int64()),  # votes on cases in which the latent of `cases_of` fires
    required("no_active", pa.int64()),
    required("unsure_active", pa.int64()),
    required("yes_silent", pa.int64()),  # and in which it does not
    required("no_silent", pa.int64()),
    required("unsure_silent", pa.int64()),
    required("open", pa.int64()),  # questions that raters left without an answer
    pa.field("people_recall", pa.float64()),  # mean over activating cases of the share of yes among yes and no
    pa.field("people_true_negative_rate", pa.float64()),  # over non-activating ones, of no
    pa.field("people_confidence", pa.float64()),  # their mean: balanced accuracy
    pa.field("people_lower", pa.float64()),  # 95 %: score intervals over cases, squared and added
    pa.field("people_upper", pa.float64()),
    pa.field("majority_agrees", pa.float64()),  # share of cases with a majority and a verdict where the two agree
    pa.field("judge_on_cases", pa.float64()),  # the statement's balanced accuracy on these very cases, or the model's
    pa.field("judge_confidence", pa.float64()),  # and on all score cases; of a decoy the shuffled control's
    pa.field("judge_lower", pa.float64()),
    pa.field("judge_upper", pa.float64()),
    required("survey", pa.string()),
    required("night", pa.string()),
    required("view", pa.string()),
    required("model", pa.string()),  # the judge of free texts
)
