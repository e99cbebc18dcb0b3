"""The tables of steering, explanations and recommendations, as Arrow schemas; conventions as in base.py."""

from __future__ import annotations

import pyarrow as pa

from recsae.schemas.base import required, table_schema

STEERING = table_schema(
    "steering",
    1,
    required("part", pa.string()),  # whose users: select, score
    required("latent", pa.int32()),
    required("concept", pa.string()),
    required("operation", pa.string()),  # add, ablate; at the site `item` scale instead of add
    pa.field("strength", pa.float64()),  # as in the config; null for ablate
    pa.field("value", pa.float64()),  # of the operation, in units of activations
    required("users", pa.int64()),
    required("cases", pa.int64()),
    required("share", pa.float64()),  # of the top-10 places, those of items that have the concept
    required("share_change", pa.float64()),  # against the clean model
    required("share_lower", pa.float64()),  # of the change: 95 %, resampling users
    required("share_upper", pa.float64()),
    required("null_mean", pa.float64()),  # change by random directions of the same length
    required("null_lower", pa.float64()),  # 5th percentile over them
    required("null_upper", pa.float64()),  # 95th
    required("null_ndcg_change", pa.float64()),  # of NDCG@10 by them, their mean
    pa.field("probe_share_change", pa.float64()),  # by the concept's linear probe, as long
    pa.field("probe_ndcg_change", pa.float64()),
    required("ndcg", pa.float64()),  # NDCG@10 of the held-out test events
    required("ndcg_change", pa.float64()),
    required("ndcg_lower", pa.float64()),  # of the change
    required("ndcg_upper", pa.float64()),
    required("hr", pa.float64()),  # HR@10
    required("coverage", pa.float64()),  # share of the catalogue in any top 10
    required("popularity", pa.float64()),  # training events of a recommended item, mean
    required("side_effect", pa.float64()),  # mean |change of share| of the other steered concepts
    pa.field("side_concept", pa.string()),  # the other one whose share changes most
    pa.field("side_change", pa.float64()),
)

WISHES = table_schema(
    "steering_wishes",
    1,
    required("concept", pa.string()),
    required("direction", pa.string()),  # latent, probe
    pa.field("latent", pa.int32()),  # the one of the concept's latents that costs least on select users
    required("clean_share", pa.float64()),  # on score users
    required("wished_share", pa.float64()),
    pa.field("strength", pa.float64()),  # that reaches it on select users; null where none does
    pa.field("share", pa.float64()),  # on score users, at this strength; interpolated linearly between two strengths
    pa.field("ndcg_change", pa.float64()),  # relative, likewise
)

EXPLANATIONS = table_schema(
    "explanations",
    2,
    required("user_id", pa.string()),
    required("rank", pa.int32()),  # from 1, among the items that the user has not seen
    required("item_id", pa.string()),
    required("score", pa.float64()),  # = listed + others + bias + error + rest
    required("average_score", pa.float64()),  # of all items of the catalogue, for this user
    required("exact", pa.bool_()),  # whether the score is linear in the probed vector; if not, parts are approximate
    required("latents", pa.list_(pa.int32())),  # those that fire whose own part is largest
    required("names", pa.list_(pa.string())),  # after …, recommends …; null where no concept passes the bar
    required("activations", pa.list_(pa.float32())),
    required("contributions", pa.list_(pa.float64())),  # of these to the score
    required("beyond", pa.list_(pa.float64())),  # minus their contributions to the average item
    required("own", pa.list_(pa.float64())),  # of `beyond`, what their mean activation does not give
    required("listed", pa.float64()),  # the sum of `contributions`
    required("others", pa.float64()),  # of all other latents
    required("bias", pa.float64()),
    required("bias_beyond", pa.float64()),
    required("error", pa.float64()),  # of what the SAE does not reconstruct
    required("rest", pa.float64()),  # what an approximation leaves unexplained; 0 where it is exact
    # score - average_score = everyone + own_named + own_unnamed + own_error + own_rest
    required("everyone", pa.float64()),  # what the average user gets for the item beyond the average item
    required("own_named", pa.float64()),  # this user's own, of all latents whose concept passes the bar
    required("own_unnamed", pa.float64()),  # of all other latents
    required("own_error", pa.float64()),
    required("own_rest", pa.float64()),  # what an approximation leaves unexplained; 0 where it is exact
)

RECOMMENDATIONS = table_schema(
    "recommendations",
    1,
    required("user_id", pa.string()),
    required("rank", pa.int32()),  # from 1
    required("item_id", pa.string()),
    required("title", pa.string()),
    required("score", pa.float32()),
)
