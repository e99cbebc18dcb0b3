"""Renders the form of a survey: a self-contained HTML file that sends no request to any server.

The form holds what people may see and nothing of the key. All text is embedded as data and shown as text. form.js
collects the answers; key.py reads the file that it saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recsae.survey.key import MAX_RATER_LENGTH
from recsae.text.html import render

_HERE = Path(__file__).parent


def form_page(survey: str, view: str, questions: Sequence[Mapping[str, Any]]) -> str:
    """The HTML form for `questions`, each a `name` with the texts of its `cases`; answers carry the id `survey`."""
    return render(
        _HERE,
        "form.html.j2",
        ("form.js",),
        ("form.css",),
        {"survey": survey, "questions": questions},
        view=view,
        concepts=len(questions),
        cases=sum(len(one["cases"]) for one in questions),
        longest=MAX_RATER_LENGTH,
    )
