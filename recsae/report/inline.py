"""What lets one HTML file stand alone: JSON that cannot leave its script element, and a policy that admits the page's
own script and style by their hash and nothing else.

It knows text and nothing of what the report says.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from markupsafe import Markup

# `<` ends a script element, `>` and `&` may open an entity or a comment where the page is copied elsewhere, and the two
# separators end a line in older JavaScript. JSON reads the escapes back as the same characters.
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def json_block(value: Any) -> Markup:
    """JSON to stand inside `<script type="application/json">`. Raises ValueError on a number that is not finite."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def content_security_policy(script: str, style: str) -> str:
    """Only this script and this style; pictures only from `data:`, so that no browser asks a server for an icon."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
