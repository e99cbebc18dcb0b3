"""The command `survey`: do people see what the concepts say? A blind form for them, and what their answers come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack

import click

from recsae.cli.command import ending, refuse_overwriting, refuse_relative_in_job
from recsae.cli.render.survey import print_survey
from recsae.cli.run_config import FILE, RunConfig, takes_config
from recsae.errors import BadInput
from recsae.lookup.served import served
from recsae.schemas.survey import SURVEY
from recsae.store.atomic_output import atomic_parquet_writer, atomic_writer, beside, resolve_output
from recsae.store.filesystem import as_json
from recsae.survey import counting
from recsae.survey.form import form_page
from recsae.survey.key import read_answers, read_key
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain


@click.group
def survey() -> None:
    """Ask people whether they see what the concepts say: a blind form, and what their answers come to."""


@survey.command
@takes_config
@click.option("--to", required=True, metavar="FILE", help="the form, an HTML file; its key goes beside it")
@click.option("--concepts", type=int, default=12, metavar="N", help="real ones (12)")
@click.option("--decoys", type=int, metavar="N", help="names put to another latent's cases (half as many)")
@click.option("--cases", type=int, default=8, metavar="N", help="of each, half of them activating (8)")
@click.option("--seed", type=int, metavar="N", help="another seed draws another sample (the config's)")
def export(config: RunConfig, to: str, concepts: int, decoys: int | None, cases: int, seed: int | None) -> None:
    """Draw a sample of concepts and cases, and write a form and its key."""
    with ending("nothing was written"):
        loaded = config.load()
        refuse_relative_in_job("--to", to)
        refuse_overwriting(to, {"--config": config.path})
        false_ones = concepts // 2 if decoys is None else decoys
        drawn = loaded.seed if seed is None else seed
        _check(concepts, false_ones, cases, drawn)
        from recsae.survey.sample import SurveySize, draw_sample  # with torch, which counting answers needs not

        asked = SurveySize(concepts, false_ones, cases, drawn)
        key = draw_sample(served(loaded), loaded.name, asked)
        folder, name = resolve_output("--to", to)
        secret = name.removesuffix(".html") + ".key.json"
        if folder.filesystem.get_file_info(folder.locate(secret)).is_file:
            raise BadInput(f"--to {to}: {secret} is there already, and answers may need it; give another name")
        with ExitStack() as both:  # neither file takes its name before the other is whole
            form, kept = (both.enter_context(atomic_writer(folder, one)) for one in (name, secret))
            form.write(form_page(key.survey, key.view, key.questions()).encode())
            kept.write(as_json(key.model_dump(mode="json")))
        questions = len(key.ids())
        print(
            f"wrote {plain(redact_uri(to))}: {questions:,} questions about {asked.concepts} concepts and "
            f"{asked.decoys} decoys; give it to people"
        )
        print(f"wrote {plain(beside(to, secret))}: which is which; keep it from them")


def _check(concepts: int, decoys: int, cases: int, seed: int) -> None:
    """Raises BadInput where something is asked for that cannot be."""
    for option, value, least in (("--concepts", concepts, 1), ("--decoys", decoys, 0)):
        if value < least:
            raise BadInput(f"{option} {value}: give {least} or more")
    if cases < 2 or cases % 2:
        raise BadInput(f"--cases {cases}: half of them activate, so give an even number, 2 or more")
    if seed < 0:
        raise BadInput(f"--seed {seed}: give 0 or more")


@survey.command
@click.argument("answers", nargs=-1, required=True, type=FILE)
@click.option("--key", "key_file", required=True, metavar="FILE", type=FILE, help="the form's key")
@click.option("--to", required=True, metavar="FILE", help="a Parquet file with a row for each concept")
@click.option("--json", "for_machines", is_flag=True, help="one JSON object, for machines")
def score(answers: Sequence[str], key_file: str, to: str, for_machines: bool) -> None:
    """Count the ANSWERS, the files that people saved."""
    with ending("nothing was written"):
        for option, path in {"--key": key_file, "--to": to}.items():
            refuse_relative_in_job(option, path)
        refuse_overwriting(to, {"--key": key_file})
        for source in answers:
            refuse_relative_in_job("answers", source)
            refuse_overwriting(to, {"answers": source})
        key = read_key(key_file)
        votes = counting.collect_votes(key, read_answers(answers, key))
        table, found = counting.by_concept(key, votes), counting.overall(votes, key.seed)
        folder, name = resolve_output("--to", to)
        with atomic_parquet_writer(folder, name, SURVEY) as out:
            out.write_table(table)
        if for_machines:
            print(json.dumps({"survey": key.survey, **found}, ensure_ascii=False))
            return
        print_survey(found, table)
        print(f"wrote {plain(redact_uri(to))}: {table.num_rows} rows, one for each concept and decoy")
