"""The command `export`: the SAE that a config has made, in the format of SAELens or of sparsify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from recsae.cli.command import ending, refuse_relative_in_job
from recsae.cli.run_config import RunConfig, takes_config
from recsae.errors import BadInput
from recsae.store.filesystem import Folder
from recsae.text.redaction import redact_uri
from recsae.text.sanitize import plain

if TYPE_CHECKING:
    from recsae.sae.export import Format
    from recsae.sae.model import Sae

FORMATS = ("saelens", "sparsify")


@click.command
@takes_config
@click.option("--format", "form", required=True, type=click.Choice(FORMATS))
@click.option("--to", required=True, metavar="FOLDER", help="a path or URI; empty, or not there yet")
def export(config: RunConfig, form: Format, to: str) -> None:
    """Write the SAE that a config has made in the format of SAELens or of sparsify."""
    with ending("what is there is no whole export"):
        loaded = config.load()
        refuse_relative_in_job("--to", to)
        from recsae.pipeline.runner import Pipeline
        from recsae.sae import model

        done = Pipeline(loaded).committed("sae")
        if done is None:
            raise BadInput("nothing to export: this config has not made its sae yet; run `recsae stage sae` first")
        _write(model.load(done.data.child("model")), form, _folder(to))


def _write(sae: Sae, form: Format, target: Folder) -> None:
    """Write the files and print where they lie, what they hold and in which units."""
    from recsae.sae.export import write

    found = write(sae, form, target)
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
