"""The form of a survey: one HTML file that works from a file and asks nothing of any server.

It is given what people may see and no key. Every text travels as data and is shown as text; form.js says how a person
answers, and what he saves key.py reads back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from recsae.report.inline import content_security_policy, json_block
from recsae.surveying.key import LONGEST_RATER

_HERE = Path(__file__).parent


def render(survey: str, view: str, questions: Sequence[Mapping[str, Any]]) -> str:
    """The page of `questions`, each a `name` with the texts of its `cases`; answers bear the id `survey`."""
    script, style = _read("form.js"), _read("form.css")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("form.html.j2").render(
        view=view,
        concepts=len(questions),
        cases=sum(len(one["cases"]) for one in questions),
        longest=LONGEST_RATER,
        policy=content_security_policy(script, style),
        script=Markup(script),
        style=Markup(style),
        data=json_block({"survey": survey, "questions": questions}),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
