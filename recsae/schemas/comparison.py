"""The schema of the table that compares several runs; conventions as in base.py."""

from __future__ import annotations

import pyarrow as pa

from recsae.schemas.base import required, table_schema

MODELS = table_schema(
    "models",
    2,
    required("run", pa.string()),
    required("night", pa.string()),  # the one that is served
    required("data", pa.string()),  # its files
    required("data_hash", pa.string()),  # the same where content, filters, split and cases are
    required("users", pa.int64()),
    required("items", pa.int64()),
    required("events", pa.int64()),
    required("recommender", pa.string()),
    pa.field("ndcg_10", pa.float64()),  # on all users' test events
    pa.field("ndcg_10_lower", pa.float64()),  # 95 %, resampling users
    pa.field("ndcg_10_upper", pa.float64()),
    pa.field("fvu", pa.float64()),
    pa.field("ndcg_10_kept", pa.float64()),  # share of it that is left through the SAE, on score users
    required("latents", pa.int64()),  # that fire
    pa.field("median_confidence", pa.float64()),  # of statements on all cases of score users
    required("at_70", pa.int64()),  # latents whose confidence is at least .70: a bar that does not move with the run
    required("at_75", pa.int64()),
    required("at_80", pa.int64()),
    pa.field("share_70", pa.float64()),  # of the latents that fire
    pa.field("share_75", pa.float64()),
    pa.field("share_75_lower", pa.float64()),  # 95 %, Wilson's
    pa.field("share_75_upper", pa.float64()),
    pa.field("share_80", pa.float64()),
    required("interpretable", pa.int64()),  # by the run's own bar
    pa.field("share", pa.float64()),  # of the latents that fire
    pa.field("share_lower", pa.float64()),
    pa.field("share_upper", pa.float64()),
    pa.field("bar", pa.float64()),  # the run's own
    required("controls", pa.int64()),  # shuffled ones that would pass the same bar
    required("asked", pa.int64()),  # latents that the language model was asked about
    required("judge_accepted", pa.int64()),  # of these: names that it accepts
    required("distinct", pa.int64()),  # different headings among the latents at .75
    pa.field("effective", pa.float64()),  # equally common headings that would be as diverse (Hill number of order 1)
    pa.field("rarefied", pa.float64()),  # different headings expected among `rarefied_to` latents at .75
    pa.field("rarefied_to", pa.int64()),  # the least number of latents at .75 of a model of these data
    required("values", pa.int64()),  # attribute values that the stage statistics measured, in the probe's view
    required("answered", pa.int64()),  # of these: a latent answers above what the best of as many does by chance
    required("answering", pa.int64()),  # different latents that answer so
    pa.field("correlation", pa.float64()),  # mean over values of the best latent's, less what chance gives
)
