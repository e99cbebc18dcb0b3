"""The words put to the language model: one file a prompt, one version for all.

Text from a catalogue is data: it is one line, bounded, without the marks that delimit it. The module knows words and
nothing of who answers them.
"""

from __future__ import annotations

import re
from importlib.resources import files

VERSION = "1"
"""Changes with any file here, and with it every label and verdict."""

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


def _template(name: str) -> str:
    return files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


def _line(text: str) -> str:
    """One line without angle brackets: neither our marks nor a chat template's (`<|im_end|>`, `</s>`) can form."""
    return " ".join(text.split()).translate({ord("<"): "‹", ord(">"): "›"})


def _fill(template: str, **values: str) -> str:
    """One pass, so that braces in a catalogue's text stay what they are."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)


def continuation(concept: str) -> str:
    """A concept as it follows a prompt whose likelihood is asked."""
    return " " + _line(concept)


def rank(items: list[str]) -> str:
    """Evidence, before the candidate whose likelihood is asked."""
    return _fill(_template("rank"), items="\n".join(f"- {_line(item)}" for item in items))


def name(items: list[str]) -> str:
    """Evidence, asking for a name and a sentence as JSON."""
    return _fill(_template("name"), items="\n".join(f"- {_line(item)}" for item in items))


def judge_pmi(item: str) -> str:
    """An item, before the concept whose likelihood is asked."""
    return _fill(_template("judge_pmi"), item=_line(item))


def judge_yes_no(item: str, concept: str) -> str:
    """Whether a concept fits an item."""
    return _fill(_template("judge_yes_no"), item=_line(item), concept=_line(concept).replace('"', "'"))
