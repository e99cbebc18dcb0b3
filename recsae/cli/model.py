"""The command `model`: where the language model lies; fetches the embedded one where it is not there yet."""

from __future__ import annotations

import click

from recsae.cli.command import ending
from recsae.cli.run_config import RunConfig, takes_config
from recsae.config.concepts import LlmConfig


@click.command
@takes_config
def model(config: RunConfig) -> None:
    """Print the folder or hub id of the language model (llm.model).

    The embedded model is fetched once, into $RECSAE_CACHE or ~/.cache/recsae.
    """
    with ending("the model is not there yet"):
        llm = config.load().llm if config.options else LlmConfig()
        from recsae.llm.model import locate_model

        print(f"{llm.model}: {locate_model(llm)}")
