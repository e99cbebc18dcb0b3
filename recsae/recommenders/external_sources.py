"""The user's files of an external model, and their checksums. Imports no torch."""

from __future__ import annotations

from recsae.config.recommender import ForeignConfig
from recsae.config.schema import Config
from recsae.data.sources import Source, source_from_path
from recsae.errors import first_line

KEY = "recommender.foreign"


def external_content(config: Config) -> dict[str, str]:
    """Checksums of the model's files by key; nothing for a model of another kind.

    The factory's code is not covered: when that changes, change `arguments` or the weights, or the old result stands.
    Raises BadInput if a file is missing.
    """
    foreign = config.recommender.foreign
    if foreign is None:
        return {}
    return {source.key: source.checksum() for source in (state_source(foreign), vocabulary_source(foreign))}


def state_source(config: ForeignConfig) -> Source:
    """The weights or the program. Raises BadInput if the file is missing."""
    key = "program" if config.program else "weights"
    return _require(Source(f"{KEY}.{key}", getattr(config, key)))


def vocabulary_source(config: ForeignConfig) -> Source:
    """The table of tokens. Raises BadInput if the file is missing."""
    return _require(source_from_path(f"{KEY}.vocabulary", config.vocabulary))


def _require(source: Source) -> Source:
    try:
        there = source.exists()
    except OSError as error:
        source.refuse(f"it cannot be reached ({first_line(error)}); fix the path")
    if not there:
        source.refuse("no such file; fix the path")
    return source
