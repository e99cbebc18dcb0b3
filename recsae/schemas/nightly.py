"""The tables that join one night to the next, as Arrow schemas; conventions as in base.py."""

from __future__ import annotations

import pyarrow as pa

from recsae.schemas.base import required, table_schema

MATCHES = table_schema(
    "matches",
    1,
    required("latent", pa.int32()),
    required("stable_id", pa.string()),  # the same in every night
    pa.field("last_latent", pa.int32()),  # its number last night; null for a new one
    pa.field("similarity", pa.float64()),  # of the two latents
    pa.field("cosine", pa.float64()),  # of decoder directions; null where the vectors' space is not last night's
    pa.field("correlation", pa.float64()),  # of activations over explain cases of both nights
)

LABELLED = table_schema(
    "labelled",
    1,
    required("latent", pa.int32()),
    required("stable_id", pa.string()),
    required("items", pa.list_(pa.string())),  # item_id: its strongest explain items when it was labelled
    pa.field("jaccard", pa.float64()),  # of these with tonight's strongest; null for a new latent
    required("carried", pa.bool_()),  # whether last night's labels were reused
)

CHANGES = ("kept", "renamed", "moved", "new", "gone")
"""What happened to a latent since last night: the same statement, or one that most of the same items satisfy; another
statement, and the same strongest items; another statement and other items; new; gone."""

DRIFT = table_schema(
    "drift",
    2,
    required("stable_id", pa.string()),
    required("change", pa.string()),  # of CHANGES
    pa.field("latent", pa.int32()),  # null for one that is gone
    pa.field("last_latent", pa.int32()),  # null for a new one
    pa.field("similarity", pa.float64()),
    pa.field("jaccard", pa.float64()),  # of the items that satisfy the statements; null where they are not about items
    pa.field("top_jaccard", pa.float64()),  # of the strongest items
    pa.field("name", pa.string()),
    pa.field("last_name", pa.string()),
    pa.field("kind", pa.string()),
    pa.field("last_kind", pa.string()),
    pa.field("words", pa.string()),
    pa.field("last_words", pa.string()),
    pa.field("confidence", pa.float64()),
    pa.field("last_confidence", pa.float64()),
    pa.field("interpretable", pa.bool_()),
    pa.field("last_interpretable", pa.bool_()),
    pa.field("frequency", pa.float64()),
    pa.field("last_frequency", pa.float64()),
)

HISTORY = table_schema(
    "history",
    2,
    required("stable_id", pa.string()),
    required("night", pa.int32()),  # from 1: nights that were served, and this one
    required("latent", pa.int32()),
    pa.field("change", pa.string()),  # of CHANGES; null on the first night
    pa.field("name", pa.string()),
    pa.field("confidence", pa.float64()),
    pa.field("confidence_lower", pa.float64()),
    pa.field("confidence_upper", pa.float64()),
    required("interpretable", pa.bool_()),
)
