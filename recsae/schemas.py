"""Every table that crosses a stage boundary, as Arrow schemas: the one home of column names.

Ids inside are int32 (`user_idx`, `item_idx`), ids outside are strings. Each schema carries its name and version as
metadata, and every write casts to it with `conform`. It knows tables and nothing of who writes or reads them.
"""

from __future__ import annotations

import pyarrow as pa

SPLITS = ("train", "validation", "test")
"""How each user's events are cut in time."""
PARTS = ("explain", "select", "score")
"""How users are cut for good: half write concepts, a quarter choose among them, a quarter judge them."""
ACTIVE_ROLES = ("top", "level")
SILENT_ROLES = ("random", "popularity")
NEAR_MISS = "near_miss"


def _schema(name: str, version: int, *fields: pa.Field) -> pa.Schema:
    return pa.schema(fields, metadata={"recsae.table": name, "recsae.version": str(version)})


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


ATTRIBUTES = pa.list_(pa.struct([_required("name", pa.string()), _required("value", pa.string())]))

INTERACTIONS = _schema(
    "interactions",
    1,
    _required("user_idx", pa.int32()),
    _required("position", pa.int32()),  # 0-based, in the order of all the user's events, whatever their split
    _required("item_idx", pa.int32()),
    _required("timestamp", pa.int64()),  # as given; dates become microseconds since 1970
    _required("weight", pa.float32()),
)

ITEMS = _schema(
    "items",
    1,
    _required("item_idx", pa.int32()),
    _required("item_id", pa.string()),
    _required("title", pa.string()),
    _required("attributes", ATTRIBUTES),
    _required("popularity", pa.int64()),  # training events
)

USERS = _schema(
    "users",
    1,
    _required("user_idx", pa.int32()),
    _required("user_id", pa.string()),
    _required("part", pa.string()),
    _required("events", pa.int32()),
    _required("attributes", ATTRIBUTES),
)

CASES = _schema(
    "cases",
    1,
    _required("case_id", pa.int64()),
    _required("user_idx", pa.int32()),
    _required("position", pa.int32()),  # events of the user before it: the history
    _required("item_idx", pa.int32()),  # the last item of the history
    pa.field("target_idx", pa.int32()),  # null after the last event
    pa.field("split", pa.string()),  # of the target; null after the last event
    _required("part", pa.string()),
)


def activations(width: int, site: str = "user") -> pa.Schema:
    """Shards: one vector of `width` float32 a case, read at `site`. `part` is an index into PARTS.

    The case's user, item and part travel along, so that the SAE and the evidence need no join. On the item side an
    item is a case and its own user.
    """
    schema = _schema(
        "activations",
        1,
        _required("case_id", pa.int64()),
        _required("user_idx", pa.int32()),
        _required("position", pa.int32()),
        _required("item_idx", pa.int32()),
        pa.field("top_idx", pa.int32()),  # the unseen item that the model ranks first; null where it was not given
        _required("part", pa.int8()),
        _required("activation", pa.list_(pa.float32(), width)),
    )
    return schema.with_metadata({**schema.metadata, "recsae.site": site})


EVIDENCE = _schema(
    "evidence",
    2,
    _required("latent", pa.int32()),
    _required("part", pa.string()),
    _required("role", pa.string()),  # top, level, random, popularity, near_miss
    _required("rank", pa.int32()),  # order within the role
    _required("case_id", pa.int64()),
    _required("user_idx", pa.int32()),
    _required("position", pa.int32()),
    _required("item_idx", pa.int32()),
    pa.field("top_idx", pa.int32()),  # null where the activations were given without it
    _required("activation", pa.float32()),
    _required("level", pa.int8()),  # 0 silent; 1 to 10 by deciles of the latent's positive activations on explain users
)

LATENT_STATS = _schema(
    "latent_stats",
    1,
    _required("latent", pa.int32()),
    _required("frequency", pa.float64()),  # share of explain cases in which it fires
    _required("activations", pa.int64()),  # explain cases in which it fires
    _required("maximum", pa.float32()),
    _required("quantiles", pa.list_(pa.float32())),  # the nine inner deciles of its positive activations
    _required("top_items", pa.list_(pa.int32())),  # of the explain evidence, by number of cases
    _required("evidence_hash", pa.string()),
)

LABELS = _schema(
    "labels",
    1,
    _required("latent", pa.int32()),
    _required("candidate", pa.int32()),
    _required("concept", pa.string()),
    pa.field("description", pa.string()),
    _required("source", pa.string()),  # terms, model
    _required("terms", pa.list_(pa.string())),  # what of the catalogue's vocabulary the concept names
    _required("view", pa.string()),
    _required("prompt_version", pa.string()),
    _required("model", pa.string()),
    pa.field("tfidf", pa.float64()),
    pa.field("pmi", pa.float64()),  # nats
    _required("finalist", pa.bool_()),
    _required("status", pa.string()),  # ok, or what went wrong with this row
)

VERDICTS = _schema(
    "verdicts",
    1,
    _required("concept", pa.string()),
    _required("item_idx", pa.int32()),
    _required("judge", pa.string()),
    _required("view", pa.string()),
    _required("prompt_version", pa.string()),
    _required("model", pa.string()),
    pa.field("value", pa.float64()),  # nats: a log-likelihood (pmi) or log-odds (yes_no)
    _required("status", pa.string()),
)

SCORES = _schema(
    "scores",
    1,
    _required("latent", pa.int32()),
    _required("candidate", pa.int32()),
    _required("concept", pa.string()),
    _required("part", pa.string()),  # select, score
    _required("judge", pa.string()),  # llm, attributes
    _required("control", pa.string()),  # none, shuffled
    _required("tp", pa.int32()),
    _required("fp", pa.int32()),
    _required("tn", pa.int32()),
    _required("fn", pa.int32()),
    pa.field("precision", pa.float64()),
    pa.field("recall", pa.float64()),
    pa.field("f1", pa.float64()),
    pa.field("auc", pa.float64()),
    pa.field("confidence", pa.float64()),  # balanced accuracy
    pa.field("lower", pa.float64()),  # of confidence: 95 %, resampling users
    pa.field("upper", pa.float64()),
    pa.field("centre", pa.float64()),  # the judge's threshold, fixed on select users
    pa.field("near_miss_rate", pa.float64()),  # near misses judged active; never in the headline
)

CONCEPTS = _schema(
    "concepts",
    1,
    _required("latent", pa.int32()),
    pa.field("stable_id", pa.string()),  # null until latents are matched between nights
    pa.field("name", pa.string()),
    pa.field("description", pa.string()),
    _required("terms", pa.list_(pa.string())),
    pa.field("source", pa.string()),
    _required("view", pa.string()),
    _required("interpretable", pa.bool_()),
    pa.field("confidence", pa.float64()),
    pa.field("confidence_lower", pa.float64()),
    pa.field("confidence_upper", pa.float64()),
    pa.field("confidence_shuffled", pa.float64()),
    pa.field("precision", pa.float64()),
    pa.field("recall", pa.float64()),
    pa.field("f1", pa.float64()),
    pa.field("auc", pa.float64()),
    pa.field("tp", pa.int32()),
    pa.field("fp", pa.int32()),
    pa.field("tn", pa.int32()),
    pa.field("fn", pa.int32()),
    pa.field("near_miss_rate", pa.float64()),
    pa.field("attribute_confidence", pa.float64()),
    pa.field("attribute_confidence_shuffled", pa.float64()),
    pa.field("attribute_auc", pa.float64()),
    pa.field("causal", pa.float64()),  # null until steering
    pa.field("drift", pa.string()),  # null until nights are compared
    _required("frequency", pa.float64()),
    _required("activations", pa.int64()),
    _required("maximum", pa.float32()),
    _required("top_items", pa.list_(pa.string())),  # titles
    _required("top_item_ids", pa.list_(pa.string())),
    _required("evidence_hash", pa.string()),
    _required("status", pa.string()),  # ok, or why there is no score
    _required("model", pa.string()),
    _required("prompt_version", pa.string()),
    _required("fingerprints", pa.map_(pa.string(), pa.string())),  # of every stage behind the row
)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns, types and metadata of `schema`.

    Raises KeyError on a missing column and pa.ArrowInvalid on a value that does not fit or a null where none may be.
    """
    columns = []
    for field in schema:
        column = table.column(field.name).cast(field.type)
        if not field.nullable and column.null_count:
            name = schema.metadata[b"recsae.table"].decode()
            raise pa.ArrowInvalid(f"{name}.{field.name} holds {column.null_count} nulls and may hold none")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)
