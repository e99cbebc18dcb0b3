"""Self-contained HTML pages: JSON that cannot break out of its script element, and a content security policy that
admits the page's own script and style, by hash, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from recsae.text.formatting import count, decimal

# `<` ends a script element, `>` and `&` may open an entity or a comment where the page is copied elsewhere, and the two
# separators end a line in older JavaScript. JSON reads the escapes back as the same characters.
_SHARED = Path(__file__).parent
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def render(
    folder: Path, template: str, scripts: Sequence[str], styles: Sequence[str], data: Mapping[str, Any], **shown: Any
) -> str:
    """The HTML of a template filled with `shown`.

    Templates lie in the folder's `templates/`, scripts and styles in its `static/`; shared ones in the folders of those
    names beside this file. Scripts are joined in this order into one module, which reads `data`; so are styles.
    """
    # The hashes are of exactly what stands between the tags, so nothing may trim or indent these two.
    script, looks = ("\n".join(_static(folder, name) for name in names) for names in (scripts, styles))
    page = _environment(folder).get_template(template)
    return page.render(
        **shown,
        policy=content_security_policy(script, looks),
        script=Markup(script),
        style=Markup(looks),
        data=json_block(data),
    )


def json_block(value: Any) -> Markup:
    """JSON to stand inside `<script type="application/json">`. Raises ValueError on a number that is not finite."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def content_security_policy(script: str, style: str) -> str:
    """A policy that admits only this script and style; pictures only from `data:`, so that no browser requests an
    icon."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _environment(folder: Path) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder / "templates", _SHARED / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(decimal=decimal, count_of=count)
    return made


@cache
def _static(folder: Path, name: str) -> str:
    own = folder / "static" / name
    return (own if own.exists() else _SHARED / "static" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
