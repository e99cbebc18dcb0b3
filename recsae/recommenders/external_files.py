"""The files of a foreign model: weights or program, and the vocabulary that numbers the items.

The stage reads them where the user keeps them, and whoever comes later the copy in the store. The factory's code alone
is neither copied nor part of a fingerprint. It knows files, and nothing of hooks.
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
    """All of a foreign model but the factory's code."""

    state: bytes
    """The weights or the program, byte for byte."""
    tokens_N: Tensor
    """The model's own number of each item, int64."""


def read_files(config: ForeignConfig, ingested: Committed) -> ExternalFiles:
    """The user's files. Raises BadInput where one is missing or an item of the catalogue has no token."""
    filesystem, path = state_source(config).location
    with filesystem.open_input_file(path) as file:
        state: bytes = file.read()
    items = ingested.read_table("items.parquet", ["item_idx", "item_id"]).sort_by("item_idx")
    return ExternalFiles(state, _tokens(vocabulary_source(config), items["item_id"].to_pylist()))


def save(folder: Folder, parts: ExternalFiles, config: RecommenderConfig, n_users: int, n_items: int) -> None:
    with folder.open_output(_state_name(config)) as sink:
        sink.write(parts.state)
    with folder.open_output("tokens.safetensors") as sink:
        sink.write(safetensors.torch.save({"tokens": parts.tokens_N}))
    facts = config.recorded()
    facts["foreign"] |= {key: redact_uri(facts["foreign"][key]) for key in ("weights", "program", "vocabulary")}
    with folder.open_output("config.json") as sink:
        sink.write(as_json({"n_users": n_users, "n_items": n_items, **facts}))


def load_files(folder: Folder, config: RecommenderConfig) -> ExternalFiles:
    """What `save` wrote."""
    with folder.open_input(_state_name(config)) as source:
        state: bytes = source.read()
    with folder.open_input("tokens.safetensors") as source:
        return ExternalFiles(state, safetensors.torch.load(source.read())["tokens"])


def build_model(config: RecommenderConfig, parts: ExternalFiles, site: str, device: str) -> ExternalRecommender:
    """The frozen model, tried out. Raises BadInput where its parts do not fit each other, the config or the site."""
    assert config.foreign is not None
    module = load_module(config, parts.state, device)
    model = ExternalRecommender(config.foreign, module, parts.tokens_N, config.max_length, site, device)
    found = check_model(model)
    model.learn(found.width, found.n_tokens, found.every_position and not config.foreign.case_by_case)
    return model


def _state_name(config: RecommenderConfig) -> str:
    return "program.pt2" if config.foreign and config.foreign.program else "weights.safetensors"


def _tokens(source: Source, item_ids: list[str]) -> Tensor:
    """The token of each item. What the file says of items that the catalogue has not is nobody's concern."""
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
