"""Do people see what the concepts say? A blind form for them, and what their answers come to.

python -m jobs.survey export --config jobs/configs/demo.toml --to form.html [--concepts 12] [--decoys 6] [--cases 8]
python -m jobs.survey score --key form.key.json answers-ann.json answers-bob.json --to survey.parquet
ray job submit --working-dir . -- python -m jobs.survey export --config jobs/configs/ml1m.toml --set store.root=/data/runs --to /data/form.html
"""  # noqa: E501  The line that submits the job is one line.

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import ExitStack

from recsae.cli.command import Parser, ending, refuse_lost, refuse_overwriting
from recsae.cli.render.survey import print_survey
from recsae.config.loader import load
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


def main() -> None:
    parser = Parser("survey", config=False)
    jobs = parser.add_subparsers(dest="job", required=True, metavar="export|score")
    export = jobs.add_parser("export", what="survey export", help="draw a sample and write a form and its key")
    export.add_argument("--to", required=True, metavar="FILE", help="the form, an HTML file; its key goes beside it")
    export.add_argument("--concepts", type=int, default=12, metavar="N", help="real ones (12)")
    export.add_argument("--decoys", type=int, metavar="N", help="names put to another latent's cases (half as many)")
    export.add_argument("--cases", type=int, default=8, metavar="N", help="of each, half of them activating (8)")
    export.add_argument("--seed", type=int, metavar="N", help="another seed draws another sample (the config's)")
    score = jobs.add_parser("score", what="survey score", config=False, help="count the answers")
    score.add_argument("answers", nargs="+", metavar="ANSWERS", help="the files that people saved")
    score.add_argument("--key", required=True, metavar="FILE", help="the form's key")
    score.add_argument("--to", required=True, metavar="FILE", help="a Parquet file with a row for each concept")
    score.add_argument("--json", action="store_true", help="one JSON object, for machines")
    arguments = parser.parse_args()
    with ending("nothing was written"):
        _export(arguments) if arguments.job == "export" else _score(arguments)


def _export(arguments: Namespace) -> None:
    config = load(arguments.config, arguments.set)
    for option, path in {"store.root": config.store.root, "--to": arguments.to}.items():
        refuse_lost(option, path)
    refuse_overwriting(arguments.to, {"--config": arguments.config})
    decoys, seed = _checked(arguments, config.seed)
    from recsae.survey.sample import SurveySize, draw_sample  # with torch, which counting answers needs not

    asked = SurveySize(arguments.concepts, decoys, arguments.cases, seed)
    key = draw_sample(served(config), config.name, asked)
    folder, name = resolve_output("--to", arguments.to)
    secret = name.removesuffix(".html") + ".key.json"
    if folder.filesystem.get_file_info(folder.locate(secret)).is_file:
        raise BadInput(f"--to {arguments.to}: {secret} is there already, and answers may need it; give another name")
    with ExitStack() as both:  # neither file takes its name before the other is whole
        form, kept = (both.enter_context(atomic_writer(folder, one)) for one in (name, secret))
        form.write(form_page(key.survey, key.view, key.questions()).encode())
        kept.write(as_json(key.model_dump(mode="json")))
    questions = len(key.ids())
    print(
        f"wrote {plain(redact_uri(arguments.to))}: {questions:,} questions about {asked.concepts} concepts and "
        f"{asked.decoys} decoys; give it to people"
    )
    print(f"wrote {plain(beside(arguments.to, secret))}: which is which; keep it from them")


def _checked(arguments: Namespace, seed: int) -> tuple[int, int]:
    """The number of decoys and the seed. Raises BadInput where something is asked for that cannot be."""
    decoys = arguments.concepts // 2 if arguments.decoys is None else arguments.decoys
    for option, value, least in (("--concepts", arguments.concepts, 1), ("--decoys", decoys, 0)):
        if value < least:
            raise BadInput(f"{option} {value}: give {least} or more")
    if arguments.cases < 2 or arguments.cases % 2:
        raise BadInput(f"--cases {arguments.cases}: half of them activate, so give an even number, 2 or more")
    drawn = seed if arguments.seed is None else arguments.seed
    if drawn < 0:
        raise BadInput(f"--seed {drawn}: give 0 or more")
    return decoys, drawn


def _score(arguments: Namespace) -> None:
    for option, path in {"--key": arguments.key, "--to": arguments.to}.items():
        refuse_lost(option, path)
    refuse_overwriting(arguments.to, {"--key": arguments.key})
    for source in arguments.answers:
        refuse_lost("answers", source)
        refuse_overwriting(arguments.to, {"answers": source})
    key = read_key(arguments.key)
    votes = counting.collect_votes(key, read_answers(arguments.answers, key))
    table, found = counting.by_concept(key, votes), counting.overall(votes, key.seed)
    folder, name = resolve_output("--to", arguments.to)
    with atomic_parquet_writer(folder, name, SURVEY) as out:
        out.write_table(table)
    if arguments.json:
        print(json.dumps({"survey": key.survey, **found}, ensure_ascii=False))
        return
    print_survey(found, table)
    print(f"wrote {plain(redact_uri(arguments.to))}: {table.num_rows} rows, one for each concept and decoy")


if __name__ == "__main__":
    main()
