"""Input formats: MovieLens folders, RecBole atomic files, and tables named in the config.

Each format becomes the same description of files and columns. Only headers are read here, no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow.fs as pafs

from recsae.config.schema import ColumnNames, Config, DataConfig
from recsae.data.sources import Source, source_from_path
from recsae.errors import BadInput
from recsae.store.filesystem import split_query


@dataclass(frozen=True)
class MetadataFiles:
    """Files that describe items or users, joined on the id."""

    sources: tuple[Source, ...] = ()
    ids: tuple[str, ...] = ()
    """Candidate names of the id column; the first one in the file is used."""
    title: str = ""
    title_named: bool = False
    """Whether the config names the title column, so that it must exist."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Separators by column; without any, a cell holds one value or a list."""
    key: str = "data.attributes"
    """The config key that names the attributes."""
    lowercase: frozenset[str] = frozenset()
    """Attributes with values typed by users, which are lowercased."""
    placeholders: frozenset[str] = frozenset()
    """Values that mean "no value"."""


@dataclass(frozen=True)
class TagFiles:
    """Files with one tag of an item a row."""

    sources: tuple[Source, ...] = ()
    ids: tuple[str, ...] = ()
    """Candidate names of the column with the item's id, as in MetadataFiles."""
    tag: str = "tag"
    weight: str = ""
    weight_named: bool = False
    """Whether the config names the weight's column, so that it must exist."""
    user: str = ""
    """The column of the user who gave the tag, used where it exists."""


@dataclass(frozen=True)
class Dataset:
    """All input files of ingest, with the names of their columns."""

    interactions: tuple[Source, ...]
    columns: ColumnNames
    items: MetadataFiles
    users: MetadataFiles
    tags: TagFiles = TagFiles()

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.interactions + self.items.sources + self.tags.sources + self.users.sources


def dataset(config: Config) -> Dataset:
    """The input files that the config names. Raises BadInput if one is missing or the columns do not fit."""
    data = config.data
    files = {"table": _tables, "movielens": _movielens, "recbole": _recbole}[data.format](data)
    files = replace(files, tags=_tags(data))
    for source in files.sources:
        if not source.exists():
            raise BadInput(f"{source.key}: no such file {source.path}; give one that is there")
    columns = files.columns
    if columns.user_id and columns.user_id == columns.item_id:
        raise BadInput(f"data.columns.user_id and data.columns.item_id are both {columns.user_id}; name two columns")
    if data.min_weight is not None and not columns.weight:
        raise BadInput("data.min_weight needs a weight; set data.columns.weight")
    if data.min_tag_weight is not None and not data.tags:
        raise BadInput("data.min_tag_weight needs a table of tags; name one in data.tags")
    if config.split.kind == "given" and len(files.interactions) != 3:
        raise BadInput(
            f'split.kind = "given" needs three files of events (train, validation, test) and there are '
            f"{len(files.interactions)}; name three in data.interactions or choose another split"
        )
    return files


def input_content(config: Config) -> dict[str, str]:
    """Checksum of every input file, by its name in the config. Raises BadInput if one is missing."""
    return {source.redacted: source.checksum() for source in dataset(config).sources}


def _tables(data: DataConfig) -> Dataset:
    if not data.interactions:
        raise BadInput("data.interactions names no file; name at least one")
    columns = data.columns
    return Dataset(
        tuple(source_from_path("data.interactions", path) for path in data.interactions),
        columns,
        MetadataFiles(
            tuple(source_from_path("data.items", path) for path in data.items),
            _item_ids(data),
            columns.title,
            bool(columns.title) and "title" in columns.model_fields_set,
            _separators(data.attributes),
        ),
        MetadataFiles(
            (source_from_path("data.users", data.users),) if data.users else (),
            (columns.user_id,),
            attributes=_separators(data.user_attributes),
            key="data.user_attributes",
        ),
    )


def _item_ids(data: DataConfig) -> tuple[str, ...]:
    """Candidate names of the column with an item's id, outside the events."""
    item_id = data.columns.item_id
    # with a list of items per line, the events' column is unlikely to share the catalogue's name
    return (item_id, "item_id", "item") if data.list_separator else (item_id,)


def _tags(data: DataConfig) -> TagFiles:
    columns = data.columns
    return TagFiles(
        tuple(source_from_path("data.tags", path) for path in data.tags),
        _item_ids(data),
        columns.tag,
        columns.tag_weight,
        bool(columns.tag_weight) and "tag_weight" in columns.model_fields_set,
        columns.user_id,
    )


def _movielens(data: DataConfig) -> Dataset:
    names = _file_names(data)
    if not any(name.startswith("ratings.") for name in names):
        raise BadInput(f"data.path: {data.path} holds no ratings.dat or ratings.csv (.gz too); give a MovieLens folder")
    ratings = _source(data, names, "ratings", ("user_id", "item_id", "rating", "timestamp"))
    movies = _source(data, names, "movies", ("item_id", "title", "genres"))
    tags = _source(data, names, "tags", ("user_id", "item_id", "tags", "timestamp"))
    users = _source(data, names, "users", ("user_id", "gender", "age", "occupation", "zip"))
    if not ratings or not movies:
        raise BadInput(f"data.path: {data.path} holds no movies file beside its ratings; give a MovieLens folder")
    known: dict[str, tuple[str, ...]] = {"genres": ("|",)} | ({"tags": ()} if tags else {})
    return Dataset(
        (ratings,),
        ColumnNames(weight="rating"),
        MetadataFiles(
            (movies, replace(tags, repeated_ids=True)) if tags else (movies,),
            ("item_id",),
            "title",
            attributes=_select_attributes(data, known),
            lowercase=frozenset({"tags"}),
            placeholders=frozenset({"(no genres listed)"}),
        ),
        MetadataFiles((users,), ("user_id",), attributes={"gender": (), "age": (), "occupation": ()})
        if users
        else MetadataFiles(),
    )


def _source(data: DataConfig, names: list[str], stem: str, columns: tuple[str, ...]) -> Source | None:
    for name in (f"{stem}.dat", f"{stem}.dat.gz", f"{stem}.csv", f"{stem}.csv.gz"):
        if name in names:
            dat = ".dat" in name
            return Source(
                "data.path",
                _join(data.path, name),
                delimiter="::" if dat else ",",
                quoted=not dat,
                header=not dat,
                names=columns,
                latin1_fallback=dat,
            )
    return None


def _recbole(data: DataConfig) -> Dataset:
    names = _file_names(data)
    inter = [name for name in names if name.removesuffix(".gz").endswith(".inter")]
    # RecBole's names for a benchmark split; unless all three are there, one file holds all events
    split = [name for part in ("train", "valid", "test") for name in inter if f".{part}.inter" in name]
    selected = split if len(split) == 3 else inter
    if not selected or (len(selected) > 1 and selected is inter):
        raise BadInput(f"data.path: {data.path} holds {len(inter)} .inter files, expected one; give one data set")
    columns = data.columns
    interactions = tuple(_atomic(data, name) for name in selected)
    weight = columns.weight or ("rating" if "rating" in interactions[0].columns() else "")
    metadata = []
    for suffix, id_column, key, configured in (
        (".item", columns.item_id, "data.attributes", data.attributes),
        (".user", columns.user_id, "data.user_attributes", data.user_attributes),
    ):
        found = [_atomic(data, name) for name in names if name.removesuffix(".gz").endswith(suffix)]
        known = {} if not found else _token_columns(found[0], {columns.item_id, columns.user_id, columns.title})
        named = {name: separators or known.get(name, ()) for name, separators in _separators(configured).items()}
        metadata.append(MetadataFiles(tuple(found[:1]), (id_column,), attributes=named or known, key=key))
    items, users = metadata
    title_named = bool(columns.title) and "title" in columns.model_fields_set
    items = replace(items, title=columns.title, title_named=title_named)
    return Dataset(interactions, columns.model_copy(update={"weight": weight}), items, users)


def _atomic(data: DataConfig, name: str) -> Source:
    return Source("data.path", _join(data.path, name), delimiter="\t", quoted=False, typed=True)


def _separators(attributes: Mapping[str, str | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The separators of each attribute; the config writes one as a string, several as a list, none as `""`."""
    return {
        name: ((value,) if value else ()) if isinstance(value, str) else value for name, value in attributes.items()
    }


def _token_columns(source: Source, excluded: set[str]) -> dict[str, tuple[str, ...]]:
    """Every token column with its separators; a `token_seq` holds several tokens separated by spaces."""
    separators: dict[str, tuple[str, ...]] = {"token": (), "token_seq": (" ",)}
    heading = (name.partition(":")[::2] for name in source.raw_columns())
    return {name: separators[kind] for name, kind in heading if kind in separators and name not in excluded}


def _select_attributes(data: DataConfig, known: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    for name in data.attributes:
        if name not in known:
            raise BadInput(f"data.attributes.{name}: {data.path} has no such attribute; it has {', '.join(known)}")
    return {name: known[name] for name in data.attributes} or known


def _file_names(data: DataConfig) -> list[str]:
    if not data.path:
        raise BadInput(f'data.path is empty; data.format = "{data.format}" needs the folder of the data set')
    filesystem, path = Source("data.path", data.path).location
    try:
        found = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    except NotADirectoryError:
        found = []
    names = sorted(info.base_name for info in found if info.type == pafs.FileType.File)
    if not names:
        raise BadInput(f"data.path: no such folder {data.path}, or no file in it; give the folder of the data set")
    return names


def _join(folder: str, name: str) -> str:
    head, query = split_query(folder)
    return f"{head.rstrip('/')}/{name}{query}"
