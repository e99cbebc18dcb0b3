"""What may be shown of a URI, and of any text: without credentials. The only place that knows what a secret looks like.

It knows how URIs, keys and the environment carry secrets, and nothing of where the text goes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

HIDDEN = "***"
SHORTEST = 6
"""Letters. What is shorter keeps nobody out, and hiding it would make every text unreadable."""
_PLACES = {"region", "scheme", "endpoint_override"}
"""What a query may say of where the store is; the rest of it (signatures, keys, tokens) is not shown."""
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.IGNORECASE)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>|\\^`{}]+")
_USER = re.compile(
    r"^[^/?#]*@"  # as the standard says: before the first slash
    r"|^[^/?#@:]*:(?!\d*(?:[/?#]|$))[^@]*@"  # a password with a slash in it, which is no port
)
_KEYED = re.compile(
    r"(?P<name>\b[\w-]*(?:secret|password|passwd|api[_-]?key|access[_-]?key|auth[_-]?token|session[_-]?token)[\w-]*"
    rf"['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&)}}\]]{{{SHORTEST},}}",
    re.IGNORECASE,
)
_BEARER = re.compile(rf"\b(Bearer|Basic)\s+[\w.~+/=-]{{{SHORTEST},}}")
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")


def shown(uri: str) -> str:
    """A path or URI without user, password and all of its query that does not say where it is."""
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri  # in a local path `?` and `@` are letters
    rest = _USER.sub("", rest, count=1)
    place, _, query = rest.partition("#")[0].partition("?")
    said = [(key, value) for key, value in parse_qsl(query) if key in _PLACES and "@" not in value]
    return f"{scheme}://{place}" + ("?" + urlencode(said, safe=":/") if said else "")


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without the credentials of URIs in it, without keys, and without any secret of the environment."""
    text = _URI.sub(lambda found: shown(found[0]), text)
    for value in _secrets(os.environ if environment is None else environment):
        text = text.replace(value, HIDDEN)
    text = _KEYED.sub(rf"\g<name>{HIDDEN}", text)
    return _AWS_KEY.sub(HIDDEN, _BEARER.sub(rf"\1 {HIDDEN}", text))


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """The longest first, or a part of it would be left."""
    held = {
        value.strip()
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value.strip()) >= SHORTEST
    }
    return sorted(held, key=len, reverse=True)
