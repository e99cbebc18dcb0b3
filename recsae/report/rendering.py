"""Pages as files: a template, its scripts and its data become one HTML text that stands alone, or beside its likes.

It knows the templates and scripts of this folder by name, and nothing of what they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from recsae.report.formats import count, decimal
from recsae.report.inline import content_security_policy, json_block

_HERE = Path(__file__).parent


def render(template: str, scripts: Sequence[str], data: Mapping[str, Any], **shown: Any) -> str:
    """The HTML of a template with what is `shown` in it. The scripts, in this order, are one module: what an earlier
    one names, a later one uses; they read `data`."""
    # The hashes are of exactly what stands between the tags, so nothing may trim or indent these two.
    script, style = "\n".join(_read(name) for name in scripts), _read("page.css")
    return (
        _environment()
        .get_template(template)
        .render(
            **shown,
            policy=content_security_policy(script, style),
            script=Markup(script),
            style=Markup(style),
            data=json_block(data),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(decimal=decimal, count_of=count)
    return made


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
