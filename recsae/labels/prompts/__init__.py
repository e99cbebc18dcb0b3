"""The words put to the language model: one file a prompt, one version for all.

Text from a catalogue is data: it is one line, bounded, without the marks that delimit it. The module knows words and
nothing of who answers them.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

VERSION = "2"
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


_ANGLES = {ord(bracket): kind for kind, brackets in (("‹", "<＜"), ("›", ">＞")) for bracket in brackets}
_SPECIAL = re.compile(
    r"\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|gMASK|sMASK|CLS|SEP|MASK))\]"
)
"""Control tokens that some tokenizers read out of plain text; not every bracket: "[REC]" is a film."""


@cache
def _template(name: str) -> str:
    return files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


def _line(text: str) -> str:
    """One line in which neither our marks nor a chat template's can form: `<|im_end|>`, `</s>`, `[INST]`."""
    return _SPECIAL.sub(r"(\1)", " ".join(text.split())).translate(_ANGLES)


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
    """Evidence, asking for a name and a sentence as JSON. All that two such prompts share comes before the evidence."""
    return _fill(_template("name"), items="\n".join(f"- {_line(item)}" for item in items))


def example_names() -> frozenset[str]:
    """Names of the worked examples, without regard to capitals: what a small model repeats for want of one."""
    return frozenset(name.casefold() for name in re.findall(r'^\{"name": "([^"]+)"', _template("name"), re.MULTILINE))


def judge_pmi(item: str) -> str:
    """An item, before the concept whose likelihood is asked."""
    return _fill(_template("judge_pmi"), item=_line(item))


def judge_yes_no(item: str, concept: str) -> str:
    """Whether a concept fits an item."""
    return _fill(_template("judge_yes_no"), item=_line(item), concept=_line(concept).replace('"', "'"))


def level(concept: str, item: str) -> str:
    """How strongly an item shows a concept, from 0 to 10. The item comes last: prompts share what is before it."""
    return _fill(_template("level"), item=_line(item), concept=_line(concept).replace('"', "'"))
