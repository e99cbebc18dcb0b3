"""The formats that people already hold, each told as files with columns: what to read, whatever it came as.

It knows the layout of MovieLens folders, RecBole atomic files and tables named in the config; no row is read here.
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
    """Names that the id's column may have; the first one there is it."""
    title: str = ""
    title_named: bool = False
    """The config names the title column, so it must be there."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column and its separators; none: one value, or a list already."""
    key: str = "data.attributes"
    """What of the config names the attributes."""
    lowercase: frozenset[str] = frozenset()
    """Attributes whose values people typed."""
    void: frozenset[str] = frozenset()
    """Values that say there is none."""


@dataclass(frozen=True)
class Dataset:
    """All that ingest reads."""

    interactions: tuple[Source, ...]
    columns: ColumnNames
    items: MetadataFiles
    users: MetadataFiles

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.interactions + self.items.sources + self.users.sources


def dataset(config: Config) -> Dataset:
    """What the config names. Raises BadInput on a file that is not there."""
    data = config.data
    found = {"table": _tables, "movielens": _movielens, "recbole": _recbole}[data.format](data)
    for source in found.sources:
        if not source.exists():
            raise BadInput(f"{source.key}: no such file {source.path}; give one that is there")
    columns = found.columns
    if columns.user_id and columns.user_id == columns.item_id:
        raise BadInput(f"data.columns.user_id and data.columns.item_id are both {columns.user_id}; name two columns")
    if data.min_weight is not None and not columns.weight:
        raise BadInput("data.min_weight needs a weight; set data.columns.weight")
    given = config.split.kind == "given"
    if given and len(found.interactions) != 3:
        raise BadInput(
            f'split.kind = "given" needs three files of events (train, validation, test) and there are '
            f"{len(found.interactions)}; name three in data.interactions or choose another split"
        )
    return found


def input_content(config: Config) -> dict[str, str]:
    """Checksum of every input file, by the name that the config gives it. Raises BadInput where one is missing."""
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
            # with a list a line, the column of the events is not likely to be called as the items' own is
            (columns.item_id, "item_id", "item") if data.list_separator else (columns.item_id,),
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
            void=frozenset({"(no genres listed)"}),
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
    # RecBole's own names for a given split; without all three, the one file of events
    cuts = [name for part in ("train", "valid", "test") for name in inter if f".{part}.inter" in name]
    chosen = cuts if len(cuts) == 3 else inter
    if not chosen or (len(chosen) > 1 and chosen is inter):
        raise BadInput(f"data.path: {data.path} holds {len(inter)} .inter files where one is due; give one data set")
    columns = data.columns
    interactions = tuple(_atomic(data, name) for name in chosen)
    weight = columns.weight or ("rating" if "rating" in interactions[0].columns() else "")
    listings = []
    for suffix, id_column, key, wanted in (
        (".item", columns.item_id, "data.attributes", data.attributes),
        (".user", columns.user_id, "data.user_attributes", data.user_attributes),
    ):
        found = [_atomic(data, name) for name in names if name.removesuffix(".gz").endswith(suffix)]
        known = {} if not found else _token_columns(found[0], {columns.item_id, columns.user_id, columns.title})
        named = {name: held or known.get(name, ()) for name, held in _separators(wanted).items()}
        listings.append(MetadataFiles(tuple(found[:1]), (id_column,), attributes=named or known, key=key))
    items, users = listings
    title_named = bool(columns.title) and "title" in columns.model_fields_set
    items = replace(items, title=columns.title, title_named=title_named)
    return Dataset(interactions, columns.model_copy(update={"weight": weight}), items, users)


def _atomic(data: DataConfig, name: str) -> Source:
    return Source("data.path", _join(data.path, name), delimiter="\t", quoted=False, typed=True)


def _separators(attributes: Mapping[str, str | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """As the config has them, one or several, none being `""`."""
    return {name: ((held,) if held else ()) if isinstance(held, str) else held for name, held in attributes.items()}


def _token_columns(source: Source, but: set[str]) -> dict[str, tuple[str, ...]]:
    """Every token column; a `token_seq` holds several with spaces between."""
    separators: dict[str, tuple[str, ...]] = {"token": (), "token_seq": (" ",)}
    heading = (name.partition(":")[::2] for name in source.raw_columns())
    return {name: separators[kind] for name, kind in heading if kind in separators and name not in but}


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
