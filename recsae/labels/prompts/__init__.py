"""Prompts for the language model: one template file per prompt, one version for all of them.

Catalogue text is untrusted data: it is inserted as a single line in which neither our delimiters nor a chat template's
control tokens can form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

VERSION = "5"
"""Change it with any template: it invalidates every stored label and verdict."""

NAME_LIMIT = 40
DESCRIPTION_LIMIT = 160
NAME_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": NAME_LIMIT},
        "description": {"type": "string", "minLength": 10, "maxLength": DESCRIPTION_LIMIT},
    },
    "required": ["name", "description"],
    "additionalProperties": False,
}


CAPTION_SCHEMA = {
    "type": "object",
    "properties": {"caption": {"type": "string", "minLength": 10, "maxLength": DESCRIPTION_LIMIT}},
    "required": ["caption"],
    "additionalProperties": False,
}

_ANGLES = {ord(bracket): kind for kind, brackets in (("‹", "<＜"), ("›", ">＞")) for bracket in brackets}
_SPECIAL = re.compile(
    r"\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|gMASK|sMASK|CLS|SEP|MASK))\]"
)
"""Control tokens that some tokenizers recognise in plain text; other brackets stay: "[REC]" is a film."""


@cache
def _template(name: str) -> str:
    return files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


def _line(text: str) -> str:
    """The text as one line without delimiters or control tokens such as `<|im_end|>`, `</s>` and `[INST]`."""
    return _SPECIAL.sub(r"(\1)", " ".join(text.split())).translate(_ANGLES)


def _fill(template: str, **values: str) -> str:
    """Fills the template in one pass, so that braces in catalogue text are left alone."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)


def continuation(concept: str) -> str:
    """A concept as the continuation whose likelihood is computed."""
    return " " + _line(concept)


def _quoted(concept: str) -> str:
    """A concept as one line that does not end its quotation."""
    return _line(concept).replace('"', "'")


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {_line(item)}" for item in items)


def rank(items: Sequence[str]) -> str:
    """The evidence, to be followed by the candidate whose likelihood is computed."""
    return _fill(_template("rank"), items=_list(items))


def name(items: Sequence[str], contrast: Sequence[str], tried: str | None = None) -> str:
    """Asks for a name and a sentence as JSON, of what `items` have and `contrast` has not.

    There is no worked example: a small model answers with its name. `tried` is a name that misjudges the first items.
    """
    again = _fill(_template("tried"), concept=_quoted(tried)) if tried else ""
    return _fill(_template("name"), items=_list(items), contrast=_list(contrast), tried=again)


def caption(items: Sequence[str], contrast: Sequence[str], words: str) -> str:
    """Asks for a sentence as JSON that says what the statement `words` means for `items`, unlike `contrast`."""
    return _fill(_template("caption"), items=_list(items), contrast=_list(contrast), words=_quoted(words))


def judge_pmi(item: str) -> str:
    """An item, to be followed by the concept whose likelihood is computed."""
    return _fill(_template("judge_pmi"), item=_line(item))


def judge_yes_no(item: str, concept: str) -> str:
    """Asks whether a concept fits an item."""
    return _fill(_template("judge_yes_no"), item=_line(item), concept=_quoted(concept))


def level(concept: str, item: str) -> str:
    """Asks how strongly an item shows a concept, from 0 to 10. The item comes last, so prompts share a prefix."""
    return _fill(_template("level"), item=_line(item), concept=_quoted(concept))
