"""The tables of the stage `statements`, as Arrow schemas; conventions as in base.py."""

from __future__ import annotations

import pyarrow as pa

from recsae.schemas.base import required, table_schema

ROLES = ("chosen", "core", "unseen", "shuffled", "null", "contestant")
"""What a row of STATEMENT_SCORES is about.

The latent's statement on all cases of score users; the statement with the highest F1; the latent's statement on cases
whose item was kept from the search, and before another latent; what the search finds for a null latent; the best
statement of each kind and view.
"""

_COUNTS = (
    required("tp", pa.int64()),
    required("fp", pa.int64()),
    required("tn", pa.int64()),
    required("fn", pa.int64()),
    pa.field("precision", pa.float64()),
    pa.field("recall", pa.float64()),
    pa.field("f1", pa.float64()),
    pa.field("confidence", pa.float64()),  # balanced accuracy
    pa.field("lower", pa.float64()),  # 95 %, by the jackknife over groups of users
    pa.field("upper", pa.float64()),
    pa.field("level_recall", pa.list_(pa.float64())),  # in each tenth of the activations, the weakest first
)

STATEMENT_SCORES = table_schema(
    "statement_scores",
    1,
    required("latent", pa.int32()),
    required("role", pa.string()),  # of ROLES
    required("kind", pa.string()),  # term (a formula of one literal), formula, item set, item list, behaviour
    required("view", pa.string()),
    required("statement", pa.string()),  # JSON
    pa.field("select_confidence", pa.float64()),  # on select users, which chose
    pa.field("on_latent", pa.int32()),  # shuffled: the latent on which the statement was counted
    required("passes", pa.bool_()),  # above the bar, by the rule of choice.py
    *_COUNTS,
)

STATEMENTS = table_schema(
    "statements",
    1,
    required("latent", pa.int32()),
    pa.field("kind", pa.string()),  # formula, item set, item list, behaviour; null where none was found
    pa.field("view", pa.string()),
    pa.field("statement", pa.string()),  # JSON
    pa.field("words", pa.string()),
    pa.field("gloss", pa.string()),  # the best short formula of the same view in words, beside an item set or list
    pa.field("gloss_confidence", pa.float64()),  # of the gloss alone, on select users
    required("accepted", pa.bool_()),
    pa.field("p_value", pa.float64()),
    required("status", pa.string()),  # ok, or why there is no statement
    *(field.with_nullable(True) for field in _COUNTS),
    pa.field("holds_from", pa.int8()),  # the tenth of activations, from 1, from which on recall is at least .8
    pa.field("causal_check", pa.string()),  # behaviours: agrees, contradicts, unclear, untested (causal.py)
    pa.field("causal_change", pa.float64()),  # firing share of synthetic histories within the range minus outside it
    pa.field("core_statement", pa.string()),  # JSON of the statement with the highest F1 on select users
    pa.field("core_words", pa.string()),
    pa.field("core_precision", pa.float64()),
    pa.field("core_recall", pa.float64()),
    pa.field("core_f1", pa.float64()),
    pa.field("unseen_confidence", pa.float64()),
    pa.field("unseen_lower", pa.float64()),
    pa.field("unseen_upper", pa.float64()),
    pa.field("shuffled_confidence", pa.float64()),
)

EFFECTS = table_schema(
    "effects",
    1,
    required("latent", pa.int32()),
    pa.field("promotes", pa.string()),  # the items whose scores gain most, in words
    pa.field("promotes_statement", pa.string()),  # JSON
    pa.field("holds_down", pa.string()),
    pa.field("holds_down_statement", pa.string()),
    pa.field("effect_confidence", pa.float64()),  # balanced accuracy of `promotes` on items kept from the search
    pa.field("agrees", pa.bool_()),  # whether what it promotes satisfies the statement of the input side beyond chance
)
