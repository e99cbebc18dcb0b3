"""Reads a JSON file that people may have edited: every key is checked."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from recsae.config.refusal import refusal
from recsae.errors import BadInput
from recsae.store.filesystem import file_at

Model = TypeVar("Model", bound=BaseModel)


def read_edited(option: str, source: str, kind: type[Model], what: str, job: str) -> Model:
    """The file at a path or URI, validated as a `kind`. Raises BadInput that names the option, the file and the key.

    In the sentence the file is a `what`, such as "policy"; `job` is the command that writes such files.
    """
    try:
        folder, name = file_at(source)
        with folder.open_input(name) as file:
            content = file.read()
    except (BadInput, OSError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        raise BadInput(f"{option} {source}: cannot be read ({reason}); give a file with a {what}") from None
    try:
        found = kind.model_validate_json(content)
        json.loads(content, object_pairs_hook=_once)
    except ValidationError as error:
        raise BadInput(f"{option} {source}: {_sentence(error, what, job)}") from None
    except BadInput as error:
        raise BadInput(f"{option} {source}: {error}") from None
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a key that stands twice in an object: JSON readers would silently take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadInput(f"the key {twice} is there twice; leave one out")
    return found


def _sentence(error: ValidationError, what: str, job: str) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"not valid JSON ({first['msg'].removeprefix('Invalid JSON: ')}); mend it"
    if not first["loc"]:
        return f"no {what}; give the file that {job} wrote"
    return refusal(error, lambda location: "leave it out")
