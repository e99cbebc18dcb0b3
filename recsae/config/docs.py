"""The config as documentation: every key with its value, default and doc line, and the JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic_core import to_jsonable_python

from recsae.config.base import Section
from recsae.config.schema import Config
from recsae.text.redaction import redact_tree

REQUIRED = "required"
"""Stands in the place of the default of a key that has none."""


class KeyDoc(NamedTuple):
    """One key of the config."""

    key: str
    """Its path, as in `sae.sweep.k`."""
    value: Any
    """As JSON has it, without credentials; None for every key of an optional section that is left out."""
    default: Any
    doc: str
    """Its doc line, on one line."""


def describe(config: Config) -> list[KeyDoc]:
    """Every key in the order of the schema; an optional section that is left out comes as a key of its own first."""
    return list(_described(Config, config, ""))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()


def _described(model: type[Section], held: Section | None, prefix: str) -> Iterator[KeyDoc]:
    for name, field in model.model_fields.items():
        value = None if held is None else getattr(held, name)
        section = _section(field.annotation)
        if section is None or (value is None and not field.is_required() and field.default is None):
            default = REQUIRED if field.is_required() else field.default
            yield KeyDoc(prefix + name, _as_json(value), _as_json(default), " ".join((field.description or "").split()))
        if section is not None:
            yield from _described(section, value, f"{prefix}{name}.")


def _section(annotation: Any) -> type[Section] | None:
    """The section that a field holds, optional or not; None for a value and for sections under names of the user's."""
    kinds = (annotation, *get_args(annotation)) if get_args(annotation)[-1:] == (type(None),) else (annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def _as_json(value: Any) -> Any:
    return redact_tree(to_jsonable_python(value))
