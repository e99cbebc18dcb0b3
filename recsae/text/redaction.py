"""Text and URIs without credentials. The only place that defines what a secret looks like."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
SHORTEST = 6
"""Characters. A shorter value is no secret, and hiding it would make every text unreadable."""
_PLACES = {"region", "scheme", "endpoint_override"}
"""Settings of a query that say where the store is; all others (signatures, keys, tokens) are dropped."""
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
# A secret may hold a slash, and people do not always write it as %2F. A number after the colon is a port.
_UNQUOTED = re.compile(r"(?<=://)[^/?#\s@:]{0,300}:(?!\d+(?:[/?#]|$))\S{0,300}@")
_REST = re.compile(r"(?<=://)[^\s'\"<>]*")
_KEYED = re.compile(
    r"(?P<name>(?:secret|passw|api[_-]?key|access[_-]?key|auth[_-]?token|session[_-]?token|signature)[\w-]{0,40}"
    rf"['\"]?\s{{0,9}}[=:]\s{{0,9}}['\"]?)[^\s'\",;&)}}\]]{{{SHORTEST},}}",
    re.IGNORECASE,
)
_BEARER = re.compile(rf"\b(Bearer|Basic)\s+[\w.~+/=-]{{{SHORTEST},}}")
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")
_SECRET_VARIABLE = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.IGNORECASE)


def redact_uri(text: str) -> str:
    """A path or URI without user and password, and without settings that do not say where it is.

    Also takes a sentence with URIs in it. In a local path `?`, `#` and `@` are ordinary characters."""
    if "://" not in text:
        return text
    text = _UNQUOTED.sub("", _USER.sub("", text))
    return _keyless(_REST.sub(lambda found: _place(found[0]), text))


def redact_tree(tree: Any) -> Any:
    """Lists and mappings, such as a recorded config, with every text redacted like a URI."""
    if isinstance(tree, Mapping):
        return {key: redact_tree(held) for key, held in tree.items()}
    if isinstance(tree, list | tuple):
        return [redact_tree(held) for held in tree]
    return redact_uri(tree) if isinstance(tree, str) else tree


def redact_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without the credentials of URIs, without keys, and without any secret of the environment."""
    for value in _secrets(os.environ if environment is None else environment):
        text = text.replace(value, HIDDEN)
    return _AWS_KEY.sub(HIDDEN, _BEARER.sub(rf"\1 {HIDDEN}", _keyless(redact_uri(text))))


def _place(rest: str) -> str:
    """What follows `://`, without its secrets; a bracket or full stop at its end belongs to the sentence around it."""
    end = rest[len(rest.rstrip(".,;:)")) :]
    place, _, query = rest[: len(rest) - len(end)].partition("#")[0].partition("?")
    pairs = [pair for pair in query.split("&") if pair.partition("=")[0] in _PLACES and "@" not in pair]
    return place + ("?" + "&".join(pairs) if pairs else "") + end


def _keyless(text: str) -> str:
    return _KEYED.sub(rf"\g<name>{HIDDEN}", text)


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Longest first, or part of a longer secret would remain."""
    held = {
        value.strip()
        for name, value in environment.items()
        if _SECRET_VARIABLE.search(name) and len(value.strip()) >= SHORTEST
    }
    return sorted(held, key=len, reverse=True)
