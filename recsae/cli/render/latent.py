"""A latent as the terminal shows it: concept, scores, items, levels, attributes, steering, nights and cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsae.cli.render import terminal
from recsae.cli.render.dictionary import concept
from recsae.lookup.latents import Latent
from recsae.text.formatting import DASH, decimal, percent, with_interval
from recsae.text.sanitize import plain

Row = Mapping[str, Any]
JUDGES = {
    "llm": "language model",
    "attributes": "attributes",
    "held_out": "attributes, all cases",
    "recsae": "RecSAE's protocol",
}
MEASURES = {"activations": "most often", "strength": "most strongly", "lift": "most distinctively"}
SAID = {True: "yes", False: "no", None: DASH}
BAR = 24
PROPOSED = 6


def print_latent(found: Latent) -> None:
    """Print all of it; a part that was not measured is left out."""
    console, row = terminal.console(), found.concept
    console.print(_heading(row), soft_wrap=True)
    for what, told in _facts(found):
        console.print(f"{what:<13} {plain(told)}", soft_wrap=True)
    for title, table in (
        ("scores on users who had no part in the naming", _scores(row, found.scores)),
        ("items", _items(found.items)),
        ("the judged term by activation level", _levels(found.levels)),
        ("attributes that it answers to", _attributes(found.attributes)),
        ("when it is steered, in points", _steering(found.steering)),
        ("over the nights", _nights(found.nights)),
    ):
        if table is not None:
            console.print(f"\n{title}", style="bold")
            console.print(table)
    _print_cases(console, found.cases, row["view"])


def _heading(row: Row) -> Text:
    text = Text(f"latent {row['latent']}  ", style="bold") + concept(row)
    return text.append(
        f"  ✓ {row['kind']}" if row["interpretable"] else f"  {row['kind']}, below the bar", style="not bold dim"
    )


def _facts(found: Latent) -> Iterable[tuple[str, str]]:
    row = found.concept
    yield "statement", row["words"] or DASH
    if found.holds_from:
        yield (
            "holds from",
            f"level {found.holds_from} of 10 of its activations on: at least 80 % of those cases satisfy it",
        )
    for what in ("gloss", "caption", "description"):
        if row[what]:
            yield what, row[what]
    if row["core_words"] and row["core_words"] != row["words"]:
        figures = ", ".join(
            f"{name} {decimal(row['core_' + name.lower()], 2)}" for name in ("precision", "recall", "F1")
        )
        yield "narrow", f"{row['core_words']} ({figures})"
    if row["promotes"]:
        agrees = {True: "; this agrees with the statement", False: "; this is not what the statement says", None: ""}
        yield "promotes", f"{row['promotes']}{agrees[row['agrees']]}"
        if row["holds_down"]:
            yield "holds down", row["holds_down"]
    if row["judge_name"]:
        yield (
            "model judged",
            f"{row['judge_name']} ({row['judge_source']}, {row['model']}, prompts {row['prompt_version']})",
        )
    if found.proposed:
        more = f" and {len(found.proposed) - PROPOSED} more" if len(found.proposed) > PROPOSED else ""
        yield "also proposed", ", ".join(found.proposed[:PROPOSED]) + more
    if row["group_size"] > 1:
        yield "group", f"{row['group_name']}, of {row['group_size']} latents, the first is {row['group']}"
    if row["polysemantic"]:
        yield "two meanings", " and ".join(row["meanings"])
    if row["judge_expected"] is not None:
        yield "expected", f"{decimal(row['judge_expected'], 2)} by the language model on unseen cases"
    if row["near_miss_rate"] is not None or row["near_direction_rate"] is not None:
        near = f"by attribute {percent(row['near_miss_rate'])}, by direction {percent(row['near_direction_rate'])}"
        yield "near misses", f"judged active: {near}"
    if row["coherence"] is not None:
        yield "coherence", decimal(row["coherence"], 2)
    yield (
        "fires",
        (
            f"in {percent(row['frequency'], 2)} of cases ({row['activations']:,} of explain users), at most "
            f"{row['maximum']:.2f}"
        ),
    )
    yield "stable id", f"{row['stable_id']}" + (f", {row['drift']} since last night" if row["drift"] else "")
    yield "status", row["status"]
    yield "judge", row["judge_status"]


def _scores(concept: Row, rows: Sequence[Row]) -> Table | None:
    """The statement on all cases; what the judges in the sample say; each, shuffled, before another latent."""
    by_judge = {(row["judge"], row["control"]): row for row in rows}
    table = terminal.table("judge", figures=("confidence", "shuffled", "precision", "recall", "F1", "AUC", "cases"))
    if concept["confidence"] is not None:
        table.add_row(
            "statement, all cases",
            with_interval(concept["confidence"], concept["confidence_lower"], concept["confidence_upper"]),
            decimal(concept["confidence_shuffled"], 2),
            *(decimal(concept[name], 2) for name in ("precision", "recall", "f1")),
            DASH,
            f"{sum(concept[name] for name in ('tp', 'fp', 'tn', 'fn')):,}",
        )
        if concept["unseen_confidence"] is not None:
            unseen = with_interval(*(concept[f"unseen_{name}"] for name in ("confidence", "lower", "upper")))
            table.add_row("statement, unseen items", unseen, *[DASH] * 6)
        if concept["term_confidence"] is not None:
            table.add_row("best single term", decimal(concept["term_confidence"], 2), *[DASH] * 6)
    for judge, told in JUDGES.items():
        row, control = by_judge.get((judge, "none")), by_judge.get((judge, "shuffled"))
        if row:
            figures = [decimal(row[name], 2) for name in ("precision", "recall", "f1", "auc")]
            cases = sum(row[name] for name in ("tp", "fp", "tn", "fn"))
            table.add_row(
                told, _confidence(row), decimal(control["confidence"] if control else None, 2), *figures, f"{cases:,}"
            )
    return table if table.row_count else None


def _confidence(row: Row) -> str:
    return with_interval(row["confidence"], row["lower"], row["upper"])


def _items(by_measure: Mapping[str, Sequence[Row]]) -> Table | None:
    """One column a measure; the rows of two columns are unrelated."""
    shown = [(MEASURES[measure], measure, rows) for measure, rows in by_measure.items() if rows]
    if not shown:
        return None
    table = terminal.table()
    for heading, _, _ in shown:
        table.add_column(heading, ratio=1)
    for place in range(max(len(rows) for _, _, rows in shown)):
        table.add_row(*(_ranked(rows[place], measure) if place < len(rows) else "" for _, measure, rows in shown))
    return table


def _ranked(row: Row, measure: str) -> Text:
    amount = f"{row[measure]:,}" if measure == "activations" else f"{row[measure]:,.1f}"
    times = "×" if measure == "lift" else ""
    return terminal.item(row["title"], row["item_id"]).append(f"  {times}{amount}", style="dim")


def _levels(rows: Sequence[Row]) -> Table | None:
    if not rows:
        return None
    table = terminal.table("level", figures=("cases", "have it", "share"))
    table.add_column("")
    for row in rows:
        part = row["hits"] / row["cases"] if row["cases"] else None
        bar = "█" * round(BAR * (part or 0))
        table.add_row(str(row["level"]), f"{row['cases']:,}", f"{row['hits']:,}", percent(part), bar)
    table.add_section()
    table.add_row("of all items", "", "", percent(rows[0]["catalogue_share"]), "")
    table.add_row("by popularity", "", "", percent(rows[0]["popular_share"]), "")
    return table


def _attributes(rows: Sequence[Row]) -> Table | None:
    if not rows:
        return None
    table = terminal.table("attribute", "of the item", figures=("r", "P(fires | a)", "P(a | fires)", "AUC"))
    for row in rows:
        table.add_row(
            Text(plain(f"{row['attribute']}: {row['value']}")),
            row["view"],
            decimal(row["correlation"], 2),
            percent(row["p_fires"]),
            percent(row["p_attribute"]),
            decimal(row["auc"], 2),
        )
    return table


def _steering(rows: Sequence[Row]) -> Table | None:
    """Changes of the concept's share of the top 10 in points of 100, and of NDCG@10 in hundredths."""
    if not rows:
        return None
    headings = ("share", "change [95 %]", "random", "probe", "NDCG@10 × 100", "change [95 %]", "others")
    table = terminal.table("", figures=headings)
    for row in rows:
        out = row["operation"] == "ablate"
        table.add_row(
            "taken out" if out else f"{row['operation']} {row['strength']:g}",
            percent(row["share"]),
            _points(*(row[f"share_{name}"] for name in ("change", "lower", "upper"))),
            _points(row["null_lower"] if row["share_change"] < 0 else row["null_upper"]),
            _points(row["probe_share_change"]),
            decimal(100 * row["ndcg"], 1),
            _points(*(row[f"ndcg_{name}"] for name in ("change", "lower", "upper"))),
            decimal(100 * row["side_effect"], 1),
        )
    return table


def _points(value: float | None, *bounds: float) -> str:
    if value is None:
        return DASH
    told = [f"{100 * one:+.1f}" for one in (value, *bounds)]
    return f"{told[0]} [{', '.join(told[1:])}]" if bounds else told[0]


def _nights(rows: Sequence[Row]) -> Table | None:
    if not rows:
        return None
    table = terminal.table("night", "", "concept", "change", figures=("latent", "confidence", "frequency"))
    for row in rows:
        table.add_row(
            Text(plain(row["night"] + ("" if row["served"] else ", not served"))),
            "✓" if row["interpretable"] else " ",
            Text(plain(row["name"] or DASH)),
            row["drift"] or DASH,
            str(row["latent"]),
            with_interval(row["confidence"], row["confidence_lower"], row["confidence_upper"]),
            percent(row["frequency"], 2),
        )
    return table


def _print_cases(console: Console, cases: Sequence[Row], view: str) -> None:
    """The item that the concept speaks of, and the end of the history, the last event last."""
    if not cases:
        return
    console.print("\ncases of score users", style="bold")
    what = "item recommended, and the user's history" if view == "recommended" else "item there, and what was before it"
    table = terminal.table("", what, "judge", figures=("activation", "level"))
    table.columns[1].ratio = 1
    for case in cases:
        shown = case["item"]
        title = terminal.item(shown["title"], shown["item_id"]) if shown else Text(DASH)
        if case["user_id"]:
            before = Text(" · ").join(terminal.item(one["title"], one["item_id"]) for one in case["history"])
            title.append(f"\n{plain(case['user_id'])}: ", style="dim").append_text(before)
        kind = Text(case["kind"]).append(f"\n{case['role'].replace('_', ' ')}", style="dim")
        table.add_row(kind, title, SAID[case["judge"]], decimal(case["activation"], 2), str(case["level"]))
    console.print(table)
