"""The files of an external model: weights or program, and the vocabulary that maps items to tokens.

The stage reads the user's files and copies them to the store, from which later stages load them. The code of the
factory is neither copied nor part of a fingerprint.
"""

from __future__ import annotations

from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from recsae.config.recommender import ForeignConfig, RecommenderConfig
from recsae.data.sources import Source
from recsae.data.text import cell_text
from recsae.recommenders.external import ExternalRecommender
from recsae.recommenders.external_checks import check_model
from recsae.recommenders.external_module import load_module
from recsae.recommenders.external_sources import state_source, vocabulary_source
from recsae.store.filesystem import Folder, as_json
from recsae.store.run_store import Committed
from recsae.text.redaction import redact_uri


class ExternalFiles(NamedTuple):
    """The contents of an external model's files."""

    state: bytes
    """The bytes of the weights or the program."""
    tokens_N: Tensor
    """The model's token of each item, int64."""


def read_files(config: ForeignConfig, ingested: Committed) -> ExternalFiles:
    """Read the user's files. Raises BadInput if one is missing or an item of the catalogue has no token."""
    filesystem, path = state_source(config).location
    with filesystem.open_input_file(path) as file:
        state: bytes = file.read()
    items = ingested.read_table("items.parquet", ["item_idx", "item_id"]).sort_by("item_idx")
    return ExternalFiles(state, _tokens(vocabulary_source(config), items["item_id"].to_pylist()))


def save(folder: Folder, files: ExternalFiles, config: RecommenderConfig, n_users: int, n_items: int) -> None:
    with folder.open_output(_state_name(config)) as sink:
        sink.write(files.state)
    with folder.open_output("tokens.safetensors") as sink:
        sink.write(safetensors.torch.save({"tokens": files.tokens_N}))
    facts = config.recorded()
    facts["foreign"] |= {key: redact_uri(facts["foreign"][key]) for key in ("weights", "program", "vocabulary")}
    with folder.open_output("config.json") as sink:
        sink.write(as_json({"n_users": n_users, "n_items": n_items, **facts}))


def load_files(folder: Folder, config: RecommenderConfig) -> ExternalFiles:
    """The files that `save` wrote."""
    with folder.open_input(_state_name(config)) as source:
        state: bytes = source.read()
    with folder.open_input("tokens.safetensors") as source:
        return ExternalFiles(state, safetensors.torch.load(source.read())["tokens"])


def build_model(config: RecommenderConfig, files: ExternalFiles, site: str, device: str) -> ExternalRecommender:
    """The frozen model, checked. Raises BadInput if its files do not fit each other, the config or the site."""
    assert config.foreign is not None
    module = load_module(config, files.state, device)
    model = ExternalRecommender(config.foreign, module, files.tokens_N, config.max_length, site, device)
    found = check_model(model)
    model.learn(found.width, found.n_tokens, found.every_position and not config.foreign.case_by_case)
    return model


def _state_name(config: RecommenderConfig) -> str:
    return "program.pt2" if config.foreign and config.foreign.program else "weights.safetensors"


def _tokens(source: Source, item_ids: list[str]) -> Tensor:
    """The token of each item; rows for items outside the catalogue are ignored."""
    columns = source.columns()
    for name in ("item_id", "token"):
        if name not in columns:
            source.refuse(f"there is no column {name} among {', '.join(columns)}; call two of them item_id and token")
    source.refuse_duplicate_columns(columns, ("item_id", "token"))
    token_of: dict[str, int | None] = dict.fromkeys(item_ids)
    owner: dict[int, str] = {}
    for row, cells in source.rows(("item_id", "token")):
        item_id = _text(source, row, cells.get("item_id"))
        if item_id not in token_of:
            continue
        if token_of[item_id] is not None:
            source.refuse(f"row {row}: a second token for item {item_id}; keep one of them")
        text = _text(source, row, cells.get("token"))
        try:
            token = int(text)
        except ValueError:
            source.refuse(f"row {row}: the token {text[:60]!r} of item {item_id} is no whole number; fix it")
        if token in owner:
            source.refuse(f"row {row}: token {token} stands for {owner[token]} and {item_id}; give each one of its own")
        token_of[item_id], owner[token] = token, item_id
    missing = [item_id for item_id, known in token_of.items() if known is None]
    if missing:
        source.refuse(
            f"{len(missing)} of the {len(item_ids)} items of the catalogue have no token, the first {missing[0]}; add "
            "their rows, or leave their events out of data.interactions"
        )
    return torch.tensor(list(token_of.values()), dtype=torch.int64)


def _text(source: Source, row: int, cell: object) -> str:
    try:
        return cell_text(cell) or ""
    except TypeError as error:
        source.refuse(f"row {row} holds a {error}, expected one value; flatten it")
