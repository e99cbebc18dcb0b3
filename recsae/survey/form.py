"""The form of a survey: one HTML file that works from a file and asks nothing of any server.

It is given what people may see and no key. Every text travels as data and is shown as text; form.js says how a person
answers, and what he saves key.py reads back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recsae.survey.key import LONGEST_RATER
from recsae.text.html import render

_HERE = Path(__file__).parent


def form_page(survey: str, view: str, questions: Sequence[Mapping[str, Any]]) -> str:
    """The page of `questions`, each a `name` with the texts of its `cases`; answers bear the id `survey`."""
    return render(
        _HERE,
        "form.html.j2",
        ("form.js",),
        "form.css",
        {"survey": survey, "questions": questions},
        view=view,
        concepts=len(questions),
        cases=sum(len(one["cases"]) for one in questions),
        longest=LONGEST_RATER,
    )
