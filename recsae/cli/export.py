"""The SAE that a config has made, in the format of SAELens or of sparsify.

ray job submit --working-dir . -- python -m jobs.export --config jobs/configs/ml1m.toml --set store.root=/data/runs --format saelens --to /data/export
"""  # noqa: E501  The line that submits the job is one line.

from __future__ import annotations

from typing import get_args

from recsae.cli.command import Parser, ending, refuse_lost
from recsae.config.loader import load
from recsae.errors import BadInput
from recsae.sae import export, model
from recsae.store.filesystem import Folder
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain


def main() -> None:
    parser = Parser("export")
    parser.add_argument("--format", required=True, choices=get_args(export.Format))
    parser.add_argument("--to", required=True, metavar="FOLDER", help="a path or URI; empty, or not there yet")
    arguments = parser.parse_args()
    with ending("what is there is no whole export"):
        config = load(arguments.config, arguments.set)
        refuse_lost("store.root", config.store.root)
        refuse_lost("--to", arguments.to)
        from recsae.pipeline.runner import Pipeline

        done = Pipeline(config).committed("sae")
        if done is None:
            raise BadInput("nothing to export: this config has not made its sae yet; run `python -m jobs.sae` first")
        sae = model.load(done.data.child("model"))
        _say(sae, arguments.format, _folder(arguments.to))


def _say(sae: model.Sae, form: export.Format, target: Folder) -> None:
    """Write, and tell where, what and in which units."""
    found = export.write(sae, form, target)
    shape = f"{sae.num_latents:,} latents of {sae.width} dimensions"
    print(f"wrote {plain(redact_uri(target.uri))}: {' and '.join(found.files)} ({found.architecture}, {shape})")
    print(f"it takes raw activations; its latents are {found.latents_scale:.6g} times those of the dictionary")


def _folder(to: str) -> Folder:
    target = Folder(to)
    try:
        target.filesystem.get_file_info(target.path)
    except BadInput:  # its sentence speaks of the store
        raise BadInput(f"--to {to}: not a path or URI that can be written; give another") from None
    except OSError as error:
        raise BadInput(f"--to {to}: cannot be reached ({str(error).splitlines()[0]}); give another") from None
    return target


if __name__ == "__main__":
    main()
