"""Short readings of statements, for names: what several latents may share, and titles cut to size.

wording.py reads a statement out in full; here ranges are said as one would on a shelf: `1990s`, `popular (top 10 %)`.
Text of the catalogue may hold anything: what shows it escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from recsae.data.numbers import POPULARITY, YEAR
from recsae.statements.language import Behaviour, Formula, FreeText, Range, Statement, Term
from recsae.statements.wording import behaviour_in_words, formula_in_words

_YEAR = re.compile(r"\s*[(\[](?:1[89]|20)\d\d[^()\[\]]*[)\]]\s*$")
_BRACKETS = re.compile(r"\s*\([^()]*\)\s*$")
_ARTICLE = re.compile(
    r"^(.*), (The|A|An|Le|La|Les|L'|Un|Une|Il|Lo|Gli|I|El|Los|Las|Der|Die|Das|Ein|Eine|De|Het|O|Os|As)$"
)
_DECADE = re.compile(r"\d{3}0s$")


def heading(statement: Statement) -> str | None:
    """What a formula, a behaviour or a free text says, without its view; None for items, which only their titles tell.

    `Comedy, 1990s, not Drama`; a decade and one term are put together: `1990s Comedy`.
    """
    body = statement.body
    if isinstance(body, Formula):
        return formula_heading(body)
    if isinstance(body, Behaviour):
        return behaviour_in_words(body)
    return body.text if isinstance(body, FreeText) else None


def formula_heading(formula: Formula) -> str:
    said = _readable(formula)
    parts = [_words(said.literal), *(_words(step.literal) for step in said.steps)]
    plain = not said.negated and all(step.op == "and" and not step.negated for step in said.steps)
    if plain and len(parts) == 2 and any(map(_DECADE.match, parts)):
        return " ".join(sorted(parts, key=lambda part: not _DECADE.match(part)))
    return formula_in_words(said)


def heading_key(statement: Statement) -> Hashable:
    """Equal for statements whose headings mean the same: literals in another order, another view; None without one."""
    body = statement.body
    if not isinstance(body, Formula):
        said = heading(statement)
        return said and said.casefold()
    return formula_key(body)


def formula_key(formula: Formula) -> Hashable:
    ops = {step.op for step in formula.steps}
    if len(ops) > 1:
        return formula_heading(formula).casefold()
    literals = [(formula.negated, formula.literal), *((step.negated, step.literal) for step in formula.steps)]
    return (*ops, frozenset((negated, _words(_said(literal)).casefold()) for negated, literal in literals))


def short_title(title: str) -> str:
    """The title without a year at its end and what else stands in brackets before it, its article in front.

    `Seven (a.k.a. Se7en) (1995)` is `Seven`, and `Fugitive, The (1993)` is `The Fugitive`.
    """
    short, years = _YEAR.subn("", title)
    while years and _BRACKETS.search(short):
        short = _BRACKETS.sub("", short)
    article = _ARTICLE.match(short)
    if article:
        joint = "" if article[2].endswith("'") else " "
        short = f"{article[2]}{joint}{article[1]}"
    return " ".join(short.split()) or title.strip()


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words where that keeps more than half."""
    if len(text) <= limit:
        return text
    space = text.rfind(" ", 0, limit)
    return text[: space if space > limit // 2 else limit - 1].rstrip(" ,;:.-(") + "…"


def _readable(formula: Formula) -> Formula:
    """The formula with its ranges as terms that read like one."""
    steps = tuple(step.model_copy(update={"literal": _said(step.literal)}) for step in formula.steps)
    return formula.model_copy(update={"literal": _said(formula.literal), "steps": steps})


def _words(literal: Term | Range) -> str:
    return literal.term if isinstance(literal, Term) else literal.feature


def _said(literal: Term | Range) -> Term:
    if isinstance(literal, Term):
        return literal
    if literal.feature == POPULARITY:
        return Term(term=_popularity(literal.low, literal.high))
    if literal.feature == YEAR:
        return Term(term=_years(literal.low, literal.high))
    return Term(term=formula_in_words(Formula(literal=literal)))


def _years(low: float | None, high: float | None) -> str:
    if low is None:
        return f"until {high:.0f}"
    if high is None:
        return f"since {low:.0f}"
    if low % 10 == 0 and high == low + 9:
        return f"{low:.0f}s"
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _popularity(low: float | None, high: float | None) -> str:
    if high is None:
        return f"popular (top {_percent(1 - (low or 0.0))} %)"
    if low is None:
        return f"not popular (below the top {_percent(1 - high)} %)"
    return f"popularity {_percent(low)} to {_percent(high)} %"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.01 else f"{100 * share:.1g}"
