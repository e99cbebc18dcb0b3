"""Every table that crosses a stage boundary, as Arrow schemas: the one home of column names.

The tables from events to activations are here, those from evidence to the dictionary in concepts.py, those of
steering in steering.py. Internal ids are int32 (`user_idx`, `item_idx`), external ids are strings. Each schema carries
its name and version as metadata, and every write casts to it with `conform`.
"""

from __future__ import annotations

import pyarrow as pa

SPLITS = ("train", "validation", "test")
"""How each user's events are split in time."""
PARTS = ("explain", "select", "score")
"""How users are split, the same in every night: half name concepts, a quarter choose among names, a quarter judge."""
ACTIVE_ROLES = ("top", "level")
SILENT_ROLES = ("random", "popularity")
NEAR_MISS = "near_miss"
NEAR_DIRECTION = "near_direction"
"""Non-activating cases close to the active ones (hard negatives): by the attributes of their item, and by the latents
that fire instead."""


def item_column(view: str) -> str:
    """By view, the column of a case that holds the item a concept describes."""
    return "top_idx" if view == "recommended" else "item_idx"


def table_schema(name: str, version: int, *fields: pa.Field) -> pa.Schema:
    return pa.schema(fields, metadata={"recsae.table": name, "recsae.version": str(version)})


def required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


ATTRIBUTES = pa.list_(pa.struct([required("name", pa.string()), required("value", pa.string())]))

INTERACTIONS = table_schema(
    "interactions",
    1,
    required("user_idx", pa.int32()),
    required("position", pa.int32()),  # 0-based, in the order of all the user's events, whatever their split
    required("item_idx", pa.int32()),
    required("timestamp", pa.int64()),  # as given; dates become microseconds since 1970
    required("weight", pa.float32()),
)

ITEMS = table_schema(
    "items",
    1,
    required("item_idx", pa.int32()),
    required("item_id", pa.string()),
    required("title", pa.string()),
    required("attributes", ATTRIBUTES),
    required("popularity", pa.int64()),  # training events
)

USERS = table_schema(
    "users",
    1,
    required("user_idx", pa.int32()),
    required("user_id", pa.string()),
    required("part", pa.string()),
    required("events", pa.int32()),
    required("attributes", ATTRIBUTES),
)

CASES = table_schema(
    "cases",
    1,
    required("case_id", pa.int64()),
    required("user_idx", pa.int32()),
    required("position", pa.int32()),  # events of the user before it: the history
    required("item_idx", pa.int32()),  # the last item of the history
    pa.field("target_idx", pa.int32()),  # null after the last event
    pa.field("split", pa.string()),  # of the target; null after the last event
    required("part", pa.string()),
)


def activations(width: int, site: str = "user") -> pa.Schema:
    """The schema of shards: one vector of `width` float32 per case, read at `site`. `part` is an index into PARTS.

    Shards repeat the case's user, item and part, so that the SAE and the evidence need no join. On the item side each
    item is a case and its own user.
    """
    schema = table_schema(
        "activations",
        1,
        required("case_id", pa.int64()),
        required("user_idx", pa.int32()),
        required("position", pa.int32()),
        required("item_idx", pa.int32()),
        pa.field("top_idx", pa.int32()),  # the unseen item that the model ranks first; null where it was not given
        required("part", pa.int8()),
        required("activation", pa.list_(pa.float32(), width)),
    )
    return schema.with_metadata({**schema.metadata, "recsae.site": site})


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns, types and metadata of `schema`.

    Raises KeyError on a missing column and pa.ArrowInvalid on a value that does not fit or a null in a required column.
    """
    columns = []
    for field in schema:
        column = table.column(field.name).cast(field.type)
        if not field.nullable and column.null_count:
            name = schema.metadata[b"recsae.table"].decode()
            raise pa.ArrowInvalid(f"{name}.{field.name} holds {column.null_count} nulls and may hold none")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)
