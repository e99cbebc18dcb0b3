"""The files of activations that were computed elsewhere, and their checksums. Imports neither duckdb nor numpy."""

from __future__ import annotations

from recsae.config.schema import Config
from recsae.data.sources import Source, source_from_path
from recsae.errors import BadInput


def imported_content(config: Config) -> dict[str, str]:
    """sha256 of every imported file, by its name in the config; empty if the recommender is not `given`.

    Raises BadInput if a file is missing.
    """
    if config.recommender.kind != "given":
        return {}
    sources = [*vector_sources(config), cases_source(config)]
    for source in sources:
        if not source.exists():
            raise BadInput(f"{source.key}: no such file {source.path}; give one that is there")
    return {source.redacted: source.checksum() for source in sources}


def vector_sources(config: Config) -> list[Source]:
    return [Source("probe.activations", path) for path in config.probe.activations]


def cases_source(config: Config) -> Source:
    return source_from_path("probe.cases", config.probe.cases)
