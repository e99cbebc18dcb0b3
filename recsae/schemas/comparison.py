"""The schema of the table that compares several runs; conventions as in base.py."""

from __future__ import annotations

import pyarrow as pa

from recsae.schemas.base import required, table_schema

MODELS = table_schema(
    "models",
    1,
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
    required("asked", pa.int64()),  # of these: given to the language model; the others are not in the sample
    required("interpretable", pa.int64()),
    pa.field("share", pa.float64()),  # interpretable by asked
    pa.field("share_lower", pa.float64()),  # 95 %, Wilson's
    pa.field("share_upper", pa.float64()),
    required("controls", pa.int64()),  # shuffled ones that would pass the same bar
    pa.field("expected", pa.float64()),  # share times latents: how many there would be if all had been asked
    required("distinct", pa.int64()),  # different concepts among the interpretable
    pa.field("effective", pa.float64()),  # equally common concepts that would be as diverse (Hill number of order 1)
    pa.field("rarefied", pa.float64()),  # different concepts expected among `rarefied_to` interpretable latents
    pa.field("rarefied_to", pa.int64()),  # the least number of interpretable latents of a model of these data
    required("values", pa.int64()),  # attribute values that the stage statistics measured, in the probe's view
    required("answered", pa.int64()),  # of these: a latent answers above what the best of as many does by chance
    required("answering", pa.int64()),  # different latents that answer so
    pa.field("correlation", pa.float64()),  # mean over values of the best latent's, less what chance gives
)
