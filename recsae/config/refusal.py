"""One sentence on what pydantic refuses: the key's path, its value, and the mend."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

Location = tuple[int | str, ...]


def refusal(error: ValidationError, unknown: Callable[[Location], str]) -> str:
    """The first of the errors as a sentence; `unknown` says what to do about a key that does not exist."""
    first = error.errors()[0]
    key, kind, given = ".".join(map(str, first["loc"])), first["type"], first["input"]
    if kind == "extra_forbidden":
        return f"unknown key {key}; {unknown(first['loc'])}"
    if kind == "missing":
        return f"{key} is missing; add it"
    if kind == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        return f"{key + '.' if key else ''}{message}"
    if kind == "tuple_type":
        as_list = f'["{given}"]' if isinstance(given, str) else f"[{given}]"
        return f"{key} = {given!r} is refused: write a list, as in {as_list}"
    return f"{key} = {given!r} is refused: {first['msg'][:1].lower() + first['msg'][1:]}; change the value"
