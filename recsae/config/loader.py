"""A Config from a TOML file and `--set` overrides, or one sentence with the key's path."""

from __future__ import annotations

import difflib
import logging
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from recsae.config.refusal import Location, refusal
from recsae.config.renamed import RENAMED, same_key, take_old_names
from recsae.config.schema import Config
from recsae.errors import BadInput

log = logging.getLogger(__name__)


def load(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Read a config file and apply `--set a.b=c` overrides (values in TOML; bare words are strings).

    Raises BadInput naming the file and the key's path.
    """
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such config file; give --config an existing TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not valid TOML ({error}); mend that line") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); give --config a readable TOML file") from None
    old_names = _take_old_names(tree, str(path))
    keys = {override.partition("=")[0].strip() for override in overrides or []}
    for override in overrides or []:
        used = _override(tree, override)
        if both := [old for old in used if RENAMED[old] in keys]:
            raise BadInput(f"--set {override}: {same_key(both[0])}")
        old_names |= used
    for old in sorted(old_names):
        log.warning("%s: %s is now called %s; the old name goes with the next release", path, old, RENAMED[old])
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise BadInput(f"{path}: {_sentence(error)}") from None


def _override(tree: dict[str, Any], override: str) -> set[str]:
    """Put one value into the tree, under its key's new name; the old names that it used."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise BadInput(f"--set {override}: write it as section.key=value")
    *sections, last = key.strip().split(".")
    try:
        given = {last: tomllib.loads(f"value = {text}")["value"]}
    except tomllib.TOMLDecodeError:
        given = {last: text.strip()}
    for section in reversed(sections):
        given = {section: given}
    old_names = _take_old_names(given, f"--set {override}")
    for section in sections:
        tree, given = tree.setdefault(section, {}), given[section]
        if not isinstance(tree, dict):
            raise BadInput(f"--set {override}: {section} is a value, not a section; write it as section.key=value")
    tree.update(given)
    return old_names


def _take_old_names(tree: dict[str, Any], source: str) -> set[str]:
    try:
        return take_old_names(tree)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "model_type":
        key = ".".join(map(str, first["loc"]))
        return f"{key} = {first['input']!r} is refused: {key} is a section; write [{key}] and its keys below"
    return refusal(error, _nearest)


def _nearest(location: Location) -> str:
    """A hint: the same name in another section, else the most similar name in this one."""
    last = str(location[-1])
    elsewhere = [name for name in Config.model_fields if last in _known_keys((name,))]
    if elsewhere:
        return f"did you mean {elsewhere[0]}.{last}?"
    near = difflib.get_close_matches(last, _known_keys(location[:-1]), n=1, cutoff=0)
    return f"the nearest known one is {near[0] if near else 'none'}"


def _known_keys(location: Location) -> list[str]:
    model: Any = Config
    for part in location:
        held = model.model_fields[str(part)].annotation if hasattr(model, "model_fields") else get_args(model)[1]
        # Of an optional section the section; of sections by a name of the user's any name will do.
        found = next((one for one in (held, *get_args(held)) if _has_keys(one)), None)
        if found is None:
            return []
        model = found
    return list(getattr(model, "model_fields", ()))


def _has_keys(held: Any) -> bool:
    return get_origin(held) is dict or (isinstance(held, type) and issubclass(held, BaseModel))
