"""The config of a served run, put together from the slices that its manifests hold."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import ValidationError

from recsae.config.renamed import take_old_names
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.lookup.served import Served


def config_of(served: Served, root: str, name: str) -> Config:
    """The config that made the night; what no stage depends on, such as `resources`, has its default.

    Credentials in URIs were not stored. Raises BadInput where another version wrote the manifests.
    """
    tree: dict[str, Any] = {}
    for done in served.made.values():
        tree |= copy.deepcopy(done.manifest.get("config", {}))
    tree.pop("nights", None)  # manifests hold a part of it
    take_old_names(tree)
    try:
        return Config.model_validate({**tree, "name": name, "store": {"root": root}})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"{served.store.folder.uri}: the config in its manifests is not one of this version "
            f"({key}: {first['msg']}); give open_run the config"
        ) from None
